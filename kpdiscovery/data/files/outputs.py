"""What our own commands write into folders, so that it is never taken for data."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

POINTS = 'keypoints.csv'  # `kpd predict` begins with this file ...
HEAD = ('file', 'keypoint', 'x', 'y', 'score', 'label', 'valid')
PICTURES = ('overlays', 'masks', 'wanted', 'films')  # ... and draws into these.


def own(folder: Path, folders: Collection[str], files: Collection[str]) -> set[str]:
    """Which sub-directories of a directory are ours: workdirs, and predict's pictures."""
    found = {name for name in folders if is_workdir(folder / name)}
    if POINTS in files and _begins(folder / POINTS, ','.join(HEAD)):
        found |= set(PICTURES) & set(folders)
    return found


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
