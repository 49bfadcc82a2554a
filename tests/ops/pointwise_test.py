import functools

import jax
import numpy as np
import pytest

from kpdiscovery.ops import pointwise as ops


def drawn(h, w):
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    return draw(2, h, w, 3), draw(1, 1, 3, 4)


@pytest.mark.parametrize(('h', 'w', 'stride'), [(4, 6, 1), (5, 8, 2), (7, 4, 3)])
def test_products_are_the_convolution_with_its_gradients(h, w, stride):
    x, kernel = drawn(h, w)
    g = np.random.default_rng(1).normal(size=(2, -(-h // stride), -(-w // stride), 4))

    @functools.partial(jax.jit, static_argnums=0)
    def run(convolve, g):
        y, back = jax.vjp(convolve, x, kernel)
        return y, *back(g)

    ours = lambda x, kernel: ops.pointwise(x, kernel, stride)
    theirs = functools.partial(ops.by_convolution, stride=stride)
    g = g.astype(np.float32)
    for got, want in zip(run(ours, g), run(theirs, g), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_only_cpus_get_the_product():
    loss = lambda x, kernel: ops.pointwise(x, kernel, 2).sum()
    traced = jax.jit(jax.grad(loss, argnums=(0, 1))).trace(*drawn(6, 6))
    has = lambda platform: (
        'stablehlo.convolution'
        in traced.lower(lowering_platforms=(platform,)).as_text()
    )
    assert has('tpu') and has('cuda') and not has('cpu')
