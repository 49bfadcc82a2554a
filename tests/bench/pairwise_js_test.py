"""The benchmark of pairwise divergences: its rows, its peer, its peak."""

import json

import pytest

from kpdiscovery import bench

TINY = ['pairwise_js', '--cells=3', '--channels=5', '--repeats=1', '--neighbours=4']


def rows(capsys, *arguments):
    assert bench.main([*TINY, '--json', *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_row_a_case_and_the_peer_finds_the_same(capsys):
    got = rows(capsys, '--pictures=6,11')
    assert [row['case'] for row in got] == ['n6_p3_c5', 'n11_p3_c5']
    for row, pairs in zip(got, (15, 55), strict=True):
        rate = 1e3 * pairs / row['median_ms']
        assert row['pairs_per_s'] == pytest.approx(rate, rel=0.1)
        assert row['ratio'] == pytest.approx(
            row['peer_median_ms'] / row['median_ms'], rel=0.1
        )
        assert row['largest_difference'] < 1e-5 and row['peer'] == 'rows'
        share = row['pairs_per_s'] * 15 / row['peak_per_s']
        assert row['peak_share'] == pytest.approx(share, abs=1e-4)


def test_alone_and_as_a_table(capsys):
    (row,) = rows(capsys, '--pictures=6', '--alone', '--clock=cpu')
    assert 'peer' not in row and row['clock'] == 'cpu'
    bench.main([*TINY, '--pictures=6', '--alone'])
    assert 'pairs/s' in capsys.readouterr().out
