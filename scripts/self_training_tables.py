"""Tables 6.1, 6.3, 6.4 and 6.5 of [mallis-thesis] on faces at `:cpu`.

    python scripts/self_training_tables.py --data=FACES --out=DIR [RUN ...]

Trains the runs that are not finished yet, each in DIR/RUN, measures them on the people
held out of training and prints the tables of all that are there; the same command goes on
after a stop.
A third of `:cpu`'s steps: orderings, not its figures.
Figure 5.8 (NMI by start) is `scripts/generic_keypoints.py`.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping

import ablation_runs
from ablation_runs import Figures, table

from kpdiscovery import inference, measuring

_THIRD = (
    '--config.phases.warm_up.steps=270',
    '--config.phases.correspond.steps=670',
    '--config.phases.correspond.round=134',
    '--config.phases.landmarks.steps=1000',
    '--config.phases.landmarks.round=333',
    '--config.method.merge_start=333',
)
_STAGE_ONE = '--config.phases.landmarks.steps=1'  # Stage 2 is not asked about.
_RUNS: dict[str, tuple[str, ...]] = {  # Name -> variants and further settings.
    'chapter_6': ('',),
    'm_30': ('', '--config.method.num_clusters=30', _STAGE_ONE),
    'm_50': ('', '--config.method.num_clusters=50', _STAGE_ONE),
    'm_250': ('', '--config.method.num_clusters=250', _STAGE_ONE),
    'equivariance': ('equivariance,',),
    'other_image': ('other_image,', _STAGE_ONE),
    'equivariance_other': ('equivariance,other_image,', _STAGE_ONE),
    'no_flip': ('no_flip,',),
}
_COLUMNS = 'forward_nme_68', 'backward_nme_68', 'points_per_image', 'match'
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


def words(variants: str, *settings: str) -> list[str]:
    config = f'--config=self_training/faces:pretrained,{variants}cpu'
    held = '--config.data.options.holdout_validation=True'
    return [config, *_THIRD, *settings, '--config.run.keep=10', held]


def measure(workdir: pathlib.Path) -> Figures:
    """Of the end of stage 1 and of stage 2, and without mirroring in test."""
    trained = inference.load(workdir)
    fit, test = measuring.splits(trained.config, 'validation')
    phases = trained.config.phases
    first = phases.warm_up.steps + phases.correspond.steps
    look = lambda step, method: measuring.measure(
        inference.load(workdir, step=step)._replace(method=method), fit, test
    )[0]
    found = {'stage 1': look(first, trained.method)}
    if phases.landmarks.steps > 1:
        still = dataclasses.replace(trained.method, flip_test=False)
        last = first + phases.landmarks.steps
        found |= {'stage 2': look(last, trained.method), 'no flip': look(last, still)}
    return found


def tables(found: Mapping[str, Figures]) -> str:
    parts = (
        ('6.1: M, stage 1', _M, 'stage 1'),
        ('6.3: correspondence and negatives, stage 1', _PAIRS, 'stage 1'),
        ('6.4: stage 1', {'K 30': 'chapter_6'}, 'stage 1'),
        ('6.4: stage 2', {'K 30': 'chapter_6'}, 'stage 2'),
        ('6.5: mirroring', _FLIPS, 'stage 2'),
    )
    return '\n\n'.join(
        table(title, _COLUMNS, {label: _values(found, place, stage)
                                for label, place in rows.items()})
        for title, rows, stage in parts
    )  # fmt: skip


def _values(found, place, stage):
    name, _, other = place.partition('/')
    return found.get(name, {}).get(other or stage, {})


if __name__ == '__main__':
    named = {name: words(*chosen) for name, chosen in _RUNS.items()}
    sys.exit(ablation_runs.main(__doc__, named, measure, tables))
