"""What the scripts of tables share: one run after the other, each resumable, then a table."""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

from kpdiscovery import cli
from kpdiscovery.training import runs

Figures = dict[str, dict[str, float]]  # By what was measured, by metric.


def main(
    doc: str | None,
    words: Mapping[str, Sequence[str]],
    measure: Callable[[pathlib.Path], Figures],
    tables: Callable[[Mapping[str, Figures]], str],
    begins: Mapping[str, tuple[str, int]] | None = None,
) -> int:
    """Trains what is not finished yet, measures what is, and prints the tables.

    Args:
        words: of `kpd train` by the name of a run, without data and workdir.
        measure: of a workdir; kept there, since it takes a minute.
        tables: of the runs that are there, as markdown.
        begins: of a run: which one it shares its first phases with, and how many steps.
            Its command must differ from that one's in later phases only.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument('--data', default='', help='as of kpd train')
    parser.add_argument('--out', required=True, type=pathlib.Path)
    parser.add_argument('runs', nargs='*', help=f'of {", ".join(words)}; all')
    args = parser.parse_args()
    data = [f'--data={args.data}'] if args.data else []
    for name in args.runs or words:
        if name in (begins or {}):
            _begin(args.out, name, *begins[name])
        train = ['train', f'--workdir={args.out / name}', *data, *words[name]]
        if code := cli.main(train):
            return code
    done = [name for name in words if _finished(args.out / name)]
    print(tables({name: _kept(args.out / name, measure) for name in done}))
    return 0


def table(title: str, columns: Sequence[str], rows: Mapping[str, Mapping]) -> str:
    """Markdown; what a row has not is left empty."""
    lines = [f'{title}\n', '| | ' + ' | '.join(columns) + ' |']
    lines.append('|---' * (1 + len(columns)) + '|')
    for label, values in rows.items():
        cells = [f'{values[c]:.3g}' if c in values else '' for c in columns]
        lines.append(f'| {label} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _begin(out, name, other, step):
    """The config is left behind: `kpd train` would hold the new one against it."""
    old, new = (out / of / 'checkpoints' / str(step) for of in (other, name))
    if old.is_dir() and not new.parent.is_dir():
        shutil.copytree(old, new)


def _finished(workdir: pathlib.Path) -> bool:
    meta = runs.last_meta(workdir) if workdir.is_dir() else None
    return bool(meta) and not runs.unfinished(meta)


def _kept(workdir, measure):
    """What was measured before; delete the file to have it measured again."""
    file = workdir / 'figures.json'
    if not file.is_file():
        file.write_text(json.dumps(measure(workdir)))
    return json.loads(file.read_text())
