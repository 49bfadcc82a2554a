"""From a workdir or fresh weights to predictions; what evaluate, predict and report share."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from kpdiscovery import config as config_lib
from kpdiscovery import methods, paths, processes
from kpdiscovery.data import feeds, identity
from kpdiscovery.data.joined import Lazy, feature_files
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import parallel, warps
from kpdiscovery.training import loop, runs, sharding
from kpdiscovery.types import Prediction, Source, Split, UserError, Warped

_SETTINGS = (  # Of a config, which those who get it rely on.
    'seed', 'data.source', 'data.size', 'evaluation.batch_size', 'evaluation.fit',
    'evaluation.test', 'method.name', 'phases',
)  # fmt: skip
_SEEN = ('image', 'features', 'features_valid')  # What is predicted from.
_PADDING = 'pixels_valid'
_TURN, _SCALE, _SHIFT = 20.0, 0.1, 0.05  # Of warped copies: degrees, shares.
CONSTELLATION = 'constellation'  # data.keypoints: of the run below the workdir.
HEAVY = ('reconstruction', 'descriptors')


class Trained(NamedTuple):
    """A method with variables to predict with."""

    method: Any  # A Method; frozen, and so hashable.
    variables: Any
    config: ml_collections.ConfigDict
    meta: dict  # phase, step; 'untrained' for fresh weights.


def load(
    workdir: str | os.PathLike,
    overrides: Iterable[str] = (),
    *,
    step: int | None = None,
) -> Trained:
    """What was trained in a workdir; overrides as in `config.load`.

    More keypoints than in training, say: `['method.predict_keypoints=10']`.

    Args:
        step: of a checkpoint that was kept (`run.keep`); None: the last.
    """
    config = load_config(workdir)
    variables, meta = runs.load_variables(workdir, step)
    first = paths.folder(workdir) / CONSTELLATION
    if is_constellation(config.data.get('keypoints', '')) and first.is_dir():
        config.data.keypoints = str(first)
    config_lib.override(config, overrides)
    if step is None and (state := runs.unfinished(meta)):
        logging.warning('%s %s: not a finished run, kpd train goes on', workdir, state)
    return Trained(methods.build(config.method), variables, config, meta)


def is_constellation(keypoints: str) -> bool:
    """Whether a run's `data.keypoints` may mean the landmarks found first in its own
    workdir: configs say so by their name; once they had the path, which may have moved."""
    return pathlib.PurePath(keypoints).name == CONSTELLATION


def load_config(workdir: str | os.PathLike) -> ml_collections.ConfigDict:
    """The config of a run, with all that is asked of every one."""
    whole = runs.load_config(workdir)
    where = f'{paths.folder(workdir) / runs.CONFIG} is damaged'
    for path in _SETTINGS:
        place: Any = whole
        for name in path.split('.'):
            place = place.get(name) if isinstance(place, dict) else None
        if place is None:
            raise UserError(f'{where}: there is no {path}')
    try:
        return ml_collections.ConfigDict(whole)
    except (TypeError, ValueError, AttributeError) as error:  # Keys that are none.
        raise UserError(f'{where}: {error}') from None


def untrained(config: ml_collections.ConfigDict, source: Source) -> Trained:
    """The same method before its first step: what every figure is to be compared with."""
    method = methods.build(config.method)
    row = jax.tree.map(lambda value: np.asarray(value)[None], dict(source[0]))
    init = jax.jit(method.phases(config)[0].init, static_argnums=2)
    state = init(loop.phase_key(config.seed, 0, 0), row, None)
    return Trained(method, state.variables, config, {'phase': 'untrained', 'step': 0})


def looking(trained: Trained) -> Trained:
    """Of a run on features found beforehand: with the network that they are of.

    Raises:
        UserError: nobody knows what network that is.
    """
    folder = trained.config.data.get('features', '')
    if not folder or 'features' not in trained.method.batch_fields:
        return trained
    made = feature_files.record(folder)
    if made is None:
        raise UserError(
            f'the run reads the features in {folder}, which pictures of your own do not '
            f'have, and no {feature_files.RECORD} there names their network: extract them '
            'with kpd features, and train on those'
        )
    method, variables = trained.method.looking(made['features'], trained.variables)
    return trained._replace(method=method, variables=variables)


def extract(method: Any, variables: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that the method's frozen network makes of a batch, as numpy."""
    names = [name for name in ('image', 'pixels_valid') if name in batch]
    found = _extractor(method)(variables, {name: batch[name] for name in names})
    return processes.gather(found)


def tell_other_pictures(trained: Trained, source: Source) -> str:
    """A warning where the training split is not what the model was trained on; in what, or
    '' where it is, or nobody knows."""
    if not (before := trained.meta.get('data')):
        return ''
    now = identity.of(source)
    changed = identity.difference({**before, 'joined': now.joined}, now)
    if changed:
        logging.warning(
            'the pictures are not those of the training (%s): which of them were learnt '
            'from is not looked at', changed,
        )  # fmt: skip
    return changed


def predict_images(
    trained: Trained, images: np.ndarray, fields: Mapping[str, Any] | None = None
) -> Prediction:
    """Predictions of uint8 or float images `[B, H, W, 3]`, as numpy.

    Where the rows of the images are split over the devices of a mesh, each predicts its
    own; of several processes all get all.

    Args:
        fields: of the batch, for methods that read more than pictures (`batch_fields`).

    Raises:
        UserError: they are not such as the method was trained on.
    """
    names = trained.method.batch_fields
    more = {name: fields[name] for name in names if fields and name in fields}
    where: Any = getattr(images, 'sharding', None)
    split = isinstance(where, jax.sharding.NamedSharding)
    predict = _predictor(trained.method, where.mesh if split else None)
    try:
        return processes.gather(predict(trained.variables, images, more))
    except ValueError as error:
        raise UserError(f'the data does not fit what was trained: {error}') from error


def predict_rows(
    trained: Trained,
    source: Source,
    count: int,
    *,
    batch_size: int,
    keep: Collection[str] = (),
) -> Split:
    """Predictions and truth of the first `count` rows, stacked.

    Args:
        keep: of 'reconstruction' and 'descriptors', which take memory, those to be kept.
    """
    count = min(count, len(source))
    parts: list[tuple[Prediction, dict]] = []
    feed, trained = _over_devices(trained, source, min(batch_size, count))
    for batch in _batches(feed, count):
        prediction: Any = predict_images(trained, batch['image'], batch)
        dropped = dict.fromkeys(set(HEAVY) - set(keep))
        prediction = dataclasses.replace(prediction, **dropped)
        truth = {name: value for name, value in batch.items() if name not in _SEEN}
        parts.append((prediction, processes.gather(truth)))
    size = tuple(batch['image'].shape[1:3])
    prediction, truth = _stack(parts, count)
    named = trained.config.data.get('landmarks', '')
    return Split(prediction, truth, size, trained.method.num_labels, named)


def predict_warped(
    trained: Trained, source: Source, split: Split, count: int, *, batch_size: int
) -> Warped | None:
    """Predictions of warped copies of the first `count` pictures of a predicted split.

    Copy i is turned by up to 20 degrees, scaled by 0.9 to 1.1 and shifted by up to 5 %
    of the sides in the same way for every method.

    Returns:
        None where the method reads more of these pictures than their pixels and which of
        them are padding.
    """
    first = split.prediction.keypoints
    rows, parts = len(first.xy), []
    count = min(count, rows)
    feed, trained = _over_devices(trained, source, min(batch_size, rows))
    for batch in _batches(feed, count):
        read = set(trained.method.batch_fields) & set(batch)
        if read - {_PADDING}:
            return None
        shown = batch[_PADDING] if read else None
        copies, more, warp = _warped_copies(batch['image'], shown, batch['index'])
        keypoints = predict_images(trained, copies, more).keypoints
        parts.append((keypoints, processes.gather(warp)))
    found, warp = _stack(parts, count)
    first = jax.tree.map(lambda leaf: leaf[:count], first)
    xy = warps.transform_points(warps.invert(warp), first.xy)
    return Warped(first, dataclasses.replace(first, xy=np.asarray(xy)), found)


def extract_rows(
    trained: Trained, source: Source, count: int, *, batch_size: int, most: int
) -> dict[str, Lazy] | None:
    """Fields of the first `count` rows by the method's frozen network, to be joined.

    Rows after those have what the last of them has. None where it is more than `most`
    bytes.
    """
    count, parts = min(count, len(source)), []
    if not count:
        return {}
    feed, trained = _over_devices(trained, source, min(batch_size, count))
    for batch in _batches(feed, count):
        found = extract(trained.method, trained.variables, batch)
        half = {'features': found['features'].astype(np.float16)}
        parts.append({**found, **half})
        if parts[0]['features'].nbytes * count / len(found['features']) > most:
            return None
    stacked = _stack(parts, count)
    read = lambda values: lambda row: values[min(row, count - 1)]
    return {n: Lazy(len(source), read(values)) for n, values in stacked.items()}


def describe_rows(
    trained: Trained, source: Source, count: int, *, batch_size: int
) -> np.ndarray | None:
    """Descriptors `[count, T, D]` at the annotated points of the first pictures.

    None where there are no such points, the same number a picture, or no descriptors.
    """
    if len(np.shape(source[0].get('keypoints', ()))) != 2:
        return None
    count = min(count, len(source))
    feed, trained = _over_devices(trained, source, min(batch_size, count))
    describe = _describer(trained.method)
    parts = []
    for batch in _batches(feed, count):
        images = image_ops.as_float(batch['image'])
        found = describe(trained.variables, images, batch['keypoints'])
        if found is None:
            return None
        parts.append(processes.gather(found))
    return np.concatenate(parts)[:count]


def _over_devices(trained, source, batch_size):
    """A feed whose batches are split over all devices, and the network on each of them."""
    if not batch_size:
        raise UserError('no picture to predict')
    mesh = sharding.make_mesh()
    size = -(-batch_size // mesh.size) * mesh.size
    variables = processes.replicate(trained.variables, sharding.replicated(mesh))
    feed = feeds.Feed(source, size, sharding.by_rows(mesh))
    return feed, trained._replace(variables=variables)


def _batches(feed, count):
    """The rows up to `count`, in batches of which the last may hold more."""
    order = feeds.sequential(feed.batch_size)
    return feed.stream(order, 0, -(-count // feed.batch_size))


@jax.jit
def _warped_copies(images, shown, index):
    """Pictures of the same dtype, fields beside them (which of their pixels are no padding,
    where `shown` says that), and the warps from their pixels to the given ones."""

    def one(image, shown, key):
        warp = _random_affine(key, image.shape[:2])
        copy = warps.warp_image(warp, image, mode='edge')
        exact = jnp.issubdtype(image.dtype, jnp.floating)
        copy = (copy if exact else jnp.round(copy)).astype(image.dtype)
        return copy, _warped_mask(warp, shown), warp

    keys = parallel.example_keys(jax.random.key(0), index)
    return jax.vmap(one)(images, shown, keys)


def _warped_mask(warp, shown):
    if shown is None:
        return {}
    there = shown[..., None].astype(jnp.float32)
    return {_PADDING: warps.warp_image(warp, there, mode='edge')[..., 0] > 0.5}


def _random_affine(key, size):
    u = jax.random.uniform(key, (4,), minval=-1.0)
    angle, scale = jnp.deg2rad(_TURN) * u[0], 1 + _SCALE * u[1]
    c, s = scale * jnp.cos(angle), scale * jnp.sin(angle)
    linear, sides = jnp.array([[c, -s], [s, c]]), jnp.array(size[::-1])
    center = (sides - 1) / 2
    shift = center - linear @ center + _SHIFT * sides * u[2:]
    return warps.Affine(jnp.concatenate([linear, shift[:, None]], axis=1))


def _stack(parts: Sequence[Any], count: int):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


@functools.lru_cache(maxsize=8)
def _extractor(method: Any):
    return jax.jit(method.extract)


@functools.lru_cache(maxsize=8)
def _describer(method: Any):
    return jax.jit(method.describe)


@functools.lru_cache(maxsize=8)
def _predictor(method: Any, mesh: Any = None):
    def predict(variables, images, fields):
        return method.predict(variables, image_ops.as_float(images), **fields)

    if mesh is not None:
        rows = jax.sharding.PartitionSpec(sharding.AXIS)
        specs = (jax.sharding.PartitionSpec(), rows, rows)
        predict = jax.shard_map(
            predict, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False
        )
    return jax.jit(predict)
