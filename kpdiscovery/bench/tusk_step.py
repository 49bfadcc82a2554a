"""Time TUSK's training step, against one that encodes again for every prototype step.

`impl` 'naive' does what the released code does (one network step, then a pass of the
encoder for each prototype step); 'encode_again' is the parity option, one pass;
'bfloat16' computes convolutions in it. `input_ms` is what drawing a batch takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from kpdiscovery import config, data, methods
from kpdiscovery.bench import timing
from kpdiscovery.config import nearest
from kpdiscovery.data import feeds
from kpdiscovery.training import sharding
from kpdiscovery.types import UserError

# Name -> config, overrides, batch sizes on CPU and on an accelerator (the paper's).
CASES = {
    'tetrominoes': ('tusk/tetrominoes', (), 2, 76),
    'mnist_hard': ('tusk/mnist_hard', (), 4, 40),
    'demo': ('tusk/tetrominoes:demo', (), 16, 16),
}


def options(parser) -> None:
    """Adds `--data` and `--only`."""
    parser.add_argument('--data', help='digits for mnist_hard (.npz or IDX)')
    parser.add_argument('--only', help='one case')


def rows(args) -> Iterator[dict[str, Any]]:
    """Rows of each case: ours, the naive peer's and single settings changed.

    Raises:
        UserError: no such case, or one whose data are not given.
    """
    _check(args)
    on_cpu = jax.default_backend() == 'cpu'
    for case, (name, overrides, few, many) in CASES.items():
        settings = config.load(name, overrides)
        settings.data.batch_size = few if on_cpu else many
        settings.data.path = args.data or ''
        if args.only not in (None, case) or (case == 'mnist_hard' and not args.data):
            continue
        yield from _rows(case, settings, args.repeats)


def _check(args):
    if args.only == 'mnist_hard' and not args.data:
        raise UserError('the case mnist_hard needs digits: --data=FILE')
    if args.only and args.only not in CASES:
        raise UserError(f'no case {args.only!r}{nearest(args.only, CASES)}')


def _rows(case, settings, repeats):
    mesh = sharding.make_mesh(1)
    source = data.build(settings.data, split='train')
    feed = feeds.Feed(source, settings.data.batch_size, sharding.by_rows(mesh))
    order = feeds.shuffled(len(source), feed.batch_size, 0)
    batch = feeds.first_batch(feed, order)
    steps = {
        'auto': _stepper(settings, batch),
        'encode_again': _stepper(settings, batch, parity='code'),
        'bfloat16': _stepper(settings, batch, dtype='bfloat16'),
        'naive': _naive(settings, batch),
    }
    timed = timing.median_ms(
        {**steps, 'input': lambda: feeds.first_batch(feed, order)}, repeats
    )
    views = feed.batch_size * (1 if settings.method.views is None else 2)
    for impl in steps:
        row = {'name': 'tusk_step', 'case': case, 'impl': impl,
               'device': timing.device(), 'batch_size': feed.batch_size,
               'views': views, 'median_ms': round(timed[impl], 1),
               'images_per_s': round(1e3 * feed.batch_size / timed[impl], 4),
               'ratio_to_naive': round(timed['naive'] / timed[impl], 2)}  # fmt: skip
        if impl == 'auto':
            row['input_ms'] = round(timed['input'], 2)
            row['outside_device_step'] = _outside(steps[impl], feed, order)
        yield row


def _outside(advance, feed, order, count=5):
    """Share of a loop's time spent waiting for the next batch, each step waited for."""
    batches, shares = feed.stream(order, 0, count), []
    for _ in range(count):
        start = time.perf_counter()
        batch = jax.block_until_ready(next(batches))
        ready = time.perf_counter()
        jax.block_until_ready(advance(batch))
        shares.append((ready - start) / (time.perf_counter() - start))
    return round(statistics.median(shares), 4)


def _stepper(settings, batch, **changes):
    """A function that does one training step on its own, donated state."""
    method = methods.build({**settings.method.to_dict(), **changes})
    (phase,) = method.phases(settings.to_dict())
    kept = {
        'state': jax.jit(phase.init, static_argnums=2)(jax.random.key(0), batch, None)
    }
    step = jax.jit(phase.step, donate_argnums=0)

    def advance(batch=batch):
        kept['state'], scalars = step(kept['state'], batch, {}, jax.random.key(1))
        return scalars

    return advance


def _naive(settings, batch):
    """The released order: a network step, then for every prototype step a fresh encoding."""
    options = {**settings.method.to_dict(), 'prototype_steps': 1}
    method: Any = methods.build(options)  # A Tusk.
    network = _stepper(settings, batch, prototype_steps=0)
    (phase,) = method.phases(settings.to_dict())
    variables = phase.init(jax.random.key(0), batch, None).variables
    images = method.fit(batch['image'].astype(jnp.float32) / 255)
    images = jnp.concatenate([images] * (1 if method.views is None else 2))

    @jax.jit  # Weights and pictures are arguments: constants would be folded away.
    def prototype_step(prototypes, key, variables, images):
        found = method.detect(variables, images, method.num_keypoints)
        cloud = found.descriptors.reshape(-1, method.channels)
        grads = jax.grad(method.cluster_updates.loss, argnums=1)(key, prototypes, cloud)
        return prototypes - 0.1 * grads

    def advance():
        network()
        prototypes = variables['prototypes']
        for _ in range(settings.method.get('prototype_steps', 8)):
            key = jax.random.key(2)
            prototypes = prototype_step(prototypes, key, variables, images)
        return prototypes

    return advance
