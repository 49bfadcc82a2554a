"""TUSK's step on one device, on eight under jit, and on eight under pmap: one result.

In float64: Adam's first steps turn rounding into whole steps of the learning rate.
"""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from kpdiscovery import config, data, methods
from kpdiscovery.data import feeds

pytestmark = pytest.mark.slow
STEPS = 5


@pytest.fixture(scope='module', autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope='module', params=['sliced_wasserstein', 'information'])
def settings(request):
    changes = [
        f'clustering={request.param}',
        'memory=64',
        'exploration=0.9',
        'dtype=float64',
        'whiten=True',
    ]
    changes = [f'method.{change}' for change in changes]
    return config.load('tusk/tetrominoes:smoke', [*changes, 'phases.train.steps=20'])


@pytest.fixture(scope='module')
def batches(settings):
    source = data.build(settings.data, split='train')
    order = feeds.shuffled(len(source), 8, 0)
    return [jax.device_get(source.batch(order(step))) for step in range(STEPS)]


def phase(settings, **changes):
    method = methods.build({**settings.method.to_dict(), **changes})
    return method.phases(settings.to_dict())[0]


def run(step, state, batches):
    losses = []
    for number, batch in enumerate(batches):
        state, scalars = step(
            state, batch, {}, jax.random.fold_in(jax.random.key(0), number)
        )
        losses.append(
            {name: float(np.ravel(value)[0]) for name, value in scalars.items()}
        )
    return losses, jax.device_get(state)


@pytest.fixture(scope='module')
def start(settings, batches):
    init = jax.jit(phase(settings).init, static_argnums=2)
    state = jax.device_get(init(jax.random.key(0), batches[0], None))
    wide = lambda leaf: leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf
    return jax.tree.map(wide, state)


@pytest.fixture(scope='module')
def alone(settings, batches, start):
    return run(jax.jit(phase(settings).step), start, batches)


def assert_same(got, want):
    for step in range(STEPS):
        for name, value in want[0][step].items():
            assert got[0][step][name] == pytest.approx(value, abs=1e-5), (step, name)


def test_jit_over_eight_devices(settings, batches, start, alone):
    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec('data'))
    everywhere = NamedSharding(mesh, PartitionSpec())
    with jax.set_mesh(mesh):
        step = jax.jit(phase(settings).step, out_shardings=everywhere)
        placed = [jax.device_put(batch, rows) for batch in batches]
        assert_same(run(step, jax.device_put(start, everywhere), placed), alone)


def test_pmap_over_eight_devices(settings, batches, start, alone):
    step = jax.pmap(
        phase(settings, axis_name='data').step,
        axis_name='data',
        in_axes=(None, 0, None, None),
        out_axes=None,
    )
    split = [jax.tree.map(lambda leaf: leaf.reshape(8, 1, *leaf.shape[1:]), batch)
             for batch in batches]  # fmt: skip
    assert_same(run(step, start, split), alone)
