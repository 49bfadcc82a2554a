"""Networks that another run trained, as the frozen features of this one."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import jax

from kpdiscovery import detection, inference
from kpdiscovery.models import weights
from kpdiscovery.types import UserError

_NETS = ('first', 'classifier', 'embedding')  # Those with a backbone, the best first.
_SHAPE = ('backbone', 'width', 'last_stride', 'small_stem')


def settle(settings: Any, workdir: str | os.PathLike) -> None:
    """Where `method.features.weights` is a workdir, its network; in place.

    The weights are written to WORKDIR/features.safetensors and named in the config, with
    the network's shape. Methods without that section are left alone.

    Raises:
        UserError: the workdir's method has no such network.
    """
    section = settings.method.get('features')
    if not section or not (pathlib.Path(section.weights) / 'checkpoints').is_dir():
        return
    if not section.weights:  # Path('') is here.
        return
    if section.backbone == 'superpoint':
        section.weights = detection.weights_file(section.weights)
        return
    trained = inference.load(section.weights)
    path = pathlib.Path(workdir) / 'features.safetensors'
    if jax.process_index() == 0:
        weights.save(path, _backbone(trained, section.weights))
    network = trained.config.method.network
    section.update({name: network[name] for name in _SHAPE})
    section.weights = str(path)


def _backbone(trained, where):
    for name in _NETS:
        net = trained.variables.get(name, {})
        if 'backbone' in net.get('params', {}):
            return {kind: tree['backbone'] for kind, tree in net.items()}
    raise UserError(
        f'features.weights={where}: a {trained.config.method.name} run has no classifier; '
        'wanted one of lmpnet or weight_map'
    )
