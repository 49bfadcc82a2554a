import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import depthwise

CASES = [  # H, W, kernel, stride, dilation
    (6, 9, 3, 1, 1),
    (8, 6, 3, 2, 1),
    (7, 9, 3, 2, 1),
    (8, 7, 5, 2, 1),
    (5, 6, 5, 1, 2),
]


def drawn(h, w, size):
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    return draw(2, h, w, 3), draw(size, size, 1, 3)


@pytest.mark.parametrize(('h', 'w', 'size', 'stride', 'dilation'), CASES)
def test_shifts_are_the_convolution_with_its_gradients(h, w, size, stride, dilation):
    x, kernel = drawn(h, w, size)
    g = np.random.default_rng(1).normal(size=(2, -(-h // stride), -(-w // stride), 3))

    @functools.partial(jax.jit, static_argnums=0)
    def run(convolve, g):
        one = functools.partial(convolve, stride=stride, dilation=dilation)
        y, back = jax.vjp(one, x, kernel)
        return y, *back(g)

    g = g.astype(np.float32)
    got, want = (run(f, g) for f in (depthwise.depthwise, depthwise.by_convolution))
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_half_precision_adds_in_float32():
    x, kernel = (jnp.asarray(v, jnp.bfloat16) for v in drawn(9, 9, 5))
    run = jax.jit(depthwise.depthwise)
    got = run(x, kernel)
    assert got.dtype == jnp.bfloat16
    x, kernel = (v.astype(jnp.float32) for v in (x, kernel))
    want = run(x, kernel).astype(jnp.bfloat16)
    np.testing.assert_array_equal(got, want)


def test_processors_other_than_cpus_get_the_convolution():
    traced = jax.jit(depthwise.depthwise).trace(*drawn(6, 6, 3))
    has = lambda platform: (
        'stablehlo.convolution'
        in traced.lower(lowering_platforms=(platform,)).as_text()
    )
    assert has('tpu') and has('cuda') and not has('cpu')


def test_shapes_that_do_not_belong_together():
    x, _ = drawn(6, 6, 3)
    with pytest.raises(
        ValueError, match=r'wanted maps .* got \(2, 6, 6, 3\) and \(3, 3, 1, 4\)'
    ):
        depthwise.depthwise(x, jnp.zeros((3, 3, 1, 4)))
