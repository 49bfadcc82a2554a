"""The example method is one: it trains through the loop, and its landmarks follow."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.example import Example
from kpdiscovery.training import loop
from tests.methods.weak_labels import Squares
from tests.training.toy import config

METHOD = Example(num_keypoints=3, width=4, levels=1, reach=4.0)
SQUARES = Squares(size=16)
ADAM = {'name': 'adam', 'lr': 1e-2}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('example')
    settings = config(
        phases={'train': {'steps': 20, 'optimizer': ADAM}}, run={'checkpoint_every': 20}
    )
    return loop.train(METHOD, settings, SQUARES, workdir), workdir


def test_it_trains_and_landmarks_follow_and_part(trained):
    outcome, workdir = trained
    assert outcome.finished and outcome.step == 20
    rows = list(map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines()))
    first, last = (
        np.mean([row['loss'] for row in part]) for part in (rows[:3], rows[-3:])
    )
    assert last < 0.8 * first
    assert rows[-1]['crowd'] < rows[0]['crowd']


def test_it_predicts_ordered_landmarks(trained):
    images = jnp.asarray(SQUARES[0]['image'][None] / np.float32(255))
    got = jax.jit(METHOD.predict)(trained[0].variables, images).keypoints
    assert got.xy.shape == (1, 3, 2) and got.valid.all()
    np.testing.assert_array_equal(got.label, [[0, 1, 2]])
