"""The card of a model that is given away: what it is, how to use it, what was measured."""

from __future__ import annotations

from typing import Any

from kpdiscovery import __version__, inference, version
from kpdiscovery.data import box_crops
from kpdiscovery.reporting import measured

_BARS = ' The program does not know what is a bar and what a dark picture.'
_USE = """import pathlib
import jax, jax.export, numpy as np
from PIL import Image, ImageOps

model = jax.export.deserialize(bytearray(pathlib.Path('{model}').read_bytes()))
picture = ImageOps.exif_transpose(Image.open('picture.jpg')).convert('RGB')
sides, side = np.array(picture.size), {side}
{fit}
found = model.call(images)  # A dict of arrays [1, ...]; any number of pictures at once.
xy = (found['xy'] + 0.5 - edge) / scale - 0.5  # [1, K, 2] pixels of the picture,
inside = ((xy >= -0.5) & (xy <= sides - 0.5)).all(axis=-1)  # and not of a bar beside it.
valid = found['valid'] & inside  # [1, K]: the others do not count.
"""
_CUT = """scale = {scale}
edge = (side - sides * scale) / 2  # Below 0: cut off.
kept = (*np.maximum(-edge / scale, 0), *np.minimum((side - edge) / scale, sides))
small = picture.resize((side, side), Image.Resampling.{method}, kept, reducing_gap=3)
images = np.asarray(small, np.float32)[None] / 255  # [1, side, side, 3] in [0, 1]."""
_PAD = """small = np.clip(np.round(sides * (side / sides).min()), 1, side).astype(int)
scale, edge = small / sides, (side - small) // 2
images = np.zeros((1, side, side, 3), np.float32)  # [1, side, side, 3] in [0, 1].
(x0, y0), (x1, y1) = edge, edge + small
small = picture.resize(small.tolist(), Image.Resampling.{method}, reducing_gap=3)
images[0, y0:y1, x0:x1] = np.asarray(small, np.float32) / 255"""
_BOXED = """# First cut it to the object's box, a square with {margin} of its longer side around.
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
        '- Pictures must be fitted like that before (bars black), as the lines below do; xy '
        'are pixels of the fitted picture, `score` is how sure the method is on a scale of '
        'its own, and points that are not `valid` do not count. Transparent pixels (white in '
        'training) and pictures of 16 bits are not looked after here.'
        + _BARS * ('pixels_valid' in trained.method.batch_fields),
        '- Intended for pictures like those it was trained on; whose they are and their '
        'licence is the business of who trained it.',
        '## Use', f'```python\n{_USE.format(model=model, side=side, fit=_fit(data))}```',
        '## Measured', *_measured(found, trained),
    ]  # fmt: skip
    return '\n\n'.join(lines) + '\n'


def _fit(data: Any) -> str:
    """Lines that fit a picture as `data.resize.fit_image` does."""
    how, margin = data.resize, box_crops.margin_of(data.resize)
    method = data.get('options', {}).get('method', 'bilinear').upper()
    if how == 'pad':
        return _PAD.format(method=method)
    if how.startswith('crop'):
        share = float(how.partition(':')[2] or 1)
        scale = f'np.full(2, (side / sides).max() / {share})'
        return _CUT.format(scale=scale, method=method)
    first = '' if margin is None else _BOXED.format(margin=margin)
    return first + _CUT.format(scale='side / sides', method=method)


def _measured(found, trained):
    if not found:
        return ['Nothing: `kpd evaluate` was not run.']
    head = (f'{found["pictures"]} pictures of split {found["split"]}; what each figure '
            'is: docs/figures.md of kpdiscovery.')  # fmt: skip
    if older := measured.apart(found, trained.config, trained.meta):
        head = f'Measured {older}. {head}'
    if learnt := found.get('learnt_from'):
        head += f' {learnt} of them are in the training split.'
    cell = lambda value: '-' if value is None else f'{value:.3f}'
    rows = [f'| {name} | {cell(value)} |' for name, value in found['metrics'].items()]
    return [head, '\n'.join(['| figure | value |', '|---|---|', *rows])]
