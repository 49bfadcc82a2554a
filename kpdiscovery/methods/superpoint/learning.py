"""How SuperPoint learns: labelled points, seen through homographies."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.losses import detectors
from kpdiscovery.methods.learning import descend, start
from kpdiscovery.methods.superpoint.adaptation import adapt
from kpdiscovery.models import superpoint
from kpdiscovery.ops import cells, parallel, warps
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import Batch, State, SweepResult, UserError


class LabelledPicture(NamedTuple):
    """A picture to learn from."""

    gray: jax.Array  # [H, W]
    labels: jax.Array  # [h, w] class of each cell
    valid: jax.Array  # [h, w] bool


def init(method, update, key: jax.Array, batch: Batch, before: State | None) -> State:
    """The network of the phase before, of a file, or a fresh one."""
    if before is not None:
        net = before.variables['net']
    elif method.weights:
        net = _read(method)
    else:
        gray = image_ops.to_gray(image_ops.as_float(batch['image'][:1]))
        net = method.model.init(key, gray[..., None])
    return start({'net': net}, update)


def step(method, update, describe: bool, state, batch: Batch, labels, key: jax.Array):
    """One step on pictures seen through a random homography each, and if `describe`
    also on the pictures themselves and on how the two views' descriptors agree."""
    gray = image_ops.to_gray(image_ops.as_float(batch['image']))
    xy, there = _points(batch, labels)
    keys = parallel.example_keys(key, batch['index'])
    seen = jax.vmap(functools.partial(_views, method))(keys, gray, xy, there)
    loss = functools.partial(_loss, method, seen, describe)
    return descend(loss, update, state)


def _views(method, key, gray, xy, there):
    """The picture as it is, and warped, each in its own light."""
    keys = jax.random.split(key, 4)
    size = gray.shape
    warp = method.views.draw(keys[0], size)
    light = method.photometric or (lambda key, gray: gray)
    own = LabelledPicture(light(keys[1], gray), cells.cell_labels(keys[3], xy, there, size),
               jnp.ones(size, bool))  # fmt: skip
    moved = warps.transform_points(warps.invert(warp), xy)
    other = LabelledPicture(
        warps.warp_image(warp, light(keys[2], gray)[..., None])[..., 0],
        cells.cell_labels(keys[3], moved, there, size),
        method.views.covers(warp, size),
    )
    whole = lambda view: view._replace(valid=cells.whole(view.valid))
    return whole(own), whole(other), warp


def _loss(method, seen, describe, variables):
    own, other, warp = seen
    views = [own, other] if describe else [other]
    gray = jnp.stack([view.gray for view in views], axis=1)
    gray = gray.reshape(
        -1, *gray.shape[2:]
    )  # Homographies of one example side by side.
    (logits, coarse), fresh = method.model.apply(
        variables['net'], gray[..., None], train=True, describe=describe,
        mutable=['batch_stats'],
    )  # fmt: skip
    split = lambda x: jnp.moveaxis(x.reshape(-1, len(views), *x.shape[1:]), 1, 0)
    terms = {}
    for name, view, out in zip(
        ('warped', 'own'), views[::-1], split(logits)[::-1], strict=False
    ):
        terms[f'{name}_cells'] = detectors.cell_cross_entropy(
            out, view.labels, view.valid
        ).mean()
    total = sum(terms.values())
    if describe:
        terms['descriptors'] = _descriptors(
            method, split(coarse), other.valid, warp
        ).mean()
        total += method.descriptor_weight * terms['descriptors']
    return total, ({**terms, 'loss': total}, {'net': fresh})


def _descriptors(method, coarse, valid, warp):
    """Hinge `[B]` over all pairs of cells of the two views."""
    first, second = coarse
    b, h, w, d = first.shape
    centers = cells.centers(h, w)
    moved = warps.transform_points(
        warps.invert(warp), jnp.broadcast_to(centers, (b, h * w, 2))
    )
    gap = moved[:, :, None] - centers[None, None]
    same = jnp.sum(gap**2, axis=-1) <= method.same_distance**2
    flat = lambda x: x.reshape(b, h * w, d)
    return detectors.descriptor_hinge(
        flat(first),
        flat(second),
        same,
        valid.reshape(b, h * w),
        positive_weight=method.positive_weight,
        positive_margin=method.positive_margin,
        negative_margin=method.negative_margin,
    )


# Pseudo-labels.


def no_labels(method, rows: int, labels, batch):
    """The table before the first sweep: no picture has points."""
    del labels, batch
    k = method.pseudo_keypoints
    return {'xy': jnp.zeros((rows, k, 2)), 'score': jnp.zeros((rows, k))}


def extract(method, state: State, batch: Batch, labels):
    """Points of homographic adaptation, the same for a row whenever it is asked."""
    del labels
    gray = image_ops.to_gray(image_ops.as_float(batch['image']))
    keys = parallel.example_keys(jax.random.key(0), batch['index'])
    detect = functools.partial(method.detect, state.variables)
    heat = adapt(detect, keys, gray, method.adaptation, count=method.adaptations)
    found = method.peaks(heat, method.pseudo_keypoints)
    return {'xy': found.xy, 'score': jnp.where(found.valid, found.score, 0)}


def reduce(rows, state: State, key: jax.Array) -> SweepResult:
    """Nothing to decide among rows; says how many points there are."""
    del key
    there = (rows['score'] > 0) & rows['row_valid'][:, None]
    count = jnp.maximum(rows['row_valid'].sum(), 1)
    scalars = {
        'points': there.sum() / count,
        'empty': (rows['row_valid'] & ~there.any(axis=1)).sum() / count,
    }
    labels = {'xy': rows['xy'], 'score': rows['score']}
    return SweepResult(labels, state, scalars)


def _points(batch, labels):
    """Pseudo-labels where there are any, else the source's truth."""
    if 'xy' in labels:
        table = labels['xy'], labels['score']
        xy, score = parallel.take_rows(table, batch['index'])
        return xy, score > 0
    if 'keypoints' not in batch:
        raise ValueError(
            'there are no points to learn: the source needs keypoints, or a phase adapt '
            'must come first'
        )
    return batch['keypoints'], batch['visible']


def _read(method) -> Any:
    model, variables = superpoint.load(method.weights)
    own = method.model
    sizes = lambda m: (m.widths, m.head, m.descriptor, m.batch_norm)
    if sizes(model) != sizes(own):
        raise UserError(
            f'weights {method.weights}: of a network with (widths, head, descriptor, '
            f'batch_norm) {sizes(model)}, the config has {sizes(own)}'
        )
    return variables
