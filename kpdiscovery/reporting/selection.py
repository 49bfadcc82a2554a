"""What `kpd select` has found as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COLUMNS = {  # Heading: key, digits after the point.
    'score': ('score', 3), 'follows': ('follows', 3), 'agrees': ('agrees', 3),
    'covers': ('covers', 3), 'distinct': ('distinct', 1), 'warp %': ('warp_error', 2),
    'seeds %': ('seed_distance', 2), 'consistent %': ('seed_consistency', 0),
}  # fmt: skip


def text(result: Mapping[str, Any]) -> str:
    """A line a run, the best score first, and the number of keypoints to take."""
    name = result['labelled_figure']
    columns = {**_COLUMNS, **({name: ('labelled_error', 2)} if name else {})}
    heads = ''.join(f'  {head:>12}' for head in columns)
    lines = [
        f'{result["pictures"]} pictures of split {result["split"]}',
        f'{"keypoints":9} {"seed":>4}{heads}',
    ]
    widths = [max(len(head), 12) for head in columns]
    for row in result['runs']:
        told = (_cell(row[k], digits) for k, digits in columns.values())
        cells = ''.join(f'  {c:>{w}}' for c, w in zip(told, widths, strict=True))
        lines.append(f'{row["num_keypoints"]:9} {row["seed"]:4}{cells}')
    return '\n'.join([*lines, *_ending(result)])


def _ending(result) -> list[str]:
    rank = result['rank_correlation']
    lines = [_recommended(result)]
    if rank is not None:
        lines.append(
            f"Spearman's rank correlation of score and {result['labelled_figure']}: "
            f'{rank:.2f} (-1: the score orders the runs as labels do)'
        )
    return lines


def _recommended(result) -> str:
    count, tried = result['recommended'], {r['num_keypoints'] for r in result['runs']}
    if count is None:
        return 'no score: nothing could be measured'
    most = len(tried) > 1 and count == max(tried)
    return f'recommended: {count} keypoints (highest mean score over seeds)' + (
        ', the most that were tried: more may be better' if most else ''
    )


def _cell(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'
