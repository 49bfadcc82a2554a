"""What `kpd fit` leaves with a run, and the wanted landmarks of what the run finds."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery import paths
from kpdiscovery.data.files import npy
from kpdiscovery.metrics.landmarks.labelled import by_label
from kpdiscovery.metrics.landmarks.slot_features import rank_in_label
from kpdiscovery.metrics.landmarks.wanted import Fitted, WantedMap
from kpdiscovery.reporting.annotations import Found, write_table
from kpdiscovery.types import Keypoints, UserError

FILE = 'wanted.npz'
_HEAD = ('file', 'point', 'name', 'x', 'y', 'valid', 'expected_error')


class Wanted(NamedTuple):
    """What is kept with a run."""

    map: WantedMap
    error: np.ndarray  # [T] pixels, median of each point on pictures left out ...
    pictures: int  # That it was fitted on.
    names: tuple[str, ...]  # Of the points; () unknown.
    of: str = ''  # `model` whose landmarks they are told from; '' unknown.
    side: float = 0.0  # ... which had sqrt(W H) of so many pixels; 0: does not matter,
    # since pictures are cut to boxes, or unknown.

    def name(self, point: int) -> str:
        return self.names[point] if self.names else f'point_{point}'


def landmarks(method: Any, found: Sequence[Found]) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of N pictures as landmarks `[N, K, 2]` and which are there `[N, K]`: of a
    method without an order one for every label, and where a picture may have several of a
    label one for each rank from left to right.

    Raises:
        UserError: its keypoints have no labels that mean anything.
    """
    points = Keypoints(*(
        np.stack([np.asarray(getattr(one.keypoints, name)) for one in found])
        for name in ('xy', 'score', 'label', 'valid')
    ))  # fmt: skip
    if method.ordered:
        return points.xy, points.valid
    if method.num_labels < 2:
        raise UserError(f'kpd fit: keypoints of {type(method).__name__} have no kinds')
    if method.one_each:
        return by_label(points, method.num_labels)
    return _by_rank(points, method.num_labels)


def _by_rank(points: Keypoints, labels: int) -> tuple[np.ndarray, np.ndarray]:
    xy, n = points.xy, len(points.xy)
    kind = np.where(points.valid & (points.label >= 0), points.label, labels)
    slot = kind * kind.shape[1] + rank_in_label(kind, xy[..., 1], xy[..., 0])
    slots, there = np.zeros((n, labels * kind.shape[1], 2)), kind < labels
    rows = np.nonzero(there)[0]
    slots[rows, slot[there]] = xy[there]
    seen = np.zeros(slots.shape[:2], bool)
    seen[rows, slot[there]] = True
    return slots, seen


def in_order(method: Any, found: Sequence[Found]) -> list[Found]:
    """With keypoint k the same in every picture: of a method that has one point a label at
    most that of label k."""
    if method.ordered:
        return list(found)
    (xy, there), score = landmarks(method, found), _score(method, found)
    label = np.arange(xy.shape[1], dtype=np.int32)
    points = [
        Keypoints(xy[row], score[row], label, there[row]) for row in range(len(found))
    ]
    return [one._replace(keypoints=k) for one, k in zip(found, points, strict=True)]


def _score(method, found):
    """`[N, labels]`, by the same choice as `landmarks`."""
    as_place = lambda keys: keys.replace(xy=np.stack([keys.score] * 2, axis=-1))
    scores = [one._replace(keypoints=as_place(one.keypoints)) for one in found]
    return landmarks(method, scores)[0][..., 0]


def model(trained: Any) -> str:
    """What of a run and its settings its landmarks depend on."""
    data, meta = trained.config.data, trained.meta or {}
    phase = f' of {meta["phase"]}' if 'phase' in meta else ''  # Each counts its own.
    after = f'{meta.get("step", 0)} steps{phase}'
    return f'{trained.config.method.name} after {after}, {data.size} px, {data.resize}'


def save(
    workdir: str, fitted: Fitted, names: Sequence[str], *, of: str = '', side: float = 0
) -> None:
    """Writes wanted.npz into a workdir; `of` and `side` as in `Wanted`."""
    errors = fitted.errors
    told = Wanted(fitted.map, by_point(errors), len(errors), tuple(names), of, side)
    values = {**told._asdict(), **fitted.map._asdict()}
    del values['map']
    content = io.BytesIO()
    np.savez(content, **values)
    paths.write(paths.folder(workdir) / FILE, content.getvalue())


def load(workdir: str) -> Wanted | None:
    """What `kpd fit` has left in a workdir; None where it was not run.

    Raises:
        UserError: the file is damaged.
    """
    path = paths.folder(workdir) / FILE
    if not path.is_file():
        return None
    try:
        with path.open('rb') as file:
            found = npy.arrays(file)
        fields: dict[str, Any] = {name: found[name] for name in WantedMap._fields}
        fields |= {'kind': str(fields['kind']), 'penalty': float(fields['penalty'])}
        names = tuple(map(str, found['names']))
        told, of = WantedMap(**fields), str(found.get('of', ''))
        side, pictures = float(found.get('side', 0)), int(found['pictures'])
        if len(names) not in (0, len(found['error'])):
            raise ValueError(f'{len(names)} names of {len(found["error"])} points')
        return Wanted(told, found['error'], pictures, names, of, side)
    except (*npy.BROKEN, KeyError, ValueError) as error:
        raise UserError(f'{path} is damaged ({error}): run kpd fit again') from None


def by_point(errors: np.ndarray) -> np.ndarray:
    """Median of errors `[N, T]` by point, NaN where none was measured."""
    measured = ~np.isnan(errors).all(axis=0)
    found = np.full(errors.shape[1], np.nan)
    found[measured] = np.nanmedian(errors[:, measured], axis=0)
    return found


def of_found(told: Wanted, method: Any, found: Sequence[Found]) -> list[Found]:
    """The wanted landmarks in place of the keypoints of each picture."""
    xy, there = told.map(*landmarks(method, found))
    count = xy.shape[1]
    points = lambda row: Keypoints(
        xy[row].astype(np.float32), np.full(count, float(there[row]), np.float32),
        np.arange(count, dtype=np.int32), np.full(count, there[row]),
    )  # fmt: skip
    return [Found(one.file, one.size, points(row)) for row, one in enumerate(found)]


def write_csv(path: pathlib.Path, told: Wanted, found: Sequence[Found]) -> None:
    """A line a point; its error is the median on pictures left out of the fit, in pixels
    of a picture of this size."""

    def rows(one):
        scale = np.sqrt(np.prod(one.size)) / told.side if told.side else 1.0
        points: Any = np.round(np.asarray(one.keypoints.xy, np.float64), 3).tolist()
        for k, (x, y) in enumerate(points):
            error = round(float(scale * told.error[k]), 3)
            there = int(one.keypoints.valid[k])
            yield one.file, k, told.name(k), x, y, there, error

    write_table(path, _HEAD, found, rows)
