"""optax optimisers from the `optimizer` sections of configs."""

from __future__ import annotations

from collections.abc import Mapping

import optax

_ALGORITHMS = {
    'adam': optax.adam,
    'adamw': optax.adamw,
    'rmsprop': optax.rmsprop,
    'sgd': optax.sgd,
}


def build(config: Mapping, steps: int) -> optax.GradientTransformation:
    """Optimiser of a phase of `steps` steps.

    Args:
        config: `name` and `lr`; optionally `warmup` (steps of linear rise), `decay`
            ('constant', 'linear' or 'cosine', to zero at the last step), `clip`
            (global norm), and any keyword of the optax function (`b1`, ...).
    """
    options = dict(config)
    name, lr = options.pop('name'), options.pop('lr')
    clip, warmup = options.pop('clip', None), options.pop('warmup', 0)
    if name not in _ALGORITHMS:
        raise ValueError(
            f'optimizer name must be one of {sorted(_ALGORITHMS)}, got {name!r}'
        )
    rate = _schedule(lr, options.pop('decay', 'constant'), warmup, steps)
    update = _ALGORITHMS[name](rate, **options)
    return (
        update if clip is None else optax.chain(optax.clip_by_global_norm(clip), update)
    )


def _schedule(lr, decay, warmup, steps):
    shapes = {
        'constant': lambda n: optax.constant_schedule(lr),
        'linear': lambda n: optax.linear_schedule(lr, 0.0, n),
        'cosine': lambda n: optax.cosine_decay_schedule(lr, n),
    }
    if decay not in shapes:
        raise ValueError(f'decay must be one of {sorted(shapes)}, got {decay!r}')
    fall = shapes[decay](max(steps - warmup, 1))
    rise = optax.linear_schedule(0.0, lr, max(warmup, 1))
    return optax.join_schedules([rise, fall], [warmup]) if warmup else fall
