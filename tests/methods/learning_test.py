"""One step by hand: groups, rates, what is frozen, and statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kpdiscovery.methods.learning import descend, parameters, start

GROUPS = {'trunk': 'net', 'heads': ('points', 'maps')}
UPDATE = {'trunk': optax.sgd(0.1, momentum=0.9), 'heads': optax.sgd(1.0)}


@pytest.fixture
def variables():
    return {
        'net': {
            'params': {'w': jnp.array(2.0)},
            'batch_stats': {'mean': jnp.array(7.0)},
        },
        'points': {'w': jnp.array(3.0)},
        'maps': jnp.array(5.0),
        'teacher': {'w': jnp.array(11.0)},
    }


def loss(variables, scale=1.0):
    """Gradients 3, 2, and 11 times `scale`; statistics that no gradient gives."""
    w = variables['net']['params']['w'] * variables['points']['w']
    value = scale * (w + variables['maps'] * variables['teacher']['w'])
    mean = variables['net']['batch_stats']['mean'] + 1
    return value, ({'loss': value}, {'net': {'batch_stats': {'mean': mean}}})


def test_each_group_has_its_rate_and_the_rest_stays(variables):
    before = start(variables, UPDATE, GROUPS)
    after, scalars = descend(loss, UPDATE, before, GROUPS)
    assert (before.step, after.step) == (0, 1)
    assert scalars == {'loss': 2 * 3 + 5 * 11}
    np.testing.assert_allclose(after.variables['net']['params']['w'], 2 - 0.1 * 3)
    np.testing.assert_allclose(after.variables['points']['w'], 3 - 2)
    np.testing.assert_allclose(after.variables['maps'], 5 - 11)
    assert after.variables['net']['batch_stats']['mean'] == 8
    assert after.variables['teacher'] == variables['teacher']
    assert jax.tree.structure(after) == jax.tree.structure(before)
    np.testing.assert_allclose(after.opt['trunk'][0].trace['w'], 3)  # Momentum.


def test_groups_that_are_left_out_rest(variables):
    before = start(variables, UPDATE, GROUPS)
    after, _ = descend(loss, UPDATE, before, {'trunk': 'net'})
    assert after.variables['maps'] == 5
    assert after.opt['heads'] is before.opt['heads']
    assert after.variables['net']['params']['w'] != 2


def test_without_groups_each_trains_the_variable_of_its_name(variables):
    update = {'maps': optax.sgd(1.0)}
    after, _ = descend(loss, update, start(variables, update))
    assert after.variables['maps'] == 5 - 11
    assert after.variables['points'] == variables['points']


def test_what_is_trained_of_a_variable(variables):
    assert parameters(variables, 'net') == {'w': 2.0}
    assert parameters(variables, ('net', 'points')) == {
        'net': {'w': 2.0},
        'points': {'w': 3.0},
    }


def test_gradients_are_means_over_devices_and_scalars_are_not(variables):
    state = start(variables, UPDATE, GROUPS)
    one = lambda scale: descend(
        functools.partial(loss, scale=scale), UPDATE, state, GROUPS, axis_name='devices'
    )
    after, scalars = jax.vmap(one, axis_name='devices')(jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(after.variables['maps'], 5 - 2 * 11)
    np.testing.assert_allclose(scalars['loss'], [61, 183])
