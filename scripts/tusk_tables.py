"""Tables 4, 5 and 6 of [jin2022]: ablations of TUSK on MNIST-Hard at `:cpu`.

    python scripts/tusk_tables.py --data=mnist.npz --out=DIR [RUN ...]

Trains the runs that are not finished yet, each in DIR/RUN, measures them on validation
pictures and prints the tables of all that are there; the same command goes on after a stop.
`--config.phases.train.steps` of all is 1,000: orderings, not the figures of 8,000 steps.
"All, not iterative" also has one step of the prototypes in place of four, and no memory: what
is learnt jointly has the descriptors of its batch only.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping

import ablation_runs
from ablation_runs import Figures, table

from kpdiscovery import inference, measuring

_STEPS = '--config.phases.train.steps=1000'
_RUNS: dict[str, tuple[str, ...]] = {  # Name -> variants and further settings.
    'all': ('',),
    'recon_only': ('recon_only,',),
    'sliced_wasserstein': ('sliced_wasserstein,',),
    'no_equivariance': ('no_equivariance,',),
    'joint': ('joint,',),
    'm_5': ('', '--config.method.num_prototypes=5'),
    'm_20': ('', '--config.method.num_prototypes=20'),
    'kmeans': ('kmeans,',),
    'vq': ('vq,',),
}
# One to one; reversed where there are fewer prototypes than classes, as the paper counts them;
# by majority where there are more (how the paper counts them is not known).
_COLUMNS = (
    'classification', 'classification_reversed', 'classification_majority',
    'localization', 'both',
)  # fmt: skip
_TABLES = {
    'Table 4: losses': {
        'reconstruction only': 'recon_only',
        '+ sliced Wasserstein': 'sliced_wasserstein',
        '+ cluster loss': 'no_equivariance',
        'all, not iterative': 'joint',
        'all': 'all',
    },
    'Table 5: M': {'5': 'm_5', '10': 'all', '20': 'm_20'},
    'Table 6: clustering': {
        'k-means': 'kmeans',
        'vector quantisation': 'vq',
        'sliced Wasserstein': 'all',
    },
}


def words(variants: str, *settings: str) -> list[str]:
    return [f'--config=tusk/mnist_hard:{variants}cpu', _STEPS, *settings]


def measure(workdir: pathlib.Path) -> Figures:
    trained = inference.load(workdir)
    fit, test = measuring.splits(trained.config, 'validation')
    return {'end': measuring.measure(trained, fit, test)[0]}


def tables(found: Mapping[str, Figures]) -> str:
    of = lambda name: found.get(name, {}).get('end', {})
    return '\n\n'.join(
        table(title, _COLUMNS, {label: of(name) for label, name in rows.items()})
        for title, rows in _TABLES.items()
    )


if __name__ == '__main__':
    named = {name: words(*chosen) for name, chosen in _RUNS.items()}
    sys.exit(ablation_runs.main(__doc__, named, measure, tables))
