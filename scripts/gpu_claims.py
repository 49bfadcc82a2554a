"""What rows of `kpd bench` and compiled steps say of this device, claim by claim.

    python scripts/gpu_claims.py FOLDER_OF_ROWS

Rows are files NAME.jsonl. Of the steps, loops are counted whose end the host must ask the
device for: each round of one waits for it.
"""

import functools
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from kpdiscovery import config, methods
from kpdiscovery.bench import roofline

STEPS = ('tusk/tetrominoes', 'self_training/critters', 'lmpnet/critters',
         'weight_map/critters', 'feature_alignment/critters')  # fmt: skip


def main(folder):
    for claim, met in [*of_kmeans(folder), *of_steps()]:
        print(f'{"met" if met else "missed":8}{claim}')


def of_kmeans(folder):
    path = folder / 'kmeans_step.jsonl'
    text = path.read_text() if path.is_file() else ''
    for row in map(json.loads, text.splitlines()):
        if row['case'].startswith('one_read') and row['impl'] == 'auto':
            n, d = (
                int(row['case'].split(f'_{letter}')[1].split('_')[0]) for letter in 'nd'
            )
            reads = row['median_ms'] / roofline.milliseconds(4 * n * d, 0)
            yield (
                f'{row["case"]} takes {reads:.2f} reads of its rows, at most 1.3',
                reads <= 1.3,
            )
        if 'ratio' in row:
            claim = (
                f'{row["case"]} is {row["ratio"]} times as fast as PyTorch, at least 2'
            )
            yield claim, row['ratio'] >= 2


def of_steps():
    for name in STEPS:
        text = _first_step(name).as_text()
        waits = [line for line in text.splitlines() if ' while(' in line]
        unknown = [line for line in waits if 'known_trip_count' not in line]
        claim = f'{name}: {len(unknown)} of {len(waits)} loops wait for the host'
        yield claim, not unknown


def _first_step(name):
    """The step of the first phase at smoke size, compiled for this device."""
    settings = config.load(f'{name}:smoke')
    if classes := methods.named(settings.method.name).class_count:
        settings.method[classes] = 5
    (phase, *_) = methods.build(settings.method).phases(settings.to_dict())
    size = settings.data.size
    shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    batch = {'image': jax.ShapeDtypeStruct((8, size, size, 3), jnp.uint8),
             'index': jax.ShapeDtypeStruct((8,), jnp.int32),
             'label': jax.ShapeDtypeStruct((8,), jnp.int32)}  # fmt: skip
    if points := settings.data.get('num_detected'):
        batch |= {'detected': shape((8, points, 2)), 'detected_score': shape((8, points)),
                  'detected_descriptors': shape((8, points, 128))}  # fmt: skip
    key, table = jax.eval_shape(lambda: jax.random.key(0)), {}
    state = jax.eval_shape(functools.partial(phase.init, before=None), key, batch)
    if phase.sweep:
        table = jax.eval_shape(functools.partial(phase.sweep.init, 8), table, batch)
    return jax.jit(phase.step).lower(state, batch, table, key).compile()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
