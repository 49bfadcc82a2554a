"""`kpd select`: trained, measured without labels, and chosen."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, methods, select, selecting
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.reporting import selection
from kpdiscovery.types import Method, Phase, Prediction, State, UserError

SIDE = 32
CONFIG = """
from kpdiscovery.configs import variants

def get_config(arg=''):
    return variants.base(
        data={'source': 'folder', 'path': '', 'size': 32, 'batch_size': 8,
              'landmarks': 'faces5'},
        method={'name': 'around', 'reach': 6.0},
        phases={'train': {'steps': 2}},
        evaluation={'fit': 10, 'test': 10, 'batch_size': 8},
    )
"""


@dataclasses.dataclass(frozen=True)
class Around(Method):
    """Points on a circle about the light, in an order that is the seed's."""

    num_keypoints: int = 4
    reach: float = 6.0  # Pixels.
    sides: tuple[int, ...] = (1,)  # A run's config has a list of it.

    metrics = ('landmark_nme',)
    ordered = True

    @property
    def num_labels(self):
        return self.num_keypoints

    def phases(self, config):
        return (
            Phase('train', config['phases']['train']['steps'], self._init, self._step),
        )

    def predict(self, variables, images):
        light = images.mean(axis=-1)
        at = jnp.arange(SIDE, dtype=jnp.float32)
        total = light.sum((1, 2)) + 1e-6
        x = (light.sum(1) * at[None]).sum(1) / total
        y = (light.sum(2) * at[None]).sum(1) / total
        angle = 2 * jnp.pi * variables['order'] / self.num_keypoints
        offset = self.reach * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
        return Prediction(labelled(jnp.stack([x, y], -1)[:, None] + offset[None]))

    def _init(self, key, batch, before):
        order = jax.random.permutation(key, self.num_keypoints)
        return State(jnp.zeros((), jnp.int32), {'order': order}, {})

    def _step(self, state, batch, labels, key):
        return state.replace(step=state.step + 1), {'loss': jnp.zeros(())}


class Unordered(Around):
    ordered = False


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the config `c.py` and pictures of a light in `data`."""
    rng = np.random.default_rng(0)
    corners = rng.integers(8, 20, (20, 2))
    (tmp_path / 'data').mkdir()
    for i, (x, y) in enumerate(corners):
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[y : y + 4, x : x + 4] = 255
        Image.fromarray(image).save(tmp_path / 'data' / f'{i:02}.png')
    points = corners[:, None] + np.array([[0, 0], [4, 0], [2, 2], [0, 4], [4, 4]])
    np.savez(tmp_path / 'data' / 'annotations.npz', split=['train', 'test'] * 10,
             files=[f'{i:02}.png' for i in range(20)], keypoints=np.float32(points))  # fmt: skip
    (tmp_path / 'c.py').write_text(CONFIG)
    monkeypatch.setitem(methods.METHODS, 'around', Around)
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ['--config=c.py', '--data=data', '--keypoints=3,4', '--workdir=out']
NONE = dict.fromkeys((
    'score', 'follows', 'agrees', 'covers', 'distinct', 'warp_error', 'seed_distance',
    'seed_consistency', 'labelled_error',
))  # fmt: skip


def row(count, seed=0, **figures):
    return {**NONE, 'num_keypoints': count, 'seed': seed, **figures}


def stamps(folder):
    return {p: p.stat().st_mtime_ns for p in folder.glob('k*/checkpoints/*/*')}


def test_runs_are_trained_once_measured_and_ordered(place, capsys):
    words = ['select', *WORDS]
    assert cli.main([*words, '--max_seconds=0']) == 0
    assert not (place / 'out' / select.FILE).exists()
    assert 'the same command resumes' in capsys.readouterr().out
    assert cli.main(words) == 0
    told, before = capsys.readouterr().out, stamps(place / 'out')
    assert 'run 4 of 4' in told and 'recommended: ' in told
    result = json.loads((place / 'out' / select.FILE).read_text())
    found = {(run['num_keypoints'], run['seed']) for run in result['runs']}
    assert found == {(3, 0), (4, 0), (3, 1), (4, 1)} and result['pictures'] == 10
    for run in result['runs']:
        assert run['agrees'] == pytest.approx(1, abs=1e-3)  # Seeds name them otherwise.
        assert run['distinct'] == pytest.approx(run['num_keypoints'], abs=0.1)
        assert run['warp_shift'] > 1 and run['labelled_error'] < 5
    scores = [run['score'] for run in result['runs']]
    assert scores == sorted(scores, reverse=True)
    assert result['labelled_figure'] == 'forward_nme_5'
    assert cli.main([*words, '--config.evaluation.test=8', '--seeds=1']) == 0
    assert stamps(place / 'out') == before and len(before) > 4
    alone = json.loads((place / 'out' / select.FILE).read_text())
    assert alone['pictures'] == 8 and len(alone['runs']) == 2
    assert all(run['agrees'] is None and run['score'] for run in alone['runs'])


def test_points_without_order_and_pictures_without_annotations(place, monkeypatch):
    monkeypatch.setitem(methods.METHODS, 'around', Unordered)
    (place / 'data' / 'annotations.npz').unlink()
    one = [*WORDS, '--seeds=0', '--keypoints=4', '--split=train']
    more = ['--config.method.reach=2.0', '--config.method.sides=(1, 2)']
    assert cli.main(['select', *one, *more]) == 0
    result = json.loads((place / 'out' / select.FILE).read_text())
    (run,) = result['runs']
    assert run['score'] == run['follows'] > 0.5
    assert run['covers'] is None and run['labelled_error'] is None
    assert result['recommended'] == 4 and result['rank_correlation'] is None


def test_mistakes_are_told_before_anything_is_trained(place):
    smoke = '--config=constellation/critters:smoke'
    for more, told in [
        (['--keypoints=3,x'], 'wanted whole numbers from 1'),
        (['--seeds='], 'wanted whole numbers from 0'),
        (['--config.seed=1'], 'name it by --keypoints, --seeds'),
        (['--config=weight_map/critters:smoke'], 'has no setting method.num_keypoints'),
        ([smoke, '--keypoints=3,70'], 'num_keypoints must be in 3..num_clusters'),
    ]:
        with pytest.raises(UserError, match=told):
            select.main([*WORDS, *more])
    assert not (place / 'out').exists()


def test_the_number_of_the_best_mean_score_is_recommended():
    rows = [row(5, 0, score=0.9), row(5, 1, score=0.1), row(9, 0, score=0.6), row(20)]
    assert selecting.recommended(rows) == 9
    assert selecting.recommended([row(5)]) is None


def test_rank_correlation():
    """By hand: 1 - 6 sum d^2 / n (n^2 - 1)."""
    pairs = [(0.1, 9.0), (0.2, 7.0), (0.3, 8.0), (0.4, 1.0)]
    rows = [row(5, score=s, labelled_error=e) for s, e in pairs]
    ranks = np.array([[1, 4], [2, 2], [3, 3], [4, 1]])
    want = 1 - 6 * ((ranks[:, 0] - ranks[:, 1]) ** 2).sum() / (4 * 15)
    assert selecting.rank_correlation(rows) == pytest.approx(want)
    assert selecting.rank_correlation(rows[:2] + [row(5, score=1.0)]) is None
    assert (
        selecting.rank_correlation([row(5, score=1.0, labelled_error=2.0)] * 3) is None
    )


def test_what_is_not_known_is_a_dash():
    result = {'runs': [row(5, score=0.5)], 'recommended': 5, 'labelled_figure': None,
              'rank_correlation': None, 'split': 'test', 'pictures': 3}  # fmt: skip
    lines = selection.text(result).splitlines()
    assert lines[2].split() == ['5', '0', '0.500', *'-------']
    assert lines[3].startswith('recommended: 5 keypoints')
    assert 'the most that were tried' not in lines[3]
    two = {**result, 'runs': [row(5, score=0.5), row(3, score=0.4)]}
    assert selection.text(two).endswith('the most that were tried: more may be better')
    nothing = {**result, 'runs': [row(5)], 'recommended': None}
    assert 'nothing could be measured' in selection.text(nothing)
