"""The benchmark of pairwise divergences times the same search in every form."""

import importlib.util

import jax
import numpy as np

from kpdiscovery import bench
from pallas_kernels.pairwise_js import bench as pairwise_js


def test_all_forms_find_the_same():
    case = pairwise_js.case('tiny', (18, 3, 5), compiled=False)
    assert (case.case, case.count) == ('tiny_n18_p3_c5', 153)
    found, rows = (jax.jit(form)(*case.arguments) for form in case.ours.values())
    assert found.shape == (18, 15) and found.min() > 1e-3
    np.testing.assert_allclose(rows, found, atol=2e-6)
    if importlib.util.find_spec('torch'):
        peer = case.peers['torch']()()
        assert case.compare(found, peer)['largest_difference'] < 2e-6


def test_the_large_search_is_only_compiled():
    few, all_ = (
        list(pairwise_js.cases(bench._parser().parse(['pairwise_js', *more])[0]))
        for more in ([], ['--topology=v5e:2x2'])
    )
    assert [case.count for case in few] == [2016, 8128]
    assert all_[-1].arguments[0].shape[0] == 20_000
