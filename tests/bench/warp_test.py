"""Every case does the same work by each of its implementations."""

import argparse

import numpy as np

from kpdiscovery.bench import warp


def test_implementations_agree_and_sizes_are_those_asked_for(monkeypatch):
    monkeypatch.setattr(warp.shapes, 'METHODS', {'small': ((2, 6, 7, 5), (4, 3))})
    args = argparse.Namespace(pictures=2, sides=[8])
    cases = list(warp.cases(args))
    names = ['tps_2x8x8x3', 'grid_2x8x8x3', 'small_2x6x7x5_gradient']
    assert [case.case for case in cases] == names
    for case in cases[1:]:
        one, other = (f(*case.arguments) for f in case.ours.values())
        np.testing.assert_allclose(one, other, atol=1e-5)
