"""What a person calls their data: pictures, videos, or annotations of other tools.

`look` turns any of it into a folder or list of pictures and, where there are annotations,
the arrays of `annotations.npz`: one form, which `files.folder.Folder` reads.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpdiscovery.data.files import outputs, videos
from kpdiscovery.data.formats import arrays, coco, deeplabcut, frames, records, sleap
from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
_FEW = 10  # Of more, one a picture perhaps, none is opened.
Place = str | os.PathLike | list[Path]
_SLEAP = ('.h5', '.hdf5', '.slp')


class Found(NamedTuple):
    """Pictures, and what is known of them."""

    path: Place  # For `Folder`.
    table: Mapping[str, np.ndarray] | None = None


def look(path: str | os.PathLike, *, every: int = 0) -> Found:
    """Pictures and annotations of a path.

    - a pattern such as ``DIR/*.jpg``, of pictures or videos;
    - a video, or a folder of videos without pictures: frames are cut into the user's
      cache once (`frames.cut`);
    - a TIFF of several pages: a page a picture (`frames.cut_pages`);
    - FILE.npz with `images` (`arrays.read`);
    - FILE.array_record, or a folder of such files without pictures (`records.read`);
    - FILE.json: COCO keypoints (`coco.read`);
    - a project of DeepLabCut, or a CSV of its labels (`deeplabcut.read`);
    - FILE.h5: an analysis file of SLEAP (`sleap.read`, which tells how FILE.slp
      becomes one);
    - anything else as it is.

    Args:
        every: of videos each so many-th frame; 0: so that `frames.MOST` remain.

    Raises:
        UserError: a file is not what its name says, or an extra is missing.
    """
    name, place = os.fspath(path), Path(path)
    if not os.path.lexists(place) and glob.has_magic(name):
        return _matching(name, every)
    end = place.suffix.lower()
    if place.is_dir():
        return _in_folder(place, every)
    if end == '.json':
        return Found(*coco.read(place))
    if end == '.npz':
        return Found(*arrays.read(place))
    if end == '.csv':
        return Found(*deeplabcut.read(place))
    if end in _SLEAP:
        return Found(*sleap.read(place))
    if end in ('.tif', '.tiff') and frames.has_pages(place):
        return Found(*frames.cut_pages(place))
    if videos.is_video(place):
        return Found(*frames.cut([place], every=every))
    if place.is_file() and records.is_records(place):
        return Found(*records.read([place]))
    return Found(path)


def _matching(pattern, every):
    there = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    if not there:
        raise UserError(f'{pattern}: nothing fits')
    films = [path for path in there if videos.is_video(path)]
    if films and len(films) < len(there):
        raise UserError(f'{pattern}: {len(films)} videos among other files')
    return Found(*frames.cut(films, every=every)) if films else Found(there)


def _in_folder(place, every):
    if (place / 'annotations.npz').is_file():
        return Found(place)
    if deeplabcut.is_project(place):
        return Found(*deeplabcut.read(place))
    if films := frames.alone_in(place, videos.is_video):
        return Found(*frames.cut(films, every=every))
    if files := frames.alone_in(place, records.is_records):
        return Found(*records.read(files))
    _tell_unread(place)
    return Found(place)


def _tell_unread(folder: Path) -> None:
    """Annotations of others that lie beside the pictures are read by their own name."""
    files = [one for one in folder.glob('*.json') if one.name not in outputs.TABLES]
    if len(files) <= _FEW and (found := sorted(filter(coco.begins, files))):
        _log.warning(
            '%s is not read: if it is COCO, give it in place of the folder', found[0]
        )
