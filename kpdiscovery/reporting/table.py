"""Figures of an evaluation as lines of text, and in plain words why some are missing."""

from __future__ import annotations

from typing import Any

from kpdiscovery import metrics
from kpdiscovery.metrics import protocols
from kpdiscovery.reporting import logs

_FEW = 10  # Pictures.
_SMALL = ': too few for figures that mean much'
_ASKED = ', as many as evaluation.test wants'
_WORDS = {
    'attributes': 'attributes of objects',
    'boxes': 'object boxes',
    'boxes_valid': 'object boxes',
    'instances': 'masks of each object',
    'keypoints': 'annotated points',
    'label': 'class labels',
    'mask': 'object masks',
    'part_boxes': 'boxes of parts',
    'part_label': 'boxes of parts',
    'visible': 'annotated points',
}


def text(result: dict[str, Any]) -> str:
    """Figures of the trained and the untrained model and of others, a line each."""
    lines = [f'{result["pictures"]} pictures of split {result["split"]}{_of(result)}']
    if result['metrics']:
        lines += _figures(result)
    else:
        words = ', '.join(dict.fromkeys(map(_plain, result['truth'])))
        lines.append(
            f'nothing could be measured: the pictures have {words or "no annotations"}'
        )
    lines += [f'{name:34}   not measured: {_why(name, why, result["truth"])}'
              for name, why in result['skipped'].items()]  # fmt: skip
    if result.get('warning'):
        lines.append(f'warning: {result["warning"]}')
    return '\n'.join(lines)


def _of(result) -> str:
    """What of others a split is, and what it is worth."""
    few, fit = result['pictures'] < _FEW, result.get('fit_pictures', 0)
    names = set(result.get('protocol', ())) - set(result['skipped'])
    fits = fit and any(metrics.PROTOCOLS[name].fits for name in names)
    beside = f', fitted on {fit} of split train' if fits else ''
    asked = (result.get('config') or {}).get('evaluation', {}).get('test', 0)
    return beside + few * (_SMALL + _ASKED * (result['pictures'] == asked))


def _figures(result):
    columns = logs.columns(result)
    widths = [max(len(name) + 2, 11) for name in columns]
    heads = [f'{name:>{width}}' for name, width in zip(columns, widths, strict=True)]
    lines = [f'{"":33}{"".join(heads)}']
    for name in result['metrics']:
        row = (figures.get(name, float('nan')) for figures in columns.values())
        cells = [f'{v:>{width}.3f}' for v, width in zip(row, widths, strict=True)]
        lines.append(f'{name:33}{"".join(cells)}')
    return lines


def _why(name, reason, truth) -> str:
    """In plain words what truth a protocol lacks, or its own reason."""
    lacking = protocols.lacking(metrics.PROTOCOLS[name].truth, truth)
    if not lacking or not reason.startswith('needs truth'):
        return reason
    return f'the pictures have no {", ".join(dict.fromkeys(map(_plain, lacking)))}'


def _plain(need: str) -> str:
    return ' or '.join(_WORDS.get(field, field) for field in need.split(' or '))
