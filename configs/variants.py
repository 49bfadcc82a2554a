"""What configs share: variants by argument and the settings every config has."""

import functools
import itertools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from kpdiscovery.configs.pods import PODS

SIZES = ('cpu', 'cpu128', 'gpu10', 'demo', 'smoke')
LAST = (*SIZES, *PODS)  # What they cut down or multiply the others have chosen.


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
        'run': {
            'log_every': 50,
            'checkpoint_every': 1000,
            'keep': 2,
            'compilation_cache': '',  # A folder: programs compiled once are kept there.
        },
        'evaluation': {'fit': 0, 'test': 500, 'batch_size': 50},
        'data': {'path': '', 'resize': 'stretch', 'landmarks': '', 'options': {}},
    }
    for name, section in sections.items():
        plain[name] = {**plain.get(name, {}), **section}
    return ml_collections.ConfigDict(plain)


def two_steps(c) -> None:
    """Of each phase, with a sweep before each, logged and saved: what smoke runs share."""
    for section in c.phases.values():
        section.steps = min(section.steps, 2)
        for name in ('round', 'epoch', 'pools_every'):
            if name in section:
                section[name] = 1
    c.run.update(log_every=1, checkpoint_every=1)


def scratch(c) -> None:
    """Declines a pretrained start: no network of others, whatever is on this machine."""
    del c


def apply(config, arg: str, variants: Mapping[str, Callable]):
    """Apply the comma-separated variants of `arg` in the order they are written.

    Sizes come last, since they cut down what the others have chosen: batch, steps and
    networks are theirs. What another variant has switched off (0, False, None, '') stays
    off, so that an ablation is one at every size. Every config has the pods too, which
    come last as well, and are those of the paper's size: not of a smaller one.

    Args:
        config: of which the functions change what they are about.
        variants: {name: function}; a config module's `VARIANTS`.

    Raises:
        ValueError: an unknown variant, one after a size or a pod, or a pod with either.
    """
    names = [name for name in arg.split(',') if name]
    known = {**PODS, **variants}
    for name in names:
        if name not in known:
            raise ValueError(
                f'no variant {name!r}; there are: {", ".join(sorted(known))}'
            )
    _check_order(names)
    plain = leaves(config)
    for name in names:
        before = leaves(config)
        known[name](config)
        if name in SIZES:
            _keep_off(config, before, plain)
    return ml_collections.ConfigDict(_apart(config.to_dict()))


def _apart(section):
    """No section within two others: setting the one would set the other as well."""
    if not isinstance(section, Mapping):
        return section
    return {name: _apart(value) for name, value in section.items()}


def _check_order(names) -> None:
    last = [name for name in names if name in LAST]
    if len(last) > 1 and set(last) & set(PODS):
        raise ValueError(
            f'{last[0]!r} and {last[1]!r} exclude each other: pods are for full size'
        )
    for before, after in itertools.pairwise(names):
        if before in LAST and after not in LAST:
            raise ValueError(
                f'{before!r} comes after {after!r}: write :{after},{before}'
            )


def leaves(config) -> dict[tuple[str, ...], Any]:
    """The settings of a config by their path."""
    found = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            inner = leaves(value).items()
            found |= {(name, *path): leaf for path, leaf in inner}
        else:
            found[(name,)] = value
    return found


def _keep_off(config, before, plain) -> None:
    """Switches off again what was off `before`, though not in the `plain` config."""
    now = leaves(config)
    for path, value in before.items():
        if not value and plain.get(path, True) and now.get(path):
            *sections, name = path
            with config.ignore_type():
                functools.reduce(operator.getitem, sections, config)[name] = value
