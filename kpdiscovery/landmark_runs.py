"""Landmarks of another run, as keypoints with labels that a training starts from."""

from __future__ import annotations

import os
import signal
from typing import Any

import jax.numpy as jnp
import ml_collections
import numpy as np

from kpdiscovery import config, inference, methods, paths
from kpdiscovery.data.joined import Joined, closer, detections
from kpdiscovery.methods.self_training.clustering import mirror_pairs
from kpdiscovery.training import loop, runs
from kpdiscovery.types import Source, UserError

CONSTELLATION = inference.CONSTELLATION  # Means: find them first, without labels.
_ENOUGH = 1000  # Pictures that clusters and their arrangement are learnt from.
_MIRRORED = 256  # Pictures that tell which landmark is which in the mirror.
_REACH = (
    0.1  # Of the shorter side: what is nearest but farther away is no mirror image.
)
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
    in the pictures themselves, and the other way round; -1 where no landmark is.
    """

    def mirrored(images: np.ndarray, valid: np.ndarray | None) -> detections.Detections:
        valid = None if valid is None else valid[:, :, ::-1]
        seen = detect(images[:, :, ::-1], valid)
        x = images.shape[2] - 1 - seen.xy[..., 0]
        return seen._replace(xy=np.stack([x, seen.xy[..., 1]], axis=-1))

    # Pictures from all of the split: files of one video or person are neighbours.
    few = min(len(found.xy), _MIRRORED)
    rows = np.linspace(0, len(found.xy) - 1, few).round().astype(int)
    other = detections.detect(
        source, mirrored, num=found.xy.shape[1], rows=rows, side=side
    )
    reach = _REACH * min(source[0]['image'].shape[:2])
    own = found._replace(mirror=None, files=None, descriptors=None)
    own = detections.Detections(*(None if a is None else a[rows] for a in own))
    near, seen = _nearest(own, other, reach)
    flip = np.asarray(mirror_pairs(jnp.asarray(near), jnp.asarray(seen)))
    return found._replace(mirror=flip[found.labels])


def _nearest(own, other, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """How often the point nearest to i, within `reach` pixels, is in the mirrored picture
    j: `[K, K]`, and how often i was there at all: `[K]`."""
    apart = own.xy[:, :, None] - other.xy[:, None]
    apart = (apart**2).sum(-1) + np.where(other.score[:, None] > 0, 0, np.inf)
    nearest = np.take_along_axis(other.labels, apart.argmin(-1), axis=1)
    there = own.score > 0
    close = there & (apart.min(-1) <= reach**2)
    k = own.xy.shape[1]
    counts = np.zeros((k, k), np.float32)
    np.add.at(counts, (own.labels[close], nearest[close]), 1)
    return counts, np.bincount(own.labels[there], minlength=k).astype(np.float32)


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


def check_given(source: Source, section: Any) -> None:
    """That there is something to learn of every landmark that a method asks for.

    Args:
        section: a config's `method`.

    Raises:
        UserError: it starts from labels, of which some are never there.
    """
    fields = source.fields if isinstance(source, Joined) else {}
    if section.get('start', '') != 'clusters' or 'detected_label' not in fields:
        return
    k = section.num_keypoints
    labels = np.unique(fields['detected_label'])
    labels = labels[(labels >= 0) & (labels < k)]
    if len(labels) == k:
        return
    absent = np.setdiff1d(np.arange(k), labels)
    whole = len(labels) and labels[-1] < len(labels)
    mend = (
        f'give --config.method.num_keypoints={len(labels)}'
        if whole
        else f'of {absent[0]} there is no point: number them from 0 without gaps'
    )
    raise UserError(
        f'data.keypoints gives {len(labels)} of the {k} landmarks that '
        f'method.num_keypoints asks for: {mend}'
    )


def name_of(workdir: str | os.PathLike) -> str:
    """What a run says of a start that lies in its own workdir: its name, which moves with
    it; of one begun when configs had the path, that path."""
    if not (paths.folder(workdir) / runs.CONFIG).is_file():
        return CONSTELLATION
    before = runs.load_config(workdir)['data'].get('keypoints', '')
    return before if inference.is_constellation(before) else CONSTELLATION


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
