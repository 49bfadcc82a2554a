"""Loss of part maps that should agree once they are aligned."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import reductions

_LEAST = 1e-12  # Probability.


def coherence(
    maps: jax.Array,
    labels: jax.Array,
    counts: jax.Array,
    valid: jax.Array,
    *,
    balanced: bool = False,
) -> jax.Array:
    """Negative log-likelihood of labels under the mean of aligned part maps.

    With n maps O_j that count and a label y of each cell:
    `mean over cells of -log((1 / n) sum_j O_j[y])`.

    Args:
        maps: `[..., k, h, w, C]` probabilities over the channels.
        labels: `[..., h, w]` int32 in 0..C-1.
        counts: `[..., k]` bool, maps that there are; or `[..., k, h, w]`, which of them
            cover a cell. Cells that none covers do not count.
        valid: `[..., h, w]` bool, cells that count.
        balanced: cells labelled with the last channel, the background, weigh together
            no more than those of all others. Else maps that are all background label all
            background, and stay so.

    Returns:
        `[...]` float32, 0 where no map or no cell counts.

    Source: [guo2020], section 3.2.4.

    >>> maps = jnp.array([[[[0.9, 0.1]]], [[[0.5, 0.5]]]])  # k 2, one cell.
    >>> yes = jnp.ones
    >>> float(coherence(maps, jnp.zeros((1, 1), int), yes(2, bool), yes((1, 1), bool)))
    0.35667...
    """
    _check(maps, labels, counts, valid)
    if counts.ndim == valid.ndim - 1:
        counts = counts[..., None, None]
    counts = jnp.broadcast_to(counts, maps.shape[:-1])
    weight = counts / jnp.maximum(counts.sum(axis=-3, keepdims=True), 1)
    chosen = jnp.take_along_axis(maps, labels[..., None, :, :, None], axis=-1)[..., 0]
    mean = jnp.einsum('...khw,...khw->...hw', chosen, weight)
    loss = -jnp.log(jnp.maximum(mean, _LEAST))
    counted = valid & counts.any(axis=-3)
    if not balanced:
        return reductions.mean_where(loss, counted, axis=(-2, -1))
    share = _balance(counted, labels == maps.shape[-1] - 1)
    total = share.sum(axis=(-2, -1))
    return (loss * share).sum(axis=(-2, -1)) / jnp.maximum(total, 1)


def _balance(counted, ground):
    """Weights of cells: of the background's at most as much as of the others together."""
    count = lambda cells: cells.sum(axis=(-2, -1), keepdims=True)
    some, rest = count(counted & ~ground), count(counted & ground)
    return counted * jnp.where(ground, jnp.minimum(1, some / jnp.maximum(rest, 1)), 1.0)


def _check(maps, labels, counts, valid):
    *lead, k, h, w, _ = maps.shape
    wanted = {'labels': (*lead, h, w), 'counts': (*lead, k), 'valid': (*lead, h, w)}
    given = {'labels': labels, 'counts': counts, 'valid': valid}
    if counts.ndim == maps.ndim - 1:
        wanted['counts'] = (*lead, k, h, w)
    for name, array in given.items():
        if array.shape != wanted[name]:
            raise ValueError(f'{name} must be {wanted[name]}, got {array.shape}')
