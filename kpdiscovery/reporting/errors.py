"""Errors of landmarks against the annotated points: curves, and the worst pictures."""

from __future__ import annotations

import numpy as np

from kpdiscovery import inference, metrics
from kpdiscovery.metrics.landmarks.errors import mean_measured
from kpdiscovery.reporting import figures
from kpdiscovery.reporting.page import Figure, Row, Section, picture
from kpdiscovery.reporting.seen import Run, Seen, annotated, beside_truth
from kpdiscovery.types import UserError

Tables = dict[str, np.ndarray]  # Those of `metrics.landmark_errors`.
_LINES = {'with bias': '', 'without bias': '_no_bias', 'mean shape': '_mean_shape'}
_WORST = 8


def measure(seen: Seen, run: Run) -> tuple[Tables, str]:
    """`metrics.landmark_errors`, regressors fitted on as many training pictures.

    Returns:
        The tables and '', or none and the reason.
    """
    if not annotated(seen):
        return {}, 'The pictures have no annotated points.'
    if not seen.found.landmarks:
        return {}, 'data.landmarks does not name the set of the annotated points.'
    size = seen.trained.config.evaluation.batch_size
    try:
        source, count = run.training(), len(seen.images)
        fit = inference.predict_rows(seen.trained, source, count, batch_size=size)
        if 'keypoints' not in fit.truth:
            return {}, 'The training pictures have no annotated points.'
        return metrics.landmark_errors(fit, seen.found), ''
    except (ValueError, UserError) as reason:
        return {}, f'Not measured: {reason}.'


def curves(seen: Seen, tables: Tables, reason: str) -> Section:
    """Cumulative errors, forward and backward, over points and over pictures."""
    if not tables:
        return Section('Errors', 'errors', reason)
    sets = dict.fromkeys(name.rsplit('_', 1)[1] for name in tables)
    rows = [Row(list(_charts(tables, points)), f'{points} points') for points in sets]
    note = (
        'Mean error of the best one, the best two and so on, in % of the normaliser. '
        'Forward: annotated points regressed from landmarks; backward: landmarks from '
        f'annotated points. Fitted on {len(seen.images)} training pictures, measured on '
        f'{len(seen.images)} of {seen.split}: kpd evaluate measures on more.'
    )
    return Section('Errors', 'errors', note, rows=rows)


def worst(seen: Seen, tables: Tables, reason: str) -> Section:
    """The pictures with the largest forward error."""
    if not tables:
        return Section('Worst pictures', 'worst', reason)
    name, errors = next(iter(tables.items()))
    means = mean_measured(errors.T)
    order = np.argsort(-np.nan_to_num(means, nan=-1), kind='stable')[:_WORST]
    shown = [i for i in order if np.isfinite(means[i])]
    row = Row([picture(beside_truth(seen, i), f'{seen.names[i]}: {means[i]:.1f} %',
                       width=240) for i in shown])  # fmt: skip
    note = f'The largest {name} of {np.isfinite(means).sum()} pictures; crosses: truth.'
    return Section('Worst pictures', 'worst', note, rows=[row])


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
