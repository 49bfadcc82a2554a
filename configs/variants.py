"""What configs share: variants by argument and the settings every config has."""

import itertools
from collections.abc import Callable

import ml_collections

SIZES = ('cpu', 'demo', 'smoke')


def base(**sections) -> ml_collections.ConfigDict:
    """A config with the settings that are the same everywhere, and the given sections.

    `data.path` is what --data fills; `data.landmarks` names the set of the annotated
    points in metrics.LANDMARK_SETS ('': none that we know). `run` counts steps.
    `evaluation` counts pictures: `fit` from the training split for what must be fitted,
    `test` from the test split.
    """
    plain = {
        'seed': 0,
        'mesh': {'data': -1},  # -1: all devices.
        'run': {'log_every': 50, 'checkpoint_every': 1000, 'keep': 2},
        'evaluation': {'fit': 0, 'test': 500, 'batch_size': 50},
        'data': {'path': '', 'resize': 'stretch', 'landmarks': '', 'options': {}},
    }
    for name, section in sections.items():
        plain[name] = {**plain.get(name, {}), **section}
    return ml_collections.ConfigDict(plain)


def apply(config, arg: str, **variants: Callable) -> ml_collections.ConfigDict:
    """Apply the comma-separated variants of `arg` in the order they are written.

    Sizes come last, since they cut down what the others have chosen.

    Raises:
        ValueError: an unknown variant, or one after a size.
    """
    names = [name for name in arg.split(',') if name]
    for before, after in itertools.pairwise(names):
        if before in SIZES and after not in SIZES:
            raise ValueError(
                f'{before!r} comes after {after!r}: write :{after},{before}'
            )
    for name in names:
        if name not in variants:
            raise ValueError(
                f'no variant {name!r}; there are: {", ".join(sorted(variants))}'
            )
        variants[name](config)
    return config


def tusk_phases(steps: int) -> dict:
    """TUSK's two optimisers (paper table 10; the prototypes' betas from its code)."""
    network = {'name': 'adam', 'lr': 1e-3}
    prototypes = {'name': 'adam', 'lr': 0.1, 'b1': 0.5}
    return {
        'train': {
            'steps': steps,
            'optimizer': {'network': network, 'prototypes': prototypes},
        }
    }


def tusk_views(pad, scale, scale_jitter, bend, offset, rotation, fill=0.0) -> dict:
    """The second thin-plate spline, in the order of the released configs."""
    return {
        'pad': pad, 'fill': fill, 'scale': scale, 'scale_jitter': scale_jitter,
        'bend': bend, 'offset': offset, 'rotation': rotation,
    }  # fmt: skip


def tusk_small(c, *, resolution: int, window: int) -> None:
    """A network that learns on two CPU cores, at `resolution` px inside.

    A sub-pixel splat on so few pixels is one pixel, so splats are wider and scaled to
    the map; features are standardised, which keeps equivariance from shrinking them and
    takes a weight of 0.1 in place of 100; a schedule replaces the endless constant rate.
    """
    c.method.update(
        resolution=resolution, window=window, channels=16, width=16, levels=3, groups=4,
        normalize_features='channel', splat_variance=0.5, splat_gain=float(resolution**2),
        feature_weight=0.1, cluster_start=0.3, prototype_steps=4, projections=16,
        memory=256,
    )  # fmt: skip
    network = {'name': 'adam', 'lr': 1.5e-3, 'warmup': 100, 'decay': 'linear'}
    c.phases.train.optimizer.network = network


def tusk_smoke(c) -> None:
    """Two steps of a tiny network: proves that the pieces fit."""
    c.data.update(size=32, batch_size=8)
    c.method.update(levels=2, width=4, channels=4, groups=2, window=5, projections=8)
    c.phases.train.steps = 2
    c.run.update(log_every=1, checkpoint_every=1)
    c.evaluation.update(fit=8, test=8, batch_size=8)
