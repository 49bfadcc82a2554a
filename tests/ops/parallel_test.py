import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from kpdiscovery.ops import parallel


def test_without_devices_nothing_happens():
    x = jnp.arange(6.0).reshape(3, 2)
    assert parallel.gather_rows(x, None) is x
    assert parallel.mean({'x': x}, None)['x'] is x


def test_every_device_sees_all_rows_under_pmap():
    x = np.arange(16.0).reshape(8, 1, 2)
    got = jax.pmap(lambda x: parallel.gather_rows(x, 'data'), axis_name='data')(x)
    assert got.shape == (8, 8, 2)
    for one in got:
        np.testing.assert_array_equal(one, x.reshape(8, 2))


def test_means_are_over_devices_under_pmap():
    x = np.arange(8.0)
    got = jax.pmap(lambda x: parallel.mean({'x': x}, 'data'), axis_name='data')(x)
    np.testing.assert_array_equal(got['x'], np.full(8, 3.5))


def test_rows_are_replicated_under_jit():
    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,))
    x = jax.device_put(np.ones((8, 2)), NamedSharding(mesh, PartitionSpec('data')))
    with jax.set_mesh(mesh):
        got = jax.jit(lambda x: parallel.gather_rows(x, None))(x)
    assert got.sharding.is_fully_replicated


@pytest.mark.parametrize('shape', [(16,), (8, 3)])
def test_rows_of_a_table_travel_and_not_the_table(shape, rng):
    """Neither where the table is small beside what is asked for, nor of other types."""
    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec('data'))
    number = rng.normal(size=(64, 50)).astype(np.float32)
    host = {'number': number, 'half': number.astype(jnp.bfloat16),
            'there': number > 0, 'label': number.astype(np.int32)}  # fmt: skip
    table, rows = jax.device_put((host, rng.integers(0, 64, shape, np.int32)), split)
    want = jax.tree.map(lambda leaf: leaf[np.asarray(rows)], host)
    with jax.set_mesh(mesh):
        take = jax.jit(parallel.take_rows)
        got = take(table, rows)
        text = take.lower(table, rows).compile().as_text()
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert jax.tree.all(jax.tree.map(lambda leaf: leaf.sharding == split, got))
    assert '[64,' not in text.replace('[64]', '')  # The whole of no table.
    odd = parallel.take_rows(host, np.arange(3))  # Without devices, or uneven: as ever.
    jax.tree.map(
        np.testing.assert_array_equal, odd, jax.tree.map(lambda leaf: leaf[:3], host)
    )


def test_each_device_runs_a_kernel_on_its_rows():
    """Where rows can be split; under pmap or without a mesh they are as they come."""
    seen = []

    def count(x):
        seen.append(len(x))
        return x + 1

    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,))
    with jax.set_mesh(mesh):
        for many in (16, 12):
            got = jax.jit(lambda x: parallel.by_rows(count, x))(jnp.zeros((many, 2)))
            np.testing.assert_array_equal(got, 1)
            square = lambda x: jnp.sum(parallel.by_rows(jnp.square, x))
            got = jax.jit(jax.grad(square))(jnp.ones((many, 2)))
            np.testing.assert_array_equal(got, 2)
    parallel.by_rows(count, jnp.zeros((16, 2)))
    inner = lambda x: parallel.by_rows(count, x)
    jax.pmap(inner, axis_name='data')(jnp.zeros((8, 3, 2)))
    assert seen == [2, 12, 16, 3]


def test_a_key_depends_on_the_row_alone():
    key = jax.random.key(0)
    keys = parallel.example_keys(key, jnp.array([5, 2, 9]))
    want = jax.random.key_data(jax.random.fold_in(key, 2))
    np.testing.assert_array_equal(jax.random.key_data(keys[1]), want)
    alone = parallel.example_keys(key, jnp.array([2]))
    np.testing.assert_array_equal(jax.random.key_data(alone[0]), want)
