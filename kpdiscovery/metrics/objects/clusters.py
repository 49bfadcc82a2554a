"""How well two labelings of the same things agree."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.objects.prototypes import contingency
from kpdiscovery.ops.agreement import mutual_information
from kpdiscovery.types import Array


def normalized_mutual_information(first: Array, second: Array) -> float:
    """Mutual information over the mean of both entropies; the numbering is ignored.

    Args:
        first: integer labels of any shape; -1 (any negative) is no label.
        second: the same shape. Where either has no label there is no pair.

    Returns:
        0 (independent) to 1 (the same partition, also where each is a single cluster).

    Raises:
        ValueError: shapes differ, labels are not integers, or there is no pair.

    Source: arithmetic mean as in scikit-learn; [mallis-thesis], figure 5.8 and section 5.4.2.
    """
    first, second = np.asarray(first), np.asarray(second)
    for labels in (first, second):
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f'wanted integer labels, got {labels.dtype}')
    table = contingency(first, second)
    if not table.sum():
        raise ValueError('wanted labels that pair up, got none')
    return float(mutual_information(table))
