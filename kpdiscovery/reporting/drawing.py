"""Keypoints and instances on pictures; needs Pillow and numpy only.

Pictures are uint8 `[H, W, 3]` arrays; functions return new ones. Labels share one
palette everywhere, so a colour means the same label in every picture.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kpdiscovery.types import Keypoints

_NO_LABEL = np.array((150, 150, 150), np.uint8)
_COLORS = 192
_FINE = 4  # Marks are drawn this many times finer, for smooth edges.


@functools.cache
def palette() -> np.ndarray:
    """192 RGB colours, uint8 `[192, 3]`, each far from those before it.

    Farthest points of a grid in OKLab, neither dark nor pale nor grey, so the first n
    are distinct for every n, and a label's colour depends on nothing but its number.
    """
    steps = np.linspace(0, 255, 14)
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), -1).reshape(-1, 3)
    lab = _oklab(rgb / 255)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    keep = (lab[:, 0] > 0.5) & (lab[:, 0] < 0.88) & (chroma > 0.08)
    rgb, lab = rgb[keep], lab[keep]
    chosen = [int(np.abs(rgb - (235, 60, 60)).sum(1).argmin())]
    gap = np.full(len(rgb), np.inf)
    for _ in range(_COLORS - 1):
        gap = np.minimum(gap, ((lab - lab[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(gap.argmax()))
    return np.round(rgb[chosen]).astype(np.uint8)


def colors(labels: Any) -> np.ndarray:
    """uint8 `[..., 3]` colours of integer labels; grey for -1."""
    labels = np.asarray(labels)
    found = palette()[labels % _COLORS]
    return np.where((labels < 0)[..., None], _NO_LABEL, found)


def css(label: int) -> str:
    """A label's colour as '#rrggbb'."""
    return '#' + ''.join(f'{part:02x}' for part in colors(label))


def as_uint8(image: Any) -> np.ndarray:
    """Pictures in [0, 1], or uint8 ones as they are."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    return np.round(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)


def zoom(size: Sequence[int], least: int) -> int:
    """Whole factor that brings the longer side of (H, W) to `least` pixels."""
    return max(1, -(-least // max(size[:2])))


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """`[H, W, ...]` with every pixel a square of `factor` pixels."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def draw_keypoints(
    image: np.ndarray,
    keypoints: Keypoints,
    *,
    scale: int = 1,
    numbers: Sequence[Any] | None = None,
    radius: float | None = None,
) -> np.ndarray:
    """Rings around the valid keypoints of one picture, coloured by label.

    Args:
        keypoints: leaves `[K]`, pixels of `image` before it is scaled.
        scale: the picture is enlarged by this whole factor first.
        numbers: what to write beside each of the K rings.
        radius: of the rings, pixels of the result; by default it suits few keypoints.
    """
    canvas = Image.fromarray(enlarge(as_uint8(image), scale))
    radius = radius or max(5.0, max(canvas.size) / 32)
    texts = (
        [''] * len(keypoints.label) if numbers is None else [str(n) for n in numbers]
    )
    marks = zip(
        keypoints.xy, colors(keypoints.label), texts, keypoints.valid, strict=True
    )
    for xy, color, text, valid in reversed(list(marks)):  # The best on top.
        if valid and np.isfinite(xy).all():
            at = (np.asarray(xy) + 0.5) * scale
            _ring(canvas, at, tuple(color.tolist()), radius)
            _write(canvas, at, text, radius)
    return np.asarray(canvas)


def draw_crosses(image: np.ndarray, xy: np.ndarray, *, scale: int = 1) -> np.ndarray:
    """Small white crosses on a picture that has been enlarged by `scale`.

    Args:
        xy: `[T, 2]` pixels of the picture before it was enlarged.
    """
    canvas = Image.fromarray(as_uint8(image))
    pen, arm = ImageDraw.Draw(canvas), max(3, round(max(canvas.size) / 80))
    kept = np.asarray(xy)[np.isfinite(xy).all(-1)]
    for x, y in np.round((kept + 0.5) * scale).tolist():
        for color, width in (('black', 5), ('white', 2)):
            pen.line((x - arm, y - arm, x + arm, y + arm), fill=color, width=width)
            pen.line((x - arm, y + arm, x + arm, y - arm), fill=color, width=width)
    return np.asarray(canvas)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    scale: int = 1,
    color: tuple[int, int, int] = (255, 255, 255),
) -> np.ndarray:
    """Frames on a picture that has been enlarged by `scale`.

    Args:
        boxes: `[N, 4]` (x0, y0, x1, y1), pixels of the picture before it was enlarged.
    """
    canvas = Image.fromarray(as_uint8(image))
    pen, width = ImageDraw.Draw(canvas), max(2, max(canvas.size) // 120)
    for box in np.round((np.asarray(boxes) + 0.5) * scale).tolist():
        pen.rectangle(box, outline='black', width=width + 2)
        pen.rectangle(box, outline=color, width=width)
    return np.asarray(canvas)


def shine(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A picture `[H, W, 3]`, darkened to a fifth where `weight` `[H, W]` is 0."""
    light = 0.2 + 0.8 * np.clip(np.nan_to_num(weight), 0, 1)
    return as_uint8(as_uint8(image) / 255 * light[..., None])


def draw_instances(
    image: np.ndarray, instances: np.ndarray, labels: np.ndarray, *, opacity: Any = 0.45
) -> np.ndarray:
    """Regions tinted with the colour of their keypoint's label, with a border.

    Args:
        instances: `[H, W]` the keypoint that owns each pixel; -1 is left as it is.
        labels: `[K]`.
        opacity: of the tint, one number or `[H, W]`.
    """
    image, instances = as_uint8(image), np.asarray(instances)
    owner = colors(np.append(labels, -1))[instances]
    opacity = np.asarray(opacity, np.float32)
    strength = np.where(_borders(instances), np.sqrt(opacity), opacity)
    strength = np.where(instances < 0, np.float32(0), strength)[..., None]
    return np.round(image * (1 - strength) + owner * strength).astype(np.uint8)


def certainty(alphas: np.ndarray) -> np.ndarray:
    """How far the largest of shares `[K, H, W]` is above an even split, 0 to 1."""
    even = 1 / len(alphas)
    return np.clip((alphas.max(0) - even) / max(1 - even, 1e-3), 0, 1)


def contact_sheet(
    images: Sequence[np.ndarray], *, columns: int, gap: int = 4, background: int = 255
) -> np.ndarray:
    """Pictures in rows of `columns`, each in a cell that fits the largest."""
    images = [as_uint8(image) for image in images]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    rows = -(-len(images) // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(shape, background, np.uint8)
    for place, image in enumerate(images):
        y, x = (place // columns) * (height + gap), (place % columns) * (width + gap)
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    return sheet


def png(image: np.ndarray, *, optimize: bool = True) -> bytes:
    """`[H, W]` or `[H, W, 3]` as a PNG file; `optimize` takes seconds of large ones."""
    out = io.BytesIO()
    Image.fromarray(as_uint8(image)).save(out, 'PNG', optimize=optimize)
    return out.getvalue()


def jpeg(image: np.ndarray) -> bytes:
    """`[H, W, 3]` as a JPEG file whose thin coloured lines stay sharp."""
    out = io.BytesIO()
    Image.fromarray(as_uint8(image)).save(out, 'JPEG', quality=92, subsampling=0)
    return out.getvalue()


def data_uri(content: bytes, kind: str = 'image/png') -> str:
    """A file's bytes as a URI that holds them."""
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def _ring(canvas, at, color, radius):
    """A ring with a dark edge and a dot, pasted at a sub-pixel position."""
    side = int(2 * radius + 6)
    corner = np.floor(at - side / 2).astype(int)
    middle = (at - corner) * _FINE
    mark = Image.new('RGBA', (side * _FINE,) * 2, (*color, 0))
    pen, thick = ImageDraw.Draw(mark), max(1.5, radius / 2.5)
    for r, fill, width in (
        (radius + 1, (0, 0, 0, 200), thick + 2),
        (radius, (*color, 255), thick),
        (radius / 4, (*color, 255), radius / 4),
    ):
        box = [*(middle - r * _FINE), *(middle + r * _FINE)]
        pen.ellipse(box, outline=fill, width=round(width * _FINE))
    mark = mark.resize((side, side), Image.Resampling.BOX)
    canvas.paste(mark, tuple(corner.tolist()), mark)


def _write(canvas, at, text, radius):
    """Right of the ring, or left of it near the right border."""
    font = ImageFont.load_default(size=max(10, 2 * radius))
    pen, edge = ImageDraw.Draw(canvas), max(1, round(radius / 5))
    gap = radius + edge + 1
    room = canvas.width - at[0] - gap > pen.textlength(text, font)
    place = (at[0] + (gap if room else -gap), at[1])
    pen.text(place, text, 'white', font, anchor='lm' if room else 'rm',
             stroke_width=edge, stroke_fill='black')  # fmt: skip


def _borders(instances):
    """Pixels whose right or lower neighbour belongs to another region."""
    edge = np.zeros(instances.shape, bool)
    edge[:, :-1] |= instances[:, 1:] != instances[:, :-1]
    edge[:-1] |= instances[1:] != instances[:-1]
    return edge


def _oklab(rgb):
    """sRGB in [0, 1] to OKLab [ottosson2020], where distances are as they look."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    cones = linear @ np.array(
        [[0.4122, 0.2119, 0.0883], [0.5363, 0.6807, 0.2817], [0.0514, 0.1074, 0.6300]]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2105, 1.9780, 0.0259],
            [0.7936, -2.4286, 0.7828],
            [-0.0041, 0.4506, -0.8087],
        ]
    )
