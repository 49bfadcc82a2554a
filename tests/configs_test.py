"""Every packaged config: each variant builds, and its steps trace."""

import functools
import importlib
import inspect
import re

import jax
import jax.numpy as jnp
import pytest

from kpdiscovery import config, methods
from kpdiscovery.types import UserError


def variants_of(name):
    """'' and every variant that the config's get_config hands to `variants.apply`."""
    module = importlib.import_module('kpdiscovery.configs.' + name.replace('/', '.'))
    source = inspect.getsource(module.get_config)
    return ['', *re.findall(r'(\w+)=(?:variants\.)?\w+[,)]', source.split('apply(')[1])]


CASES = [
    f'{name}:{variant}' for name in config.names() for variant in variants_of(name)
]


@pytest.mark.parametrize('name', CASES)
def test_every_phase_traces(name):
    settings = config.load(
        name, ['method.reconstruction=mse'] if 'celeba' in name else []
    )
    method = methods.build(settings.method)
    size = settings.data.size
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.uint8)
    batch = {'image': image, 'index': jax.ShapeDtypeStruct((2,), jnp.int32)}
    if settings.method.name == 'superpoint':
        batch['keypoints'] = jax.ShapeDtypeStruct((2, 5, 2), jnp.float32)
        batch['visible'] = jax.ShapeDtypeStruct((2, 5), bool)
    key, state = jax.eval_shape(lambda: jax.random.key(0)), None
    for phase in method.phases(settings.to_dict()):
        init = functools.partial(phase.init, before=state)
        state = jax.eval_shape(init, key, batch)
        after, scalars = jax.eval_shape(phase.step, state, batch, {}, key)
        assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(
            lambda a: (a.shape, a.dtype), state
        )
        assert 'loss' in scalars


def test_all_data_sets_of_the_paper_are_there():
    wanted = {
        'mnist_hard',
        'clevr6',
        'tetrominoes',
        'celeba_wild',
        'h36m',
        'faces',
        'folder',
    }
    assert {f'tusk/{name}' for name in wanted} <= set(config.names())


def test_overrides_keep_types():
    settings = config.load('tusk/tetrominoes', ['data.batch_size=64', 'method.alpha=false',
                                                'method.claim_weight=1'])  # fmt: skip
    assert settings.data.batch_size == 64 and settings.method.alpha is False
    assert settings.method.claim_weight == 1.0


@pytest.mark.parametrize('name, overrides, message', [
    ('tusk/tetromino', [], "no config 'tusk/tetromino', did you mean tusk/tetrominoes?"),
    ('tusk/tetrominoes:tiny', [], "no variant 'tiny'"),
    ('nowhere.py', [], 'no config file nowhere.py'),
    ('tusk/tetrominoes', ['data.batch_sise=1'], 'did you mean data.batch_size?'),
    ('tusk/tetrominoes', ['data.batch_size'], 'needs a value'),
    ('tusk/tetrominoes', ['data.batch_size=many'], "is of type int, got 'many'"),
])  # fmt: skip
def test_mistakes_are_named(name, overrides, message):
    with pytest.raises(UserError, match=re.escape(message)):
        config.load(name, overrides)


def test_config_from_a_file(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        'from kpdiscovery.configs.tusk import tetrominoes\n'
        'def get_config(arg=""):\n'
        '    return tetrominoes.get_config("smoke")\n'
    )
    assert config.load(str(path)).phases.train.steps == 2
