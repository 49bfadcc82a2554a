"""`python -m kpdiscovery.compiled.table ROWS.jsonl`: lines of `kpd compile --json` as a table."""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from kpdiscovery.compiled.costs import Row

_COLUMNS = (
    'config, chips', 'batch', 'program', 'GB a chip', 'ms, estimated', 'TFLOP a chip',
    'without a price', 'MB between chips', 'MB of code', 'compiling, s',
)  # fmt: skip


def markdown(rows: Iterable[Row]) -> Iterator[str]:
    """The lines of a table; of what was compiled twice the last counts."""
    last = {_name(row): row for row in rows}
    yield _line(_COLUMNS)
    yield '|---|' + '---:|' + '---|' + '---:|' * 3 + '---|' + '---:|' * 3
    yield from (_line(_cells(row)) for row in last.values())


def _name(row: Row) -> tuple[str, ...]:
    settings = ' '.join(row.get('settings', ()))
    return row['config'], settings, row['topology'], row['phase'], row['part']


def _cells(row: Row) -> list[str]:
    config, settings, topology, phase, part = _name(row)
    refused = '' if row['fits'] else ' (does not fit)'
    moved = sum(found['bytes'] for found in row.get('collectives', {}).values())
    kinds: collections.Counter[str] = collections.Counter()
    for name, count in row.get('unpriced', {}).items():
        kinds[name.partition(' ')[0]] += count
    return [
        ' '.join(filter(None, [f'{config}, {topology}', settings])),
        str(row['batch_size']),
        f'{phase} {part}',
        f'{row["needed"] / 1e9:.2f}{refused}',
        f'{row["estimated_ms"]:,.1f}' if 'estimated_ms' in row else '',
        f'{row["flops"] / 1e12:.3f}' if 'flops' in row else '',
        ', '.join(f'{kind} x {count:,}' for kind, count in kinds.items()),
        f'{moved / 1e6:,.1f}' if 'collectives' in row else '',
        f'{row["code"] / 1e6:,.0f}' if 'code' in row else '',
        f'{row["compile_s"]:,.0f}' if 'compile_s' in row else '',
    ]


def _line(cells: Iterable[str]) -> str:
    return f'| {" | ".join(cells)} |'


if __name__ == '__main__':
    lines = Path(sys.argv[1]).read_text().splitlines()
    print(*markdown(map(json.loads, lines)), sep='\n')
