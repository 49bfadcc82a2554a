"""Every implementation against float64, at odd shapes; the kernel at the methods' own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from pallas_kernels.warp import api, mosaic_tpu, shapes

EVERY_WAY = pytest.mark.parametrize('way', ['reference', 'interpret'])


def sample(way):
    return functools.partial(api.sample, implementation=way)


def smooth(shape, size, rng):
    """Points `[B, h, w, 2]` of a shaken grid that reaches beyond the map."""
    x = np.linspace(-1, shape[2], size[1])
    y = np.linspace(-1, shape[1], size[0])
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    return (grid + rng.normal(0, 0.5, (shape[0], *size, 2))).astype(np.float32)


def wild(shape, size, rng):
    """Points anywhere: a tile of them takes every window."""
    sides = np.array(shape[2:0:-1])
    return rng.uniform(-2, sides + 2, (shape[0], *size, 2)).astype(np.float32)


def oracle(maps, xy, grads):
    """Values, and gradients of maps and points, in float64 by the whole matrix."""
    maps, xy, grads = (np.asarray(a, np.float64) for a in (maps, xy, grads))
    last = np.array(maps.shape[2:0:-1]) - 1
    at = np.clip(xy, 0, last)
    hats, slopes = [], []
    for axis in (0, 1):
        gap = at[..., axis, None] - np.arange(last[axis] + 1)
        hats.append(np.maximum(0, 1 - np.abs(gap)))
        low = np.floor(at[..., axis, None])
        ahead = np.arange(last[axis] + 1)[None] - low
        slopes.append(np.where(ahead == 0, -1.0, np.where(ahead == 1, 1.0, 0.0)))
    weigh = lambda x, y, what: np.einsum('bijx,bijy,byxc->bijc', x, y, what)
    value = weigh(*hats, maps)
    of_maps = np.einsum('bijx,bijy,bijc->byxc', *hats, grads)
    along = weigh(slopes[0], hats[1], maps), weigh(hats[0], slopes[1], maps)
    of_points = np.stack([(a * grads).sum(-1) for a in along], axis=-1)
    return value, of_maps, np.where((xy > 0) & (xy < last), of_points, 0)


@EVERY_WAY
@pytest.mark.parametrize('points', [smooth, wild])
@pytest.mark.parametrize('name', shapes.ODD)
def test_values_and_gradients_match_float64(way, points, name, rng):
    shape, size = shapes.ODD[name]
    maps = rng.normal(size=shape).astype(np.float32)
    grads = rng.normal(size=(shape[0], *size, shape[3])).astype(np.float32)
    xy = points(shape, size, rng)
    value, pull = jax.vjp(sample(way), jnp.asarray(maps), jnp.asarray(xy))
    for got, want in zip((value, *pull(grads)), oracle(maps, xy, grads), strict=True):
        np.testing.assert_allclose(got, want, atol=2e-5)


def test_whole_pixels_are_exact(rng):
    """The weight of one pixel is 1, and the others' are 0."""
    maps = jnp.asarray(rng.normal(size=(1, 20, 40, 3)), jnp.float32)
    xy = jnp.asarray(rng.integers(0, 20, (1, 8, 9, 2)), jnp.float32)
    want = sample('reference')(maps, xy)
    np.testing.assert_array_equal(sample('interpret')(maps, xy), want)


def test_bfloat16_and_float64_are_the_references_business(rng):
    maps, xy = rng.normal(size=(1, 4, 5, 2)), rng.uniform(0, 4, (1, 3, 3, 2))
    low = sample('interpret')(
        jnp.asarray(maps, jnp.bfloat16), jnp.asarray(xy, 'float32')
    )
    np.testing.assert_allclose(low, oracle(maps, xy, low)[0], atol=0.05)
    with jax.enable_x64(True):
        high = sample('interpret')(jnp.asarray(maps), jnp.asarray(xy))
        np.testing.assert_allclose(high, oracle(maps, xy, high)[0], atol=1e-12)


def test_maps_too_large_for_a_chip_are_left_to_the_reference():
    assert mosaic_tpu.fits(160, 256) and not mosaic_tpu.fits(168, 256)


def test_vmap(rng):
    """By the plain interpreter: the other does not know the axis that is added."""
    maps = jnp.asarray(rng.normal(size=(2, 1, 9, 10, 3)), jnp.float32)
    xy = jnp.asarray(rng.uniform(0, 9, (2, 1, 4, 5, 2)), jnp.float32)
    got = jax.vmap(functools.partial(mosaic_tpu.sample, interpret=True))(maps, xy)
    want = sample('reference')(maps[:, 0], xy[:, 0])
    np.testing.assert_allclose(got[:, 0], want, atol=1e-6)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r'got \(2, 3, 3, 1\), \(1, 4, 4, 2\)'):
        sample('auto')(jnp.zeros((2, 3, 3, 1)), jnp.zeros((1, 4, 4, 2)))


@pytest.mark.tpu_aot
@pytest.mark.parametrize('topology', [
    'v5e:2x4', *(pytest.param(name, marks=pytest.mark.slow)
                 for name in ('v5p:2x2x2', 'v6e:2x4')),
])  # fmt: skip
@pytest.mark.parametrize('name', [*shapes.METHODS, *shapes.PICTURES])
def test_what_methods_need_compiles_for_eight_chips(tpu_topology, topology, name):
    (b, *rest), size = (shapes.METHODS | shapes.PICTURES)[name]
    mesh = jax.sharding.Mesh(
        tpu_topology(topology)[:8], ('data',), axis_types=(AxisType.Auto,)
    )
    rows = jax.sharding.NamedSharding(mesh, P('data'))
    given = [jax.ShapeDtypeStruct(shape, jnp.float32, sharding=rows)
             for shape in ((8 * b, *rest), (8 * b, *size, 2))]  # fmt: skip
    loss = lambda maps, xy: jnp.sum(sample('auto')(maps, xy) ** 2)
    whole = name in shapes.METHODS
    run = jax.shard_map(
        jax.grad(loss) if whole else sample('auto'),
        mesh=mesh, in_specs=P('data'), out_specs=P('data'))  # fmt: skip
    text = jax.jit(run).lower(*given).compile().as_text()
    assert text.count('custom_call_target="tpu_custom_call"') == 1 + whole
    assert ' gather(' not in text and ' scatter(' not in text
