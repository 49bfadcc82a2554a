"""Benchmarks of clouds of points: rows, figures that follow, and the peer's results."""

import json

import numpy as np
import pytest

from kpdiscovery import bench
from kpdiscovery.bench import points
from kpdiscovery.types import UserError

TINY = ['--rows=60,90', '--channels=4', '--repeats=1', '--json']


def rows(capsys, *arguments):
    assert bench.main([*arguments, *TINY]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def with_faiss(capsys, *arguments):
    pytest.importorskip('faiss', reason='faiss-cpu is not installed (extra: bench)')
    return rows(capsys, *arguments, '--against=faiss')


def test_a_row_a_case(capsys):
    got = rows(capsys, 'kmeans', '--clusters=2,5', '--iterations=2')
    cases = [f'n{n}_d4_k{k}' for n in (60, 90) for k in (2, 5)]
    assert [row['case'] for row in got] == cases
    for row, n in zip(got, (60, 60, 90, 90), strict=True):
        assert (row['name'], row['impl'], row['device']) == ('kmeans', 'auto', 'cpu')
        rate = 1e3 * n / row['median_ms']
        assert row['points_per_s'] == pytest.approx(rate, rel=0.1)
        assert 'peer' not in row and row['roofline_ms'] > 0


def test_kmeans_ends_where_faiss_does(capsys):
    for row in with_faiss(capsys, 'kmeans', '--clusters=3,7', '--iterations=4'):
        assert row['inertia'] == pytest.approx(row['peer_inertia'], rel=1e-4)
        check_ratio(row)


def test_neighbours_are_those_of_faiss(capsys):
    for row in with_faiss(capsys, 'neighbours', '--neighbours=9'):
        assert row['largest_difference'] < 1e-4
        check_ratio(row)


def check_ratio(row):
    """Above 1: ours is faster."""
    assert row['peer'] == 'faiss' and row['peer_version'][0].isdigit()
    ratio = row['peer_median_ms'] / row['median_ms']
    assert row['ratio'] == pytest.approx(ratio, rel=0.1)


def test_the_table_has_a_line_a_case(capsys):
    bench.main(['neighbours', '--neighbours=2', *TINY[:-1]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and 'n60_d4_k2' in lines[0] and 'points/s' in lines[1]


def test_clouds_are_blobs():
    x = points.cloud(2000, 16, seed=3)
    np.testing.assert_array_equal(x, points.cloud(2000, 16, seed=3))
    assert x.dtype == np.float32 and 1.05 < x.var() < 1.13  # 1 + 0.3^2.


def test_a_missing_peer_is_named(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'faiss', None)
    with pytest.raises(UserError, match=r'kpdiscovery\[bench\]'):
        bench.main(['kmeans', '--against=faiss', *TINY])
