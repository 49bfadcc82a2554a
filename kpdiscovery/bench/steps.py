"""Time the training steps of all methods, against the same networks in PyTorch.

A step is a phase's own, without the memory used again that `kpd train` adds, of a config's
`--variant` (`cpu` by default; '' is the paper's size) on drawn pictures; where labels come from
a sweep over the data set, random ones stand in for it. The peer does forward, loss, backward
and the optimiser's step of networks as large; `peer_leaves_out` says what it does not.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery import config, data, methods
from kpdiscovery.bench import comparison
from kpdiscovery.config import nearest
from kpdiscovery.data import feeds
from kpdiscovery.methods.self_training import label_tables
from kpdiscovery.ops import vectors
from kpdiscovery.training import sharding
from kpdiscovery.types import Batch, State, Tree, UserError


class Step(NamedTuple):
    """A phase's step, and what its PyTorch form leaves out."""

    config: str
    phase: str
    peer: str  # Of `torch_steps`.
    leaves_out: str
    dtypes: tuple[str, ...] = ()  # Settings of `config.method`.


STEPS = {
    'tusk': Step('tusk/tetrominoes', 'train', 'tusk',
                 'views, exploration, soft-argmax, cluster loss, warped equivariance, '
                 'prototype steps', ('dtype',)),
    'self_training_correspond': Step('self_training/critters', 'correspond',
                                     'correspond', 'views, targets, pairs with ground',
                                     ('network.dtype',)),
    'self_training_landmarks': Step('self_training/critters', 'landmarks', 'landmarks',
                                    'views, targets', ('network.dtype',)),
    'lmpnet': Step('lmpnet/critters', 'classify', 'classify', 'random crops',
                   ('network.dtype',)),
    'weight_map': Step('weight_map/critters', 'localize', 'localize', 'random crops',
                       ('network.dtype', 'encoder.dtype')),
    'feature_alignment': Step('feature_alignment/critters', 'align', 'align',
                              'matches, RANSAC, moved maps, labels one by one'),
}  # fmt: skip


def options(parser) -> None:
    """Adds `--only`, `--variant` and what `comparison` takes."""
    parser.add_argument('--only', help=f'one of {", ".join(STEPS)}')
    parser.add_argument('--variant', default='cpu', help="of the configs; '': none")
    comparison.options(parser, ('torch',))


def cases(args) -> Iterator[comparison.Case]:
    """A case a step.

    Raises:
        UserError: no such step.
    """
    if args.only and args.only not in STEPS:
        raise UserError(f'no step {args.only!r}{nearest(args.only, STEPS)}')
    for name in [args.only] if args.only else STEPS:
        yield case(name, args.variant)


def case(name: str, variant: str) -> comparison.Case:
    """The step of that name, of its config's variant."""
    step = STEPS[name]
    settings = config.load(f'{step.config}:{variant}' if variant else step.config, ())
    batch = _batch(settings.data)
    phase = _phase(settings, step)
    state, labels = _start(settings, step, batch)
    key = jax.random.key(1)
    ours: dict[str, Callable] = {'auto': phase.step}
    if step.dtypes:
        changed = settings.copy_and_resolve_references()
        for field in step.dtypes:
            _set(changed.method, field, 'bfloat16')
        ours['bfloat16'] = _phase(changed, step).step
    read = labels['features'][_around(batch, labels)] if 'features' in labels else batch
    return comparison.Case(
        case=name,
        arguments=(state, batch, labels, key),
        ours=ours,
        unit='images',
        count=settings.data.batch_size,
        peers={'torch': functools.partial(_peer, step.peer, settings, read)},
        compare=lambda found, theirs: {'peer_leaves_out': step.leaves_out},
    )


def _peer(name, settings, read):
    steps = importlib.import_module('kpdiscovery.bench.torch_steps')
    with comparison.installed('torch').device(comparison.torch_device()):
        return comparison.finished(getattr(steps, name)(settings, read))


def _batch(section) -> Batch:
    """The first of the source's pictures, as rows 0, 1, 2, ... of a table."""
    source = data.build({**section, 'keypoints': ''}, split='train')
    many = section['batch_size']
    feed = feeds.Feed(source, many, sharding.by_rows(sharding.make_mesh(1)))
    return feeds.first_batch(feed, feeds.sequential(many))


def _phases(settings):
    method = methods.build(settings.method.to_dict())
    return method, method.phases(settings.to_dict())


def _phase(settings, step):
    return next(p for p in _phases(settings)[1] if p.name == step.phase)


def _start(settings, step, batch) -> tuple[State, Tree]:
    """The state at the beginning of a phase, its labels drawn at random."""
    method, phases = _phases(settings)
    state: Any = None
    labels: Tree = {}
    for phase in phases:
        init = jax.jit(phase.init)
        state = init(jax.random.key(0), batch, state)
        if phase.sweep:
            labels = phase.sweep.init(4 * settings.data.batch_size, labels, batch)
        if phase.name == step.phase:
            break
    return state, _drawn(method, labels, batch)


def _drawn(method, labels, batch):
    """A table of labels as a sweep might leave it."""
    draw = lambda name: jax.random.uniform(jax.random.key(2), labels[name].shape)
    labels = dict(labels)
    if 'xy' in labels:  # Points of self-training, in cells.
        labels['xy'] = draw('xy') * (batch['image'].shape[1] // 4 - 1)
        labels['score'] = draw('score')
        for name in label_tables.LABELS:
            points = jnp.arange(labels[name].shape[1], dtype=jnp.int32)
            labels[name] = jnp.broadcast_to(points[None], labels[name].shape)
            labels[name] %= method.num_keypoints
    if 'features' in labels:
        dense = labels['features']
        unit = vectors.normalize(draw('features') - 0.5)
        labels['features'] = unit.astype(dense.dtype)
        labels['valid'] = jnp.ones_like(labels['valid'])
        rows = len(dense)
        labels['neighbours'] = (draw('neighbours') * rows).astype(jnp.int32)
    return labels


def _around(batch, labels):
    """A picture's row and its neighbours'."""
    own = batch['index']
    return jnp.concatenate([own[:, None], labels['neighbours'][own]], axis=1)


def _set(section, field, value):
    *outer, last = field.split('.')
    for name in outer:
        section = section[name]
    with section.unlocked():
        section[last] = value
