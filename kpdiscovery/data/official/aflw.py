"""AFLW: faces of Flickr with up to 21 points. Not tried on the official files.

Points, boxes and pictures are in the tables of `aflw.sqlite` (Faces, FaceImages,
FaceRect, FeatureCoords, FeatureCoordTypes). A picture may show several faces, a row each.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, find, need, words
from kpdiscovery.types import UserError

_DATABASE, _PICTURES, _LIST = 'data/aflw.sqlite', 'data/flickr', 'testing.txt'
# Numbers of the five points among the 21: eyes' centres, nose, corners of the mouth.
_FIVE = {8: 0, 11: 1, 15: 2, 18: 3, 20: 4}
_FACES = """
    SELECT Faces.face_id, FaceImages.filepath, FaceRect.x, FaceRect.y, FaceRect.w,
        FaceRect.h
    FROM Faces JOIN FaceImages ON Faces.file_id = FaceImages.file_id
        JOIN FaceRect ON Faces.face_id = FaceRect.face_id
    GROUP BY Faces.face_id
    ORDER BY FaceImages.filepath, Faces.face_id
"""
_IMAGE = re.compile(r'image\d+')


def table(root: Path) -> Table:
    """Faces of which all five points are annotated, with their boxes.

    `identity` numbers pictures, so that faces of one are never in different splits.
    """
    address = f'{need(root, _DATABASE).resolve().as_uri()}?mode=ro'
    with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
        points, faces = _points(db), db.execute(_FACES).fetchall()
    faces = [face for face in faces if face[0] in points]
    if not faces:
        raise UserError(f'{root / _DATABASE}: no face has the five points and a box')
    boxes = np.array([face[2:] for face in faces], float)
    names = [face[1] for face in faces]
    _, identity = np.unique(names, return_inverse=True)
    found: Table = {
        'files': np.array([f'{_PICTURES}/{name}' for name in names]),
        'object': np.array([face[0] for face in faces]),
        'keypoints': np.array([points[face[0]] for face in faces]),
        'boxes': np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        'identity': identity,
    }
    if test := set(_tested(root)):
        inside = [bool(test & set(_IMAGE.findall(name))) for name in names]
        found['split'] = np.where(inside, 'test', 'train')
    return found


def _points(db) -> dict[int, np.ndarray]:
    """Five points `[5, 2]` of each face that has all."""
    known: dict[int, np.ndarray] = {}
    for face, feature, x, y in db.execute(
        'SELECT face_id, feature_id, x, y FROM FeatureCoords'
    ):
        if feature in _FIVE:
            points = known.setdefault(face, np.full((5, 2), np.nan))
            points[_FIVE[feature]] = x, y
    return {face: xy for face, xy in known.items() if np.isfinite(xy).all()}


def _tested(root) -> Iterator[str]:
    """Pictures of AFLW that MTFL's list tests on: AFLW\\0001-image20056.jpg."""
    if find(root, _LIST):
        for line in words(root / _LIST):
            yield from _IMAGE.findall(line[0])


RELEASES = (
    Release(
        name='aflw',
        title='AFLW (Annotated Facial Landmarks in the Wild), the five points always seen',
        origin='page of the Institute of Computer Graphics and Vision, TU Graz; on request',
        licence='non-commercial research only, by a signed agreement',
        parts=(
            Part(_DATABASE, 'points, boxes and names of pictures'),
            Part(_PICTURES, 'pictures (folders 0, 2, 3)'),
            Part(_LIST, 'of MTFL: its AFLW pictures are the test part', needed=False),
        ),
        derived=(
            'faces without one of the five points are left out',
            'boxes: those of FaceRect, a row a face',
            'test: pictures that MTFL/testing.txt names, put beside data/; without it '
            "every tenth picture (the papers' lists of 10,112 and 2,991 are in no file)",
        ),
        table=table,
        resize='box:0.1',
    ),
)
