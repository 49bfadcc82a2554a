"""What the prototypes (keypoint labels) know of the objects: attribute accuracy."""

from __future__ import annotations

import numpy as np

from kpdiscovery import ops
from kpdiscovery.metrics.objects.regions import assign_regions, keypoint_of_objects
from kpdiscovery.types import Array, Keypoints, Split, Unmeasurable


def contingency(rows: Array, columns: Array) -> Array:
    """How often each pair of labels occurs, `[R, C]` int64.

    `rows` and `columns` are integers of one shape; where either is negative there is no
    pair. R and C are the largest label plus one.

    Raises:
        ValueError: shapes differ.
    """
    rows, columns = np.asarray(rows), np.asarray(columns)
    if rows.shape != columns.shape:
        raise ValueError(f'labels must pair up, got {rows.shape} and {columns.shape}')
    pair = (rows >= 0) & (columns >= 0)
    shape = tuple(int(x[pair].max(initial=-1)) + 1 for x in (rows, columns))
    return np.asarray(ops.agreement.contingency(rows, columns, shape=shape), np.int64)


def prototype_accuracy(
    prototype: Array, attribute: Array, *, total: int | None = None
) -> float:
    """Accuracy when each prototype stands for its most frequent attribute value.

    The sum over prototypes of the largest count, divided by `total`. The mapping is
    read off the same pairs, so many prototypes flatter it: compare with an untrained
    model.

    Args:
        prototype: integers of any shape; -1 is no prototype.
        attribute: integers of the same shape; -1 is no attribute. Where either is
            negative there is no pair.
        total: what counts as everything; by default the number of pairs. The number of
            all objects makes the missed ones errors.

    Returns:
        Share in [0, 1]; 0 where there are no pairs.

    Raises:
        ValueError: shapes differ, or `total` is less than the number of pairs.

    Source: [jin2022], section 4.2 (attributes) and the released evaluation of MNIST-Hard.
    """
    table = contingency(prototype, attribute)
    total = int(table.sum()) if total is None else total
    if total < table.sum():
        raise ValueError(f'total must be at least {table.sum()} pairs, got {total}')
    return float(table.max(axis=1, initial=0).sum() / max(total, 1))


def prototype_attributes(fit: Split, test: Split) -> dict[str, float]:
    """Attribute accuracy of the prototypes, for every attribute the truth names.

    Objects are the entries >= 0 of `attributes[name]` `[B, N]`. `fit` is not used.

    Returns:
        `object_recall`, the share of objects a valid keypoint's region belongs to, and
        per attribute `<name>_accuracy` (over all objects, each counted once, missed
        ones as errors), `<name>_accuracy_paper` (over owned regions, as the paper
        counts) and `hit_rate/<name>=<value>`, the recall of objects of that value.

    Raises:
        ValueError: sizes differ.
        Unmeasurable: the truth holds no object.

    Source: [jin2022], section 4.2 and table 2.
    """
    attributes = {k: np.asarray(v) for k, v in test.truth['attributes'].items()}
    present = np.any([values >= 0 for values in attributes.values()], axis=0)
    if not present.any():
        raise Unmeasurable('no picture has an object with attributes')
    keypoints = test.prediction.keypoints
    owner, area = assign_regions(
        test.prediction.alphas, test.truth['instances'], present.shape[1]
    )
    owner = np.where(np.asarray(keypoints.valid), owner, -1)
    winner = keypoint_of_objects(owner, area, present.shape[1])
    result = {'object_recall': float((winner >= 0)[present].mean())}
    for name, values in attributes.items():
        result |= _attribute(name, values, keypoints, owner, winner)
    return result


def _attribute(
    name: str, values: Array, keypoints: Keypoints, owner: Array, winner: Array
) -> dict[str, float]:
    """The figures of one attribute `[B, N]`."""
    label = np.asarray(keypoints.label)
    of_object = np.where(winner >= 0, np.take_along_axis(label, winner, 1), -1)
    of_region = np.where(owner >= 0, np.take_along_axis(values, owner, 1), -1)
    total = int((values >= 0).sum())
    result = {
        f'{name}_accuracy': prototype_accuracy(of_object, values, total=total),
        f'{name}_accuracy_paper': prototype_accuracy(label, of_region),
    }
    for value in np.unique(values[values >= 0]):
        hits = (winner >= 0)[values == value]
        result[f'hit_rate/{name}={value}'] = float(hits.mean())
    return result
