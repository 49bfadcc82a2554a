"""Picture files: which there are in a folder, how one is read, and masks beside them.

    FOLDER/bird/1.jpg        a picture
    FOLDER/masks/bird/1.png  its mask, by convention: no picture of the data set

`masks/` is a folder of pictures like any other where none of its files fits a picture
outside it.
"""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
MASKS = 'masks'
# What such names really contain. A closed list, since Pillow would run Ghostscript on
# PostScript whatever the name.
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF')


def list_images(
    path: str | os.PathLike | Sequence[str | os.PathLike],
) -> tuple[Path, list[str]]:
    """A root directory and the names of its pictures, '/' between directories.

    Raises:
        UserError: no such path, or a directory without pictures.
    """
    if not isinstance(path, (str, os.PathLike)):
        return _listed(path)
    root = Path(path)
    if root.is_file():
        return root.parent, [root.name]
    if not root.is_dir():
        raise UserError(f'{root}: no such file or directory')
    names = _without_masks(sorted(list_files(root)))
    if not names:
        raise UserError(f'{root}: no pictures in it ({", ".join(SUFFIXES)})')
    return root, names


def list_files(root: Path) -> Iterator[str]:
    """Names of all that looks like a picture, masks included; nothing hidden."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in files:
            if not _hidden(name) and name.lower().endswith(SUFFIXES):
                yield (Path(folder) / name).relative_to(root).as_posix()


def mask_name(name: str) -> str:
    """Where the mask of a picture is by convention, both below the folder."""
    return f'{MASKS}/{posixpath.splitext(name)[0]}.png'


def read_image(path: str | os.PathLike) -> Image.Image:
    """One picture, RGB and upright, with its first frame if it has several.

    Its EXIF orientation is applied; transparent parts become white, as on a page;
    16-bit greys are scaled so that 65535 is white.

    Raises:
        UserError: it cannot be read; names the file.
    """
    return _read(path, 'a picture', _rgb)


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """The mask in a picture file, `[H0, W0]` bool, upright; see `foreground`.

    Colours count by how light they are; transparency is ignored.

    Raises:
        UserError: it cannot be read; names the file.
    """
    grey = _read(path, 'a mask', lambda image: _eight_bits(image).convert('L'))
    return foreground(np.asarray(grey))


def foreground(grey: np.ndarray) -> np.ndarray:
    """Where uint8 values are above half of full scale: 255, or 1 where none exceeds it."""
    return grey > (127 if grey.max(initial=0) > 1 else 0)


def _read(path, kind, convert):
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
            return convert(_upright(image))
    except Exception as error:  # Pillow's decoders raise a dozen kinds.
        raise UserError(f'{path}: cannot be read as {kind} ({error})') from error


def _upright(image):
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # A broken note must not cost the picture.
        _log.info('%s: orientation not read (%s)', image.filename, error)
    return image


def _rgb(image):
    image = _eight_bits(image)
    if image.has_transparency_data:
        page = Image.new('RGBA', image.size, 'white')
        return Image.alpha_composite(page, image.convert('RGBA')).convert('RGB')
    return image.convert('RGB')


def _eight_bits(image):
    if not image.mode.startswith('I'):
        return image
    # 16-bit grey, in one of Pillow's several modes.
    grey = np.clip(np.round(np.asarray(image) / 257), 0, 255).astype(np.uint8)
    return Image.fromarray(grey)


def _listed(paths):
    names = [Path(path).absolute().as_posix() for path in paths]
    missing = [name for name in names if not Path(name).is_file()]
    if missing or not names:
        raise UserError(f'no such picture: {", ".join(missing[:3]) or "empty list"}')
    root = os.path.commonpath([os.path.dirname(name) for name in names])
    return Path(root), [Path(n).relative_to(root).as_posix() for n in names]


def _hidden(name):
    return name.startswith('.') or name == '__MACOSX'


def _without_masks(names):
    inside = {name for name in names if name.startswith(f'{MASKS}/')}
    outside = [name for name in names if name not in inside]
    return outside if inside & set(map(mask_name, outside)) else names
