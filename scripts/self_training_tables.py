"""Tables 6.1, 6.3, 6.4 and 6.5 of [mallis-thesis] on faces at `:cpu`: RESULTS.md.

    python scripts/self_training_tables.py --data=FACES --out=DIR [RUN ...]

Trains the runs that are not finished yet, each in DIR/RUN, measures them on the people
held out of training and prints the tables of all that are there; the same command goes on
after a stop.
Figure 5.8 (NMI by start) is `scripts/generic_keypoints.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys

from kpdiscovery import cli, inference, measuring
from kpdiscovery.training import runs

CONFIG = 'self_training/faces:pretrained,{}cpu'
STAGE_ONE = '--config.phases.landmarks.steps=1'  # Stage 2 is not asked about.
RUNS: dict[str, tuple[str, ...]] = {  # Name -> variants and settings beside CONFIG.
    'chapter_6': ('',),
    'm_30': ('', '--config.method.num_clusters=30', STAGE_ONE),
    'm_50': ('', '--config.method.num_clusters=50', STAGE_ONE),
    'm_250': ('', '--config.method.num_clusters=250', STAGE_ONE),
    'equivariance': ('equivariance,',),
    'other_image': ('other_image,', STAGE_ONE),
    'equivariance_other': ('equivariance,other_image,', STAGE_ONE),
    'no_flip': ('no_flip,',),
}
_M = {'30': 'm_30', '50': 'm_50', '100': 'chapter_6', '250': 'm_250'}
_PAIRS = {
    'clusters, negatives of the same picture': 'chapter_6',
    'clusters, of another': 'other_image',
    'equivariance, of the same': 'equivariance',
    'equivariance, of another': 'equivariance_other',
}
_FLIPS = {
    'none': 'no_flip',
    'in training': 'chapter_6/no flip',
    'and in test': 'chapter_6',
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', required=True)
    parser.add_argument('--out', required=True, type=pathlib.Path)
    parser.add_argument('runs', nargs='*', help=f'of {", ".join(RUNS)}; all')
    args = parser.parse_args()
    for name in args.runs or RUNS:
        if code := _train(name, args.data, args.out):
            return code
    done = [name for name in RUNS if _finished(args.out / name)]
    print(tables({name: figures(args.out / name) for name in done}))
    return 0


def _train(name: str, data: str, out: pathlib.Path) -> int:
    variants, *settings = RUNS[name]
    return cli.main(
        ['train', f'--config={CONFIG.format(variants)}', f'--data={data}',
         f'--workdir={out / name}', *settings, '--config.run.keep=10',
         '--config.data.options.holdout_validation=True']
    )  # fmt: skip


def _finished(workdir: pathlib.Path) -> bool:
    meta = runs.last_meta(workdir) if workdir.is_dir() else None
    return bool(meta) and not runs.unfinished(meta)


def figures(workdir: pathlib.Path) -> dict[str, dict[str, float]]:
    """Of the end of stage 1 and of stage 2, and without mirroring in test.

    Kept in the workdir, since measuring takes a minute: delete `stages.json` to have it
    measured again.
    """
    kept = workdir / 'stages.json'
    if kept.is_file():
        return json.loads(kept.read_text())
    trained = inference.load(workdir)
    fit, test = measuring.sources(trained.config, 'validation')
    phases = trained.config.phases
    first = phases.warm_up.steps + phases.correspond.steps
    look = lambda step, method: measuring.measure(
        inference.load(workdir, step=step)._replace(method=method), fit, test
    )[0]
    found = {'stage 1': look(first, trained.method)}
    if phases.landmarks.steps > 1:
        still = dataclasses.replace(trained.method, flip_test=False)
        last = first + phases.landmarks.steps
        found |= {
            'stage 2': look(last, trained.method),
            'no flip': look(last, still),
        }
    kept.write_text(json.dumps(found))
    return found


def tables(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The tables of the runs that are there, as markdown."""
    parts = (
        ('6.1: M, stage 1', _M, 'stage 1'),
        ('6.3: correspondence and negatives, stage 1', _PAIRS, 'stage 1'),
        ('6.4: stage 1', {'K 30': 'chapter_6'}, 'stage 1'),
        ('6.4: stage 2', {'K 30': 'chapter_6'}, 'stage 2'),
        ('6.5: mirroring', _FLIPS, 'stage 2'),
    )
    return '\n\n'.join(
        _table(title, rows, stage, found) for title, rows, stage in parts
    )


def _table(title, rows, stage, found) -> str:
    columns = 'forward_nme_68', 'backward_nme_68', 'points_per_image', 'match'
    lines = [f'{title}\n', '| | ' + ' | '.join(columns) + ' |', '|---' * 5 + '|']
    for label, place in rows.items():
        name, _, other = place.partition('/')
        values = found.get(name, {}).get(other or stage, {})
        cells = [f'{values[c]:.1f}' if c in values else '' for c in columns]
        lines.append(f'| {label} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
