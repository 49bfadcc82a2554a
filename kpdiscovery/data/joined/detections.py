"""Generic keypoints of a whole source: found once, kept in a file, given to training."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from kpdiscovery import paths, processes
from kpdiscovery.data.files import npy
from kpdiscovery.data.joined import Joined, closer, names, plain
from kpdiscovery.ops import suppression
from kpdiscovery.types import Source, UserError

_log = logging.getLogger(__name__)
_BATCH = 32
_LABELS = ('labels', 'mirror')
_LITTLE = 0.5  # Of the points asked for: fewer are told.
_MARGIN = 4  # Pixels from padding, where the picture's own border would be found.


class Detections(NamedTuple):
    """Points of N pictures, P places each, all numpy."""

    xy: Any  # [N, P, 2] float32 pixels of the source's pictures.
    score: Any  # [N, P] float32, 0: no point.
    descriptors: Any = None  # [N, P, D] float32 unit length, zeros where no point is.
    files: Any = None  # [N] text, the pictures, where a file named them.
    labels: Any = None  # [N, P] int32 what each point is, where the detector knows ...
    mirror: Any = None  # [N, P] int32 ... and what it is in the mirrored picture.


# Of uint8 `[B, H, W, 3]` and, where they were padded, `[B, H, W]` bool that is False on the
# padding, else None; any P.
Detector = Callable[[np.ndarray, np.ndarray | None], Detections]


def detect(
    source: Source,
    detector: Detector,
    *,
    num: int,
    rows: int | np.ndarray | None = None,
    side: int = 0,
    progress: bool | None = None,
) -> Detections:
    """The points of every row of a source, of its first `rows`, or of those numbered.

    Several processes look at their share each; all get all.

    Args:
        detector: `classical.sift`, `classical.orb`, or any other function of pictures.
        num: P; of more candidates those that `suppress_adaptively` spreads are kept.
        side: pixels of the shorter side in which it sees the pictures, see
            `closer.look`; 0: as they are.
        progress: show a bar; None: on a terminal.

    Raises:
        UserError: OpenCV is needed and missing.
    """
    source = plain(source)  # Pictures are enough.
    look = closer.look(source, side)
    if not isinstance(rows, np.ndarray):
        rows = np.arange(min(len(source), rows or len(source)))
    total = len(rows)
    own, share = jax.process_index() * _BATCH, jax.process_count() * _BATCH
    starts = range(0, total, share)
    bar = None if progress is None else not progress
    bar = True if own else bar
    parts, left = [], list[int]()  # Points of pictures between bars.
    for start in tqdm(starts, desc='finding keypoints', unit='batch', disable=bar):
        batch = rows[(start + own + np.arange(_BATCH)) % total]  # The end repeats.
        images, valid, back = look(batch)
        found = detector(images, valid)
        if valid is not None and found.labels is None:
            found = off_padding(found, valid)
            padded = ~valid.all(axis=(1, 2))
            left += (found.score[padded] > 0).sum(axis=1).clip(max=num).tolist()
        there = found.score[..., None] > 0
        found = found._replace(xy=np.where(there, back(found.xy), 0))
        # Who knows what its points are has chosen them already.
        found = spread(found, num) if found.labels is None else found
        parts.append(processes.gather(found))
    if left and np.mean(left) < _LITTLE * num:
        _log.warning(
            'pictures between bars have %.1f of %d keypoints, for what is at a bar is none: '
            'cut pictures (data.resize=crop), look at larger ones (data.keypoints_size) or '
            'lower data.num_detected',
            np.mean(left), num,
        )  # fmt: skip
    return Detections(*(None if leaf[0] is None else np.concatenate(leaf)[:total]
                        for leaf in zip(*parts, strict=True)))  # fmt: skip


def spread(found: Detections, num: int) -> Detections:
    """`num` points a picture by adaptive suppression; fewer are filled up with none."""
    rows = np.asarray(_spread(found.xy, found.score, num))
    there = rows >= 0
    take = lambda leaf: np.where(
        there.reshape(there.shape + (1,) * (leaf.ndim - 2)),
        np.take_along_axis(
            leaf, rows.clip(0).reshape(rows.shape + (1,) * (leaf.ndim - 2)), axis=1
        ),
        0,
    ).astype(np.float32)
    return Detections(
        *(None if leaf is None else take(np.asarray(leaf)) for leaf in found)
    )


def save(
    path: str | os.PathLike,
    detections: Detections,
    *,
    size: tuple[int, ...],
    detector: str = '',
) -> None:
    """Writes an .npz (no pickle); whole or not at all. `size` is (H, W) of the pictures in
    whose pixels they are, `detector` says who found them."""
    fields = {n: v for n, v in detections._asdict().items() if v is not None}
    told = {'detector': np.array(detector), 'size': np.array(size)}
    paths.write_arrays(paths.Path(path), {**told, **fields})


def load(path: str | os.PathLike, *, rows: int, size: tuple[int, int]) -> Detections:
    """Points of `save`, or of any other detector, from an .npz file.

    Keys: `xy` `[N, P, 2]` pixels of the training pictures (fitted to `data.size`; row i
    is row i of the training split, for a folder sorted by name), `score` `[N, P]`, 0 or
    less where there is no point, and optionally `descriptors` `[N, P, D]`, which are
    brought to unit length, `labels` `[N, P]` of points that are the same thing wherever
    they have the same number from 0, with `mirror` `[N, P]`, their labels in the mirrored
    picture (without it no view is mirrored), `size` (H, W) of the pictures in whose pixels
    `xy` is, of which those of another `data.size` follow, and `files` `[N]`, names below the
    folder: then `join` finds the row of every picture.

    Args:
        rows: of the source, N where there are no `files`.
        size: (H, W) of its pictures.

    Raises:
        UserError: no such file or not one, a key is missing, of a wrong shape or for
            another number of pictures, values that are not finite, points outside.
    """
    fields = _read(path)
    missing = [name for name in ('xy', 'score') if name not in fields]
    if missing:
        raise UserError(
            f'keypoints {path}: no {missing[0]!r}, there are: {", ".join(fields) or "none"}'
        )
    files, count = fields.get('files'), len(np.atleast_1d(fields['xy']))
    numbers: dict[str, Any] = {
        n: fields.get(n) for n in Detections._fields if n != 'files'
    }
    _check_shapes(path, numbers, rows if files is None else count)
    if files is not None and files.shape != (count,):
        raise UserError(
            f'keypoints {path}: files must be [{count}], one name a picture, '
            f'got {list(files.shape)}'
        )
    found = Detections(**{n: None if v is None else v.astype(_type_of(n))
                          for n, v in numbers.items()})  # fmt: skip
    found = _fitted(path, found, fields.get('size'), size)
    return _clean(path, found, size)._replace(files=files)


def _type_of(field: str) -> type:
    return np.int32 if field in _LABELS else np.float32


def detector_of(path: str | os.PathLike) -> str:
    """Who found the points of a file; '' where it does not say."""
    return str(_read(path).get('detector', ''))


def join(source: Source, detections: Detections, *, stamp: str = '') -> Joined:
    """The source with the batch fields that training reads (`types`).

    Args:
        stamp: of the file that they are from, see `Joined`.

    Raises:
        UserError: `files` lacks a picture, or has one twice.
    """
    if detections.files is not None:
        detections = _in_order(source, detections)
    fields = {
        'detected': detections.xy,
        'detected_score': detections.score,
        'detected_descriptors': detections.descriptors,
        'detected_label': detections.labels,
        'detected_mirror': detections.mirror,
    }
    if detections.labels is not None and detections.mirror is None:
        fields['detected_mirror'] = np.full_like(detections.labels, -1)
    fields = {n: v for n, v in fields.items() if v is not None}
    return Joined(source, fields, stamp=stamp)


def _in_order(source, found):
    """The rows that are of the source's pictures, in its order."""
    order = names.match('keypoints', found.files, source)
    if order is None:
        return found
    return Detections(*(None if leaf is None else leaf[order] for leaf in found))


@functools.partial(jax.jit, static_argnums=2)
def _spread(xy, score, num):
    return suppression.suppress_adaptively(jnp.asarray(xy), jnp.asarray(score), num)


def off_padding(
    found: Detections, valid: np.ndarray, num: int | None = None
) -> Detections:
    """Points close to padding become none, and of the others the `num` best are left.

    Pictures are rectangles, so four corners around a point tell. A detector that knows
    what is padded (`valid` `[B, H, W]`) asks for more points than `num`: the edge of a bar
    is the strongest corner of a picture.
    """
    h, w = valid.shape[1:]
    near = True
    for dx, dy in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        x = np.clip(np.rint(found.xy[..., 0]) + dx * _MARGIN, 0, w - 1).astype(int)
        y = np.clip(np.rint(found.xy[..., 1]) + dy * _MARGIN, 0, h - 1).astype(int)
        near = near & valid[np.arange(len(valid))[:, None], y, x]
    found = found._replace(score=np.where(near, found.score, 0))
    if num is None:
        return found
    best = np.argsort(-found.score, axis=1, kind='stable')[:, :num]
    take = lambda a: np.take_along_axis(
        a, best.reshape(best.shape + (1,) * (a.ndim - 2)), axis=1
    )
    return Detections(*(None if leaf is None else take(leaf) for leaf in found))


def _read(path) -> dict[str, np.ndarray]:
    path = paths.Path(path)
    if not path.is_file():
        raise UserError(f'keypoints {path}: there is no such file')
    try:
        with path.open('rb') as file:
            return npy.arrays(file)
    except npy.BROKEN as error:
        raise UserError(
            f'keypoints {path}: not an .npz file of plain arrays ({error})'
        ) from error


def _check_shapes(path, fields, rows):
    n, p = fields['xy'].shape[:2] if fields['xy'].ndim == 3 else (0, 0)
    wanted = {'xy': (n, p, 2), 'score': (n, p)}
    if fields['descriptors'] is not None:
        wanted['descriptors'] = (n, p, *fields['descriptors'].shape[2:3])
    wanted |= {name: (n, p) for name in _LABELS if fields[name] is not None}
    for name, shape in wanted.items():
        array = fields[name]
        flat = name in ('score', *_LABELS)
        if array.shape != shape or array.ndim != (2 if flat else 3) or not p:
            raise UserError(
                f'keypoints {path}: {name} has shape {array.shape}; wanted xy [N, P, 2], '
                'score, labels and mirror [N, P], descriptors [N, P, D]'
            )
        if array.dtype.kind not in 'fiu':
            raise UserError(
                f'keypoints {path}: {name} holds no numbers but {array.dtype}'
            )
    if n != rows:
        raise UserError(
            f'keypoints {path}: points of {n} pictures, but the training split has '
            f'{rows} (one row each, in its order)'
        )


def _fitted(path, found, own, size):
    """In pixels of (H, W) `size`, of a file whose points are in those of `own`, or of one
    that does not say (None)."""
    if own is None:
        there = found.score > 0
        quarter = (found.xy[there] < np.array(size[::-1]) / 2).all()
        if there.any() and quarter:
            _log.warning(
                'keypoints %s: all points lie in the upper left quarter of %d x %d pixels; if '
                'they were found in smaller pictures, add their `size` (H, W) to the file',
                path, size[1], size[0],
            )  # fmt: skip
        return found
    if own.shape != (2,) or own.dtype.kind not in 'fiu' or not (own >= 1).all():
        raise UserError(f'keypoints {path}: size must be the two numbers (H, W)')
    if abs(own[0] * size[1] - own[1] * size[0]) > max(own[0], own[1], *size):
        raise UserError(
            f'keypoints {path}: found in pictures of {own[1]} x {own[0]} pixels, and data.size '
            f'makes {size[1]} x {size[0]}, of another shape: find them in such'
        )
    if tuple(own) == tuple(size):
        return found
    scale = np.array(size[::-1]) / own[::-1]
    return found._replace(xy=(found.xy + 0.5) * scale - 0.5)


def _clean(path, found, size):
    for name, array in found._asdict().items():
        if array is not None and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise UserError(f'keypoints {path}: {name} of picture {row} is not finite')
    there = found.score > 0
    h, w = size
    inside = ((found.xy >= -0.5) & (found.xy <= [w - 0.5, h - 0.5])).all(axis=-1)
    if (there & ~inside).any():
        row, place = np.argwhere(there & ~inside)[0]
        raise UserError(
            f'keypoints {path}: a point of picture {row} at '
            f'{found.xy[row, place].tolist()} is outside its {w} x {h} pixels; points '
            'belong to pictures fitted to data.size'
        )
    return _unit(found, there)


def _unit(found, there):
    descriptors = found.descriptors
    if descriptors is not None:
        length = np.linalg.norm(descriptors, axis=-1, keepdims=True)
        descriptors = descriptors / np.maximum(length, 1e-12) * there[..., None]
    xy = np.where(there[..., None], found.xy, 0)
    named = {name: None if (one := getattr(found, name)) is None
             else np.where(there & (one >= 0), one, -1).astype(np.int32)
             for name in _LABELS}  # fmt: skip
    score = np.where(there, found.score, 0)
    return Detections(xy.astype(np.float32), score, descriptors, **named)
