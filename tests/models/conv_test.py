import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from kpdiscovery.models.conv import Conv


def test_strided_convolution_starts_at_the_first_pixel():
    """As torch with padding size // 2; a plain 'SAME' would start in between."""
    image = np.random.default_rng(0).normal(size=(1, 8, 10, 1)).astype(np.float32)
    conv = Conv(1, 7, stride=2)
    variables = conv.init(jax.random.key(0), image)
    kernel, bias = (variables['params']['conv'][k] for k in ('kernel', 'bias'))
    want = ndimage.correlate(image[0, ..., 0], kernel[..., 0, 0], mode='constant')
    got = conv.apply(variables, image)[0, ..., 0]
    np.testing.assert_allclose(got, want[::2, ::2] + bias[0], atol=1e-5)


def test_weights_fill_the_range_of_pytorch():
    variables = Conv(64, 3).init(jax.random.key(0), jnp.zeros((1, 4, 4, 16)))
    for leaf in jax.tree.leaves(variables):
        bound = 1 / np.sqrt(9 * 16)
        assert 0.9 * bound < jnp.abs(leaf).max() <= bound
    assert (
        'bias'
        not in jax.eval_shape(
            Conv(2, bias=False).init, jax.random.key(0), jnp.zeros((1, 4, 4, 1))
        )['params']['conv']
    )


def test_of_several_arrays_it_is_that_of_their_channels_side_by_side():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(2, 5, 6, c)).astype(np.float32) for c in (3, 1, 4)]
    whole, conv = np.concatenate(parts, axis=-1), Conv(7, stride=2)
    variables = conv.init(jax.random.key(0), whole)
    split = conv.init(jax.random.key(0), *parts)
    jax.tree.map(np.testing.assert_array_equal, variables, split)
    loss = lambda v, *x: jnp.sum(conv.apply(v, *x) ** 2)
    got, want = jax.grad(loss)(variables, *parts), jax.grad(loss)(variables, whole)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
