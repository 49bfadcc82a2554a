"""The benchmark of the contrastive loss times the same work in every form."""

import argparse
import importlib.util

import jax
import numpy as np

from kpdiscovery.bench import contrastive


def test_all_forms_give_one_loss_and_gradient():
    args = argparse.Namespace(rows=[180], channels=4)
    forward, gradient, pictures = contrastive.cases(args)
    for case in (forward, gradient):
        peers = case.peers if importlib.util.find_spec('torch') else {}
        found = [jax.jit(form)(*case.arguments) for form in case.ours.values()]
        found += [build() for build in (prepare() for prepare in peers.values())]
        first = jax.tree.leaves(found[0])
        assert np.abs(first[-1]).max() > 1e-3 / 180  # Some pairs are within the margin.
        for other in found[1:]:
            for a, b in zip(first, jax.tree.leaves(other), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    assert pictures.count == 3 * 60 * 60
