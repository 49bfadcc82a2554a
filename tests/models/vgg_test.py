import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.models import vgg

TINY = ((3, 4), (5,))


def shapes_of(model, size=32):
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), images)['params']


def drawn(model, size=16, seed=0):
    """Parameters from numpy: compiling Flax's initialisers takes seconds."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        return rng.normal(size=leaf.shape, scale=0.2).astype(np.float32)

    return {'params': jax.tree.map(draw, shapes_of(model, size))}


def picture(size=6):
    return np.random.default_rng(1).random((1, size, size, 3), np.float32)


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_parameter_count_is_that_of_vgg16():
    assert count(shapes_of(vgg.Vgg16(taps=('relu5_3',)))) == 14_714_688


def test_nothing_after_the_last_tap_exists():
    params = shapes_of(vgg.Vgg16(taps=('relu3_1', 'relu1_2')))
    assert sorted(params) == ['conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3_1']
    # (3 * 9 + 1) 64 + (64 * 9 + 1) 64 + (64 * 9 + 1) 128 + (128 * 9 + 1) (128 + 256)
    assert count(params) == 1792 + 36_928 + 73_856 + 147_584 + 295_168


@pytest.mark.parametrize(
    'tap, shape',
    [
        ('relu1_2', (2, 75, 101, 64)),
        ('relu2_2', (2, 37, 50, 128)),
        ('relu3_3', (2, 18, 25, 256)),
        ('relu4_3', (2, 9, 12, 512)),
        ('pool4', (2, 4, 6, 512)),
        ('relu5_3', (2, 4, 6, 512)),
        ('pool5', (2, 2, 3, 512)),
    ],
)
def test_tap_shapes_of_an_odd_size(tap, shape):
    images = jax.ShapeDtypeStruct((2, 75, 101, 3), jnp.float32)
    maps, _ = jax.eval_shape(
        vgg.Vgg16(taps=(tap,)).init_with_output, jax.random.key(0), images
    )
    assert {name: value.shape for name, value in maps.items()} == {tap: shape}


def test_default_taps_are_those_of_the_perceptual_loss():
    taps = ('relu1_2', 'relu2_2', 'relu3_3', 'relu4_3')
    assert vgg.Vgg16().taps == taps


def test_a_bright_pixel_spreads_and_is_pooled():
    """Kernels of ones: sums over the 3x3 neighbourhood, zero outside the picture."""
    model = vgg.Vgg16(taps=('pool1', 'relu1_1'), blocks=((1,),))
    kernel = jnp.ones((3, 3, 3, 1))
    params = {'conv1_1': {'kernel': kernel, 'bias': jnp.array([-0.5])}}
    image = jnp.zeros((1, 5, 5, 3)).at[0, 0, 2, :].set(1.0)
    maps = model.apply({'params': params}, image)
    assert list(maps) == ['pool1', 'relu1_1']
    want = np.zeros((5, 5))
    want[:2, 1:4] = 2.5  # Three channels of one, minus a half.
    np.testing.assert_array_equal(maps['relu1_1'][0, :, :, 0], want)
    np.testing.assert_array_equal(maps['pool1'][0, :, :, 0], [[2.5, 2.5], [0, 0]])


def test_bfloat16_computes_low_and_keeps_float32_parameters():
    low = vgg.Vgg16(taps=('relu2_1',), blocks=TINY, dtype=jnp.bfloat16)
    full = vgg.Vgg16(taps=('relu2_1',), blocks=TINY)
    leaves = jax.tree.leaves(shapes_of(low))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype('float32')}
    variables, image = drawn(low), picture()
    got = jax.jit(low.apply)(variables, image)['relu2_1']
    want = jax.jit(full.apply)(variables, image)['relu2_1']
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), want, atol=0.05)


def test_untrained_features_keep_their_scale():
    blocks = ((32, 32), (32,))
    model = vgg.Vgg16(taps=('relu1_1', 'relu2_1'), blocks=blocks)
    image = np.random.default_rng(1).normal(size=(2, 16, 16, 3)).astype(np.float32)
    maps, _ = jax.jit(model.init_with_output)(jax.random.key(0), image)
    assert 0.3 < maps['relu2_1'].std() / maps['relu1_1'].std() < 3


@pytest.mark.parametrize('taps', [('relu3_1',), ('relu1_2', 'conv2_1'), ()])
def test_unknown_taps_are_named(taps):
    with pytest.raises(ValueError, match=r"some of \['relu1_1', .*'pool2'\], got \("):
        shapes_of(vgg.Vgg16(taps=taps, blocks=TINY))


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match=r'H, W >= 16 .* got \(1, 15, 15, 3\)'):
        shapes_of(vgg.Vgg16(taps=('relu5_1',)), size=15)
    shapes_of(vgg.Vgg16(taps=('relu5_1',)), size=16)


def test_normalize_imagenet_by_hand():
    image = jnp.array([0.485 + 0.229, 0.456, 0.406 - 2 * 0.225])
    want = [1, 0, -2]
    np.testing.assert_allclose(vgg.normalize_imagenet(image), want, atol=1e-6)
    batch = jnp.broadcast_to(image.reshape(1, 1, 1, 3), (2, 4, 5, 3))
    got = vgg.normalize_imagenet(batch.astype(jnp.bfloat16))
    assert got.dtype == jnp.float32 and got.shape == (2, 4, 5, 3)
    each = jax.vmap(vgg.normalize_imagenet)(batch)
    np.testing.assert_allclose(each[1, 2, 3], want, atol=1e-6)


@pytest.mark.parametrize(
    'image', [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 4), np.float32)]
)
def test_normalize_imagenet_refuses_bytes_and_other_channels(image):
    with pytest.raises(ValueError, match=r'floats in \[0, 1\], got'):
        vgg.normalize_imagenet(image)
