"""Table 6 of [shaharabany2021]: what the terms of the weight map's loss do, at `:cpu`.

    python scripts/weight_map_tables.py --data=FOLDER --out=DIR [RUN ...]

FOLDER has classes as `weight_map/folder` wants them, and boxes to measure by. Trains the
runs that are not finished yet, each in DIR/RUN, measures them on the pictures held out of
training and prints the table of all that are there; the same command goes on after a stop.
Half of `:cpu`'s steps of the map, its judges trained once a method: orderings, not its figures.
Method II sees 16 pictures, four of a kind, at `:cpu`; the regularizer was chosen for method I.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping

import ablation_runs
from ablation_runs import Figures, table

from kpdiscovery import inference, measuring

_RUNS = {  # Name -> variants.
    'method_1': '',
    'method_1_label': 'label,',
    'method_1_free': 'no_regularizer,',
    'method_2': 'method2,',
    'method_2_free': 'method2,no_regularizer,',
    'no_inner': 'method2,no_inner,',
    'no_outer': 'method2,no_outer,',
}
_BEGINS = {  # Whose classifier, and embedding, a run takes, and their steps.
    'method_1_label': ('method_1', 150),
    'method_1_free': ('method_1', 150),
    'method_2_free': ('method_2', 300),
    'no_inner': ('method_2', 300),
    'no_outer': ('method_2', 300),
}
_ROWS = {
    'I': 'method_1',
    'I, true classes': 'method_1_label',
    'I, no regularizer': 'method_1_free',
    'II': 'method_2',
    'II, no regularizer': 'method_2_free',
    'II, no inner triplet': 'no_inner',
    'II, no outer triplet': 'no_outer',
}
_COLUMNS = 'max_box_accuracy', 'max_box_accuracy_v2', 'gt_known', 'whole_boxes'


def words(variants: str) -> list[str]:
    return [
        f'--config=weight_map/folder:pretrained,{variants}cpu',
        '--config.phases.localize.steps=300',
        '--config.run.keep=20',
        '--config.data.options.holdout_validation=True',
    ]


def measure(workdir: pathlib.Path) -> Figures:
    trained = inference.load(workdir)
    fit, test = measuring.splits(trained.config, 'validation')
    return {'end': measuring.measure(trained, fit, test)[0]}


def tables(found: Mapping[str, Figures]) -> str:
    rows = {label: found.get(name, {}).get('end', {}) for label, name in _ROWS.items()}
    return table('Table 6: terms', _COLUMNS, rows)


if __name__ == '__main__':
    named = {name: words(variants) for name, variants in _RUNS.items()}
    sys.exit(ablation_runs.main(__doc__, named, measure, tables, _BEGINS))
