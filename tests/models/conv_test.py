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
