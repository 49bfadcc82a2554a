"""The step that every method takes: down a gradient, for one or several optimisers.

A method says what its loss is and which of its variables learn:

    update = {'network': optimizers.build(section['optimizer'], section['steps'])}
    groups = {'network': ('encoder', 'decoder')}
    state = start(variables, update, groups)  # In a phase's init.
    state, scalars = descend(loss, update, state, groups)  # In its step.

`update` holds an optax transformation a group, so two learning rates are two groups with
two optax states. `groups` names the variables of each: a name, whose parameters are the
group, or several, whose parameters by name are. Without `groups` each group trains the
variable of its own name. A net with batch statistics is what Flax makes of it,
`{'params': ..., 'batch_stats': ...}`, and its 'params' are trained; of other variables all
is. What no group names, such as a frozen net, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kpdiscovery.ops import parallel
from kpdiscovery.types import State

Groups = Mapping[str, str | tuple[str, ...]]
Updates = Mapping[str, optax.GradientTransformation]


def start(variables: Mapping, update: Updates, groups: Groups | None = None) -> State:
    """The state before the first step, with fresh optimisers."""
    groups = groups or {name: name for name in update}
    opt = {group: update[group].init(parameters(variables, names))
           for group, names in groups.items()}  # fmt: skip
    return State(jnp.zeros((), jnp.int32), dict(variables), opt)


def descend(
    loss: Callable,
    update: Updates,
    state: State,
    groups: Groups | None = None,
    *,
    axis_name: str | None = None,
) -> tuple[State, dict[str, Any]]:
    """One step of every group, each with its own optimiser.

    Args:
        loss: `loss(variables) -> value, (scalars, fresh)`. `fresh` {name: entries} are
            entries of variables that no gradient renews, such as the batch statistics
            that `apply(..., mutable=['batch_stats'])` gives; {}: none.
        update: {group: optimiser}; those of groups that are not in `groups` rest.
        axis_name: of `pmap`: the gradient is the mean over its devices. Scalars are each
            device's own.

    Returns:
        The state after the step, and `scalars`.
    """
    groups = groups or {name: name for name in update}
    trained = {group: parameters(state.variables, names)
               for group, names in groups.items()}  # fmt: skip

    def objective(trained):
        variables = state.variables
        for group, names in groups.items():
            variables = _replaced(variables, names, trained[group])
        return loss(variables)

    grads, (scalars, fresh) = jax.grad(objective, has_aux=True)(trained)
    grads = parallel.mean(grads, axis_name)
    variables, opt = state.variables, dict(state.opt)
    for group, names in groups.items():
        change, opt[group] = update[group].update(
            grads[group], opt[group], trained[group]
        )
        moved = optax.apply_updates(trained[group], change)
        variables = _replaced(variables, names, moved)
    renewed = {name: {**variables[name], **entries} for name, entries in fresh.items()}
    return State(state.step + 1, {**variables, **renewed}, opt), scalars


def parameters(variables: Mapping, names: str | tuple[str, ...]) -> Any:
    """What is trained of the variables of one name, or of several by name."""
    if not isinstance(names, str):
        return {name: parameters(variables, name) for name in names}
    own = variables[names]
    return own['params'] if _has_statistics(own) else own


def _replaced(variables, names, params):
    """The variables with these parameters in place of those that `parameters` reads."""
    given = {names: params} if isinstance(names, str) else params
    whole = lambda own, params: (
        {**own, 'params': params} if _has_statistics(own) else params
    )
    put = {name: whole(variables[name], params) for name, params in given.items()}
    return {**variables, **put}


def _has_statistics(own):
    return isinstance(own, Mapping) and 'params' in own
