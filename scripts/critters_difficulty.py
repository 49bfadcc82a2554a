"""How hard critters are: the figures of `kpdiscovery.data.critters`, one JSON line each.

.venv/bin/python scripts/critters_difficulty.py classifier --size=64 --seed=0
"""

from __future__ import annotations

import argparse
import functools
import json
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpdiscovery.data.critters import ATTRIBUTES, CODES, KEYPOINTS, PART_NAMES, critters
from kpdiscovery.metrics.accuracy import pck
from kpdiscovery.metrics.errors import nme_of, normalized_errors
from kpdiscovery.metrics.landmark_sets import Landmarks
from kpdiscovery.metrics.nme import forward_nme
from kpdiscovery.metrics.normalizers import box_length

BATCH, SHIFT = 64, 3  # Pictures a step; augmentation by as many pixels at 64 px.
WORDS = np.eye(3, dtype=np.float32)[CODES].reshape(len(CODES), -1)  # [20, 18]


def load(split: str, rows: int, args) -> dict[str, np.ndarray]:
    """The first rows of a split: picture and truth, one animal each."""
    source = critters(split=split, size=args.size, level=args.level)
    keep = ('image', 'label', 'keypoints', 'visible', 'boxes', 'parts')
    chunks = []
    for i in range(0, rows, 250):
        batch = source.batch(range(i, min(i + 250, rows)))
        chunks.append({name: np.asarray(batch[name]) for name in keep})
    return {name: np.concatenate([c[name] for c in chunks]) for name in keep}


def load_three(args):
    """Rows to train on, to watch, and to measure at the end."""
    return [
        load('train', args.rows, args),
        load('validation', 1000, args),
        load(args.split, args.held, args),
    ]


class Normed(nn.Module):
    """Rectified features, scaled to a mean square of 1 in every picture."""

    @nn.compact
    def __call__(self, x):
        scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
        shift = self.param('shift', nn.initializers.zeros, x.shape[-1:])
        norm = jax.lax.rsqrt((x * x).mean((1, 2, 3), keepdims=True) + 1e-5)
        return nn.relu(x * norm * scale + shift)


class Backbone(nn.Module):
    """Small pre-activation ResNet: features at 1/4, 1/8 and 1/16 of `[B, H, W, 3]`."""

    widths: tuple[int, ...] = (32, 64, 128)
    depths: tuple[int, ...] = (1, 2, 1)  # Residual blocks at each.

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(24, (3, 3))(quads(x.astype(jnp.float32) / 127.5 - 1)))
        levels = []
        for width, depth in zip(self.widths, self.depths, strict=True):
            x = nn.Conv(width, (1, 1))(quads(x))
            for _ in range(depth):
                h = nn.Conv(width, (3, 3))(Normed()(x))
                x = x + nn.Conv(width, (3, 3))(Normed()(h))
            levels.append(x)
        return levels


def quads(x):
    """Two by two pixels as channels, so that strided convolutions are plain ones."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c).swapaxes(2, 3)
    return x.reshape(b, h // 2, w // 2, 4 * c)


class Classifier(nn.Module):
    """Scores of the three values of each attribute `[B, 18]`."""

    @nn.compact
    def __call__(self, x):
        x = Normed()(Backbone()(x)[-1])
        x = jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], axis=-1)
        return nn.Dense(WORDS.shape[1])(x)


class Regressor(nn.Module):
    """Score maps `[B, H/4, W/4, 12]`: coarser levels are added to finer ones."""

    @nn.compact
    def __call__(self, x):
        fine, middle, coarse = Backbone()(x)
        for skip in (middle, fine):
            coarse = nn.Conv(skip.shape[-1], (1, 1))(nn.relu(coarse))
            coarse = skip + coarse.repeat(2, axis=1).repeat(2, axis=2)
        h = Normed()(coarse)
        h = Normed()(nn.Conv(64, (3, 3))(h))
        return nn.Conv(len(KEYPOINTS), (3, 3))(h)


def class_loss(scores, batch, hints):
    """Cross-entropy of the class, and of the attributes that its word spells.

    The words are known to the net, so labels are all it learns from; `hints` is the
    weight of the second term, which saves epochs.
    """
    fit = optax.softmax_cross_entropy_with_integer_labels
    classes = fit(scores @ WORDS.T, batch['label'])
    values = fit(scores.reshape(-1, 6, 3), jnp.asarray(CODES)[batch['label']])
    return (classes + hints * values.sum(axis=-1)).mean()


def point_loss(scores, batch):
    """Cross-entropy of the visible points' maps against Gaussians of 3/4 cell."""
    b, h, w, k = scores.shape
    cells = (batch['keypoints'] + 0.5) / 4 - 0.5  # [B, 12, 2] in the map's pixels.
    x, y = (
        -((jnp.arange(n)[None, None] - cells[..., i, None]) ** 2) / (2 * 0.75**2)
        for i, n in enumerate((w, h))
    )
    target = jax.nn.softmax((y[..., None] + x[..., None, :]).reshape(b, k, -1))
    maps = jax.nn.log_softmax(scores.transpose(0, 3, 1, 2).reshape(b, k, -1))
    each = -(target * maps).sum(axis=-1)
    return (each * batch['visible']).sum() / batch['visible'].sum()


def read_points(scores):
    """Mean over the 3 x 3 cells about each map's peak, `[B, 12, 2]` in pixels."""
    b, h, w, k = scores.shape
    maps = scores.transpose(0, 3, 1, 2).reshape(b, k, -1)
    peak = maps.argmax(axis=-1)[..., None]
    y, x = (v.ravel() for v in jnp.mgrid[:h, :w])
    near = (abs(y - peak // w) <= 1) & (abs(x - peak % w) <= 1)
    share = jax.nn.softmax(jnp.where(near, maps, -jnp.inf))
    cells = jnp.stack([(share * v).sum(axis=-1) for v in (x, y)], axis=-1)
    return 4 * (cells + 0.5) - 0.5


def shifted(key, batch, most):
    """Every picture and its points moved by up to `most` pixels, edges repeated."""
    move = jax.random.randint(key, (len(batch['image']), 2), -most, most + 1)
    wide = jnp.pad(batch['image'], ((0, 0), *((most, most),) * 2, (0, 0)), mode='edge')
    shape = batch['image'].shape[1:]
    cut = lambda im, m: jax.lax.dynamic_slice(im, (most - m[1], most - m[0], 0), shape)
    points = batch['keypoints'] + move[:, None]
    return {**batch, 'image': jax.vmap(cut)(wide, move), 'keypoints': points}


def train(net, loss, sets, args, measure):
    """`measure` of the held-out rows after `args.epochs` epochs of AdamW.

    The validation rows are measured after every epoch, to be printed.
    """
    data, validation, held = sets
    steps = args.epochs * (len(data['image']) // BATCH)
    rate = optax.warmup_cosine_decay_schedule(0, args.rate, steps // 20, steps)
    optimizer = optax.adamw(rate, weight_decay=0.05)
    key = jax.random.key(args.seed)
    params = jax.jit(net.init)(key, data['image'][:1])
    state = optimizer.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, batch, key):
        batch = shifted(key, batch, SHIFT * args.size // 64)
        objective = lambda p: loss(net.apply(p, batch['image']), batch)
        value, slope = jax.value_and_grad(objective)(params)
        update, state = optimizer.update(slope, state, params)
        return optax.apply_updates(params, update), state, value

    rng, begin = np.random.default_rng(args.seed), time.time()
    for epoch in range(args.epochs):
        order = rng.permutation(len(data['image']))
        for i in range(0, len(order) - BATCH + 1, BATCH):
            batch = {name: v[order[i : i + BATCH]] for name, v in data.items()}
            now = jax.random.fold_in(key, epoch * len(order) + i)
            params, state, value = step(params, state, batch, now)
        done = {'epoch': epoch + 1, 'seconds': round(time.time() - begin)}
        figures = measure(params, validation)
        print(json.dumps({**done, 'loss': float(value), **figures}), flush=True)
    return measure(params, held)


def apply(net, params, images):
    """The net's scores of all pictures, by 250."""
    run = _compiled(net)
    return np.concatenate([run(params, images[i : i + 250])
                           for i in range(0, len(images), 250)])  # fmt: skip


@functools.cache
def _compiled(net):
    return jax.jit(net.apply)


def classifier(args, hide_head=False):
    """Accuracy of the class, and of each attribute by itself; shares."""
    sets = load_three(args)
    if hide_head:
        sets = [without_head(rows) for rows in sets]
    net = Classifier()

    def measure(params, held):
        scores = apply(net, params, held['image'])
        right = scores.reshape(-1, 6, 3).argmax(-1) == CODES[held['label']]
        alone = dict(zip(ATTRIBUTES, right.mean(0).round(3).tolist(), strict=True))
        hit = (scores @ WORDS.T).argmax(-1) == held['label']
        return {'accuracy': float(hit.mean()), 'attributes': alone}

    loss = functools.partial(class_loss, hints=args.hints)
    return train(net, loss, sets, args, measure)


def without_head(data):
    """A grey box over all visible pixels of the head, beak and crest, 1 px wider."""
    images = data['image'].copy()
    for image, parts in zip(images, data['parts'], strict=True):
        y, x = np.nonzero(parts == PART_NAMES.index('head'))
        if len(y):
            around = (slice(max(v.min() - 1, 0), v.max() + 2) for v in (y, x))
            image[tuple(around)] = 127
    return {**data, 'image': images}


def regressor(args):
    """PCK@0.1 and NME of the visible keypoints, in % (of the visible box's longer side)."""
    net = Regressor()

    def measure(params, held):
        points = np.asarray(read_points(jnp.asarray(apply(net, params, held['image']))))
        truth = held['keypoints'], longer_side(held)
        hits = pck(points, *truth, visible=held['visible'], alpha=0.1)
        error = normalized_errors(points, *truth, held['visible'])
        each = dict(zip(KEYPOINTS, hits.per_landmark.round(1).tolist(), strict=True))
        return {'pck': hits.mean, 'nme': nme_of(error).mean, 'each': each}

    return train(net, point_loss, load_three(args), args, measure)


def linear(args):
    """Accuracy of ridge regression from pixels to classes, the best of four penalties."""
    data, held = load('train', args.rows, args), load(args.split, args.held, args)
    x, v = (
        d['image'].reshape(len(d['image']), -1).astype(np.float32) / 255 - 0.5
        for d in (data, held)
    )
    gram, targets = x @ x.T, np.eye(len(CODES), dtype=np.float32)[data['label']] - 0.05
    hits = {}
    for penalty in (1e2, 1e3, 1e4, 1e5):
        shift = penalty * np.eye(len(gram), dtype=np.float32)
        weights = x.T @ np.linalg.solve(gram + shift, targets)
        hits[penalty] = float(((v @ weights).argmax(-1) == held['label']).mean())
    return {'accuracy': max(hits.values()), 'penalties': hits}


def boxes(args):
    """GT-known localization (IoU .5) of the centred box that fits the train split best."""
    data, held = load('train', args.rows, args), load(args.split, args.held, args)
    sides = args.size * np.stack(np.meshgrid(*(np.linspace(0.2, 1, 33),) * 2), axis=-1)
    middle = (args.size - 1) / 2
    halves = sides.reshape(-1, 2) / 2
    guesses = np.concatenate([middle - halves, middle + halves], axis=-1)
    hits = [(overlap(g, data['boxes'][:, 0]) >= 0.5).mean() for g in guesses]
    best = guesses[np.argmax(hits)]
    return {'localization': float((overlap(best, held['boxes'][:, 0]) >= 0.5).mean())}


def overlap(box, others):
    """IoU of a box `[4]` with each of `[N, 4]`."""
    low, high = (f(box[None, s], others[:, s]) for f, s in
                 ((np.maximum, slice(2)), (np.minimum, slice(2, 4))))  # fmt: skip
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    area = lambda b: (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return shared / (area(box) + area(others) - shared)


def points(args):
    """Greedy PCK@0.1 (%) of twelve random points in the true box, hidden points too."""
    held, rng = load(args.split, args.held, args), np.random.default_rng(args.seed)
    box = held['boxes'][:, 0]
    corner, sides = box[:, None, :2], (box[:, 2:] - box[:, :2])[:, None]
    guess = corner + rng.random((len(box), len(KEYPOINTS), 2)) * sides
    gaps = np.linalg.norm(held['keypoints'][:, :, None] - guess[:, None], axis=-1)
    gaps /= longer_side(held)[:, None, None]
    return {'pck': 100 * float(np.mean([pairs(g) for g in gaps])) / len(KEYPOINTS)}


def pairs(gaps):
    """Number of pairs no more than 0.1 apart, the nearest taken first."""
    gaps, count = gaps.copy(), 0
    while (best := np.unravel_index(gaps.argmin(), gaps.shape)) and gaps[best] <= 0.1:
        gaps[best[0]], gaps[:, best[1]], count = np.inf, np.inf, count + 1
    return count


def longer_side(data):
    """Of the visible box, `[N]` pixels."""
    return box_length(data['boxes'], side='longer')[0]


def sift(args):
    """Forward NME (%) of SIFT points, one for each of K clusters of descriptors."""
    import cv2  # opencv-python-headless; not among the project's requirements.

    data, held = load('train', args.rows, args), load(args.split, args.held, args)
    finder = cv2.SIFT_create(contrastThreshold=0.02)
    found, sought = (
        [described(finder, cv2, im) for im in d['image']] for d in (data, held)
    )
    every = np.concatenate([d for _, d in found])
    some = np.random.default_rng(args.seed).permutation(len(every))[:40_000]
    cv2.setRNGSeed(args.seed)
    errors = {}
    for clusters in (12, 20, 30):
        stop = (cv2.TERM_CRITERIA_MAX_ITER, 30, 0.0)
        start = cv2.KMEANS_PP_CENTERS
        centres = cv2.kmeans(every[some], clusters, None, stop, 1, start)[2]
        sets = [landmarks(f, centres, d) for f, d in ((found, data), (sought, held))]
        error = forward_nme(*sets, longer_side(held), scale=float(args.size))
        errors[clusters] = float(error.mean)
    return {'nme': min(errors.values()), 'clusters': errors}


def described(finder, cv2, image):
    """Places `[n, 2]` and descriptors `[n, 128]` (RootSIFT) of a picture."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    spots, descriptors = finder.detectAndCompute(grey, None)
    if not spots:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    share = descriptors / descriptors.sum(axis=1, keepdims=True)
    return np.array([spot.pt for spot in spots]), np.sqrt(share).astype(np.float32)


def landmarks(found, centres, data):
    """In each picture, for each cluster the point whose descriptor is nearest."""
    places, valid = np.zeros((len(found), len(centres), 2)), np.ones(len(found), bool)
    for i, (spots, descriptors) in enumerate(found):
        valid[i] = len(spots) > 0
        if valid[i]:  # Descriptors are of length 1.
            far = (centres**2).sum(-1) - 2 * descriptors @ centres.T
            places[i] = spots[far.argmin(axis=0)]
    there = np.repeat(valid[:, None], len(centres), axis=1)
    return Landmarks(places, data['keypoints'], there, data['visible'])


FIGURES = {
    'linear': linear,
    'boxes': boxes,
    'points': points,
    'sift': sift,
    'classifier': classifier,
    'masked': functools.partial(classifier, hide_head=True),
    'regressor': regressor,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('figure', choices=FIGURES)
    parser.add_argument('--size', type=int, default=64)
    parser.add_argument('--level', default='standard')
    parser.add_argument('--split', default='test', help='validation while tuning')
    parser.add_argument('--rows', type=int, default=20_000, help='of training')
    parser.add_argument('--held', type=int, default=2_000)
    parser.add_argument('--epochs', type=int, default=8)
    parser.add_argument('--rate', type=float, default=3e-3)
    parser.add_argument('--hints', type=float, default=1, help='weight of attributes')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    begin = time.time()
    result = FIGURES[args.figure](args)
    device = jax.devices()[0].device_kind
    print(json.dumps({**vars(args), **result, 'seconds': round(time.time() - begin),
                      'device': device}))  # fmt: skip


if __name__ == '__main__':
    main()
