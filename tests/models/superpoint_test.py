import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.models import superpoint, weights
from kpdiscovery.types import UserError

SMALL = superpoint.SuperPoint((2, 3, 4, 5), 6, 7)
init = jax.jit(SMALL.init)
apply = jax.jit(SMALL.apply, static_argnames=('train', 'describe', 'mutable'))


def parameters(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def variables_of(model, seed=0):
    """Random in every collection, so that a mix-up shows."""
    keys = iter(jax.random.split(jax.random.key(seed), 200))
    draw = lambda leaf: 0.5 + jax.random.uniform(next(keys), leaf.shape)
    return jax.tree.map(draw, superpoint.like(model))


# Counts of the published network.


def test_numbers_of_parameters():
    plain = superpoint.like(superpoint.SuperPoint(batch_norm=False))
    assert set(plain) == {'params'} and parameters(plain) == 1_300_865
    detector = {n: p for n, p in plain['params'].items() if not n.startswith('convD')}
    assert parameters(detector) == 939_905
    normed = superpoint.like(superpoint.SuperPoint())
    assert parameters(normed['params']) == 1_304_067
    assert parameters(normed['batch_stats']) == 3_202
    magic = {n: p for n, p in normed['params'].items() if n[4] != 'D'}
    assert parameters(magic) == 942_083


@pytest.mark.parametrize('name, count', [
    ('1a', 640), ('1b', 36_928), ('2a', 36_928), ('3a', 73_856), ('3b', 147_584),
    ('4b', 147_584), ('Pa', 295_168), ('Pb', 16_705), ('Da', 295_168), ('Db', 65_792),
])  # fmt: skip
def test_layers(name, count):
    params = superpoint.like(superpoint.SuperPoint())['params']
    assert parameters(params[f'conv{name}']) == count


def test_shapes_and_heads():
    variables = init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    images = jnp.ones((2, 16, 24, 1))
    logits, coarse = apply(variables, images)
    assert logits.shape == (2, 2, 3, 65) and coarse.shape == (2, 2, 3, 7)
    alone, nothing = apply(variables, images, describe=False)
    np.testing.assert_array_equal(alone, logits)
    assert nothing is None


def test_normalisation_follows_the_relu():
    """Values before a normalisation are those of a ReLU: its mean cannot be negative."""
    images = jax.random.normal(jax.random.key(1), (2, 16, 16, 1))
    variables = init(jax.random.key(0), images)
    _, new = apply(variables, images, train=True, mutable='batch_stats')
    stats = new['batch_stats']
    assert (stats['norm1a']['mean'] >= 0).all() and (stats['normPa']['mean'] >= 0).all()
    assert (stats['normPb']['mean'] < 0).any()


def test_a_detector_step_keeps_the_other_head_statistics():
    images = jnp.ones((1, 8, 8, 1))
    variables = init(jax.random.key(0), images)
    _, new = apply(variables, images, train=True, describe=False, mutable='batch_stats')
    assert jax.tree.structure(new['batch_stats']) == jax.tree.structure(
        variables['batch_stats']
    )


@pytest.mark.parametrize('shape', [(1, 8, 12, 1), (1, 8, 8, 3), (8, 8, 1)])
def test_pictures_that_do_not_fit(shape):
    with pytest.raises(ValueError, match='divisible by 8|must be gray'):
        init(jax.random.key(0), jnp.zeros(shape))


def test_gradients_are_finite_on_one_colour():
    images = jnp.full((2, 8, 8, 1), 0.5)
    variables = init(jax.random.key(0), images)

    def total(params):
        (logits, coarse), _ = apply(
            {**variables, 'params': params}, images, train=True, mutable='batch_stats'
        )
        return logits.sum() + coarse.sum()

    assert all(
        np.isfinite(g).all()
        for g in jax.tree.leaves(jax.grad(total)(variables['params']))
    )


# Files.


def test_own_files_come_back(tmp_path):
    want = variables_of(SMALL)
    weights.save(tmp_path / 'own.safetensors', want, dtype=np.float16)
    model, got = superpoint.load(tmp_path / 'own.safetensors')
    assert model == SMALL
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), got, want)


def public_file(path, model, drop=()):
    """A file of the public layout, and what it holds as our variables."""
    from safetensors.numpy import save_file

    variables = variables_of(model)
    tensors = {}
    for name, layer in variables['params'].items():
        kernel = np.asarray(layer['kernel']).transpose(3, 2, 0, 1)
        tensors[f'{name}.weight'] = np.ascontiguousarray(kernel)
        tensors[f'{name}.bias'] = np.asarray(layer['bias'])
    save_file({k: v for k, v in tensors.items() if k not in drop}, path)
    return variables


def test_public_files(tmp_path):
    like = superpoint.SuperPoint((2, 3, 4, 5), 6, 7, batch_norm=False)
    want = public_file(tmp_path / 'public.safetensors', like)
    model, got = superpoint.load(tmp_path / 'public.safetensors')
    assert model == like
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_broken_files_are_named(tmp_path):
    path = tmp_path / 'public.safetensors'
    like = superpoint.SuperPoint((2, 3, 4, 5), 6, 7, batch_norm=False)
    public_file(path, like, drop=('conv3b.weight',))
    with pytest.raises(UserError, match=r"no tensor 'conv3b.weight'"):
        superpoint.load(path)
    public_file(path, like, drop=('convPa.bias',))
    with pytest.raises(UserError):
        superpoint.load(path)
    weights.save(path, {'other': jnp.zeros(3)})
    with pytest.raises(UserError, match='no tensor'):
        superpoint.load(path)
    with pytest.raises(UserError, match='no such file'):
        superpoint.load(tmp_path / 'none.safetensors')
