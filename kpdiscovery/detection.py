"""Generic keypoints by name, for methods that start from them (`data.keypoints`)."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import math
import os
import pathlib
from typing import Any

import jax
import numpy as np

from kpdiscovery import inference, landmark_runs, paths, processes, transfer
from kpdiscovery.data import identity
from kpdiscovery.data.joined import Joined, classical, detections
from kpdiscovery.methods.superpoint import SuperPoint
from kpdiscovery.models import superpoint, xfeat
from kpdiscovery.ops import cells
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import Source, UserError

CLASSICAL: dict[str, detections.Detector] = {
    'sift': classical.sift,
    'orb': classical.orb,
}
PACKAGED = superpoint.PACKAGED
_THRESHOLD = 0.015
_SPARE = 4  # Times the points: of pictures with bars, which may take the best of them.
_XFEAT_SIDE = 256  # Pixels: it finds less in smaller pictures (RESULTS.md).
_FILES = ('.safetensors', '.pth', '.pt')


def prepare(source: Source, data: Any, workdir: str | os.PathLike) -> Source | Joined:
    """The training split with the points that a config's `data` section asks for.

    `data.keypoints` is '' (none: the source as it is), 'superpoint', 'superpoint+sift'
    (its points, SIFT's descriptors), 'xfeat', 'xfeat+sift', 'sift', 'orb', the weights
    or workdir of a SuperPoint of one's own, XFeat's weights, the workdir of a run of
    landmarks, whose points have labels, or the path of an .npz file
    (`detections.load`); `data.num_detected` is the number of points, for the size in
    which pictures are looked at see `side`. They are found once:
    WORKDIR/keypoints.npz keeps them for the run that resumes, and knows of which
    pictures they are: of others, or of other settings, they are found anew.

    Raises:
        UserError: no such detector, or a file that does not fit the source.
    """
    name, num = data.get('keypoints', ''), data.get('num_detected', 64)
    if not name:
        return source
    size = source[0]['image'].shape[:2]
    kept = paths.folder(workdir) / 'keypoints.npz'
    wanted = _provenance(source, data, size)
    read = lambda path: detections.load(path, rows=len(source), size=size)
    before = processes.told_by_first(lambda: _known(kept))
    if name == str(kept.parent / inference.CONSTELLATION):
        wanted['detector'] = inference.CONSTELLATION  # Wherever the workdir moves.
        if before and inference.is_constellation(before.get('detector', '')):
            before['detector'] = inference.CONSTELLATION
    if before is not None:
        # A file that is gone by now is believed to be the one it was.
        wanted['stamp'] = wanted['stamp'] or before.get('stamp', '')
        if before == wanted:
            return detections.join(source, read(kept), stamp=wanted['stamp'])
        logging.warning(
            '%s is of other pictures or settings: keypoints are found anew', kept
        )
    if str(name).endswith('.npz'):
        found = read(name)
    else:
        find, seen = detector(name, num), side(data, size)
        found = detections.detect(source, find, num=num, side=seen)
        if found.labels is not None:
            found = landmark_runs.with_mirror(found, source, find, seen)
    told = {'size': size, 'detector': json.dumps(wanted)}
    save = functools.partial(detections.save, kept, found, **told)
    processes.by_first(save)
    return detections.join(source, found, stamp=wanted['stamp'])


def side(data: Any, size: tuple[int, int]) -> int:
    """Pixels of the shorter side in which points are looked for; 0: as pictures are.

    `data.keypoints_size`, and where that is 0: 256 for XFeat in smaller pictures, and
    what a run was trained with.

    Args:
        data: a config's `data` section.
        size: (H, W) of the source's pictures.

    Raises:
        UserError: a file of weights cannot be read.
    """
    asked, name = data.get('keypoints_size', 0), str(data['keypoints'])
    if not asked and transfer.is_run(name):
        own = inference.load_config(name).data.size
        return 0 if own == min(size) else own
    if not asked and _is_xfeat(data['keypoints'].removesuffix('+sift')):
        asked = max(_XFEAT_SIDE, min(size))
    return 0 if asked == min(size) else asked


def detector(name: str, num: int) -> detections.Detector:
    """The function of pictures behind a name.

    SuperPoint and XFeat give their `num` best points.

    NAME+sift has upright SIFT descriptors at the points of another one: those of the
    packaged SuperPoint tell places apart far worse (RESULTS.md).

    Raises:
        UserError: no such name or file.
    """
    if name in CLASSICAL:
        return CLASSICAL[name]
    if name == 'superpoint' and not PACKAGED.is_file():
        raise UserError(
            'no SuperPoint weights come with this package: give --config.data.keypoints='
            'FILE.pth or a workdir of superpoint/shapes, or take sift'
        )
    if name == 'superpoint':
        return from_weights(PACKAGED, num)
    if name.endswith('+sift'):
        points = detector(name.removesuffix('+sift'), num)
        return functools.partial(_described, points)
    if _is_xfeat(name):
        return _xfeat(name, num)
    if name.endswith(_FILES):
        return from_weights(name, num)
    if transfer.is_run(name):
        trained = inference.load(name)
        if isinstance(trained.method, SuperPoint):
            return _superpoint(trained.method, trained.variables, num)
        return landmark_runs.detector(trained)
    raise UserError(
        "data.keypoints must be 'xfeat', 'superpoint', 'sift', 'orb', one of the first "
        "two with '+sift', a FILE.npz of points, a file of weights of SuperPoint or "
        f'XFeat, or a workdir of SuperPoint or of landmarks, got {name!r}'
    )


def _provenance(source, data, size) -> dict[str, Any]:
    """All that other points would follow from, in types that JSON keeps."""
    name = str(data['keypoints'])
    options = {key: str(value) for key, value in dict(data.get('options', {})).items()}
    looked_at = side(data, size)
    crops = getattr(source, 'crops', None)
    return {
        'detector': name,
        'num': data.get('num_detected', 64),
        'size': list(size),
        'fitted': [data.get('resize', ''), options],
        'pictures': list(identity.of(source)),
        'stamp': _stamp(name.removesuffix('+sift')),
        # Not in the files of runs that looked at pictures as they are, or cut none.
        **({'looked_at': looked_at} if looked_at else {}),
        **({} if crops is None else {'crops': _digest(crops)}),
    }


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def _stamp(name: str) -> str:
    """Of the file or the run behind a detector's name; '' where there is none."""
    path = PACKAGED if name == 'superpoint' else pathlib.Path(name)
    if path.is_file():
        return identity.of_file(path)
    steps = path / 'checkpoints'
    return ' '.join(sorted(os.listdir(steps))) if steps.is_dir() else ''


def _known(kept: paths.Path) -> dict[str, Any] | None:
    """What `_provenance` said; {} of a file that is not ours, None without a file."""
    if not kept.is_file():
        return None
    try:
        found = json.loads(detections.detector_of(kept))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def from_weights(path: str | os.PathLike, num: int) -> detections.Detector:
    """SuperPoint with the weights of a file, ours or of the public layout."""
    model, variables = superpoint.load(path)
    own = SuperPoint(
        widths=model.widths,
        head=model.head,
        descriptor=model.descriptor,
        batch_norm=model.batch_norm,
        frame='centred' if model.batch_norm else 'corner',
    )
    return _superpoint(own, {'net': variables}, num)


def _described(points, images, valid=None):
    return classical.describe(images, points(images, valid))


def _is_xfeat(name):
    return name == 'xfeat' or (
        name.endswith(_FILES) and os.path.isfile(name) and xfeat.is_file_of(name)
    )


def _xfeat(path, num):
    variables = xfeat.load(path)

    @functools.partial(jax.jit, static_argnums=1)
    def run(images, many):
        return xfeat.find(variables, image_ops.as_float(images), many)

    def detect(images: np.ndarray, many: int) -> detections.Detections:
        points, descriptors = jax.device_get(run(images, many))
        return detections.Detections(points.xy, points.score, descriptors)

    return _best_on_pictures(detect, num)


def _best_on_pictures(detect, num) -> detections.Detector:
    """The `num` best points that are not at padding, of a detector `detect(images, many)`
    whose first points are the same however many are asked for."""

    def best(images: np.ndarray, valid=None) -> detections.Detections:
        if valid is None:
            return detect(images, num)
        return detections.off_padding(detect(images, _SPARE * num), valid, num)

    return best


def _superpoint(method, variables, num):
    method = dataclasses.replace(method, predict_keypoints=0, threshold=_THRESHOLD)

    @functools.partial(jax.jit, static_argnums=1)
    def run(images, many):
        finder = dataclasses.replace(method, num_keypoints=many)
        return finder.predict(variables, image_ops.as_float(images))

    def detect(images: np.ndarray, many: int) -> detections.Detections:
        pixels = math.prod(side // cells.STRIDE * cells.STRIDE
                           for side in images.shape[1:3])  # fmt: skip
        found = jax.device_get(run(images, min(many, max(pixels, num))))
        points, there = found.keypoints, found.keypoints.valid
        return detections.Detections(
            points.xy, points.score * there, found.descriptors * there[..., None]
        )

    return _best_on_pictures(detect, num)
