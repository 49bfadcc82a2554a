"""What a workdir's files say about its training and evaluation."""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

import numpy as np

from kpdiscovery import paths
from kpdiscovery.types import UserError

Curves = dict[str, dict[str, dict[int, float]]]  # Phase, scalar, step.
Labels = dict[int, dict[str, np.ndarray]]  # Step, field.
_NOT_SCALARS = (
    'compilations', 'compile_seconds', 'phase', 'seconds', 'step', 'step_ms_50',
    'step_ms_90', 'waiting',
)  # fmt: skip


def read_curves(workdir: str | os.PathLike) -> Curves:
    """Every scalar of metrics.jsonl; the last value of a step that was repeated."""
    curves: Curves = {}
    for line in _lines(workdir):
        phase = curves.setdefault(line['phase'], {})
        for name, value in line.items():
            if name not in _NOT_SCALARS:
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
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(
            f'{path} cannot be read ({error}): run kpd evaluate again'
        ) from None


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
    steps = sorted(int(step) for step, table in tables.items() if table)
    return {step: tables[str(step)] for step in steps}, images


def _label_files(workdir):
    for path in (paths.folder(workdir) / 'labels').glob('*.npz'):
        if path.stem.isdigit() or path.stem == 'images':
            yield path


def _arrays(path):
    """Every array of a file; none of one that was damaged."""
    try:
        with path.open('rb') as file:  # np.load leaves a damaged one open.
            return dict(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}


def _lines(workdir):
    path = paths.folder(workdir) / 'metrics.jsonl'
    if not path.is_file():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except ValueError:  # Cut short when the run was killed.
            continue
