"""Small nets for critters and their training, for `critters_difficulty`."""

from __future__ import annotations

import functools
import json
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpdiscovery.data.generated.critters import CODES, KEYPOINTS

BATCH, SHIFT = 64, 3  # Pictures a step; augmentation by as many pixels at 64 px.
WORDS = np.eye(3, dtype=np.float32)[CODES].reshape(len(CODES), -1)  # [20, 18]


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
