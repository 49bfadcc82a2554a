"""Pictures in an .npz file: `images`, and whatever else `annotations.npz` may have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from kpdiscovery.data.files import npy
from kpdiscovery.data.formats import frames
from kpdiscovery.types import UserError

Table = dict[str, np.ndarray]


def read(path: Path) -> tuple[Path, Table]:
    """A folder of the pictures, written once into the user's cache, and the other arrays.

    `images` is uint8 `[N, H, W]`, `[N, H, W, 1]` or `[N, H, W, 3]`, or uint16 without the
    three colours; the others are those of `annotations.npz`, a row a picture.

    Raises:
        UserError: not an .npz of plain arrays, no images, or of another kind.
    """
    try:
        with open(path, 'rb') as file:
            arrays = npy.arrays(file)
    except npy.BROKEN as error:
        raise UserError(f'{path}: not an .npz of plain arrays ({error})') from error
    if 'images' not in arrays:
        there = ', '.join(sorted(arrays)) or 'nothing'
        raise UserError(f"{path}: no array 'images' in it, only {there}; of pictures in "
                        'files give the folder')  # fmt: skip
    images = _checked(path, arrays.pop('images'))
    root = frames.folder([path], 'images')
    names = [f'{path.stem}/{number:06}.png' for number in range(len(images))]
    for name, image in zip(names, images, strict=True):
        frames.save_once(root / name, Image.fromarray(image), 'PNG')
    return root, {**arrays, 'files': np.array(names)}


def _checked(path, images):
    """The pictures, greys without an axis of one."""
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    grey = images.ndim == 3
    colours = images.ndim == 4 and images.shape[-1] == 3
    kinds = (np.uint8, np.uint16) if grey else (np.uint8,)
    if not (grey or colours) or images.dtype not in kinds or not images.size:
        raise UserError(
            f'{path}: images must be uint8 [N, H, W, 1 or 3] or uint16 [N, H, W], got '
            f'{images.dtype} {list(images.shape)}'
        )
    return images
