"""What batches of a config look like, whether its pictures are here or not."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from kpdiscovery import data, landmark_runs, methods
from kpdiscovery.data import box_crops, class_labels
from kpdiscovery.data.joined import drawn
from kpdiscovery.models import superpoint
from kpdiscovery.types import Source, UserError

# Pictures of training splits, as the papers count them.
ROWS = {
    'self_training/aflw': 10_112, 'self_training/bbc_pose': 60_885,
    'self_training/cat_heads': 7_747, 'self_training/cub': 11_778,
    'self_training/mafl': 161_962, 'self_training/penn_action': 51_661,
    'weight_map/cub': 5_994, 'weight_map/cars': 8_144, 'weight_map/flowers': 1_020,
    'weight_map/tiny_imagenet': 100_000, 'feature_alignment/mafl': 19_000,
}  # fmt: skip
_ROWS = 10_000
_DESCRIPTORS = {'sift': 128, 'orb': 256, 'xfeat': 64}  # Channels.


class Pictures(NamedTuple):
    """A training split as far as compilers ask."""

    rows: int
    fields: dict[str, Any]  # Shapes of one row, without `index`.
    assumed: tuple[str, ...]  # What nothing here says.


def look(settings: Any, *, rows: int = 0) -> Pictures:
    """The pictures of a config; where they are not here, what its method reads of them.

    The settings are completed in place: the number of classes. Nothing is detected.

    Args:
        rows: of the split, whatever is known; 0: as many as there are.

    Raises:
        UserError: a folder that was named is not there, or what is not here cannot be
            told from the config.
    """
    kind, assumed = methods.named(settings.method.name), []
    class_labels.expect(settings, kind)
    source = _source(settings.data)
    if source is None:
        fields = _fields(settings, kind)
        found = _known_rows(settings)
        assumed.append(f'the pictures are not here: {_told(fields)}')
        if not rows:
            assumed.append(f'{found:,} rows: else --rows=N')
    else:
        class_labels.prepare(source, settings, kind)
        fields, found = _row(source), len(source)
    if points := _detected(settings):
        fields |= points
        assumed.append(f'keypoints to start from: {_told(points)}')
    return Pictures(rows or found, fields | _later(settings.data), tuple(assumed))


def _source(section: Any) -> Source | None:
    """The training split; None where it is not here and nobody said where it is."""
    try:
        return data.build(section, split='train')
    except UserError:
        if section.path or section.get('features', ''):
            raise
        return None


def _row(source: Source) -> dict[str, Any]:
    if generated := drawn(source):
        own = jax.eval_shape(generated.draw, generated.tables, generated.key)
        joined = {} if source is generated else source.extra(0)  # type: ignore[attr-defined]
        row = {**own, **joined}
    else:
        row = source[0]
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), dict(row)
    )


def _fields(settings, kind) -> dict[str, jax.ShapeDtypeStruct]:
    """What a row has at least, of a source that is not here."""
    section, side = settings.data, settings.data.size
    fields = {'image': jax.ShapeDtypeStruct((side, side, 3), np.uint8)}
    if section.resize == 'pad' or box_crops.is_box(section.resize):
        fields['pixels_valid'] = jax.ShapeDtypeStruct((side, side), bool)
    if kind.class_count:
        fields['label'] = jax.ShapeDtypeStruct((), np.int32)
        if settings.method[kind.class_count] < 2:
            raise UserError(
                'how many classes the pictures have is not known: set '
                f'--config.method.{kind.class_count}'
            )
    return fields


def _known_rows(settings) -> int:
    name = settings.run.config.partition(':')[0]
    known = ROWS.get(name, _ROWS)
    return min(known, settings.data.get('rows', 0) or known)


def _detected(settings) -> dict[str, jax.ShapeDtypeStruct]:
    """Keypoints as `detection.prepare` would join them."""
    section = settings.data
    if not (name := section.get('keypoints', '')):
        return {}
    if name == landmark_runs.CONSTELLATION:
        return _landmarks(settings.method.num_keypoints)
    finder, _, by_sift = name.partition('+')
    channels = _DESCRIPTORS['sift'] if by_sift else _channels(finder)
    points = section.get('num_detected', 64)
    shape = lambda *axes: jax.ShapeDtypeStruct((points, *axes), np.float32)
    return {
        'detected': shape(2),
        'detected_score': shape(),
        'detected_descriptors': shape(channels),
    }


def _landmarks(count):
    """Those of another run, in order."""
    number = jax.ShapeDtypeStruct((count,), np.int32)
    return {
        'detected': jax.ShapeDtypeStruct((count, 2), np.float32),
        'detected_score': jax.ShapeDtypeStruct((count,), np.float32),
        'detected_label': number,
        'detected_mirror': number,
    }


def _channels(finder: str) -> int:
    if finder in _DESCRIPTORS:
        return _DESCRIPTORS[finder]
    if finder == 'superpoint':
        return superpoint.load(superpoint.PACKAGED)[0].descriptor
    raise UserError(
        f'data.keypoints={finder} is looked into by training only: compile with one of '
        'superpoint, superpoint+sift, xfeat, sift, orb, constellation'
    )


def _later(section) -> dict[str, jax.ShapeDtypeStruct]:
    """What `data.joined.temporal` adds."""
    if not section.get('temporal_gap', 0):
        return {}
    side = section.size
    return {
        'later': jax.ShapeDtypeStruct((side, side, 3), np.uint8),
        'flow': jax.ShapeDtypeStruct((side, side, 2), np.float32),
    }


def _told(fields) -> str:
    each = (
        f'{name} {leaf.dtype}{list(leaf.shape)}'
        for name, leaf in sorted(fields.items())
    )
    return ', '.join(each)
