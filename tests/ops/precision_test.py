import jax
import jax.numpy as jnp
import pytest

from kpdiscovery.ops import precision


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', 'float32', 'uint8'])
def test_narrow_numbers_become_float32(dtype):
    assert precision.full(jnp.ones(2, dtype)).dtype == jnp.float32


def test_wide_numbers_stay_wide():
    with jax.enable_x64(True):
        assert precision.full(jnp.ones(2, 'float64')).dtype == jnp.float64
