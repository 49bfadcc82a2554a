"""Every implementation against float64, at odd shapes; the kernel at the methods' own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from pallas_kernels.leaky_max_pool import api, mosaic_tpu, shapes

WEIGHTS = {'max': (1.0, 0.0), 'leaky': (1.1, -0.1), 'sum': (0.0, 0.25)}
EVERY_WAY = pytest.mark.parametrize('way', ['reference', 'interpret'])


def pool(way, weights='leaky'):
    of_largest, of_sum = WEIGHTS[weights]
    return functools.partial(
        api.leaky_max_pool, of_largest=of_largest, of_sum=of_sum, implementation=way
    )


def cells(shape, dtype=jnp.float32):
    """Whole numbers, among which there are many equal ones."""
    return jax.random.randint(jax.random.key(0), shape, -9, 9).astype(dtype)


def oracle(x, grads, of_largest, of_sum):
    """Values `[B, C]`, and the gradient of the first of the largest, in float64."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1, x.shape[-1])
    value = of_largest * flat.max(1) + of_sum * flat.sum(1)
    first = np.arange(flat.shape[1])[None, :, None] == flat.argmax(1)[:, None]
    return value, ((of_largest * first + of_sum) * grads[:, None]).reshape(x.shape)


@EVERY_WAY
@pytest.mark.parametrize('weights', WEIGHTS)
@pytest.mark.parametrize('shape', shapes.ODD)
def test_values_and_gradients_match_float64(way, weights, shape, rng):
    x, grads = cells(shape), rng.normal(size=(shape[0], shape[3]))
    value, pull = jax.vjp(pool(way, weights), x)
    want = oracle(x, grads, *WEIGHTS[weights])
    np.testing.assert_allclose(value, want[0], rtol=1e-5, atol=1e-5)
    got = pull(jnp.asarray(grads, jnp.float32))[0]
    np.testing.assert_allclose(got, want[1], rtol=1e-5, atol=1e-6)


@EVERY_WAY
def test_maps_of_several_blocks(way, monkeypatch):
    """The first of equals also where they lie in two blocks; rows beyond the last."""
    monkeypatch.setattr(mosaic_tpu, '_CELLS', 8)
    x = cells((9, 5, 5, 3))
    want = oracle(x, np.ones((9, 3)), *WEIGHTS['leaky'])
    value, pull = jax.vjp(pool(way), x)
    np.testing.assert_allclose(value, want[0], rtol=1e-5)
    np.testing.assert_allclose(pull(jnp.ones((9, 3)))[0], want[1], rtol=1e-5)


@EVERY_WAY
def test_bfloat16_cells_have_float32_values_and_bfloat16_gradients(way):
    x = cells((2, 4, 4, 6), jnp.bfloat16)
    value, pull = jax.vjp(pool(way), x)
    want = oracle(x, np.ones((2, 6)), *WEIGHTS['leaky'])
    assert value.dtype == jnp.float32 and pull(value)[0].dtype == jnp.bfloat16
    np.testing.assert_allclose(value, want[0], rtol=1e-5)
    np.testing.assert_allclose(pull(jnp.ones((2, 6)))[0], want[1], rtol=1e-2)


@EVERY_WAY
def test_no_number_in_one_map_leaves_the_others_alone(way):
    x = cells((2, 3, 3, 4)).at[1, 2, 2, 3].set(jnp.nan)
    got = np.asarray(pool(way)(x))
    assert np.isnan(got[1, 3]) and np.isfinite(np.delete(got.ravel(), 7)).all()


def test_float64_stays(rng):
    with jax.enable_x64(True):
        assert (
            pool('auto')(jnp.asarray(rng.normal(size=(2, 3, 3, 1)))).dtype == 'float64'
        )


def test_vmap():
    """By the plain interpreter: the other does not know the axis that is added."""
    x = cells((3, 2, 4, 4, 5))
    want = pool('reference')(x.reshape(6, 4, 4, 5)).reshape(3, 2, 5)
    np.testing.assert_array_equal(jax.vmap(pool('reference'))(x), want)
    kernel = functools.partial(
        mosaic_tpu.forward, of_largest=1.1, of_sum=-0.1, interpret=True
    )
    np.testing.assert_allclose(jax.vmap(kernel)(x)[0], want, rtol=1e-6)


def test_nothing_of_no_pictures():
    assert pool('auto')(cells((0, 2, 2, 3))).shape == (0, 3)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r'got \(2, 0, 3, 4\)'):
        pool('auto')(jnp.zeros((2, 0, 3, 4)))


@pytest.mark.tpu_aot
@pytest.mark.parametrize('topology', [
    'v5e:2x4', *(pytest.param(name, marks=pytest.mark.slow)
                 for name in ('v5p:2x2x2', 'v6e:2x4')),
])  # fmt: skip
@pytest.mark.parametrize('name', shapes.METHODS)
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_both_passes_compile_for_eight_chips(tpu_topology, topology, name, dtype):
    b, *rest = shapes.METHODS[name]
    mesh = jax.sharding.Mesh(
        tpu_topology(topology)[:8], ('data',), axis_types=(AxisType.Auto,)
    )
    rows = jax.sharding.NamedSharding(mesh, P('data'))
    x = jax.ShapeDtypeStruct((8 * b, *rest), dtype, sharding=rows)
    loss = lambda x: jnp.sum(pool('auto')(x) ** 2)
    run = jax.shard_map(
        jax.grad(loss), mesh=mesh, in_specs=P('data'), out_specs=P('data')
    )
    text = jax.jit(run).lower(x).compile().as_text()
    assert text.count('custom_call_target="tpu_custom_call"') == 2
