"""Conditional image generation: what the loss sees, and the commands on a few pictures."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, config, methods
from kpdiscovery.methods.views import ViewPair
from kpdiscovery.ops import warps
from kpdiscovery.types import UserError


@pytest.fixture
def faces(tmp_path):
    """A folder of noise with five annotated points a picture."""
    rng, folder = np.random.default_rng(0), tmp_path / 'faces'
    folder.mkdir()
    names = [f'{i:02}.png' for i in range(20)]
    for name in names:
        pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    points = rng.uniform(4, 28, (20, 5, 2)).astype(np.float32)
    split = np.repeat(['train', 'test'], [12, 8])
    np.savez(folder / 'annotations.npz', files=names, keypoints=points, split=split)
    return folder


def test_through_the_commands(faces, tmp_path, capsys):
    workdir = f'--workdir={tmp_path / "run"}'
    train = ['train', '--config=imm/mtfl:smoke', f'--data={faces}', workdir]
    assert cli.main([*train, '--max_seconds=0']) == 0
    assert cli.main(train) == 0
    assert 'trained 2 steps' in capsys.readouterr().out
    assert cli.main(['evaluate', workdir]) == 0
    result = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    wanted = {'forward_nme_5', 'forward_nme_mean_shape_5', 'spread', 'warp_error'}
    assert wanted <= set(result['metrics']) and not result['skipped']
    assert result['metrics'].keys() == result['untrained'].keys()
    out = tmp_path / 'out'
    assert cli.main(['predict', workdir, f'{faces}/00.png', f'--out={out}']) == 0
    said = json.loads((out / 'keypoints.json').read_text())
    assert said['annotations'][0]['num_keypoints'] == 10


def start(**fields):
    """A method of the smoke size, and a state before its first step."""
    settings = config.load('imm/folder:smoke')
    settings.method.update(fields)
    method = methods.build(settings.method)
    phase = method.phases(settings.to_dict())[0]
    batch = {'image': jnp.zeros((1, 16, 16, 3)), 'index': jnp.zeros(1, jnp.int32)}
    return method, jax.jit(lambda: phase.init(jax.random.key(0), batch, None))()


def test_the_target_is_drawn_from_its_landmarks_alone():
    method, state = start()
    source = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3))
    right = warps.Affine(jnp.array([[[1.0, 0, 2], [0, 1, 0]]]))  # By two pixels.

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(detector, target):
        variables = {**state.variables, 'detector': detector}
        return method._loss(ViewPair(source, target, right), variables)

    detector = state.variables['detector']
    slopes = loss(detector, source[:, ::-1])[1]
    assert max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(slopes)) > 0
    # Without scores all landmarks are in the middle, and all targets drawn alike: the
    # error is quadratic in the target.
    blind = jax.tree.map(jnp.zeros_like, detector)
    terms = [
        loss(blind, jnp.full_like(source, value))[0][1][0] for value in (0, 0.5, 1)
    ]
    low, middle, high = (float(term['reconstruction']) for term in terms)
    assert middle == pytest.approx((low + high) / 2 - 0.25, abs=1e-6)
    assert float(terms[0]['equivariance']) == pytest.approx((2**2 + 0) / 2 / 16**2)


@pytest.fixture
def told(monkeypatch):
    """Of a loss whose landmarks are given: `told(first, second)` are its terms."""
    method, state = start(num_keypoints=2, equivariance=3.0, separation=5.0)
    views = [jnp.full((1, 16, 16, 3), value) for value in (0.0, 1.0)]
    right = warps.Affine(jnp.array([[[1.0, 0, 2], [0, 1, 0]]]))  # By two pixels.

    def look(first, second):
        given = jnp.array([first, second], jnp.float32)
        detect = lambda self, variables, images: given[images[0, 0, 0, :1].astype(int)]
        monkeypatch.setattr(type(method), '_detect', detect)
        terms = method._loss(ViewPair(*views, right), state.variables)[1][0]
        return {name: float(value) for name, value in terms.items()}

    return look


def test_landmarks_of_the_second_view_draw_it(told):
    here, there, apart = [[3, 3], [12, 12]], [[8, 5], [4, 11]], [[1, 14], [14, 1]]
    one = told(here, there)['reconstruction']
    assert told(apart, there)['reconstruction'] == pytest.approx(one)
    assert abs(told(here, apart)['reconstruction'] - one) > 1e-4


def test_what_is_added_to_the_loss(told):
    """Landmarks that follow the warp cost nothing, those of one place do."""
    second = [[4, 4], [10, 12]]
    follow = told([[6, 4], [12, 12]], second)
    assert follow['equivariance'] == pytest.approx(0, abs=1e-9)
    against = told([[2, 4], [8, 12]], second)
    assert against['equivariance'] == pytest.approx(4**2 / 2 / 16**2)
    crowd = told([[6, 4], [6, 4]], [[4, 4], [4, 4]])
    assert crowd['separation'] > 0.5 > follow['separation']
    for terms in (follow, against, crowd):
        assert terms['loss'] == pytest.approx(
            terms['reconstruction']
            + 3 * terms['equivariance']
            + 5 * terms['separation'],
            rel=1e-5,
        )


def test_needs_weights_for_the_perceptual_loss():
    with pytest.raises(UserError, match=r'weights no\.st: there is no such file'):
        start(reconstruction='perceptual', perceptual_weights='no.st')
