"""Tables 7 and 8 of [guo2020]: pools, transforms, suppression, training sizes, at `:cpu`.

    python scripts/feature_alignment_tables.py --data=FOLDER --out=DIR [RUN ...]

FOLDER has birds as `feature_alignment/cub` wants them. Trains the runs that are not finished
yet, each in DIR/RUN, measures them on the pictures held out of training and prints the
tables of all that are there; the same command goes on after a stop.
Pools of 5 where they are not the question, made once: orderings, not figures. Of fewer
pictures channels and regressors are chosen on fewer too.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping

import ablation_runs
from ablation_runs import Figures, table

from kpdiscovery import inference, measuring

_FIVE = (
    '--config.method.neighbours=5',
)  # What is not about pools takes a third of the time.
_RUNS: dict[str, tuple[str, ...]] = {  # Name -> variants and further settings.
    'affine': ('', *_FIVE),
    'none': ('no_transform,', *_FIVE),
    'translation': ('translation,', *_FIVE),
    'homography': ('homography,', *_FIVE),
    'pool_10': ('', '--config.method.neighbours=10'),
    'pool_15': ('', '--config.method.neighbours=15'),
    'radius_1': ('', '--config.method.radius=1', *_FIVE),
    'radius_2': ('', '--config.method.radius=2', *_FIVE),
    'fewer': ('', '--config.data.rows=300', *_FIVE),
}
_COLUMNS = (
    'part_ap_l2_image', 'part_ap_l2_box', 'part_error_image', 'part_error_box',
)  # fmt: skip
_TABLES = {
    'Table 7: pictures of a pool': {
        '5': 'affine', '10': 'pool_10', '15': 'pool_15',
    },
    'Table 7: transform': {
        'none': 'none', 'translation': 'translation', 'affine': 'affine',
        'homography': 'homography', 'clustering only': 'affine/clustering',
    },
    'Table 7: radius of suppression, cells': {
        '0': 'affine', '1': 'radius_1', '2': 'radius_2',
    },
    'Table 8: pictures to learn from': {'300': 'fewer', 'all': 'affine'},
}  # fmt: skip


def words(variants: str, *settings: str) -> list[str]:
    return [
        f'--config=feature_alignment/cub:pretrained,{variants}cpu',
        '--config.phases.align.steps=250',
        '--config.data.options.holdout_validation=True',
        *settings,
    ]


def measure(workdir: pathlib.Path) -> Figures:
    trained = inference.load(workdir)
    fit, test = measuring.splits(trained.config, 'validation')
    found = {'end': measuring.measure(trained, fit, test)[0]}
    if workdir.name == 'affine':
        method = dataclasses.replace(trained.method, parts='dictionary')
        before = trained._replace(method=method)
        found['clustering'] = measuring.measure(before, fit, test)[0]
    return found


def tables(found: Mapping[str, Figures]) -> str:
    return '\n\n'.join(
        table(title, _COLUMNS, {label: _values(found, place)
                                for label, place in rows.items()})
        for title, rows in _TABLES.items()
    )  # fmt: skip


def _values(found, place):
    name, _, column = place.partition('/')
    return found.get(name, {}).get(column or 'end', {})


if __name__ == '__main__':
    named = {name: words(*chosen) for name, chosen in _RUNS.items()}
    sys.exit(ablation_runs.main(__doc__, named, measure, tables))
