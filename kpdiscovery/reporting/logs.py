"""What a workdir's files say about its training and evaluation."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from kpdiscovery import paths
from kpdiscovery.data.files import npy
from kpdiscovery.types import UserError

Curves = dict[str, dict[str, dict[int, float]]]  # Phase, scalar, step.
Labels = dict[int, dict[str, np.ndarray]]  # Step, field.
_NOT_SCALARS = (
    'compilations', 'compile_seconds', 'phase', 'seconds', 'step', 'step_ms_50',
    'step_ms_90', 'waiting',
)  # fmt: skip


def read_curves(workdir: str | os.PathLike) -> Curves:
    """Every scalar of metrics.jsonl; the last value of a step that was repeated.

    Lines that no `training.logs.Log` writes, or not as a whole, are passed over.
    """
    curves: Curves = {}
    for line in _lines(workdir):
        phase = curves.setdefault(line['phase'], {})
        for name, value in line.items():
            if name not in _NOT_SCALARS and _is_number(value):
                phase.setdefault(name, {})[line['step']] = value
    return {
        phase: {
            name: dict(sorted(steps.items())) for name, steps in sorted(scalars.items())
        }
        for phase, scalars in curves.items()
    }


def read_metrics(workdir: str | os.PathLike) -> dict[str, Any] | None:
    """The content of metrics.json; None before `kpd evaluate`."""
    path = paths.folder(workdir) / 'metrics.json'
    try:
        return _checked(paths.read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f'{path} cannot be read ({error}): run kpd evaluate again'
        ) from None


def _checked(metrics):
    others = metrics.get('baselines', {})
    named = (others, metrics.get('skipped'))
    figures = [metrics.get(name) for name in ('metrics', 'untrained', 'generic')]
    kinds = isinstance(others, dict) and all(map(_is_table, named))
    if not (kinds and all(map(_is_figures, [*figures, *others.values()]))):
        raise ValueError('not what it writes')
    return metrics


def _is_table(value):
    return value is None or isinstance(value, dict)


def _is_figures(value):
    return _is_table(value) and all(
        figure is None or _is_number(figure) for figure in (value or {}).values()
    )


def _is_number(value):
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)


def columns(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The figures of metrics.json under the names of those they are of."""
    others = {
        'untrained': metrics.get('untrained'),
        **metrics.get('baselines', {}),
        'generic': metrics.get('generic'),
    }
    told = {name: figures for name, figures in others.items() if figures}
    return {'trained': metrics.get('metrics', {}), **told}


def read_labels(workdir: str | os.PathLike) -> tuple[Labels, np.ndarray | None]:
    """The first rows of the pseudo-labels by step, and the pictures of these rows.

    Empty and None where no sweep has left any.
    """
    tables = {path.stem: _arrays(path) for path in _label_files(workdir)}
    images = tables.pop('images', {}).get('image')
    steps = {int(step): table for step, table in tables.items() if table}
    return dict(sorted(steps.items())), images


def _label_files(workdir):
    for path in (paths.folder(workdir) / 'labels').glob('*.npz'):
        if path.stem.isdecimal() or path.stem == 'images':
            yield path


def _arrays(path):
    """Every array of a file; none of one that was damaged."""
    try:
        with path.open('rb') as file:
            return npy.arrays(file)
    except npy.BROKEN:
        return {}


def _lines(workdir):
    path = paths.folder(workdir) / 'metrics.jsonl'
    if not path.is_file():
        return
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):  # Cut short when the run was killed.
            continue
        if _is_line(line):
            yield line


def _is_line(found):
    named = isinstance(found, dict) and isinstance(found.get('phase'), str)
    return named and _is_number(found.get('step'))
