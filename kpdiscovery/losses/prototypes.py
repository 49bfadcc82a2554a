"""How clearly descriptors belong to prototypes."""

import jax
import jax.numpy as jnp

from kpdiscovery.ops import mixtures, parallel, vectors


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


def swapped_assignment(
    descriptors: jax.Array,
    others: jax.Array,
    prototypes: jax.Array,
    *,
    form: str = 'squared',
) -> jax.Array:
    """Cross entropy of the soft assignment with the argmax of another view's descriptor.

    `prototype_assignment` with the partner's prototype in place of its own: -log p_m of
    `descriptors` `[..., D]`, m the prototype nearest to `others` `[..., D]`, which get no
    gradient; `[...]`.

    Args:
        prototypes: `[M, D]`.
        form: see `ops.mixtures.pseudo_probabilities`.

    Source: swapped prediction, [caron2020], without its balanced codes.
    """
    prob = mixtures.pseudo_probabilities(descriptors, prototypes, form=form)
    nearest = vectors.squared_distances(others, prototypes).argmin(axis=-1)
    chosen = jnp.take_along_axis(prob, nearest[..., None], axis=-1)[..., 0]
    return -jnp.log(jnp.maximum(chosen, 1e-30))


def prototype_imbalance(
    descriptors: jax.Array,
    prototypes: jax.Array,
    *,
    form: str = 'squared',
    axis_name: str | None = None,
) -> jax.Array:
    """How far prototypes are from having equal shares: scalar in [0, log M].

    log M - H(p), p the mean soft assignment of all descriptors `[..., D]` to `[M, D]`.

    Args:
        form: see `ops.mixtures.pseudo_probabilities`.
        axis_name: of the mesh axis that descriptors are split over, under `pmap`.

    Source: the marginal entropy of [hu2017].
    """
    prob = mixtures.pseudo_probabilities(descriptors, prototypes, form=form)
    share = parallel.mean(prob.reshape(-1, prob.shape[-1]).mean(axis=0), axis_name)
    entropy = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-30)))
    return jnp.log(prob.shape[-1]) - entropy


def nearest_prototype(descriptors: jax.Array, prototypes: jax.Array) -> jax.Array:
    """Mean squared distance to the nearest prototype: `[..., K, D]` -> `[...]`.

    The k-means objective over minibatches, and the codebook loss of vector
    quantisation; divided by D like every mean over vector elements here.
    """
    squares = vectors.squared_distances(descriptors, prototypes).min(axis=-1)
    return squares.mean(axis=-1) / prototypes.shape[-1]
