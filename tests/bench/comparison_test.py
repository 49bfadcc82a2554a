"""Rows of a case: what follows from what, peers, rooflines, compiled for a TPU."""

import argparse
import sys
import types

import jax.numpy as jnp
import pytest

from kpdiscovery.bench import comparison, roofline
from kpdiscovery.types import UserError


def arguments(*given, peers=('torch', 'pot')):
    parser = argparse.ArgumentParser()
    parser.add_argument('--repeats', type=int, default=1)
    comparison.options(parser, peers)
    return parser.parse_args(given)


def case(**more):
    x = jnp.ones((64, 128))
    ours = {'auto': lambda x: x @ x.T, 'reference': lambda x: jnp.inner(x, x)}
    return comparison.Case('n64', (x,), ours, 'points', 64, **more)


@pytest.fixture
def peers(monkeypatch):
    """Two modules, one of which is not there."""
    monkeypatch.setitem(comparison.PEERS, 'torch', 'math')
    monkeypatch.setitem(comparison.PEERS, 'pot', 'no_such_module')


def test_a_row_an_implementation():
    rows = list(comparison.rows(arguments(), 'product', case(bytes=8 * 64 * 128)))
    assert [row['impl'] for row in rows] == ['auto', 'reference']
    for row in rows:
        assert 'peer' not in row and row['clock'] == 'wall'
        assert row['points_per_s'] == pytest.approx(64e3 / row['median_ms'], rel=0.1)
        share = row['roofline_ms'] / row['median_ms']
        assert row['roofline_share'] == pytest.approx(share, abs=1e-2)


def test_the_first_is_timed_beside_peers(peers):
    timed = {'torch': lambda: lambda: 5.0, 'pot': lambda: 1 / 0}
    more = case(peers=timed, compare=lambda a, b: {'sum': float(a.sum()) + b})
    args = arguments('--against=torch')
    first, second = comparison.rows(args, 'product', more)
    assert first['peer'] == 'torch' and first['sum'] == 64 * 64 * 128 + 5
    ratio = first['peer_median_ms'] / first['median_ms']
    assert first['ratio'] == pytest.approx(ratio, abs=1e-2)
    assert 'peer' not in second and 'roofline_ms' not in second
    installed = list(comparison.rows(arguments('--against=installed'), 'product', more))
    assert [row.get('peer') for row in installed] == ['torch', None]


def test_a_missing_peer_is_named(peers):
    args = arguments('--against=pot')
    with pytest.raises(UserError, match=r'--against=pot.*kpdiscovery\[bench\]'):
        list(comparison.rows(args, 'product', case(peers={'pot': lambda: 1 / 0})))


def test_the_slower_ceiling_counts():
    assert roofline.milliseconds(1e9, 1) == 2 * roofline.milliseconds(5e8, 1)
    assert roofline.milliseconds(1, 1e12) == 2 * roofline.milliseconds(1, 5e11)
    assert 10 < roofline.milliseconds(1e9, 0) < 10_000  # 100 GB/s to 100 MB/s.


@pytest.mark.parametrize('backend, device', [('gpu', 'cuda'), ('cpu', 'cpu')])
def test_pytorch_runs_where_jax_does_and_to_its_end(monkeypatch, backend, device):
    calls = []
    cuda = types.SimpleNamespace(
        is_available=lambda: True, synchronize=lambda: calls.append('wait')
    )
    monkeypatch.setitem(sys.modules, 'torch', types.SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(comparison.jax, 'default_backend', lambda: backend)
    assert comparison.torch_device() == device
    assert comparison.finished(lambda: calls.append('work') or 7)() == 7
    assert calls == ['work', 'wait'][: 1 + (device == 'cuda')]
    assert comparison._beside('torch', 1.0, 2.0)['peer_device'] == device
