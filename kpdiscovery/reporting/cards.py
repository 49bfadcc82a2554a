"""The card of a model that is given away: what it is, how to use it, what was measured."""

from __future__ import annotations

from typing import Any

from kpdiscovery import __version__, inference, version
from kpdiscovery.reporting import measured

_BARS = ' The program does not know what is a bar and what a dark picture.'
_USE = """import jax, numpy as np
model = jax.export.deserialize(bytearray(open('{model}', 'rb').read()))
images = np.zeros((4, {side}, {side}, 3), np.float32)  # RGB in [0, 1], any number of them.
found = model.call(images)  # A dict: xy [4, K, 2] in pixels, score, label, valid, ...
"""


def card(
    trained: inference.Trained, found: dict[str, Any] | None, *, model: str
) -> str:
    """The card in Markdown of the program in a file `model`; `found` is what metrics.json has."""
    config, meta = trained.config, trained.meta
    data, side = config.data, config.data.size
    lines = [
        f'# {config.method.name} on {data.source}',
        f'Keypoints found without keypoint labels, by kpdiscovery {__version__} '
        f'({version.commit() or "no commit"}). Settings: config.json.',
        f'- Pictures: `{data.source}`, {side} x {side} px, resize `{data.resize}`; seed '
        f'{config.seed}; {meta.get("step", 0)} steps of phase {meta.get("phase", "-")}, '
        f'{meta.get("seconds", 0):.0f} s on {meta.get("device", "an unknown device")}.',
        '- Pictures must be fitted like that before (bars black); xy are pixels of the '
        'fitted picture.' + _BARS * ('pixels_valid' in trained.method.batch_fields),
        '- Intended for pictures like those it was trained on; whose they are and their '
        'licence is the business of who trained it.',
        '## Use', f'```python\n{_USE.format(model=model, side=side)}```',
        '## Measured', *_measured(found, trained),
    ]  # fmt: skip
    return '\n\n'.join(lines) + '\n'


def _measured(found, trained):
    if not found:
        return ['Nothing: `kpd evaluate` was not run.']
    head = (f'{found["pictures"]} pictures of split {found["split"]}; what each figure '
            'is: docs of `kpdiscovery.metrics`.')  # fmt: skip
    if older := measured.apart(found, trained.config, trained.meta):
        head = f'Measured {older}. {head}'
    if learnt := found.get('learnt_from'):
        head += f' {learnt} of them are in the training split.'
    cell = lambda value: '-' if value is None else f'{value:.3f}'
    rows = [f'| {name} | {cell(value)} |' for name, value in found['metrics'].items()]
    return [head, '\n'.join(['| figure | value |', '|---|---|', *rows])]
