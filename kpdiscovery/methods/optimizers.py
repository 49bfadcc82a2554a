"""optax optimisers from the `optimizer` sections of configs."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import optax


def _rmsprop(rate, *, alpha=0.99, eps=1e-8, momentum=None):
    """As torch has it: epsilon beside the root, a long memory."""
    return optax.rmsprop(
        rate, decay=alpha, eps=eps, eps_in_sqrt=False, momentum=momentum
    )


def _adagrad(rate, *, initial=0.0, eps=1e-10):
    """As torch has it: sums of squares that start from nothing."""
    return optax.adagrad(rate, initial_accumulator_value=initial, eps=eps)


OPTIONAL = ('accumulate', 'clip', 'l2', 'warmup')  # Of any section, alone.
_RESTARTS = ('lr_min', 'cycle', 'stairs')
_ALGORITHMS = {
    'adagrad': _adagrad,
    'adam': optax.adam,
    'adamw': optax.adamw,
    'rmsprop': _rmsprop,
    'sgd': optax.sgd,
}


def build(config: Mapping, steps: int) -> optax.GradientTransformation:
    """Optimiser of a phase of `steps` steps.

    Args:
        config: `name` and `lr`; optionally `warmup` (steps of linear rise), `decay`
            (see below), `clip` (global norm), `l2` (times the parameters, added to
            their gradients), `accumulate` (steps whose gradients are averaged before
            they count; schedules count those), and any keyword of the optax function
            (`b1`, ...; of rmsprop `alpha`, `eps`, `momentum`, as torch names them; of
            adagrad `initial`, the sum of squares it starts from, and `eps`).

    Decays: 'constant'; 'linear' or 'cosine', to zero at the last step; 'drops', to a
    tenth at the steps in `drops`; 'restarts', a cosine from `lr` to `lr_min` in `stairs`
    steps, again every `cycle` steps; 'inverse', lr / (1 + `share` step).
    """
    options = dict(config)
    name, lr = options.pop('name'), options.pop('lr')
    clip, warmup = options.pop('clip', None), options.pop('warmup', 0)
    l2, accumulate = options.pop('l2', None), options.pop('accumulate', 1)
    if name not in _ALGORITHMS:
        raise ValueError(
            f'optimizer name must be one of {sorted(_ALGORITHMS)}, got {name!r}'
        )
    shape = {k: options.pop(k) for k in ('drops', 'share', *_RESTARTS) if k in options}
    decay = options.pop('decay', 'constant')
    rate = _schedule(lr, decay, warmup, -(-steps // accumulate), shape)
    chain = [_ALGORITHMS[name](rate, **options)]
    if l2 is not None:
        chain.insert(0, optax.add_decayed_weights(l2))
    if clip is not None:
        chain.insert(0, optax.clip_by_global_norm(clip))
    update = optax.chain(*chain) if len(chain) > 1 else chain[0]
    if accumulate == 1:
        return update
    return optax.MultiSteps(update, accumulate).gradient_transformation()


def _schedule(lr, decay, warmup, steps, shape):
    shapes = {
        'constant': lambda n: optax.constant_schedule(lr),
        'linear': lambda n: optax.linear_schedule(lr, 0.0, n),
        'cosine': lambda n: optax.cosine_decay_schedule(lr, n),
        'drops': lambda n: optax.piecewise_constant_schedule(
            lr, dict.fromkeys(shape['drops'], 0.1)
        ),
        'inverse': lambda n: lambda step: lr / (1 + shape['share'] * step),
        'restarts': lambda n: _restarts(lr, **{k: shape[k] for k in _RESTARTS}),
    }
    if decay not in shapes:
        raise ValueError(f'decay must be one of {sorted(shapes)}, got {decay!r}')
    fall = shapes[decay](max(steps - warmup, 1))
    rise = optax.linear_schedule(0.0, lr, max(warmup, 1))
    return optax.join_schedules([rise, fall], [warmup]) if warmup else fall


def _restarts(lr, *, lr_min, cycle, stairs):
    def rate(step):
        stair = (step % cycle) // (cycle // stairs)
        return lr_min + (lr - lr_min) * (1 + jnp.cos(jnp.pi * stair / stairs)) / 2

    return rate
