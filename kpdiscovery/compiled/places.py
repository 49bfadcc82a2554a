"""Which lines of ours the operations of an XLA program come from."""

from __future__ import annotations

import re
from collections.abc import Callable

_TABLES = ('FileNames', 'FunctionNames', 'FileLocations', 'StackFrames')
_OURS = re.compile(r'.*/(?:kpdiscovery|pallas_kernels)/([\w/]+\.py)$')
_DEPTH = 2  # Files of ours of which a line is named, the innermost first.


def reader(text: str) -> Callable[[str], str]:
    """Function from an operation's text to, say, 'models/conv.py:47 < models/unet.py:63'.

    '' where no line of ours led to it.

    Args:
        text: of the whole program, whose head has the tables of all stacks.
    """
    files, locations, frames = _tables(text)
    known: dict[int, str] = {0: ''}

    def place(number: int) -> str:
        lines: list[tuple[str, int]] = []
        while number in frames and len(lines) < _DEPTH:
            where, above = frames[number]
            file, line = locations[where]
            found = _OURS.match(files[file])
            if found and found[1] not in dict(lines):  # Of each file the innermost.
                lines.append((found[1], line))
            number = above
        return ' < '.join(f'{file}:{line}' for file, line in lines)

    def read(operation: str) -> str:
        found = re.search(r'stack_frame_id=(\d+)', operation)
        number = int(found[1]) if found else 0
        if number not in known:
            known[number] = place(number)
        return known[number]

    return read


def _tables(text):
    """{file: name}, {location: (file, line)} and {frame: (location, frame above)}."""
    rows: dict[str, dict[int, str]] = {name: {} for name in _TABLES}
    rest = iter(text.splitlines())
    for line in rest:
        if line in _TABLES:
            for row in iter(lambda: next(rest, ''), ''):
                number, _, entry = row.partition(' ')
                rows[line][int(number)] = entry
        elif line.startswith(('%', 'ENTRY')):
            break
    files = {n: entry.strip('"') for n, entry in rows['FileNames'].items()}
    locations = {n: (_number('file_name_id', entry), _number('line', entry))
                 for n, entry in rows['FileLocations'].items()}  # fmt: skip
    # XLA prints the number of the frame above plus one.
    frames = {
        n: (_number('file_location_id', entry), _number('parent_frame_id', entry) - 1)
        for n, entry in rows['StackFrames'].items()
    }
    return files, locations, frames


def _number(name: str, entry: str) -> int:
    found = re.search(rf'\b{name}=(\d+)', entry)
    return int(found[1]) if found else 0
