"""From a config to what is trained: the method, and the pictures with all it asks for."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import ml_collections

from kpdiscovery import data, detection, landmark_runs, methods, metrics, transfer
from kpdiscovery.data import class_labels
from kpdiscovery.data.joined import temporal
from kpdiscovery.training import loop
from kpdiscovery.types import Method, Source


class Prepared(NamedTuple):
    """What the training loop takes, beside the config."""

    method: Method
    source: Source  # The training split.


def prepare(
    settings: Any, workdir: str | os.PathLike, source: Source | None = None
) -> Prepared:
    """All that `kpd train` does between loading a config and training.

    Weights of other runs are written into the workdir, generic keypoints and optical
    flow are found and joined to the pictures. The settings are completed in place:
    numbers and names of classes, the files that stand for other runs.

    All processes of JAX must call it at the same time.

    Args:
        source: in place of the one that the config's `data` section names.

    Raises:
        UserError: something that the method asks for is not there, or does not fit.
    """
    method = methods.build(settings.method)
    phases = loop.phases_of(method, settings.to_dict())  # Mistakes are told first.
    transfer.settle(settings, method, workdir)
    class_labels.expect(settings, type(method))
    if source is None:
        source = data.build(settings.data, split='train', together=True)
    class_labels.prepare(source, settings, type(method))
    metrics.check_landmarks(settings.data.get('landmarks', ''), source)
    loop.check_pictures(phases, source, workdir)
    section = ml_collections.ConfigDict(settings.data.to_dict())
    if section.get('keypoints', '') == landmark_runs.CONSTELLATION:
        section.keypoints = landmark_runs.constellation(settings, source, workdir)
        settings.data.keypoints = landmark_runs.name_of(workdir)
    source = detection.prepare(source, section, workdir)
    landmark_runs.check_given(source, settings.method)
    source = temporal.prepare(source, settings.data)
    # Built again: the settings may have the number of classes and files by now.
    return Prepared(methods.build(settings.method), source)
