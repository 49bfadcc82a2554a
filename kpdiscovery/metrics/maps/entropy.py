"""How sparse feature maps are."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from kpdiscovery.ops.pooling import map_entropy
from kpdiscovery.types import Array


def feature_map_entropy(features: Array) -> Array:
    """Entropy of each map, its cells' shares of the sum taken as probabilities.

    0 for one cell, log(h w) for a flat map. Over a data set: the mean of all that are
    not NaN (`np.nanmean`), or their histogram.

    Args:
        features: `[N, h, w, C]` activations >= 0 (after the ReLU).

    Returns:
        `[N, C]` float32 nats; NaN where a map is zero everywhere.

    Raises:
        ValueError: another shape, or a value that is negative or not finite.

    Source: [guo2025], figure 6.
    """
    features = np.asarray(features)
    if features.ndim != 4 or not features.shape[1] * features.shape[2]:
        raise ValueError(f'wanted features [N, h, w, C], got {features.shape}')
    if not (np.isfinite(features) & (features >= 0)).all():
        raise ValueError(
            f'wanted finite features >= 0, got {features.min()}..{features.max()}'
        )
    entropy = np.asarray(map_entropy(jnp.asarray(features)))
    return np.where(features.any(axis=(1, 2)), entropy, np.nan)
