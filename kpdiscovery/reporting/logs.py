"""What a workdir's files say about its training and evaluation."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from kpdiscovery.types import UserError

Curves = dict[str, dict[str, dict[int, float]]]  # Phase, scalar, step.
_NOT_SCALARS = ('phase', 'step', 'seconds')


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
    path = pathlib.Path(workdir) / 'metrics.json'
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(
            f'{path} cannot be read ({error}): run kpd evaluate again'
        ) from None


def _lines(workdir):
    path = pathlib.Path(workdir) / 'metrics.jsonl'
    if not path.is_file():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except ValueError:  # Cut short when the run was killed.
            continue
