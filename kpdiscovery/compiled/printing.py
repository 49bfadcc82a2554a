"""Rows of `compiled.costs` as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kpdiscovery.compiled.costs import Row

_LINES = 5  # Of ours that are printed of a program.


def lines(row: Row) -> Iterator[str]:
    """A program in a few lines."""
    head = f'{row["phase"]} {row["part"]}'
    if 'arguments' not in row:
        yield f'{head}: does not fit: {_size(row["needed"])} of {_size(row["memory"])}'
        return
    verdict = 'fits' if row['fits'] else 'does not fit'
    parts = ', '.join(f'{name} {_size(row[name])}' for name in
                      ('arguments', 'temporary', 'code', 'beside') if row[name] > 0)  # fmt: skip
    yield f'{head}: {verdict}: {_size(row["needed"])} of {_size(row["memory"])} ({parts})'
    yield f'  {_work(row)}'
    if row['to_reuse']:
        yield f'  {_donated(row)}'
    if batch := row.get('largest_batch'):
        yield f'  batches of up to {batch:,} fit, by a line through two'
    if unpriced := row.get('unpriced'):
        yield f'  without a price: {_first(unpriced)}'
    if collectives := row.get('collectives'):
        each = (f'{kind} x {found["times"]} ({found["bytes"] / 1e6:,.1f} MB)'
                for kind, found in sorted(collectives.items()))  # fmt: skip
        yield f'  between chips: {", ".join(each)}'
    for name, ms in list(row.get('lines_ms', {}).items())[:_LINES]:
        yield f'  {ms:10,.2f} ms  {name or "elsewhere"}'


def verdict(rows: Sequence[Row]) -> str:
    """Of all programs of a run: whether it fits, and by which."""
    largest = max(rows, key=lambda row: row['needed'])
    of = f'{largest["phase"]} {largest["part"]}'
    seconds = sum(row.get('compile_s', 0) for row in rows)
    fits = 'fits' if largest['fits'] else 'DOES NOT FIT'
    return (
        f'{fits}: at most {_size(largest["needed"])} of {_size(largest["memory"])} a chip, in '
        f'{of}; compiled in {seconds:,.0f} s of a processor'
    )


def _work(row: Row) -> str:
    time = f'{row["estimated_ms"]:,.1f} ms estimated' if 'estimated_ms' in row else (
        'no estimate: jax cannot print this program')  # fmt: skip
    return (
        f'{time}; {row["flops"] / 1e12:,.3f} TFLOP, {row["bytes"] / 1e9:,.2f} GB moved; '
        f'compiled in {row["compile_s"]:,.0f} s'
    )


def _donated(row: Row) -> str:
    share = min(1.0, row['reused'] / row['to_reuse'])
    text = f'{_size(row["reused"])} of memory used again'
    return (
        text if share > 0.9 else f'{text}, of {_size(row["to_reuse"])}: DONATION FAILED'
    )


def _first(counts: Mapping[str, int]) -> str:
    named = [f'{name} x {count:,}' for name, count in list(counts.items())[:_LINES]]
    more = len(counts) - len(named)
    return ', '.join(named) + (f' and {more} more' if more else '')


def _size(size: float) -> str:
    return f'{size / 1e9:,.2f} GB' if size >= 1e9 else f'{size / 1e6:,.1f} MB'
