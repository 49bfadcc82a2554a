"""What libtpu says of programs whose cost is known."""

import subprocess
import sys

import pytest

CODE = """
import jax, jax.numpy as jnp
from jax.experimental import pallas as pl
from kpdiscovery.compiled import tpu

schedules = tpu.prepare()
(chip, *_) = tpu.chips('v5e:2x2')
shape = jax.ShapeDtypeStruct((2048, 2048), jnp.float32)

def kernel(x_ref, out_ref):
    add = lambda i, sum: sum * 1.5 + x_ref[...]
    out_ref[...] = jax.lax.fori_loop(0, 100, add, jnp.zeros((8, 128)))

def call(x):
    spec = pl.BlockSpec((8, 128), lambda i: (i, 0))
    return pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((2048, 128), jnp.float32),
                          grid=(256,), in_specs=[spec], out_specs=spec)(x)

for function in (lambda x: jnp.dot(x, x, precision='default'), call, jnp.sort):
    program = tpu.compile_for(chip, function, shape)
    print(tpu.figures(program, topology='v5e:2x2', schedules=schedules)._asdict())
"""


@pytest.mark.tpu_aot
def test_products_are_estimated_and_kernels_counted():
    pytest.importorskip('libtpu', reason='libtpu is not installed')
    run = [sys.executable, '-c', CODE]
    output = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    product, kernel, sort = (
        eval(line) for line in output.splitlines() if line[0] == '{'
    )
    assert product['flops'] == pytest.approx(2 * 2048**3, rel=0.01)
    peak = 2 * 2048**3 / 197e12 * 1e3  # One bfloat16 pass of a v5e.
    assert 0.8 * peak < product['estimated_ms'] < 3 * peak
    assert kernel['unpriced'] == {'custom-call': 1} and kernel['estimated_ms'] == 0
    least = 1e3 * 256 * 100 / 1.5e9  # At least a bundle a round.
    assert least < kernel['static_ms'] < 10 * least
    assert sort['unpriced'] == {'sort': 1} and sort['static_ms'] > 0.1


def test_unknown_topologies_are_named():
    pytest.importorskip('libtpu', reason='libtpu is not installed')
    code = "from kpdiscovery.compiled import tpu; tpu.chips('v5x:2x2')"
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert "UserError: no topology 'v5x:2x2'" in run.stderr
