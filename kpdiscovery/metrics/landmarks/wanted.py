"""From landmarks that were discovered to those somebody wants, learnt from few pictures.

Each picture's discovered landmarks say where a mean arrangement of them lies in it, by a map
of the plane; seen through that map wanted points hardly move, so that few annotated pictures
tell where they are, and a ridge regression on what is left of the discovered ones says how
they move. How much of it is chosen by leaving pictures out.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.regression import fit_ridge
from kpdiscovery.types import Array

KINDS = ('similarity', 'affine')
_LEAST = {'similarity': 2, 'affine': 3}  # Landmarks that such a map needs.
_PENALTIES = (0.003, 0.03, 0.3, 3.0, np.inf)  # Infinite: wanted points do not move.
_ROUNDS = 5
_FOLDS, _INNER = 10, 5  # Parts that measure, and that choose, at most.
_OFTEN = 0.5  # Share of the pictures that a landmark must be in to be used.


class WantedMap(NamedTuple):
    """Discovered landmarks `[K]` to wanted ones `[T]`, both in pixels of any picture."""

    kind: str  # Of KINDS: how the arrangement is laid on a picture.
    used: Array  # [K] bool, discovered landmarks that are looked at.
    mean: Array  # [K', 2] float64, the arrangement of these, of unit size.
    penalty: float  # Of the ridge.
    weights: Array  # [2 K', 2 T] float64, of what is left of the arrangement.
    offset: Array  # [2 T] float64, wanted points in the arrangement's frame.

    def __call__(self, xy: Array, valid: Array) -> tuple[Array, Array]:
        """Wanted points of `[N, K, 2]` landmarks, `valid` `[N, K]`: `[N, T, 2]` and
        `[N]` bool, pictures with enough landmarks; zeros in the others."""
        xy, valid = _chosen(xy, valid, self.used)
        place, there = _lay(self.mean, xy, valid, self.kind)
        left = _left(xy, valid, self.mean, place)
        points = (left @ self.weights + self.offset).reshape(len(xy), -1, 2)
        found = _apply(place, points)
        return np.where(there[:, None, None], found, 0), there


class Fitted(NamedTuple):
    """A map and what leaving pictures out says of it."""

    map: WantedMap
    errors: Array  # [N, T] pixels, of pictures that took no part; NaN: not measured.


def fit_wanted(xy: Array, valid: Array, wanted: Array, visible: Array) -> Fitted:
    """The map from discovered to wanted landmarks, and its error on other pictures.

    Args:
        xy: `[N, K, 2]` discovered landmarks in pixels of their pictures, N >= 3.
        valid: `[N, K]` bool, those that were found.
        wanted: `[N, T, 2]` annotated points, likewise.
        visible: `[N, T]` bool, those that are annotated.

    Returns:
        The map fitted on all pictures. Errors are of ten parts of the pictures (of each
        picture where there are no more than ten), each measured by a map fitted on the
        others, in which kind and penalty were chosen anew.

    Raises:
        ValueError: shapes do not fit, fewer than three pictures with two landmarks, or a
            wanted point that is annotated nowhere.
    """
    xy, wanted = np.asarray(xy, np.float64), np.asarray(wanted, np.float64)
    valid, visible = np.asarray(valid, bool), np.asarray(visible, bool)
    _check(xy, valid, wanted, visible)
    tables, errors = (xy, valid, wanted, visible), np.full(visible.shape, np.nan)
    for part, others in _parts(len(xy)):
        told = _choose(*(table[others] for table in tables))
        measured = _errors(told, *(table[part] for table in tables))
        errors[part] = np.where(visible[others].any(axis=0), measured, np.nan)
    return Fitted(_choose(*tables), errors)


def _choose(xy, valid, wanted, visible) -> WantedMap:
    """The kind and penalty with the least error on pictures left out, told in sizes of
    their arrangements."""
    tables: Any = (xy, valid, wanted, visible)
    trials, found = list(itertools.product(KINDS, _PENALTIES)), []
    for kind, penalty in trials:
        errors = []
        for part, others in _parts(len(xy), _INNER):
            a, b, c, d = (table[others] for table in tables)
            told = _fit(a, b, c, d, kind, penalty)
            left_out = _errors(told, *(table[part] for table in tables), scaled=True)
            errors.append(np.where(d.any(axis=0), left_out, np.nan))
        found.append(np.concatenate(errors))
    # Of points that all kinds could tell: an affine map needs a landmark more.
    alike = ~np.isnan(found).any(axis=0)
    means = [each[alike].mean() if alike.any() else 0.0 for each in found]
    kind, penalty = trials[int(np.argmin(means))]
    return _fit(xy, valid, wanted, visible, kind, penalty)


def _fit(xy, valid, wanted, visible, kind, penalty) -> WantedMap:
    used = valid.mean(axis=0) >= min(_OFTEN, valid.mean(axis=0).max())
    xy, valid = _chosen(xy, valid, used)
    mean = _arrangement(xy, valid)
    place, there = _lay(mean, xy, valid, kind)
    left = _left(xy, valid, mean, place)
    seen = visible & there[:, None]
    targets = _apply(_inverse(place), wanted)
    if np.isinf(penalty):
        offset = np.nan_to_num(_mean_where(targets, seen))
        weights = np.zeros((left.shape[1], offset.size))
        return WantedMap(kind, used, mean, penalty, weights, offset.reshape(-1))
    told = fit_ridge(left, targets, seen, penalty=penalty, relative=True, bias=True)
    return WantedMap(kind, used, mean, penalty, told.weights, told.offset)


def _errors(told, xy, valid, wanted, visible, *, scaled=False) -> Array:
    """`[N, T]` pixels, or sizes of the arrangement; NaN where not measured."""
    found, there = told(xy, valid)
    errors = np.linalg.norm(found - wanted, axis=-1)
    if scaled:
        kept, there_of = _chosen(xy, valid, told.used)
        place, _ = _lay(told.mean, kept, there_of, told.kind)
        errors = errors / np.sqrt(np.abs(np.linalg.det(place[:, :, :2])))[:, None]
    return np.where(visible & there[:, None], errors, np.nan)


def _arrangement(xy: Array, valid: Array) -> Array:
    """Mean of landmarks `[N, K, 2]`, each picture moved, turned and scaled to it."""
    centre = _mean_where(xy.swapaxes(0, 1), valid.T)  # [N, 2]
    mean = _mean_where(_unit(xy - np.nan_to_num(centre)[:, None], valid), valid)
    for _ in range(_ROUNDS):
        if np.isnan(mean).all():  # On no picture could it be laid.
            break
        mean = np.nan_to_num(mean - np.nanmean(mean, axis=0))
        mean /= np.sqrt(np.mean(mean**2)) or 1.0
        place, there = _lay(mean, xy, valid, 'similarity')
        mean = _mean_where(_apply(_inverse(place), xy), valid & there[:, None])
    return np.nan_to_num(mean)


def _unit(xy, valid):
    square = np.sum(xy**2 * valid[..., None], axis=(1, 2))
    return (
        xy
        / np.sqrt(np.maximum(square, 1e-12) / 2 / np.maximum(valid.sum(1), 1))[
            :, None, None
        ]
    )


def _lay(mean: Array, xy: Array, valid: Array, kind: str) -> tuple[Array, Array]:
    """Maps `[N, 2, 3]` that lay the arrangement on each picture's landmarks by least
    squares, and which pictures have enough of them, `[N]` bool."""
    there = valid.sum(axis=1) >= _LEAST[kind]
    weight = valid.astype(np.float64)
    if kind == 'similarity':
        z, w = (v[..., 0] + 1j * v[..., 1] for v in (xy, mean[None]))
        total = np.maximum(weight.sum(axis=1), 1)
        zm, wm = ((weight * v).sum(axis=1) / total for v in (z, w))
        apart = w - wm[:, None]
        square = (weight * np.abs(apart) ** 2).sum(axis=1)
        turn = (weight * apart.conj() * (z - zm[:, None])).sum(axis=1)
        turn = turn / np.maximum(square, 1e-12)
        shift = zm - turn * wm
        rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
        place = np.moveaxis(np.array(rows), -1, 0)
    else:
        ones = np.concatenate([mean, np.ones((len(mean), 1))], axis=1)
        design = weight[..., None] * ones
        place = (np.linalg.pinv(design) @ (weight[..., None] * xy)).swapaxes(1, 2)
    size = np.linalg.det(place[:, :, :2])
    there = there & (np.abs(size) > 1e-9)
    return np.where(there[:, None, None], place, np.eye(2, 3)), there


def _inverse(place: Array) -> Array:
    turn = np.linalg.inv(place[:, :, :2])
    return np.concatenate([turn, -turn @ place[:, :, 2:]], axis=2)


def _apply(place: Array, xy: Array) -> Array:
    """`[N, 2, 3]` maps of points `[N, P, 2]`."""
    return np.einsum('nij,npj->npi', place[:, :, :2], xy) + place[:, None, :, 2]


def _left(xy, valid, mean, place) -> Array:
    """How landmarks stand off the arrangement, in its frame: `[N, 2 K']`, zeros where
    they were not found."""
    apart = _apply(_inverse(place), xy) - mean
    return np.where(valid[..., None], apart, 0).reshape(len(xy), -1)


def _mean_where(points: Array, counted: Array) -> Array:
    """Mean over the first axis of `[N, P, 2]`; NaN where nothing counts."""
    weight = counted[..., None].astype(np.float64)
    total = weight.sum(axis=0)
    mean = np.where(counted[..., None], points, 0).sum(axis=0) / np.maximum(total, 1)
    return np.where(total > 0, mean, np.nan)


def _chosen(xy, valid, used):
    valid = np.asarray(valid, bool)[:, used]
    return np.where(valid[..., None], np.asarray(xy, np.float64)[:, used], 0), valid


def _parts(count: int, most: int = _FOLDS):
    """(rows of a part, all others) of at most so many parts."""
    rows = np.random.default_rng(0).permutation(count)
    for part in np.array_split(rows, min(count, most)):
        yield part, np.setdiff1d(rows, part)


def _check(xy, valid, wanted, visible):
    if (
        xy.shape != (*valid.shape, 2)
        or wanted.shape != (*visible.shape, 2)
        or (len(xy) != len(wanted))
    ):
        raise ValueError(
            'wanted landmarks [N, K, 2], points [N, T, 2] and their masks, got '
            f'{xy.shape}, {valid.shape}, {wanted.shape}, {visible.shape}'
        )
    enough = (valid.sum(axis=1) >= 2).sum()
    if enough < 3:
        raise ValueError(
            f'wanted three pictures with two landmarks or more, got {enough} of {len(xy)}'
        )
    if not visible.any(axis=0).all():
        missing = np.flatnonzero(~visible.any(axis=0)).tolist()
        raise ValueError(f'wanted points {missing} are annotated in no picture')
