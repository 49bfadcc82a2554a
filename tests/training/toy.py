"""A small method of the tests' own: a mean colour, then pseudo-labels from a sweep."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpdiscovery.methods.learning import descend, start
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import Method, Phase, Sweep, SweepResult


class Colors:
    """`length` pictures of one colour each, some of them float on request."""

    truth = ()

    def __init__(self, length=21, size=8, bad_row=None, seed=0):
        colors = np.random.default_rng(seed).integers(0, 255, (length, 3), np.uint8)
        self._images = np.broadcast_to(colors[:, None, None], (length, size, size, 3))
        self._bad_row = bad_row

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        image = np.array(self._images[index])
        if self._bad_row is not None:
            image = image.astype(np.float32) / 255
            image[0, 0, 0] = np.nan if index == self._bad_row else image[0, 0, 0]
        return {'image': image}


@dataclasses.dataclass(frozen=True)
class Toy(Method):
    """Phase `mean` learns the mean colour; `label` follows two labels renewed by sweeps.

    A label says whether a picture is brighter than the centre found by the last sweep.
    """

    steps: int = 6
    every: int = 2
    rate: float = 0.1
    keep_best: str | None = None
    at_end: bool = False
    num_labels = 2

    def phases(self, config):
        del config
        sweep = Sweep(
            self.every, self._tables, self._extract, self._reduce, self.at_end
        )
        return (
            Phase('mean', self.steps, self._init, self._step),
            Phase('label', self.steps, self._init, self._step, sweep, self.keep_best),
        )

    def _init(self, key, batch, before):
        color = (
            jax.random.uniform(key, (3,))
            if before is None
            else before.variables['color']
        )
        return start({'color': color, 'centre': jnp.zeros(())}, self._update)

    def _step(self, state, batch, labels, key):
        target = _brightness(batch)[:, None] + jax.random.normal(key, ()) * 0.01
        if labels:  # The table stays where it is; rows are gathered by global index.
            target = (
                target + labels['bright'][batch['index']].astype(jnp.float32)[:, None]
            )

        def loss(variables):
            value = jnp.mean((variables['color'][None] - target) ** 2)
            return value, ({'loss': value}, {})

        return descend(loss, self._update, state)

    @property
    def _update(self):
        return {'color': optax.adam(self.rate)}

    def _tables(self, rows, labels, batch):
        del labels, batch
        return {'bright': jnp.zeros(rows, jnp.int32)}

    def _extract(self, state, batch, labels):
        return {
            'value': _brightness(batch),
            'old': labels['bright'],
            'index': batch['index'],
        }

    def _reduce(self, rows, state, key):
        del key
        before = state.variables['centre']
        valid = rows['row_valid']
        centre = jnp.sum(rows['value'] * valid) / valid.sum()
        centre = 0.5 * (centre + before)
        bright = (rows['value'] > centre).astype(jnp.int32)
        changed = jnp.sum((bright != rows['old']) & valid)
        score = -jnp.abs(rows['value'].max() - 0.5) - before  # Best at the first.
        state = state.replace(variables={**state.variables, 'centre': centre})
        scalars = {'changed': changed, 'score': score, 'centre': centre}
        return SweepResult({'bright': bright}, state, scalars)


def _brightness(batch):
    return image_ops.as_float(batch['image']).mean(axis=(1, 2, 3))


def config(**changes):
    plain = {
        'seed': 0,
        'data': {'batch_size': 8, 'source': 'toy', 'path': ''},
        'method': {'name': 'toy'},
        'phases': {},
        'mesh': {'data': 1},
        'run': {'log_every': 1, 'checkpoint_every': 3, 'keep': 3},
    }
    for name, value in changes.items():
        plain[name] = {**plain[name], **value} if isinstance(value, dict) else value
    return plain
