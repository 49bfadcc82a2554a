"""Distance between two clouds of vectors by sorting random projections."""

import jax
import jax.numpy as jnp


def sliced_wasserstein(x: jax.Array, y: jax.Array, directions: jax.Array) -> jax.Array:
    """Squared sliced 2-Wasserstein distance of two clouds of the same size.

    mean over directions and ranks of (sort(x d) - sort(y d))^2: one scalar, since it
    compares whole sets. In one dimension sorting is the optimal transport.

    Args:
        x, y: `[N, D]`; gradients reach both.
        directions: `[P, D]` unit vectors (`random_directions`).

    Raises:
        ValueError: clouds of different shape.

    Source: [jin2022], section 3.3, eq. 6; [kolouri2019]. The released code sums over
    ranks instead; multiply by N for its scale.
    """
    if x.shape != y.shape:
        raise ValueError(
            f'x and y must have one shape [N, D], got {x.shape} and {y.shape}'
        )
    project = lambda cloud: jnp.sort(
        jnp.einsum('nd,pd->pn', cloud, directions), axis=-1
    )
    return jnp.mean((project(x) - project(y)) ** 2)


def random_directions(key: jax.Array, count: int, dim: int) -> jax.Array:
    """`[count, dim]` directions, uniform on the unit sphere."""
    raw = jax.random.normal(key, (count, dim))
    return raw / jnp.linalg.norm(raw, axis=-1, keepdims=True)
