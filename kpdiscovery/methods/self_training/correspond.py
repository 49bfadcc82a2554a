"""Stage 1: a detector and a descriptor learn from pseudo-labels of pairs of views.

Warm-up and the rounds after it ([mallis-thesis], chapters 5 and 6) and the ablations
differ in the second view, in what counts as a negative pair and in whether pictures are
mirrored; `Rules` says so. Shapes: B pictures, 2 views of each side by side, P points,
(h, w) cells.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery import losses
from kpdiscovery.methods.learning import descend, start
from kpdiscovery.methods.self_training import network
from kpdiscovery.ops import coordinates, heatmaps, parallel, warps
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.reductions import mean_where
from kpdiscovery.types import Batch, State, Tree

GROUPS = {'network': ('trunk', 'detector', 'descriptor')}


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a phase makes its pairs."""

    # Views may be mirrored where some point has a `mirror` label, which points then take.
    flip: bool = False
    alike: bool = (
        False  # Both views of a picture are mirrored or none, labels as they are.
    )
    others: float = 0.0  # Share of second views that show another picture.
    across: bool = False  # Negatives between the views (chapter 5), else inside each.
    elsewhere: bool = False  # Negatives in the batch's other pictures too.
    # Negatives between a view and one of the picture before in the batch, whose points are
    # all taken for different ones (with clusters' labels too: table 6.3 has it so).
    strangers: bool = False


class LabelledViews(NamedTuple):
    """Two views of each picture with their labelled points."""

    image: jax.Array  # [B, 2, H, W, 3]
    cells: jax.Array  # [B, 2, P, 2] whole cells as float32, inside the map.
    label: jax.Array  # [B, 2, P] int32, -1 where the point does not count.
    picture: jax.Array  # [B, 2] int32, which one each view shows.


def init(method, update, key: jax.Array, batch: Batch, before: State | None) -> State:
    """Fresh networks, or those of the phase before with a fresh optimiser."""
    if before is None:
        images = image_ops.as_float(batch['image'][:1])
        heads = {'detector': 1, 'descriptor': method.network.features}
        nets = network.init(key, images, method.network, heads)
        variables = {**nets, 'clusters': method.blank_clusters()}
    else:
        variables = before.variables
    return start(variables, update, GROUPS)


def step(
    method,
    rules: Rules,
    update,
    state: State,
    batch: Batch,
    labels: Tree,
    key: jax.Array,
):
    """One step of both heads and the trunk."""
    look, noise = jax.random.split(key)
    views = make_views(method, rules, look, batch, labels)
    objective = functools.partial(loss, method, rules, views, noise)
    return descend(objective, update, state, GROUPS)


def loss(method, rules, views: LabelledViews, key, variables):
    """Detector and descriptor losses of both views; pictures with few points count 0."""
    batch, _, height, width, _ = views.image.shape
    flat = views.image.reshape(2 * batch, height, width, 3)
    maps = network.stage_one(method.network, variables, flat)
    enough = (views.label >= 0).sum(-1).min(-1) >= method.min_points  # [B]
    label = jnp.where(enough[:, None, None], views.label, -1)
    h, w = maps.scores.shape[1:]
    target = targets(views.cells, label, (h, w), sigma=method.target_sigma)
    errors = (maps.scores.reshape(target.shape) - target) ** 2
    detector = 2 * jnp.where(enough[:, None], errors.mean((2, 3)), 0).mean()
    dense = maps.descriptors.reshape(batch, 2, h, w, -1)
    points = _read(dense, views.cells)  # [B, 2, P, D]
    pairs = _pairs(method, rules, key, dense, points, views.cells, label)
    options = {'margin': method.margin, 'form': method.contrastive}
    descriptor = losses.contrastive_landmarks(*pairs, **options)
    if rules.elsewhere:
        descriptor += _elsewhere(options, pairs, points, label, views.picture)
    total = method.detector_weight * detector + method.descriptor_weight * descriptor
    length = jnp.sqrt(jnp.sum(maps.descriptors**2, axis=-1)).mean()
    squares, same, counts = pairs
    together = mean_where(squares, same & counts)
    apart = mean_where(squares, ~same & counts)
    scalars = {
        'loss': total,
        'detector': detector,
        'descriptor': descriptor,
        'same': together,
        'different': apart,
        'length': length,
        'points': (label >= 0).sum((1, 2)).mean() / 2,
    }
    return total, (scalars, {})


def make_views(method, rules, key, batch, labels) -> LabelledViews:
    """Two random views of each picture of a batch, with its labels.

    Where the batch has temporal pairs, the second view is of the later picture.
    """
    images = image_ops.as_float(batch['image'])
    table = {name: labels[name] for name in ('xy', 'label', 'mirror')}
    rows = parallel.take_rows(table, batch['index'])
    first = {**rows, 'image': images, 'picture': batch['index']}
    second = _later_view(batch, first) if 'flow' in batch else first
    both = jax.tree.map(lambda *ab: jnp.stack(ab, axis=1), first, second)
    swaps, turns = jax.random.split(key)
    if rules.others:
        both = _show_others(swaps, rules.others, both)
    keys = parallel.view_keys(turns, batch['index'])
    image, cells, label = jax.vmap(functools.partial(_pair, method, rules))(keys, both)
    h, w = (n // network.STRIDE for n in image.shape[2:4])
    last = jnp.array([w - 1.0, h - 1.0]).reshape(1, 1, 1, 2)
    cells = jnp.clip(jnp.round(cells), 0, last)
    return LabelledViews(image, cells, label, both['picture'])


def _pair(method, rules, key, one):
    """Both views of a picture (or of two), mirrored as the rules say."""
    keys = jax.random.split(key)
    toss = keys[jnp.array([0, 0])] if rules.alike else keys
    mirror = one['label'] if rules.alike else one['mirror']
    flipped = jax.vmap(method.augmentation.flips)(toss) & (rules.flip or rules.alike)
    flipped &= (mirror >= 0).any(axis=-1)
    view = functools.partial(labelled_view, method.augmentation)
    return jax.vmap(view)(keys, one['image'], one['xy'], one['label'], mirror, flipped)


def labelled_view(augmentation, key, image, xy, label, mirror, flipped):
    """A view of one picture, where its points are in cells, and their labels there.

    Points outside the view have lost theirs.
    """
    stride = network.STRIDE
    view = augmentation.view(key, image, coordinates.cell_to_pixel(xy, stride), flipped)
    cells = coordinates.pixel_to_cell(view.xy, stride)
    h, w = (n // stride for n in image.shape[:2])
    inside = warps.within(cells, (h, w))
    label = jnp.where(flipped, mirror, label)
    return view.image, cells, jnp.where(inside, label, -1)


def targets(
    cells: jax.Array, label: jax.Array, size: tuple[int, int], *, sigma: float
) -> jax.Array:
    """Score maps `[..., h, w]` with 1 at labelled cells `[..., P, 2]`.

    Args:
        sigma: of a Gaussian around each in cells; 0 for single cells (released codes),
            those that the points lie in.
    """
    if not sigma:
        cells = jnp.round(cells)
    there = (label >= 0)[..., None, None, :]
    maps = heatmaps.gaussian_heatmaps(cells, size, sigma=sigma or 1e-2)
    return jnp.where(there, maps, 0).max(axis=-1)


def _later_view(batch, first):
    """The later pictures, points moved by the flow ([mallis-thesis], chapters 3 and 6).

    A point that leaves the picture loses its labels.
    """
    xy = coordinates.cell_to_pixel(first['xy'], network.STRIDE)
    xy = xy + heatmaps.sample_bilinear(batch['flow'], xy)
    there = warps.within(xy, batch['later'].shape[1:3])
    kept = {n: jnp.where(there, first[n], -1) for n in ('label', 'mirror')}
    cells = coordinates.pixel_to_cell(xy, network.STRIDE)
    image = image_ops.as_float(batch['later'])
    return {**first, 'image': image, 'xy': cells, **kept}


def _show_others(key, share, both):
    """Second views of the picture before in the batch, with probability `share`."""
    count = len(both['label'])
    swap = jax.random.bernoulli(key, share, (count,))

    def mix(a):
        other = jnp.roll(a[:, 1], 1, axis=0)
        chosen = swap.reshape((count,) + (1,) * (other.ndim - 1))
        return jnp.stack([a[:, 0], jnp.where(chosen, other, a[:, 1])], axis=1)

    return jax.tree.map(mix, both)


def _read(dense, cells):
    x, y = (cells[..., i].astype(jnp.int32) for i in (0, 1))
    return heatmaps.read_pixels(dense, x, y)


def _elsewhere(options, pairs, points, label, picture):
    """What it adds to the loss if half the weight of a pair's own negatives goes to points
    of other landmarks in all other pictures of the batch, of all devices.

    However large the batch, negatives keep their weight beside positives. Points of the
    same landmark in other pictures are left alone: [mallis-thesis] has positives between
    two views only, and labels of clusters are not sure enough for more.
    """
    squares, same, counts = pairs
    own = losses.contrastive_landmarks(squares, same, counts & ~same, **options)
    share = mean_where((~same).astype(squares.dtype), counts)
    flat = points.reshape(-1, points.shape[-1])
    picture = jnp.broadcast_to(picture[..., None], label.shape)
    found = losses.contrastive_sums(flat, label.ravel(), picture.ravel(), **options)
    loss, count = found.losses[-1], found.counts[-1]
    change = jnp.where(count > 0, loss / jnp.maximum(count, 1) - own, 0)
    return share * change / 2


def _pairs(method, rules, key, dense, points, cells, label):
    """Squared distances `[B, n]` of descriptors, whether of one landmark, whether to count."""
    squares = _squares(points[:, 0], points[:, 1])  # [B, P, P]
    one, two = label[:, 0, :, None], label[:, 1, None]
    met = (one >= 0) & (two >= 0)
    same = met & (one == two)
    if rules.across:
        shared = _shared(label)
        different = met & (one != two) & shared[0][..., None] & shared[1][:, None]
        parts = [(squares, same, same | different)]
    elif rules.strangers:
        parts = [(squares, same, same), _against_others(points, label)]
    else:
        parts = [(squares, same, same)]
        min_gap = network.scaled(method.min_gap, dense.shape[3])
        parts += [_inside(min_gap, points, cells, label),
                  _against_ground(method, key, dense, points, cells, label)]  # fmt: skip
    # Side by side for every picture: chips keep their own.
    flat = lambda pairs: pairs.reshape(len(pairs), -1)
    return tuple(jnp.concatenate([flat(p[i]) for p in parts], 1) for i in range(3))


def _against_others(points, label):
    """Points of first views against those of second views of the picture before."""
    before, named = (jnp.roll(a[:, 1], 1, axis=0) for a in (points, label))
    counts = (label[:, 0, :, None] >= 0) & (named[:, None] >= 0)
    return _squares(points[:, 0], before), jnp.zeros_like(counts), counts


def _inside(min_gap, points, cells, label):
    """Pairs of points of one view that are different landmarks, not too close.

    Of a mirrored view two may be the same: clusters are unique before they are mirrored.
    """
    squares = _squares(points, points)
    apart = _distance(cells, cells) > min_gap
    apart &= label[..., None] != label[..., None, :]
    once = jnp.arange(label.shape[-1])[:, None] < jnp.arange(label.shape[-1])[None]
    there = label >= 0
    counts = there[..., None] & there[..., None, :] & apart & once[None, None]
    return squares, jnp.zeros_like(counts), counts


def _against_ground(method, key, dense, points, cells, label):
    """Points against random cells of their view, not too close.

    So few a point (own choice) that pairs of points outweigh them; the released code takes
    negatives of both kinds up to 5,000 a view.
    """
    batch, views, h, w, _ = dense.shape
    many = method.background_pairs
    u = jax.random.uniform(key, (batch * views * many * 2,)).reshape(
        batch, views, many, 2
    )
    ground = jnp.floor(u * jnp.array([w, h]).reshape(1, 1, 1, 2))
    squares = _squares(points, _read(dense, ground))
    min_gap = network.scaled(method.min_gap, w)
    counts = (label >= 0)[..., None] & (_distance(cells, ground) > min_gap)
    return squares, jnp.zeros_like(counts), counts


def _shared(label):
    """Points whose label occurs in the other view too: `[B, P]` of each view."""
    equal = (label[:, 0, :, None] == label[:, 1, None]) & (label[:, 0, :, None] >= 0)
    return equal.any(axis=2), equal.any(axis=1)


def _squares(a, b):
    """`[..., P, D]` against `[..., Q, D]`: `[..., P, Q]`, without their differences."""
    inner = jnp.einsum('...pd,...qd->...pq', a, b, precision='highest')
    lengths = [jnp.sum(x * x, axis=-1) for x in (a, b)]
    return jnp.maximum(lengths[0][..., None] - 2 * inner + lengths[1][..., None, :], 0)


def _distance(a, b):
    gap = a[..., :, None, :] - b[..., None, :, :]
    return jnp.sqrt(jnp.sum(gap**2, axis=-1))
