"""How well pictures are cut into objects: the adjusted Rand index."""

from __future__ import annotations

import numpy as np

from kpdiscovery.ops.agreement import contingency
from kpdiscovery.types import Array, Split, Unmeasurable

_DENSE = 1024  # Spans of labels up to this need no renumbering.
_CELLS = 2**22  # Entries of the contingency tables made at a time.


def adjusted_rand_index(truth: Array, prediction: Array, *, ground: int = -1) -> Array:
    """Adjusted Rand index of every picture, over the pixels that are not ground.

    With n_ij pixels in true object i and predicted segment j, c2(n) = n (n - 1) / 2 and
    a, b, t the sums of c2 over rows, columns and the whole: ARI is (sum c2(n_ij) - e) /
    ((a + b) / 2 - e), e = a b / t. It ignores the numbering of both sides.

    Args:
        truth: `[N, ...]` integers, the object of each pixel.
        prediction: same shape, integers; every value is a segment, negative ones too.
        ground: pixels with this truth are left out. Any value that does not occur gives
            the index over all pixels.

    Returns:
        `[N]` float64, at most 1; 0 is chance. It is 1 where both sides are one segment
        and where no pixel is left.

    Raises:
        ValueError: shapes differ, or an input is not integer.

    Source: [hubert1985]; foreground only as in [jin2022], section 4.2.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    _check(truth, prediction)
    if truth.size == 0:
        return np.ones(len(truth))
    kept = truth.reshape(len(truth), -1) != ground
    rows, columns = (_narrow(x.reshape(kept.shape)) for x in (truth, prediction))
    low = int(rows.min()), int(columns.min())
    shape = int(rows.max()) - low[0] + 1, int(columns.max()) - low[1] + 1
    step = max(1, min(256, _CELLS // (shape[0] * shape[1])))
    chunks = [slice(i, i + step) for i in range(0, len(kept), step)]
    tables = (_contingency(rows[c], columns[c], kept[c], low, shape) for c in chunks)
    return np.concatenate([_index(table) for table in tables])


def foreground_ari(fit: Split, test: Split) -> dict[str, float]:
    """Mean foreground ARI of `prediction.instances` against the true `instances`.

    Pictures without any object are left out of the mean. `fit` is not used.

    Raises:
        ValueError: the pictures differ in size.
        Unmeasurable: none holds an object.

    Source: [jin2022], section 4.2 and table 2 (there x100, at 112x112).
    """
    truth = np.asarray(test.truth['instances'])
    occupied = (truth >= 0).any(axis=(1, 2))
    if not occupied.any():
        raise Unmeasurable('no picture has an object')
    truth = np.where(truth < 0, -1, truth)
    values = adjusted_rand_index(truth, test.prediction.instances)
    return {'foreground_ari': float(values[occupied].mean())}


def _check(truth: Array, prediction: Array) -> None:
    if truth.ndim < 2 or truth.shape != prediction.shape:
        raise ValueError(
            'truth and prediction must both be [N, ...] pictures of one size, got '
            f'{truth.shape} and {prediction.shape}; resize one to the other first'
        )
    for name, labels in (('truth', truth), ('prediction', prediction)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f'{name} must be integer labels, got {labels.dtype}')


def _narrow(labels: Array) -> Array:
    """The labels themselves, or numbered anew where they span too wide a range."""
    if int(labels.max()) - int(labels.min()) < _DENSE:
        return labels
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def _contingency(rows: Array, columns: Array, kept: Array, low, shape) -> Array:
    """Pixels of each pair of labels, `[N, P]` twice -> `[N, R, C]` float64."""
    own = np.arange(len(rows))[:, None] * shape[0]  # The first row of each picture.
    rows = np.where(kept, rows.astype(np.int64) - low[0] + own, -1)
    columns = columns.astype(np.int64) - low[1]
    counts = contingency(rows, columns, shape=(own.size * shape[0], shape[1]))
    return np.asarray(counts, np.float64).reshape(len(rows), *shape)


def _index(table: Array) -> Array:
    """ARI of contingency tables, `[N, R, C]` -> `[N]`."""
    both = _pairs(table).sum(axis=(1, 2))
    rows = _pairs(table.sum(axis=2)).sum(axis=1)
    columns = _pairs(table.sum(axis=1)).sum(axis=1)
    total = np.maximum(_pairs(table.sum(axis=(1, 2))), 1)
    chance = rows * (columns / total)  # Exactly `rows` where columns == total.
    room = (rows + columns) / 2 - chance
    return np.where(room == 0, 1.0, (both - chance) / np.where(room == 0, 1, room))


def _pairs(n: Array) -> Array:
    return n * (n - 1) / 2
