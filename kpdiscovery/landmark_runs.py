"""Landmarks of another run, as keypoints with labels that a training starts from."""

from __future__ import annotations

import os
import signal
from typing import Any

import jax.numpy as jnp
import ml_collections
import numpy as np

from kpdiscovery import config, inference, methods, paths
from kpdiscovery.data.joined import closer, detections
from kpdiscovery.methods.self_training.clustering import mirror_pairs
from kpdiscovery.training import loop
from kpdiscovery.types import Source, UserError

CONSTELLATION = 'constellation'  # The name that means: find them first, without labels.
_ENOUGH = 1000  # Pictures that clusters and their arrangement are learnt from.
_MIRRORED = 256  # Pictures that tell which landmark is which in the mirror.
_SIDE = 256


def detector(trained: inference.Trained) -> detections.Detector:
    """What a run of ordered landmarks finds: point k has label k.

    Raises:
        UserError: its keypoint k is not the same thing in every picture.
    """
    if not trained.method.ordered:
        raise UserError(
            f'a run of {trained.config.method.name} as data.keypoints: its keypoints have '
            'no order; wanted one of superpoint, or of landmarks such as constellation'
        )

    def detect(
        images: np.ndarray, valid: np.ndarray | None = None
    ) -> detections.Detections:
        fields = {} if valid is None else {'pixels_valid': valid}
        found = inference.predict_images(trained, images, fields).keypoints
        # Scores may be anything, but those of points that are there are above 0.
        score = np.where(found.valid, np.maximum(found.score, 1e-6), 0)
        return detections.Detections(found.xy, score, labels=found.label)

    return detect


def with_mirror(
    found: detections.Detections, source: Source, detect: detections.Detector, side: int
) -> detections.Detections:
    """With the label that each point has in the mirrored picture.

    A landmark's mirror image is the one that is found, in mirrored pictures, where it is
    in the pictures themselves, and the other way round.
    """

    def mirrored(images: np.ndarray, valid: np.ndarray | None) -> detections.Detections:
        valid = None if valid is None else valid[:, :, ::-1]
        seen = detect(images[:, :, ::-1], valid)
        x = images.shape[2] - 1 - seen.xy[..., 0]
        return seen._replace(xy=np.stack([x, seen.xy[..., 1]], axis=-1))

    rows = min(len(found.xy), _MIRRORED)
    other = detections.detect(
        source, mirrored, num=found.xy.shape[1], rows=rows, side=side
    )
    near = _nearest(found, other, rows)
    flip = np.asarray(mirror_pairs(jnp.asarray(near)))
    return found._replace(mirror=flip[found.labels])


def _nearest(found, other, rows) -> np.ndarray:
    """How often the point nearest to i is, in the mirrored picture, j: `[K, K]`."""
    apart = found.xy[:rows, :, None] - other.xy[:rows, None]
    apart = (apart**2).sum(-1) + np.where(other.score[:rows, None] > 0, 0, np.inf)
    nearest = np.take_along_axis(other.labels[:rows], apart.argmin(-1), axis=1)
    counts = np.zeros((found.xy.shape[1],) * 2)
    there = found.score[:rows] > 0
    np.add.at(counts, (found.labels[:rows][there], nearest[there]), 1)
    return counts


def constellation(
    settings: ml_collections.ConfigDict, source: Source, workdir: str | os.PathLike
) -> str:
    """The workdir, inside this one, of landmarks found without training; trains them.

    As many as the method has, on the pictures of the training split at 256 px where they
    can be had in that size.

    Raises:
        UserError: a network is missing, or fewer than three landmarks are asked for.
    """
    folder = paths.folder(workdir) / CONSTELLATION
    size = source[0]['image'].shape[:2]
    scale = _SIDE / min(size)
    larger = closer.refitted(source, (round(size[0] * scale), round(size[1] * scale)))
    if settings.method.num_keypoints < 3:
        raise UserError(
            f'data.keypoints={CONSTELLATION} arranges at least three landmarks: raise '
            'method.num_keypoints'
        )
    inner = config_of(settings, len(source))
    method: Any = methods.build(inner.method)
    pictures = source if larger is None else larger
    outcome = loop.train(method, inner.to_dict(), pictures, folder)
    if not outcome.finished:  # By a signal, which ends the whole command.
        signal.raise_signal(signal.Signals[outcome.reason.rpartition(' ')[2]])
    return str(folder)


def config_of(settings: Any, pictures: int = 1) -> ml_collections.ConfigDict:
    """The config of the run that finds the landmarks a config starts from.

    `kpd evaluate` and `kpd predict` take that run too.

    Args:
        pictures: of the training split.
    """
    found = config.load(f'{CONSTELLATION}/folder')
    stride = -(-pictures // _ENOUGH)
    with found.unlocked():
        found.data = {**settings.data.to_dict(), 'keypoints': '', 'size': _SIDE}
        found.mesh, found.seed = settings.mesh, settings.seed
        found.run.update(
            checkpoint_every=1, log_every=1,
            compilation_cache=settings.run.compilation_cache,
        )  # fmt: skip
    k = settings.method.num_keypoints
    found.method.num_keypoints = k
    found.method.num_clusters = max(found.method.num_clusters, 2 * k)
    found.phases.cluster.stride = found.phases.arrange.stride = stride
    return found
