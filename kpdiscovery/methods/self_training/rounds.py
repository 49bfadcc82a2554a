"""Chapter 4: a fresh detector learns from the one before it, then all faces one template.

Source: [mallis-thesis], chapter 4. The network of the phase before stays in the variables
as `teacher`, untouched: it makes the labels of the phase that follows.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp

from kpdiscovery.methods.learning import descend, start
from kpdiscovery.methods.self_training import label_tables, landmarks, network
from kpdiscovery.methods.self_training.correspond import labelled_view, targets
from kpdiscovery.methods.self_training.health import advise, advise_template, old_labels
from kpdiscovery.ops import assignment, coordinates, heatmaps, parallel, warps
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.point_sets import coherent_point_drift
from kpdiscovery.ops.reductions import mean_where
from kpdiscovery.types import Batch, State, Sweep, Tree

_NETS = ('trunk', 'detector')
_GROUPS = {'network': _NETS}


def init_locate(method, update, key, batch: Batch, before: State | None) -> State:
    """A fresh detector; that of the round before becomes its teacher."""
    images = image_ops.as_float(batch['image'][:1])
    nets = network.init(key, images, method.network, {'detector': 1})
    return _with_teacher(start(nets, update, _GROUPS), before)


def init_landmarks(method, update, key, batch: Batch, before: State | None) -> State:
    """A fresh network of K channels."""
    return _with_teacher(landmarks.init(method, update, key, batch, None), before)


def step_locate(method, update, state: State, batch: Batch, labels: Tree, key):
    """One step of the detector on one view of each picture ([mallis-thesis], chapter 4)."""
    table = {name: labels[name] for name in ('xy', 'label')}
    rows = parallel.take_rows(table, batch['index'])
    keys = parallel.view_keys(key, batch['index'])
    flipped = jax.vmap(method.augmentation.flips)(keys)
    view = functools.partial(labelled_view, method.augmentation)
    # A point is a point in the mirror, too: nothing tells them apart here.
    images, cells, label = jax.vmap(view)(
        keys, image_ops.as_float(batch['image']), rows['xy'], rows['label'],
        rows['label'], flipped,
    )  # fmt: skip
    size = tuple(n // network.STRIDE for n in images.shape[1:3])
    target = targets(cells, label, size, sigma=method.target_sigma)

    def loss(variables):
        scores = network.scores(method.network, variables, images)
        value = jnp.mean((scores - target) ** 2)
        return value, ({'loss': value, 'points': (label >= 0).sum(1).mean()}, {})

    return descend(loss, update, state, _GROUPS)


def from_teacher(method, steps: int, *, distill: bool) -> Sweep:
    """Points of the round before, its maps averaged over views where `distill` says so."""
    ask = functools.partial(_ask_teacher, distill=distill)
    label = label_tables.label_slots
    return label_tables.table_sweep(method, steps, ask, label, advise=advise)


def aligning(method, every: int) -> Sweep:
    """Landmarks from one template at first, from the network's own peaks later."""
    return label_tables.table_sweep(
        method, every, _points_or_peaks, _align_or_keep, advise=advise_template
    )


def align(
    template: jax.Array,
    there: jax.Array,
    xy: jax.Array,
    valid: jax.Array,
    *,
    matched: float,
) -> tuple[jax.Array, jax.Array]:
    """The points of a picture in the order of a template.

    The template is laid on the picture's points by coherent point drift and each of its
    points gets a picture point of its own; those that get none stay where the template
    came to lie.

    Args:
        template: `[K, 2]`, of which only those `there` (`[K]` bool) get points; the
            others lie among them.
        xy: `[P, 2]` points of the picture, `valid` `[P]` bool.
        matched: share of the template that must have got a point.

    Returns:
        `[K, 2]`, and bool: enough were matched.

    Source: [mallis-thesis], chapter 4.
    """
    moved = coherent_point_drift(template, xy, valid).moved
    gaps = jnp.sum((moved[:, None] - xy[None]) ** 2, axis=-1)
    column = assignment.linear_assignment(
        jnp.where(there[:, None] & valid[None], jnp.sqrt(gaps), jnp.inf)
    )
    found = jnp.where((column >= 0)[:, None], xy[jnp.maximum(column, 0)], moved)
    return found, mean_where(column >= 0, there) >= matched


def _with_teacher(state: State, before: State | None) -> State:
    if before is None:
        return state
    teacher = {name: before.variables[name] for name in _NETS}
    variables = {**state.variables, 'teacher': teacher}
    return dataclasses.replace(state, variables=variables)


def _ask_teacher(
    method, state: State, batch: Batch, labels: Tree, *, distill: bool
) -> Tree:
    images = image_ops.as_float(batch['image'])
    teacher = state.variables['teacher']
    scores = network.scores(method.network, teacher, images)
    if distill:
        scores = _average(method, teacher, batch, images, scores)
    points = method.detect(scores)
    before = old_labels(points.xy, labels['xy'], labels['label'])
    return {'xy': points.xy, 'score': points.score, 'valid': points.valid,
            'before': before, 'taken': points.valid.mean(axis=1)}  # fmt: skip


def _average(method, teacher, batch, images, scores):
    """Score maps averaged over random views, each brought back to the picture.

    The same views in every round; every second one is mirrored, if any view may be.

    Source: data distillation, [mallis-thesis], chapter 4.
    """
    size = images.shape[1:3]
    keys = parallel.example_keys(jax.random.key(0), batch['index'])
    augmentation, total, counts = method.augmentation, scores, jnp.ones_like(scores)
    for number in range(method.distill_views):
        mirror = jnp.asarray(number % 2 == 1 and augmentation.flip > 0)
        moves = jax.vmap(lambda k, n=number, mirror=mirror: augmentation.maps(
            jax.random.fold_in(k, n), size, mirror))(keys)  # fmt: skip
        seen = network.scores(
            method.network, teacher, warps.warp_image(moves.back, images, mode='edge')
        )
        back, inside = jax.vmap(_bring_back)(moves.forth, seen)
        total, counts = total + back, counts + inside
    return total / counts


def _bring_back(forth, seen):
    """A view's map `[h, w]` in the picture's cells, 0 where the view did not look."""
    h, w = seen.shape
    cells = coordinates.pixel_grid(h, w).reshape(h * w, 2)
    pixels = coordinates.cell_to_pixel(cells, network.STRIDE)
    at = coordinates.pixel_to_cell(
        warps.transform_points(forth, pixels), network.STRIDE
    )
    inside = warps.within(at, (h, w))
    read = heatmaps.sample_bilinear(seen[..., None], at)[..., 0]
    fold = lambda a: a.reshape(h, w)
    return fold(jnp.where(inside, read, 0)), fold(inside.astype(seen.dtype))


def _points_or_peaks(method, state: State, batch: Batch, labels: Tree) -> Tree:
    """At step 0 the teacher's points, later the peaks of the own channels."""

    def own():
        images = image_ops.as_float(batch['image'])
        maps = landmarks.landmark_maps(method, state.variables, images)
        xy, value = network.peaks(maps)
        rows = {'xy': xy, 'score': value, 'valid': jnp.ones(value.shape, bool)}
        return network.fill(rows, method.num_points)

    def taught():
        rows = _ask_teacher(method, state, batch, labels, distill=False)
        return {name: rows[name] for name in ('xy', 'score', 'valid')}

    return jax.lax.cond(state.step == 0, taught, own)


def _align_or_keep(method, rows, clusters, step, key, *, axis_name):
    """Labels; what the template lacks is not `active`, and is taught in no round."""
    del key
    valid = label_tables.counted(rows)
    k, slots = method.num_keypoints, valid.shape[1]

    def first():
        template, there = _template(rows, valid, k, axis_name)
        lay = functools.partial(align, template, there, matched=method.min_matched)
        xy, enough = jax.vmap(lay)(rows['xy'], valid)
        xy = jnp.pad(xy, [(0, 0), (0, slots - k), (0, 0)])
        counts = jnp.broadcast_to((enough & rows['row_valid'])[:, None], valid.shape)
        return xy, counts, there, there.mean()

    taught = clusters.get('active', jnp.ones(k, bool))  # Older runs have none.
    later = lambda: (rows['xy'], valid, taught, jnp.ones(()))
    xy, counts, active, whole = jax.lax.cond(step == 0, first, later)
    counts &= jnp.pad(active, (0, slots - k))[None]
    label = jnp.where(counts, jnp.arange(slots)[None], -1)
    table = {'xy': xy, 'score': rows['score'],
             **label_tables.without_labels(label.shape), 'landmark': label}  # fmt: skip
    pictures = parallel.total(rows['row_valid'].sum(), axis_name)
    aligned = parallel.total((label >= 0).any(axis=1).sum(), axis_name)
    scalars = {'aligned': aligned / jnp.maximum(pictures, 1), 'template': whole}
    return table, {'active': active}, scalars


def _template(rows, valid, k, axis_name):
    """The k best points of one picture, and which of them there are.

    The first with the fewest points of those that have k, or else with the most. Points that
    are missing lie in the middle of the others.
    """
    count = valid.sum(axis=1)
    worth = jnp.where(count >= k, -1.0 * (count - k), -1e6 + count)
    best = worth.argmax()
    score = jnp.where(valid[best], rows['score'][best], -1)
    score, order = jax.lax.top_k(score, k)
    points, there = rows['xy'][best][order], score >= 0
    middle = mean_where(points, there[:, None], axis=0)
    points = jnp.where(there[:, None], points, middle)
    if axis_name is None:
        return points, there
    worth, *everyone = jax.lax.all_gather((worth[best], points, there), axis_name)
    return tuple(one[worth.argmax()] for one in everyone)
