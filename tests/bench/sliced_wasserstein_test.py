"""The benchmark of the sliced Wasserstein distance finds what its peers find."""

import argparse

import pytest

from kpdiscovery.bench import comparison, sliced_wasserstein


@pytest.mark.parametrize('peer', ['pot', 'torch'])
def test_peers_agree(peer):
    pytest.importorskip(comparison.PEERS[peer], reason='of the extra bench')
    parser = argparse.ArgumentParser()
    sliced_wasserstein.options(parser)
    args = parser.parse_args(['--rows=40', f'--against={peer}', '--directions=7'])
    args.repeats = 1
    (case,) = sliced_wasserstein.cases(args)
    (row,) = comparison.rows(args, 'sliced_wasserstein', case)
    assert row['largest_difference'] < 1e-4 and row['peer'] == peer
