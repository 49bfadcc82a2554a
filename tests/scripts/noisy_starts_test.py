"""Starts of true and random points: what is hidden or cut off is no true point."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / 'scripts' / 'noisy_starts.py'


@pytest.fixture(scope='module')
def script():
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_points_that_are_cut_off_are_drawn_anew(script, rng):
    """Not at the border, where clipping had put them, but in the box of the others."""
    truth = np.tile(np.float32([[20, 20], [50, 60], [90, 30], [40, 40]]), (200, 1, 1))
    visible = np.tile([True, True, True, False], (200, 1))  # The third is outside.
    xy = script.mixed(truth, visible, 1.0, 64, 0)
    assert np.abs(xy[:, :2] - truth[:, :2]).max() <= 64 * 3 / 256 + 1e-4
    for hidden in (xy[:, 2], xy[:, 3]):
        assert (hidden > 19.9).all() and (hidden <= [50, 60]).all()
        assert hidden.std(axis=0).min() > 5
    nothing = script.mixed(truth, np.zeros_like(visible), 1.0, 64, 0)
    assert np.isfinite(nothing).all() and np.ptp(nothing, axis=(0, 1)).min() > 55


def test_the_share_of_true_points(script, rng):
    truth = rng.uniform(10, 50, (40, 10, 2)).astype(np.float32)
    xy = script.mixed(truth, np.ones((40, 10), bool), 0.3, 64, 0)
    near = np.abs(xy - truth).max(-1) <= 0.76
    assert (near.sum(1) >= 3).all() and near.mean() < 0.4
