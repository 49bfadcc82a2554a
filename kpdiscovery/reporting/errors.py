"""Errors of landmarks against the annotated points: tables and curves."""

from __future__ import annotations

import numpy as np

from kpdiscovery import metrics
from kpdiscovery.reporting import figures
from kpdiscovery.reporting.page import Figure, Row, Section
from kpdiscovery.reporting.seen import Seen, annotated
from kpdiscovery.types import Split

Tables = dict[str, np.ndarray]  # Those of `metrics.landmark_errors`.
_LINES = {'with bias': '', 'without bias': '_no_bias', 'mean shape': '_mean_shape'}


def measure(seen: Seen, fit: Split | None) -> tuple[Tables, str]:
    """`metrics.landmark_errors`.

    Args:
        fit: training pictures, which the regressors are fitted on.

    Returns:
        The tables and '', or none and the reason.
    """
    if not annotated(seen):
        return {}, 'The pictures have no annotated points.'
    if fit is None or 'keypoints' not in fit.truth:
        return {}, 'There are no training pictures with annotated points.'
    try:
        return metrics.landmark_errors(fit, seen.found), ''
    except ValueError as reason:
        return {}, f'Not measured: {reason}.'


def curves(seen: Seen, fit: Split | None) -> Section:
    """Cumulative errors, forward and backward, over points and over pictures."""
    tables, reason = measure(seen, fit)
    if fit is None or not tables:
        return Section('Errors', 'errors', reason)
    sets = dict.fromkeys(name.rsplit('_', 1)[1] for name in tables)
    rows = [Row(list(_charts(tables, name)), _title(name)) for name in sets]
    note = (
        'Mean error of the best one, the best two and so on, in % of the normaliser: the '
        "named set's length, or the side of the fitted picture. "
        'Forward: annotated points regressed from landmarks; backward: landmarks from '
        f'annotated points. Fitted on {len(fit.truth["keypoints"])} training pictures, measured '
        f'on {len(seen.images)} of {seen.split}: kpd evaluate measures on more.'
    )
    return Section('Errors', 'errors', note, rows=rows)


def _title(points: str) -> str:
    return f'{points.removesuffix("@side")} points'


def _charts(tables, points):
    for way, things in (('forward', 'annotated points'), ('backward', 'landmarks')):
        for over, counted in (('landmarks', things), ('images', 'pictures')):
            lines = _lines(tables, way, points, over)
            if lines:
                uri = figures.lines(lines, x=f'best {counted}', y='mean error, %')
                yield Figure(uri, f'{way}, {counted}', 480)


def _lines(tables, way, points, over):
    found = {}
    for name, setting in _LINES.items():
        table = tables.get(f'{way}_nme{setting}_{points}')
        if table is not None and np.isfinite(table).any():
            found[name] = metrics.cumulative_error(table, over=over)
    return found
