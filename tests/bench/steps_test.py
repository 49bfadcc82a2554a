"""Steps that are timed are those of configs, on labels that a sweep might leave."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import config
from kpdiscovery.bench import steps
from kpdiscovery.types import UserError


def settings_of(name):
    return config.load(f'{steps.STEPS[name].config}:smoke', ())


@pytest.mark.parametrize('name', steps.STEPS)
def test_steps_are_phases_of_their_configs(name):
    step, settings = steps.STEPS[name], settings_of(name)
    assert steps._phase(settings, step).name == step.phase
    for field in step.dtypes:
        steps._set(settings.method, field, 'bfloat16')
    found = str(steps._phases(settings)[0])
    assert found.count("dtype='bfloat16'") == len(step.dtypes)


def test_labels_are_drawn_inside_their_ranges():
    method, _ = steps._phases(settings_of('feature_alignment'))
    labels = {'features': jnp.zeros((6, 2, 2, 5), jnp.bfloat16),
              'valid': jnp.zeros((6, 2, 2), bool),
              'neighbours': jnp.full((6, 3), -1, jnp.int32)}  # fmt: skip
    drawn = steps._drawn(method, labels, {})
    lengths = np.linalg.norm(drawn['features'].astype(np.float32), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-2)
    assert drawn['valid'].all()
    assert set(np.unique(drawn['neighbours'])) <= set(range(6))
    assert len(np.unique(drawn['neighbours'])) > 2


def test_an_unknown_step_is_named():
    args = type('Args', (), {'only': 'tuskk', 'variant': 'cpu'})
    with pytest.raises(UserError, match=r"no step 'tuskk'.*tusk"):
        next(steps.cases(args))


@pytest.mark.slow  # The step in two forms, and the networks before it.
def test_a_case_is_run():
    case = steps.case('self_training_landmarks', 'smoke')
    state, scalars = jax.jit(case.ours['auto'])(*case.arguments)
    assert state.step == 1 and scalars['labelled'] > 0.5
    assert jnp.isfinite(scalars['loss'])


NETWORKS = {  # Step -> its PyTorch network in `torch_steps`, and ours.
    'tusk': ('tusk_network', ('encoder', 'decoder')),
    'self_training_landmarks': ('landmark_network', ('trunk', 'landmarks')),
    'lmpnet': ('classifier', ('first',)),
    'weight_map': ('map_network', ('map',)),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_are_as_large_in_pytorch(name):
    pytest.importorskip('torch', reason='no torch')
    from kpdiscovery.bench import torch_steps

    build, nets = NETWORKS[name]
    settings = settings_of(name)
    more = ({'landmarks': 4},) if build == 'landmark_network' else ()
    theirs = getattr(torch_steps, build)(settings, *more)
    count = sum(p.numel() for p in theirs.parameters())
    side = settings.data.size
    batch = {'image': jnp.zeros((2, side, side, 3), jnp.uint8),
             'label': jnp.zeros(2, jnp.int32), 'index': jnp.arange(2)}  # fmt: skip
    start = lambda: steps._start(settings, steps.STEPS[name], batch)[0]
    variables = jax.eval_shape(start).variables
    own = {net: variables[net] for net in nets}
    own = {net: tree.get('params', tree) for net, tree in own.items()}
    assert count == sum(leaf.size for leaf in jax.tree.leaves(own))
