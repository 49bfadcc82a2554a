"""What a run compiles of a phase, for the chips of a mesh: here or not (`compiled`)."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import Mesh

from kpdiscovery.training import sharding
from kpdiscovery.types import Phase


def init(phase: Phase, mesh: Mesh) -> Any:
    """(key, batch, state of the phase before) -> state."""
    return jax.jit(phase.init, out_shardings=sharding.replicated(mesh))


def step(phase: Phase, key: jax.Array, mesh: Mesh) -> Any:
    """(state, batch, labels) -> (state, scalars); the state's memory is reused.

    `key` is that of the phase's steps: each takes its own from it.
    """

    def step(state, batch, labels):
        return phase.step(state, batch, labels, jax.random.fold_in(key, state.step))

    everywhere = sharding.replicated(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=everywhere)
