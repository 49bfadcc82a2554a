"""One picture file as pixels: RGB, upright, 8 bits."""

from __future__ import annotations

import functools
import logging
import math
import os
import threading
import warnings
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from kpdiscovery.data.files import npy
from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
CONTRASTS = ('full', 'range')
MEGAPIXELS = 179  # Where Pillow suspects an attack: twice its MAX_IMAGE_PIXELS.
# A closed list, since Pillow would run Ghostscript on PostScript whatever the name.
FORMATS = {
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'PNG': ('.png', '.apng'),
    'WEBP': ('.webp',),
    'BMP': ('.bmp', '.dib'),
    'GIF': ('.gif',),
    'TIFF': ('.tif', '.tiff'),
    'AVIF': ('.avif',),
    'JPEG2000': ('.jp2', '.j2k', '.jpx'),
    'PPM': ('.ppm', '.pgm', '.pbm', '.pnm'),
    'TGA': ('.tga',),
}
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # EXIF: sides change places.
_ONE = threading.Lock()


class Picture(NamedTuple):
    """A picture, perhaps decoded at a fraction of its size."""

    image: Image.Image  # RGB.
    original: tuple[int, int]  # (W0, H0) of the upright picture in the file.
    deep: bool  # More than 8 bits in the file.


@functools.cache
def suffixes() -> tuple[str, ...]:
    """Endings of the files that are read here: AVIF, say, not by every Pillow."""
    known = Image.registered_extensions()
    return tuple(end for ends in FORMATS.values() for end in ends if end in known)


def check_options(contrast: str, megapixels: float) -> None:
    """Of `read_picture`, before many are read; UserError where they cannot be."""
    if contrast not in CONTRASTS:
        raise UserError(
            f'data.options.contrast must be one of {CONTRASTS}, got {contrast!r}'
        )
    if not isinstance(megapixels, (int, float)) or not megapixels > 0:
        raise UserError(
            f'data.options.megapixels must be a number above 0, got {megapixels!r}'
        )


def read_image(path: str | os.PathLike, **options: Any) -> Image.Image:
    """The image of `read_picture`."""
    return read_picture(path, **options).image


def read_picture(
    path: str | os.PathLike,
    *,
    contrast: str = 'full',
    megapixels: float = MEGAPIXELS,
    least: int = 0,
) -> Picture:
    """One picture, RGB and upright, with its first frame if it has several.

    Its EXIF orientation is applied; transparent parts become white, as on a page.

    Args:
        contrast: 'full': 8 bits as they are, 16-bit greys so that 65535 is white;
            'range': lowest to highest value of each picture from black to white.
            Pictures of floats, which have no full scale, always take the latter.
        megapixels: larger pictures are decoded at a half, a quarter or an eighth of
            their size where the format can (JPEG), and refused where it cannot.
        least: the shorter side needs no more pixels: a fraction is decoded; 0: it does.

    Raises:
        UserError: it cannot be read; names the file.
    """
    convert = lambda image: _rgb(image, contrast)
    return Picture(*decode(path, 'a picture', convert, megapixels, least))


def decode(path, kind, convert, megapixels=MEGAPIXELS, least=0):
    """`convert` of an upright image, its (W0, H0) in the file, and whether it is deep."""
    try:
        with _open(path) as image:
            size, deep = image.size, _is_deep(image)
            _shrink(image, megapixels, least)
            _limit(image, megapixels, os.path.getsize(path))
            image.load()
            original = size[::-1] if _upright(image) else size
            return convert(image), original, deep
    except Exception as error:  # Pillow's decoders raise a dozen kinds.
        raise UserError(f'{path}: cannot be read as {kind} ({error})') from error


def eight_bits(image: Image.Image, contrast: str = 'full') -> Image.Image:
    """The image with 8 bits a value; see `read_picture`."""
    deep = image.mode.startswith(('I', 'F'))
    if contrast == 'full' and not deep:
        return image
    values = np.asarray(image if deep else image.convert('RGB'), np.float32)
    low, high = 0.0, 65535.0
    if contrast == 'range' or image.mode == 'F':
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    share = np.nan_to_num((values - low) / max(high - low, 1e-30))
    return Image.fromarray(np.round(255 * np.clip(share, 0, 1)).astype(np.uint8))


def _rgb(image, contrast):
    image = eight_bits(image, 'full' if image.has_transparency_data else contrast)
    if image.has_transparency_data:
        page = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(page, image.convert('RGBA')).convert('RGB')
        image = eight_bits(image, contrast)
    return image.convert('RGB')


def _open(path):
    formats = [name for name in FORMATS if name in _registered()]
    try:
        return Image.open(path, formats=formats)
    except Image.DecompressionBombError:  # How much is too much is ours to say.
        with _ONE, warnings.catch_warnings():
            most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(path, formats=formats)
            finally:
                Image.MAX_IMAGE_PIXELS = most


@functools.cache
def _registered():
    Image.init()
    return frozenset(Image.OPEN)


def _shrink(image, megapixels, least):
    """Lets JPEG decode the least fraction that is enough, or the largest allowed."""
    w, h = image.size
    few = [f for f in (2, 4, 8) if least and min(w, h) >= f * least]
    small = [f for f in (2, 4, 8) if w * h / f**2 <= 1e6 * megapixels]
    needed = 1 if w * h <= 1e6 * megapixels else min(small, default=8)
    if (factor := max(needed, *few, 1)) > 1:
        image.draft(image.mode, (w // factor, h // factor))


def _limit(image, megapixels, stored):
    pixels = math.prod(image.size)
    npy.check_growth(pixels * len(image.getbands()), stored)
    got = pixels / 1e6
    if got > megapixels:
        raise ValueError(
            f'it has {got:.4g} megapixels, of at most {megapixels}: '
            f'--config.data.options.megapixels={-(-got // 1):.0f} allows it'
        )


def _is_deep(image):
    """Of 16 bits, which Pillow cuts to 8 of the colours in a PNG."""
    tile = image.tile[0].args if image.tile else ''
    raw = tile if isinstance(tile, str) else next(iter(tile or ['']), '')
    return image.mode.startswith(('I', 'F')) or ';16' in str(raw)


def _upright(image):
    """Turns it as its EXIF says; whether the sides change places."""
    try:
        turned = image.getexif().get(_ORIENTATION) in _SIDEWAYS
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # A broken note must not cost the picture.
        _log.info('%s: orientation not read (%s)', image.filename, error)
        return False
    return turned
