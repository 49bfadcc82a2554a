"""The sharded pass over the data set gives the same tables on any number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data.feeds import Feed
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.training import sharding
from kpdiscovery.training.sweeps import Sweeper
from kpdiscovery.types import State, Sweep, SweepResult
from tests.training.toy import Colors


def remember_rows(state, batch, labels):
    mean = batch['image'].astype(jnp.float32).mean((1, 2, 3))
    return {'index': batch['index'], 'mean': mean + state.step, 'old': labels['count']}


def count_visits(rows, state, key):
    labels = {'count': rows['old'] + 1, 'mean': rows['mean'], 'index': rows['index']}
    scalars = {'valid': rows['row_valid'].sum(), 'noise': jax.random.normal(key)}
    sweeps = {'sweeps': state.variables['sweeps'] + 1}
    return SweepResult(labels, state.replace(variables=sweeps), scalars)


def tables(rows, labels, batch):
    del labels, batch
    zeros = jnp.zeros(rows, jnp.int32)
    return {'count': zeros, 'index': zeros, 'mean': jnp.zeros(rows)}


def sweep(source, devices, batch_size, rounds=2, **options):
    mesh = sharding.make_mesh(devices)
    with jax.set_mesh(mesh):
        feed = Feed(source, batch_size, sharding.by_rows(mesh))
        sweeper = Sweeper(
            Sweep(1, tables, remember_rows, count_visits, **options), feed
        )
        labels = sweeper.init({}, {})
        state = State(jnp.ones((), jnp.int32), {'sweeps': jnp.zeros(())}, {})
        for _ in range(rounds):
            labels, state, scalars = sweeper.run(state, labels, jax.random.key(0))
    return labels, state, scalars


@pytest.mark.parametrize(
    'devices, batch_size', [(1, 8), (1, 21), (4, 8), (8, 8), (8, 32)]
)
@pytest.mark.parametrize('source', [Colors(), tetrominoes(split='train', length=21)])
def test_every_row_is_visited_once_a_round(source, devices, batch_size):
    labels, state, scalars = sweep(source, devices, batch_size)
    index = np.asarray(labels['index'])
    assert np.array_equal(index, np.arange(len(index)))
    assert len(index) % devices == 0 and scalars['valid'] == 21
    assert state.variables['sweeps'] == 2
    assert (np.asarray(labels['count']) == 2).all()
    want = [source[i]['image'].mean(dtype=np.float64) + 1 for i in range(21)]
    np.testing.assert_allclose(labels['mean'][:21], want, rtol=1e-5)


@pytest.mark.parametrize('devices', [1, 4])
def test_a_stride_visits_as_many_rows_fewer(devices):
    source = Colors()
    labels, _, scalars = sweep(source, devices, 4, stride=5)
    assert scalars['valid'] == 5  # Rows 0, 5, 10, 15 and 20 of 21.
    index = np.asarray(labels['index'])
    assert np.array_equal(index, 5 * np.arange(8))
    want = [source[i]['image'].mean(dtype=np.float64) + 1 for i in index[:5]]
    np.testing.assert_allclose(labels['mean'][:5], want, rtol=1e-5)


def test_table_is_sharded_by_rows():
    labels, *_ = sweep(Colors(), 8, 8)
    shards = labels['count'].addressable_shards
    assert len(shards) == 8 and shards[0].data.shape[0] == labels['count'].shape[0] // 8
