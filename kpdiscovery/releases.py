"""What `kpd doctor --data=NAME --root=DIR` finds out about official files."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from kpdiscovery import config, machine
from kpdiscovery.data import official
from kpdiscovery.data.files.reading import read_image
from kpdiscovery.data.official.release import Clip, Part, Release, Table
from kpdiscovery.machine import ABSENT, MISSING, OK, Check, Finding, Result

_LOOKED_AT = 5  # Pictures that are opened.
_SPLITS = ('train', 'validation', 'test')


def examine(name: str, root: str) -> list[Result]:
    """Facts of a release, its parts, and whether they fit each other."""
    release, place = official.named(name), pathlib.Path(root).expanduser()
    found: list[Result] = [
        ('release', Finding(OK, f'{release.name}: {release.title}')),
        ('origin', Finding(OK, release.origin)),
        ('licence', Finding(OK, release.licence)),
        *(('derived', Finding(OK, line)) for line in release.derived),
        ('adapter', Finding(ABSENT, 'not tried on the official files yet')),
    ]
    if not place.is_dir():
        return [*found, ('root', Finding(MISSING, f'no folder {root}', '--root=DIR'))]
    found += [('part', _part(release, part, place)) for part in release.parts]
    if official.lacking(release, place):
        return found
    found += machine.run(_checks(release, place))
    return found


def conclusion(name: str, root: str, complete: bool) -> str:
    """The last line: ready, or what to do."""
    release = official.named(name)
    if not complete:
        return f'not ready: get what is missing from its owners ({release.origin})'
    if release.clips:
        return (
            f'ready: kpd convert {name} --root={root} --out=FOLDER, then --data=FOLDER'
        )
    configs = [c for c in config.names() if config.load(c).data.get('release') == name]
    said = ' or '.join(configs) or f'a config with --config.data.release={name}'
    more = f' --config.data.resize={release.resize}' if release.resize else ''
    return f'ready: --data={root} with --config={said}{more}'


def _part(release: Release, part: Part, root: pathlib.Path) -> Finding:
    place = official.find(root, part.name, release.folder)
    if place:
        return Finding(OK, f'{place}: {part.what}')
    state = MISSING if part.needed else ABSENT
    return Finding(state, f'{part.name}: {part.what}')


def _checks(release: Release, root: pathlib.Path) -> Iterator[Check]:
    """Of the table and its pictures; an unreadable table ends them."""
    tables: list[Table] = []

    def read():
        tables.append(official.read(release.name, root))
        fields = sorted(set(tables[0]) - {'files'})
        return Finding(OK, f'{len(tables[0]["files"])} rows; {", ".join(fields)}')

    yield 'table', read
    if not tables:
        return
    yield 'counts', partial(_counts, tables[0], release.counts)
    if release.clips is None:
        yield 'pictures', partial(_pictures, tables[0], root)
    else:
        yield 'videos', partial(_videos, release.clips(root))


def _counts(table: Table, wanted: Mapping[str, int]) -> Finding:
    """Rows of each split, beside those of the papers."""
    if 'split' not in table:
        return Finding(OK, 'no official split: every tenth for testing')
    got = {s: int((table['split'] == s).sum()) for s in _SPLITS}
    text = ', '.join(f'{split} {count:,}' for split, count in got.items() if count)
    differ = {s: count for s, count in wanted.items() if got[s] != count}
    if not differ:
        return Finding(OK, text)
    told = ', '.join(f'{split} {count:,}' for split, count in differ.items())
    return Finding(ABSENT, f'{text}; the papers have {told}')


def _pictures(table: Table, root: pathlib.Path) -> Finding:
    """Whether all are there, and a few can be read."""
    files = np.unique(table['files'])
    missing = [name for name in files if not (root / str(name)).is_file()]
    if missing:
        text = f'{len(missing):,} of {len(files):,} are not there: {missing[0]}, say'
        return Finding(MISSING, text, 'unpack the archives of pictures again')
    for place in np.linspace(0, len(files) - 1, _LOOKED_AT).astype(int):
        read_image(root / str(files[place]))
    return Finding(OK, f'all {len(files):,} are there; a few were opened')


def _videos(clips: Sequence[Clip]) -> Finding:
    wanted = [path for clip in clips for path in (clip.video, clip.masks)]
    missing = [str(path) for path in wanted if path is not None and not path.is_file()]
    if missing:
        text = f'{len(missing)} files are not there: {missing[0]}, say'
        return Finding(MISSING, text, 'unpack the archives of videos again')
    return Finding(OK, f'all {len(clips)} are there')
