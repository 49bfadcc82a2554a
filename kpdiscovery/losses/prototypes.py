"""How clearly descriptors belong to prototypes."""

import jax
import jax.numpy as jnp

from kpdiscovery.ops import mixtures, vectors


def prototype_assignment(
    descriptors: jax.Array, prototypes: jax.Array, *, form: str = 'squared'
) -> jax.Array:
    """Cross entropy of the soft assignment with its own argmax: `[..., K, D]` -> `[...]`.

    mean over K of -log max_m p_m, in [0, log M].

    Args:
        prototypes: `[M, D]`.
        form: see `ops.mixtures.pseudo_probabilities`.

    Source: [jin2022], section 3.2, eq. 3-4.
    """
    prob = mixtures.pseudo_probabilities(descriptors, prototypes, form=form)
    return -jnp.log(prob.max(axis=-1)).mean(axis=-1)


def nearest_prototype(descriptors: jax.Array, prototypes: jax.Array) -> jax.Array:
    """Mean squared distance to the nearest prototype: `[..., K, D]` -> `[...]`.

    The k-means objective over minibatches, and the codebook loss of vector
    quantisation; divided by D like every mean over vector elements here.
    """
    squares = vectors.squared_distances(descriptors, prototypes).min(axis=-1)
    return squares.mean(axis=-1) / prototypes.shape[-1]
