"""Videos as a folder of pictures: cut once, into the user's cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tqdm
from PIL import Image

from kpdiscovery import paths
from kpdiscovery.data import identity
from kpdiscovery.data.files import pictures, reading, videos
from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
MOST = 2_000  # Frames of a video that are taken unless `every` says otherwise.
_BLOCKS = 20  # Of a video: rows of one are never in different splits.
Table = dict[str, np.ndarray]


def cut(films: Sequence[Path], *, every: int = 0) -> tuple[Path, Table]:
    """A folder with a sub-directory a video, NAME/000123.jpg being frame 123, and where
    each picture comes from: `video`, and `identity`, a stretch of the video.

    Neighbouring frames are alike: splits that no file names keep stretches together, a
    twentieth of a video each.

    Args:
        every: frames 0, every, 2 every ...; 0: the least with which `MOST` are left.

    Raises:
        UserError: a video cannot be read, or `every` is negative.
    """
    if every < 0:
        raise UserError(f'data.options.every must be at least 0, got {every}')
    root = folder(films, every)
    names, numbers = [], []
    for place, film in enumerate(tqdm.tqdm(films, unit='video', disable=None)):
        own = names_of(films)[place]
        there = _cut(film, root / own, every)
        names += [f'{own}/{name}' for name in there]
        block = np.arange(len(there)) * _BLOCKS // max(len(there), 1)
        numbers += [(place, place * _BLOCKS + int(one)) for one in block]
    video, stretch = np.array(numbers).T
    return root, {'files': np.array(names), 'video': video, 'identity': stretch}


def cut_numbers(film: Path, numbers: Sequence[int]) -> tuple[Path, list[str]]:
    """A folder with certain frames of one video, rising, and their names."""
    text = ','.join(map(str, numbers))
    root = folder([film], hashlib.sha256(text.encode()).hexdigest()[:8])
    names = [f'{names_of([film])[0]}/{_name(number)}' for number in numbers]
    videos.cut(film, numbers, [root / name for name in names])
    return root, names


def has_pages(path: Path) -> bool:
    """Whether a TIFF has more than one picture; False of a file that is none."""
    try:
        with Image.open(path, formats=['TIFF']) as image:
            return getattr(image, 'n_frames', 1) > 1
    except Exception:  # Pillow's decoders raise a dozen kinds; the reader tells them.
        return False


def cut_pages(path: Path) -> tuple[Path, Table]:
    """A folder of the pages of a TIFF, each as it is, and its stretches as in `cut`.

    Raises:
        UserError: a page cannot be read.
    """
    root = folder([path], 'pages')
    own = names_of([path])[0]
    names = []
    try:
        with Image.open(path, formats=['TIFF']) as image:
            for number in range(image.n_frames):  # type: ignore[attr-defined]
                image.seek(number)
                names.append(f'{own}/{number:06}.tif')
                save_once(root / names[-1], image, 'TIFF')
    except Exception as error:  # Pillow's decoders raise a dozen kinds.
        raise UserError(
            f'{path}: page {len(names)} cannot be read ({error})'
        ) from error
    block = np.arange(len(names)) * _BLOCKS // len(names)
    table = {'video': np.zeros(len(names), int), 'identity': block}
    return root, {'files': np.array(names), **table}


def save_once(path: Path, image: Image.Image, form: str) -> None:
    """A picture file, whole or not at all, unless it is there already."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    image.save(part, format=form)
    os.replace(part, path)


def alone_in(place: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    """The files of one kind, videos say, of a folder without pictures, sorted; [] where
    there are pictures."""
    found = []
    for name in pictures.list_files(place):
        if name.lower().endswith(reading.suffixes()):
            return []
        if is_wanted(name):
            found.append(place / name)
    return sorted(found)


def _cut(film, place, every):
    """Names of the frames of one video; a file beside them says that all are there."""
    done = place / 'frames.json'
    if done.is_file():
        return json.loads(done.read_text())
    step = every or _step(film)
    names = []
    for number, image in videos.frames(film, lambda number: number % step == 0):
        videos.save(place / _name(number), image)
        names.append(_name(number))
    if not names:
        raise UserError(f'{film}: cannot be read as a video')
    paths.write(paths.folder(done), json.dumps(names).encode())
    share = 'every frame' if step == 1 else f'one frame in {step}'
    _log.warning('%s: %s, %d in all, is in %s', film, share, len(names), place)
    return names


def _step(film):
    """By counting: what a video's head says of its length is often wrong."""
    count = sum(1 for _ in videos.numbers(film))
    return max(1, -(-count // MOST))


def _name(number):
    return f'{number:06}.jpg'


def folder(films: Sequence[Path], how: object) -> Path:
    """Where in the cache what is cut of these files goes, whatever their place."""
    told = [identity.of_file(film) if film.is_file() else str(film) for film in films]
    text = '\n'.join([*told, *names_of(films), str(how)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return paths.cache() / 'frames' / digest


def names_of(films: Sequence[Path]) -> list[str]:
    """A directory's name for each file: its own, or with a number where two share it."""
    stems = [os.path.splitext(film.name)[0] for film in films]
    alike = len(set(stems)) < len(stems)
    return [f'{i:03}_{stem}' for i, stem in enumerate(stems)] if alike else stems
