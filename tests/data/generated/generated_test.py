import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data.generated import Generated
from kpdiscovery.types import Source


def draw(tables, key):
    """A picture of noise around one of the colours in the table."""
    keys = jax.random.split(key)
    choice = jax.random.randint(keys[0], (), 0, len(tables['colors']))
    noise = jax.random.randint(keys[1], (4, 5, 3), 0, 9)
    return {
        'image': (tables['colors'][choice] + noise).astype(jnp.uint8),
        'label': choice,
        'attributes': {'color': choice[None]},
    }


@pytest.fixture(scope='module')
def source():
    return Generated(draw, {'colors': np.arange(6) * 40}, seed=3, length=50)


def assert_equal(one, other):
    assert set(one) == set(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_it_is_a_source(source):
    assert isinstance(source, Source)
    assert len(source) == 50
    assert source.truth == ('attributes', 'label')


def test_rows_are_numpy_and_batches_are_on_the_device(source):
    row, batch = source[7], source.batch([7, 8])
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(row))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(batch))
    assert row['image'].shape == (4, 5, 3)
    assert 'index' not in row
    assert batch['image'].dtype == jnp.uint8
    assert batch['index'].dtype == jnp.int32
    np.testing.assert_array_equal(batch['index'], [7, 8])


def test_a_row_does_not_depend_on_its_batch(source):
    batch = source.batch([11, 3, 40, 3])
    for slot, index in enumerate((11, 3, 40, 3)):
        row = jax.tree.map(lambda leaf, slot=slot: leaf[slot], batch)
        row.pop('index')
        assert_equal(row, source[index])


def test_a_row_is_drawn_with_its_own_key(source):
    key = jax.random.fold_in(jax.random.key(3), 12)
    assert_equal(source[12], draw(source.tables, key))


def test_seeds_and_rows_differ(source):
    other = Generated(draw, source.tables, seed=4, length=50)
    assert (source[0]['image'] != other[0]['image']).any()
    assert (source[0]['image'] != source[1]['image']).any()


def test_tables_are_arguments_and_equal_sources_share_an_executable(source):
    from kpdiscovery.data import generated

    source.batch([0, 1, 2])
    compiled = generated._draw_rows._cache_size()
    other = Generated(draw, {'colors': np.arange(6) * 7}, seed=9, length=5)
    np.testing.assert_array_equal(other.batch([0, 1, 2])['image'] // 45, 0)
    assert generated._draw_rows._cache_size() == compiled
