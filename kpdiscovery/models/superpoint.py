"""SuperPoint: one convolutional trunk at stride 8, a detector and a descriptor head.

Source: [detone2018]. With batch norm, which follows the ReLU as
in the public training code, it trains from scratch; without it has the layout of the
public weights.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models import weights
from kpdiscovery.models.conv import check_divisible
from kpdiscovery.models.norms import batch_norm
from kpdiscovery.types import Tree

STRIDE = 8
CELL_CLASSES = STRIDE**2 + 1  # The pixels of a cell, and the dustbin: no point.
PACKAGED = pathlib.Path(__file__).with_suffix('.safetensors')  # Our own weights.
_TRUNK = ('1a', '1b', '2a', '2b', '3a', '3b', '4a', '4b')


class SuperPoint(nn.Module):
    """Logits over the pixels of each cell, and a descriptor for each cell.

    Normalisation cannot be folded into the convolutions when they pad with zeros, but
    for the two last ones; XLA fuses it anyway.
    """

    widths: tuple[int, int, int, int] = (64, 64, 128, 128)  # By resolution.
    head: int = 256
    descriptor: int = 256
    batch_norm: bool = True
    momentum: float = 0.99  # Of the running statistics.
    dtype: jnp.dtype = jnp.float32  # Compute dtype; parameters stay float32.
    statistics: str = 'all'  # Or 'chip': `norms.batch_norm`.

    @nn.compact
    def __call__(
        self, gray: jax.Array, *, train: bool = False, describe: bool = True
    ) -> tuple[jax.Array, jax.Array | None]:
        """`[B, H, W, 1]` in [0, 1] -> logits `[B, h, w, 65]` and raw descriptors.

        Args:
            train: normalise by the batch's statistics and renew the running ones
                (collection 'batch_stats').
            describe: also the descriptors `[B, h, w, D]`; else None.

        Raises:
            ValueError: not one channel, or sides that 8 does not divide.
        """
        if gray.ndim != 4 or gray.shape[-1] != 1:
            raise ValueError(f'images must be gray [B, H, W, 1], got {gray.shape}')
        check_divisible(gray.shape, STRIDE, 'three poolings')
        x = gray
        for name in _TRUNK:
            x = self._layer(x, self.widths[int(name[0]) - 1], name, train)
            if name in ('1b', '2b', '3b'):
                x = nn.max_pool(x, (2, 2), (2, 2))
        logits = self._branch(x, CELL_CLASSES, 'P', train)
        return logits, self._branch(
            x, self.descriptor, 'D', train
        ) if describe else None

    def _branch(self, x, width, name, train):
        x = self._layer(x, self.head, f'{name}a', train)
        return self._layer(x, width, f'{name}b', train, size=1).astype(jnp.float32)

    def _layer(self, x, width, name, train, size=3):
        init = nn.initializers.he_normal()
        x = nn.Conv(
            width, (size, size), dtype=self.dtype, kernel_init=init, name=f'conv{name}'
        )(x)
        if size == 3:
            x = nn.relu(x)
        if self.batch_norm:
            norm = batch_norm(
                self.statistics, train=train, momentum=self.momentum, epsilon=1e-3,
                dtype=self.dtype, name=f'norm{name}',
            )  # fmt: skip
            x = norm(x)
        return x


def of_variables(variables: Any) -> SuperPoint:
    """The network that variables belong to."""
    width = lambda name: variables['params'][f'conv{name}']['bias'].shape[0]
    return SuperPoint(
        tuple(width(f'{i}a') for i in (1, 2, 3, 4)),
        width('Pa'),
        width('Db'),
        batch_norm='batch_stats' in variables,
    )


def trunk_features(variables: Any, gray: jax.Array) -> jax.Array:
    """What both heads read: `[B, H, W, 1]` -> `[B, h, w, C]`, stride 8."""
    model = of_variables(variables)
    last = 'norm4b' if model.batch_norm else 'conv4b'
    _, seen = model.apply(
        variables,
        gray,
        describe=False,
        capture_intermediates=lambda module, _: module.name == last,
        mutable=['intermediates'],
    )
    features = seen['intermediates'][last]['__call__'][0]
    return features if model.batch_norm else nn.relu(features)


def table() -> dict[str, weights.Entry]:
    """The public weights' names, without normalisation."""
    names = (*_TRUNK, 'Pa', 'Pb', 'Da', 'Db')
    kernels = {f'params/conv{n}/kernel': weights.Entry(f'conv{n}.weight', weights.OIHW)
               for n in names}  # fmt: skip
    return kernels | {
        f'params/conv{n}/bias': weights.Entry(f'conv{n}.bias') for n in names
    }


def load(path: str | os.PathLike) -> tuple[SuperPoint, Mapping[str, Any]]:
    """Network and variables of a file, ours (`weights.save`) or a public one.

    'superpoint' is the file that comes with the package.

    Public files have no normalisation, and their descriptors are read in the frame
    'corner' (`ops.cells.sample_descriptors`); `model.batch_norm` tells them apart.

    Raises:
        UserError: as `weights.load`.
    """
    path = PACKAGED if str(path) == 'superpoint' else path
    shapes = weights.shapes(path)
    public = 'conv1a.weight' in shapes
    width = lambda n: _width(shapes, n, public)
    widths = tuple(width(f'{i}a') for i in (1, 2, 3, 4))
    model = SuperPoint(widths, width('Pa'), width('Db'), batch_norm=not public)  # type: ignore[arg-type]
    return model, weights.load(path, table() if public else None, like(model))


def like(model: SuperPoint) -> Tree:
    """Shapes of the variables."""
    image = jax.ShapeDtypeStruct((1, STRIDE, STRIDE, 1), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), image)


def _width(shapes, name, public):
    key = f'conv{name}.bias' if public else f'params/conv{name}/bias'
    return (
        shapes[key][0] if key in shapes else 1
    )  # `weights.load` names what is missing.
