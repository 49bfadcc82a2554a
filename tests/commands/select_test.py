"""`kpd select`: trained, measured without labels, and chosen."""

import json

import numpy as np
import pytest

from kpdiscovery import cli, select, selecting
from kpdiscovery.reporting import selection
from kpdiscovery.types import UserError

SMOKE = ['--config=constellation/critters:smoke', '--keypoints=3,4']
NONE = dict.fromkeys((
    'score', 'follows', 'agrees', 'covers', 'distinct', 'warp_error', 'seed_distance',
    'seed_consistency', 'labelled_error',
))  # fmt: skip


def row(count, seed=0, **figures):
    return {**NONE, 'num_keypoints': count, 'seed': seed, **figures}


def stamps(folder):
    return {p: p.stat().st_mtime_ns for p in folder.glob('k*/checkpoints/*/*')}


def test_runs_are_trained_once_measured_and_ordered(tmp_path, capsys):
    words = ['select', *SMOKE, f'--workdir={tmp_path}']
    assert cli.main([*words, '--max_seconds=0']) == 0
    assert not (tmp_path / select.FILE).exists()
    assert 'the same command resumes' in capsys.readouterr().out
    assert cli.main(words) == 0
    told, before = capsys.readouterr().out, stamps(tmp_path)
    assert 'run 4 of 4' in told and 'recommended: ' in told
    result = json.loads((tmp_path / select.FILE).read_text())
    found = {(run['num_keypoints'], run['seed']) for run in result['runs']}
    assert found == {(3, 0), (4, 0), (3, 1), (4, 1)}
    scores = [run['score'] for run in result['runs']]
    assert scores == sorted(scores, reverse=True) and 0 <= scores[0] <= 1
    assert result['labelled_figure'] == 'forward_nme_12' and result['pictures'] == 16
    assert all(run['labelled_error'] > 0 for run in result['runs'])
    assert cli.main([*words, '--config.evaluation.test=8', '--seeds=1']) == 0
    assert stamps(tmp_path) == before
    alone = json.loads((tmp_path / select.FILE).read_text())
    assert alone['pictures'] == 8 and len(alone['runs']) == 2
    assert all(run['agrees'] is None for run in alone['runs'])


def test_mistakes_are_told_before_anything_is_trained(tmp_path):
    words = [*SMOKE, f'--workdir={tmp_path / "new"}']
    for more, told in [
        (['--keypoints=3,x'], 'wanted whole numbers from 1'),
        (['--seeds='], 'wanted whole numbers from 0'),
        (['--config.seed=1'], 'name it by --keypoints, --seeds'),
        (['--config=weight_map/critters:smoke'], 'has no setting method.num_keypoints'),
        (['--keypoints=3,70'], 'num_keypoints must be in 3..num_clusters'),
    ]:
        with pytest.raises(UserError, match=told):
            select.main([*words, *more])
    assert not (tmp_path / 'new').exists()


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
    nothing = {**result, 'runs': [row(5)], 'recommended': None}
    assert 'nothing could be measured' in selection.text(nothing)
