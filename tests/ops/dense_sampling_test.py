import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from kpdiscovery.ops import dense_sampling, heatmaps, warps


def draw(rng, *shape):
    return jnp.asarray(rng.random(shape, dtype=np.float32))


@pytest.mark.parametrize('lead', [(), (2,), (2, 3)])
def test_gradients_are_those_of_points_read_alone(rng, lead):
    maps, xy = draw(rng, *lead, 5, 6, 2), 6 * draw(rng, *lead, 3, 4, 2)
    flat = xy.reshape(*lead, 12, 2)
    want, pull = jax.vjp(heatmaps.sample_bilinear, maps, flat)
    got, pull_grid = jax.vjp(jax.jit(dense_sampling.sample_grid), maps, xy)
    np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-6)
    for one, other in zip(pull(want), pull_grid(got), strict=True):
        np.testing.assert_allclose(other.reshape(one.shape), one, atol=1e-5)


def test_one_picture_through_several_warps(rng):
    image, xy = draw(rng, 5, 6, 1), 6 * draw(rng, 3, 2, 2, 2)
    mapped = jax.vmap(dense_sampling.sample_grid, (None, 0))(image, xy)
    for got, at in zip(mapped, xy, strict=True):
        want = dense_sampling.sample_grid(image, at)
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.tpu_aot
@pytest.mark.parametrize('batch', [16, 1], ids=['split', 'uneven'])
def test_chips_warp_their_own_pictures_without_gathers(tpu_topology, batch):
    """Under plain `jit`, mapped over examples, as the methods' steps are."""
    mesh = Mesh(tpu_topology('v5e:2x4'), ('data',), axis_types=(AxisType.Auto,))
    spec = P('data') if batch > 1 else P()
    place = lambda *shape: jax.ShapeDtypeStruct(
        (batch, *shape), jnp.float32, sharding=NamedSharding(mesh, spec)
    )
    seen = jax.vmap(functools.partial(warps.warp_image, mode='edge'))

    def step(matrix, images, maps):
        t = warps.Affine(matrix)
        loss = lambda maps: jnp.sum(seen(t, maps) ** 2)
        return seen(t, images), jax.grad(loss)(maps)

    with jax.set_mesh(mesh):
        given = place(2, 3), place(24, 32, 3), place(24, 32, 33)
        text = jax.jit(step).lower(*given).compile().as_text()
    assert text.count('custom_call_target="tpu_custom_call"') == 3
    for word in ('gather(', 'scatter(', 'all-reduce(', 'collective-permute('):
        assert word not in text
