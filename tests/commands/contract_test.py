"""The contract of a method: commands ask for what it declares, never for field names."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from kpdiscovery import cli, methods
from kpdiscovery.types import Keypoints, Method, Phase, Prediction, State

CONFIG = """
from kpdiscovery.configs import variants

def get_config(arg=''):
    return variants.base(
        data={'source': 'folder', 'path': '', 'size': 16, 'batch_size': 8},
        method={'name': 'hostile'},
        phases={'train': {'steps': 2}},
        evaluation={'fit': 2, 'test': 2, 'batch_size': 2},
    )
"""


@dataclasses.dataclass(frozen=True)
class Hostile(Method):
    """One point at the mean place of brightness; its fields bear names of other methods'."""

    features: int = 3
    num_classes: int = 0
    reconstruction: str = 'perceptual'
    perceptual_weights: str = 'nowhere.safetensors'
    weights: str = 'nowhere'
    first_weights: str = 'neither'
    network: str = 'mine'
    backbone: str = 'none'
    predict_keypoints: str = 'all'
    min_confidence: str = 'high'
    reads: int = 1

    metrics = ('landmark_points',)

    @property
    def num_labels(self):
        return 1

    def phases(self, config):
        return (
            Phase('train', config['phases']['train']['steps'], self._init, self._step),
        )

    def predict(self, variables, images):
        light = images.mean((1, 2, 3), keepdims=True)[..., 0]
        xy = 8 * light + variables['shift'][None, None]
        one = jnp.ones(xy.shape[:2])
        label = jnp.zeros(xy.shape[:2], jnp.int32)
        return Prediction(
            Keypoints(jnp.tile(xy[..., :1], (1, 1, 2)), one, label, one > 0)
        )

    def _init(self, key, batch, before):
        shift = jax.random.normal(key, (1,))
        opt = {'shift': optax.sgd(0.1).init(shift)}
        return State(jnp.zeros((), jnp.int32), {'shift': shift}, opt)

    def _step(self, state, batch, labels, key):
        shift = 0.9 * state.variables['shift']
        loss = jnp.sum(shift**2)
        return State(state.step + 1, {'shift': shift}, state.opt), {'loss': loss}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with the config `c.py` and pictures in `data`, and the method by name."""
    root = tmp_path_factory.mktemp('hostile')
    (root / 'c.py').write_text(CONFIG)
    (root / 'data').mkdir()
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(root / 'data' / f'{i}.png')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, 'hostile', Hostile)
        patch.chdir(root)
        yield root


def test_hostile_names_pass_through_every_command(place, capsys):
    train = ['train', '--config=c.py', '--data=data', '--workdir=run']
    for argv in (
        ['doctor', '--config=c.py', '--data=data'],
        train,
        [*train, '--config.run.log_every=1'],
        ['evaluate', '--workdir=run'],
        ['predict', '--workdir=run', 'data', '--out=out'],
        ['report', '--workdir=run'],
    ):
        assert cli.main(argv) == 0, capsys.readouterr()
    assert 'trained 2 steps' in capsys.readouterr().out
    metrics = json.loads((place / 'run' / 'metrics.json').read_text())['metrics']
    assert metrics['points_per_image'] == 1
    found = json.loads((place / 'out' / 'keypoints.json').read_text())
    assert len(found['annotations']) == 10


@pytest.mark.parametrize('option', ['--keypoints=3', '--min_confidence=0.5'])
def test_fields_that_are_no_options_of_predict_are_not_set(place, option, capsys):
    argv = ['predict', '--workdir=run', 'data', '--out=out', option]
    assert cli.main(argv) == 2
    name = option.split('=')[0]
    assert f'method hostile has no {name}' in capsys.readouterr().err


def test_settings_that_are_not_declared_free_are_not_free(place, capsys):
    argv = ['train', '--config=c.py', '--data=data', '--workdir=run']
    assert cli.main([*argv, '--config.method.perceptual_weights=other']) == 2
    assert 'method.perceptual_weights' in capsys.readouterr().err


def test_names_of_the_contract_are_no_fields():
    """A field of such a name would be taken for the declaration."""
    reserved = {name for name in {**vars(Method), **Method.__annotations__}
                if not name.startswith('_')}  # fmt: skip
    for kind in methods.METHODS.values():
        fields = {field.name for field in dataclasses.fields(kind)}
        assert not fields & reserved, kind


@pytest.mark.parametrize('name', [n for n in methods.METHODS if n != 'hostile'])
def test_what_is_declared_exists(name):
    kind = methods.named(name)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    assert not kind.class_count or kind.class_count in fields
    assert set(kind.predict_options.values()) <= set(fields)
    assert set(kind.predict_options) <= {'keypoints', 'min_confidence'}
    assert {path.split('.')[0] for path in kind.free} <= set(fields)
    for options in kind.baselines.values():
        assert set(options) <= set(fields)
