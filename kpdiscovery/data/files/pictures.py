"""Picture files: which there are in a folder, and masks beside them.

    FOLDER/bird/1.jpg        a picture
    FOLDER/masks/bird/1.png  its mask, by convention: no picture of the data set

`masks/` is a folder of pictures like any other where none of its files fits a picture
outside it.
"""

from __future__ import annotations

import collections
import logging
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from kpdiscovery.data.files import outputs, reading
from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
MASKS = 'masks'
_NOTES = (  # Endings of files nobody takes for pictures.
    '', '.npz', '.json', '.csv', '.txt', '.md', '.xml', '.yaml', '.yml', '.html',
)  # fmt: skip


def list_images(
    path: str | os.PathLike | Sequence[str | os.PathLike],
) -> tuple[Path, list[str]]:
    """A root directory and the names of its pictures, '/' between directories.

    What looks like none is counted in a line of the log; what our own commands wrote
    (`outputs`) is passed over.

    Raises:
        UserError: no such path, or a directory without pictures.
    """
    if not isinstance(path, (str, os.PathLike)):
        return _listed(path)
    root = Path(path)
    if root.is_file() or (root.is_symlink() and not root.exists()):
        return root.parent, [root.name]  # Of a broken link the reader will tell.
    if not root.is_dir():
        raise UserError(f'{root}: no such file or directory')
    files = sorted(list_files(root))
    names = _without_masks([name for name in files if _is_picture(name)])
    others = _others(name for name in files if not _is_picture(name))
    if not names:
        ends = ' '.join(reading.suffixes())
        raise UserError(f'{root}: no pictures in it ({ends}){others and "; " + others}')
    if others:
        _log.warning('%s: left out, since not read here: %s', root, others)
    return root, names


def list_files(root: Path) -> Iterator[str]:
    """Names of all files, masks included; nothing hidden and nothing of our own."""
    for folder, folders, files in os.walk(root):
        ours = outputs.own(Path(folder), folders, files)
        folders[:] = [n for n in folders if not (_hidden(n) or n in ours)]
        for name in files:
            if not _hidden(name):
                yield (Path(folder) / name).relative_to(root).as_posix()


def by_value(name: str) -> list[int | str]:
    """Sorts names of frames with their numbers as numbers; text and digits take turns."""
    parts = re.split(r'(\d+)', name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def mask_name(name: str) -> str:
    """Where the mask of a picture is by convention, both below the folder."""
    return f'{MASKS}/{posixpath.splitext(name)[0]}.png'


def _listed(paths):
    """Directories are resolved, so that a picture has one name; links stay links."""
    found = [Path(path) for path in paths]
    missing = [str(path) for path in found if not os.path.lexists(path)]
    if missing or not found:
        raise UserError(f'no such picture: {", ".join(missing[:3]) or "empty list"}')
    names = [(path.parent.resolve() / path.name).as_posix() for path in found]
    root = os.path.commonpath([os.path.dirname(name) for name in names])
    return Path(root), [Path(n).relative_to(root).as_posix() for n in names]


def _is_picture(name):
    return name.lower().endswith(reading.suffixes())


def _others(names):
    """'12 .heic, 3 .mp4' of file names, the most first."""
    ends = collections.Counter(posixpath.splitext(name)[1].lower() for name in names)
    return ', '.join(
        f'{count} {end}' for end, count in ends.most_common() if end not in _NOTES
    )


def _hidden(name):
    return name.startswith('.') or name == '__MACOSX'


def _without_masks(names):
    inside = {name for name in names if name.startswith(f'{MASKS}/')}
    outside = [name for name in names if name not in inside]
    return outside if inside & set(map(mask_name, outside)) else names
