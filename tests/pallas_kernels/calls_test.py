import jax
import jax.numpy as jnp
import pytest

from pallas_kernels import calls


def kernel(x, *, interpret=False):
    return x + (10 if interpret else 1)


@pytest.mark.parametrize(
    'implementation, added',
    [('auto', 0), ('reference', 0), ('mosaic_tpu', 1), ('interpret', 10)],
)
def test_a_name_chooses(implementation, added):
    run = jax.jit(lambda x: calls.dispatch(implementation, lambda x: x, kernel, x))
    assert run(jnp.float32(5)) == 5 + added


def test_names_are_checked():
    with pytest.raises(ValueError, match=r"'auto'.*got 'cuda'"):
        calls.dispatch('cuda', kernel, kernel, jnp.float32(0))


def test_the_platform_of_the_program_decides_and_not_the_machine():
    run = jax.jit(lambda x: calls.dispatch('auto', lambda x: x, kernel, x))
    for platform, added in (('tpu', True), ('cpu', False), ('cuda', False)):
        text = run.trace(jnp.float32(5)).lower(lowering_platforms=(platform,)).as_text()
        assert ('add' in text) == added
