"""What our own commands write into folders, so that it is never taken for data."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

POINTS = 'keypoints.csv'  # `kpd predict` begins with this file ...
HEAD = ('file', 'keypoint', 'x', 'y', 'score', 'label', 'valid')
PICTURES = ('overlays', 'masks', 'wanted', 'films')  # ... and draws into these.
TABLES = (
    POINTS, 'keypoints.json', 'boxes.csv', 'deeplabcut.csv', 'wanted.csv', 'wanted.json',
)  # fmt: skip


def own(folder: Path, folders: Collection[str], files: Collection[str]) -> set[str]:
    """Which sub-directories of a directory are ours: workdirs, and predict's pictures."""
    found = {name for name in folders if is_workdir(folder / name)}
    if POINTS in files and is_predicted(folder):
        found |= set(PICTURES) & set(folders)
    return found


def is_predicted(folder: Path) -> bool:
    """Whether `kpd predict` has written there."""
    return _begins(folder / POINTS, ','.join(HEAD))


def times(folder: Path) -> dict[Path, int]:
    """When each file of `kpd predict` was written, in nanoseconds."""
    files = [folder / name for name in TABLES]
    files += [path for name in PICTURES for path in (folder / name).rglob('*')]
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


def is_workdir(path: Path) -> bool:
    """Whether a run is written there."""
    config = path / 'config.json'  # The log is there before the first checkpoint.
    known = _begins(config, '{') or _begins(path / 'metrics.jsonl', '{"phase"')
    return (path / 'checkpoints').is_dir() and known


def _begins(path: Path, text: str) -> bool:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(len(text)) == text
    except OSError:
        return False
