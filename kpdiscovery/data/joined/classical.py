"""Keypoints that need no training: SIFT and ORB, through OpenCV (extra `vision`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kpdiscovery.data.joined.detections import Detections
from kpdiscovery.types import UserError

_CANDIDATES = 512  # A picture, the strongest.
_CONTRAST = 0.01  # A quarter of OpenCV's: small pictures have few strong blobs.
_ACROSS = 8.0  # Pixels, of points that SIFT describes and has not found.
_ORB_SIDE = 320  # ORB finds nothing within 31 px of a border: pictures are enlarged.


def sift(images: np.ndarray, valid: np.ndarray | None = None) -> Detections:
    """SIFT of uint8 `[B, H, W, 3]`: P = 512, D = 128 (RootSIFT), score its response.

    Source: [lowe2004]; [arandjelovic2012] (square roots).

    Raises:
        UserError: OpenCV is not installed.
    """
    del valid  # Points near padding are left out later.
    cv2 = opencv('SIFT and ORB')
    finder = cv2.SIFT_create(contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    found = [_run(finder, _gray(cv2, image)) for image in images]
    return _stack(found, 128, _root)


def orb(images: np.ndarray, valid: np.ndarray | None = None) -> Detections:
    """ORB of uint8 `[B, H, W, 3]`: P = 512, D = 256 (bits as +-1/16).

    Their inner products are 1 - Hamming distance / 128. Source: [rublee2011].

    Raises:
        UserError: OpenCV is not installed.
    """
    del valid  # Points near padding are left out later.
    cv2 = opencv('SIFT and ORB')
    zoom = max(1, -(-_ORB_SIDE // min(images.shape[1:3])))
    finder = cv2.ORB_create(nfeatures=_CANDIDATES, fastThreshold=5)
    found = []
    for image in images:
        gray = _gray(cv2, image)
        size = (zoom * gray.shape[1], zoom * gray.shape[0])
        xy, score, raw = _run(
            finder, cv2.resize(gray, size, interpolation=cv2.INTER_CUBIC)
        )
        found.append(((xy + 0.5) / zoom - 0.5, score, raw))
    bits = lambda raw: np.unpackbits(raw.astype(np.uint8), axis=1) / 8.0 - 1 / 16
    return _stack(found, 256, bits)


def describe(images: np.ndarray, found: Detections) -> Detections:
    """The same points with upright SIFT descriptors (RootSIFT, D = 128).

    For detectors whose own descriptors are weak. All points are described at one size,
    8 pixels across.

    Raises:
        UserError: OpenCV is not installed.
    """
    cv2 = opencv('SIFT')
    finder = cv2.SIFT_create()
    out = np.zeros((*found.score.shape, 128), np.float32)
    for row, image in enumerate(images):
        places = np.flatnonzero(found.score[row] > 0)
        # The number rides along: OpenCV may leave points out.
        points = [
            cv2.KeyPoint(*map(float, found.xy[row, i]), _ACROSS, 0.0, 1.0, 0, int(i))
            for i in places
        ]
        kept, raw = finder.compute(_gray(cv2, image), points)
        if len(kept):
            out[row, [point.class_id for point in kept]] = _root(raw)
    return found._replace(descriptors=out)


def opencv(what: str) -> Any:
    """OpenCV, or a UserError that says `what` needs it."""
    try:
        import cv2
    except ImportError:
        raise UserError(
            f"OpenCV is missing for {what}: pip install 'kpdiscovery[vision]'"
        ) from None
    return cv2


def _root(raw):
    """Square roots of SIFT histograms of sum 1, so of unit length."""
    return np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-12))


def _gray(cv2, image):
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)


def _run(finder, gray):
    """Points `[n, 2]`, responses `[n]` and raw descriptors of one picture."""
    points, raw = finder.detectAndCompute(gray, None)
    xy = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
    score = np.array([point.response for point in points], np.float32)
    # SIFT gives a point once for each direction it may have.
    _, own = np.unique(xy, axis=0, return_index=True)
    return xy[own], score[own], None if raw is None else raw[own]


def _stack(found, width, finish):
    """Lists of every length as arrays, the strongest first, zeros behind."""
    n = len(found)
    out = Detections(
        np.zeros((n, _CANDIDATES, 2), np.float32),
        np.zeros((n, _CANDIDATES), np.float32),
        np.zeros((n, _CANDIDATES, width), np.float32),
    )
    for row, (xy, score, raw) in enumerate(found):
        if not len(xy):
            continue
        best = np.argsort(-score, kind='stable')[:_CANDIDATES]
        parts = (xy[best], score[best], finish(raw[best]))
        for leaf, part in zip(out[:3], parts, strict=True):
            leaf[row, : len(best)] = part
    return out
