"""Gradients of two half batches, accumulated, are those of the whole one.

True where a loss is a mean over pictures. It is not where pictures meet: in batch norm, in
pairs that count by their number (self-training's first stage), in triplets, in a batch's
moments (`whiten`) or in its cloud of descriptors (TUSK's prototypes).
"""

import functools

import jax
import numpy as np
import pytest

from kpdiscovery import config, data, methods
from kpdiscovery.methods import classification, learning, optimizers
from kpdiscovery.methods.tusk.prototypes import Clustering
from kpdiscovery.ops import vectors

ROWS = 4


def learnt(settings, name, batch, labels, before, times):
    """How `times` steps on parts of the batch, in turn, change the variables."""
    method = methods.build(settings.method)
    phase = next(p for p in method.phases(settings.to_dict()) if p.name == name)
    key = jax.random.key(0)
    first = state = jax.jit(phase.init)(key, batch, before)
    for part in range(times):
        rows = slice(part * ROWS // times, (part + 1) * ROWS // times)
        own = jax.tree.map(lambda leaf, rows=rows: leaf[rows], batch)
        state, _ = jax.jit(phase.step)(state, own, labels, key)
    return jax.tree.map(
        np.subtract, *jax.device_get((state.variables, first.variables))
    )


CASES = {  # A method's structure: phase, its optimisers, and fields.
    'feature_alignment/critters:smoke': (
        'align',
        [''],
        ['features.backbone=given', 'transform=none'],
    ),
    'tusk/tetrominoes:smoke': ('train', ['.network'], ['prototype_steps=0']),
    'self_training/critters:smoke': ('landmarks', ['.trunk', '.head'], []),
    'lmpnet/critters:smoke': ('classify', [''], ['network.frozen_statistics=True']),
}


@pytest.mark.slow  # Ten seconds of a processor each.
@pytest.mark.parametrize('name', CASES)
def test_half_batches_add_up(name, rng):
    phase, groups, fields = CASES[name]
    changes = [f'method.{field}' for field in fields]
    each = [f'phases.{phase}.optimizer{group}' for group in groups]
    changes += [f'{one}.{value}' for one in each for value in ('name=sgd', 'lr=0.1')]
    settings = config.load(name, changes)
    halved = config.load(name, [*changes, *(f'{one}.accumulate=2' for one in each)])
    source = data.build(settings.data, split='train')
    batch = jax.device_get(source.batch(np.arange(ROWS)))
    given = GIVEN.get(settings.method.name, lambda *_: (batch, {}, None))
    seen = given(settings, batch, rng)
    whole = learnt(settings, phase, *seen, 1)
    parts = learnt(halved, phase, *seen, 2)
    most = max(np.abs(leaf).max() for leaf in jax.tree.leaves(whole))
    assert most > 0
    for one, other in zip(*map(jax.tree.leaves, (whole, parts)), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5 * most, rtol=1e-3)


def _landmarks(settings, batch, rng):
    """Self-training's labels of stage 2."""
    points = settings.method.num_points
    side = settings.data.size // 4
    label = np.tile(
        np.arange(points, dtype=np.int32) % settings.method.num_keypoints, (ROWS, 1)
    )
    labels = {
        'xy': rng.uniform(0, side, (ROWS, points, 2)).astype(np.float32),
        'score': rng.uniform(size=(ROWS, points)).astype(np.float32),
        'landmark': label,
    }
    return batch, labels, None


def _pools(settings, batch, rng):
    """Features of the pictures and pools of them, as sweeps leave them."""
    features = rng.normal(size=(ROWS, 6, 6, 8)).astype(np.float32)
    neighbours = settings.method.neighbours
    labels = {
        'features': features, 'valid': np.ones((ROWS, 6, 6), bool),
        'neighbours': rng.integers(0, ROWS, (ROWS, neighbours), np.int32),
        'divergences': np.zeros((ROWS, neighbours), np.float32),
    }  # fmt: skip
    batch = {**batch, 'features': features}
    method = methods.build(settings.method)
    phase = method.phases(settings.to_dict())[0]
    return batch, labels, jax.jit(phase.init)(jax.random.key(1), batch, None)


GIVEN = {'self_training': _landmarks, 'feature_alignment': _pools}


def test_half_batches_of_a_straight_line(rng):
    """In float64 (optax counts in float32), with groups and a pretrained trunk."""
    x, y = rng.normal(size=(2, ROWS))
    start = {
        'net': {'backbone': np.float64(2), 'head': np.float64(3)},
        'bias': np.float64(1),
    }

    def after(times):
        section = {'steps': 9, 'optimizer': {'name': 'adam', 'lr': 0.1, 'trunk': 0.5}}
        section['optimizer']['accumulate'] = times
        update = {
            'net': classification.build_optimizer(section, classification.Network())
        }
        update['bias'] = optimizers.build(
            {'name': 'sgd', 'lr': 0.2, 'accumulate': times}, 9
        )
        state = learning.start(start, update)
        for rows in np.split(np.arange(ROWS), times):
            state, _ = learning.descend(
                functools.partial(_error, x[rows], y[rows]), update, state
            )
        return state.variables

    with jax.enable_x64(True):
        whole, halves = after(1), after(2)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), halves, whole
    )
    assert float(whole['bias']) != 1 and float(whole['net']['head']) != 3


def _error(x, y, variables):
    net = variables['net']
    loss = ((net['backbone'] * net['head'] * x + variables['bias'] - y) ** 2).mean()
    return loss, ({'loss': loss}, {})


def test_prototypes_count_their_own_steps():
    """Two of TUSK's prototype steps are one update then, of one cloud: no picture more."""
    clustering = Clustering(projections=4)
    draw = lambda number, rows: jax.random.normal(jax.random.key(number), (rows, 3))
    cloud, start = vectors.normalize(draw(0, 12)), {'prototypes': draw(1, 4)}
    update = optimizers.build({'name': 'sgd', 'lr': 0.5, 'accumulate': 2}, 9)
    key = jax.random.key(2)
    steps = lambda opt: clustering.steps(
        key, start, opt, cloud, count=2, update=update.update
    )
    got, *_ = jax.jit(steps)(update.init(start))
    slope = lambda key: jax.grad(clustering.loss, 1)(key, start['prototypes'], cloud)
    mean = jax.jit(jax.vmap(slope))(jax.random.split(key)).mean(0)
    np.testing.assert_allclose(
        got['prototypes'], start['prototypes'] - 0.5 * mean, rtol=1e-5, atol=1e-6
    )
