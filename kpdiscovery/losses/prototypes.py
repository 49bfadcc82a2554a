"""How clearly descriptors belong to prototypes."""

import jax
import jax.numpy as jnp

from kpdiscovery.ops import mixtures, parallel, vectors

_LEAST = 1e-6  # Probability.


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


def mutual_information(
    first: jax.Array,
    second: jax.Array,
    counts: jax.Array,
    *,
    axis_name: str | None = None,
) -> jax.Array:
    """How little two soft assignments of the same things tell of each other, in nats.

    With `P = mean of first second^T` over the pairs that count, made symmetric:
    `-sum_ab P_ab log(P_ab / (P_a P_b))`. It is -log M where both agree, are sure of it and
    use all M alike, and 0 where one tells nothing of the other: all in one, or all unsure.

    Args:
        first, second: `[N, M]` probabilities.
        counts: `[N]` bool.
        axis_name: of `pmap` or `shard_map`, over whose devices the pairs are.

    Returns:
        Scalar in [-log M, 0], of all pairs together; 0 where none counts.

    Source: [ji2019], section 3.1, eq. 2 and 3.

    >>> sure = jnp.eye(4)
    >>> float(mutual_information(sure, sure, jnp.ones(4, bool)))
    -1.386...
    """
    total = lambda x: parallel.total(x, axis_name)
    weight = counts.astype(first.dtype)
    joint = total(jnp.einsum('n,na,nb->ab', weight, first, second, precision='highest'))
    joint = (joint + joint.T) / (2 * jnp.maximum(total(weight.sum()), 1))
    log = lambda p: jnp.log(jnp.maximum(p, _LEAST))
    share = joint.sum(axis=0)
    return -jnp.sum(joint * (log(joint) - log(share)[:, None] - log(share)[None]))
