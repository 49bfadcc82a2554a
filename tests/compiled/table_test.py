"""Rows of `kpd compile --json` as a table."""

from kpdiscovery.compiled import table

ROW = {
    'config': 'tusk/clevr6', 'settings': ['method.remat=True'], 'topology': 'v5e:2x2',
    'phase': 'train', 'part': 'step', 'batch_size': 64, 'fits': True, 'needed': 4.99e9,
    'estimated_ms': 1234.56, 'flops': 2e12, 'code': 169e6, 'compile_s': 471.2,
    'unpriced': {'gather ops/warps.py:3': 8, 'gather': 2, 'sort ops/warps.py:9': 1},
    'collectives': {'all-reduce': {'times': 1, 'bytes': 15_700_000},
                    'all-gather': {'times': 1, 'bytes': 100_000}},
}  # fmt: skip


def test_a_row_a_program_the_last_of_each():
    first = {**ROW, 'needed': 1e9}
    refused = {name: ROW[name] for name in (
        'config', 'topology', 'phase', 'part', 'batch_size', 'needed')}  # fmt: skip
    _, _, row, other = table.markdown([first, {**refused, 'fits': False}, ROW])
    assert row == (
        '| tusk/clevr6, v5e:2x2 method.remat=True | 64 | train step | 4.99 | 1,234.6 | '
        '2.000 | gather x 10, sort x 1 | 15.8 | 169 | 471 |'
    )
    assert other == (
        '| tusk/clevr6, v5e:2x2 | 64 | train step | 4.99 (does not fit) |  |  |  |  |  |  |'
    )
