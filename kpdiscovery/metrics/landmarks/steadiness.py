"""Whether landmarks are landmarks: each moves over pictures, and with a known warp.

Forward NME alone does not tell: a regression finds something in points that hardly move.
"""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.labelled import by_label, side
from kpdiscovery.types import Array, Keypoints, Split, Unmeasurable

_NEAR = 3  # % of the side: 2 pixels of 64.


def landmark_spread(fit: Split, test: Split) -> dict[str, float]:
    """How much each landmark of `test` moves over its pictures; `fit` is not used.

    A landmark's spread is the root of the mean squared distance to its mean place, over
    the pictures it was found in; one found in fewer than two has none.

    Returns:
        `spread` and `spread_least`, of all landmarks the mean and the smallest, in % of
        the picture's side.

    Raises:
        Unmeasurable: the keypoints are no landmarks (`landmarks_of`), or none was found
            twice.

    Source: own definition.
    """
    xy, valid = landmarks_of(test.prediction.keypoints, test.num_labels)
    often = valid.sum(axis=0) >= 2
    if not often.any():
        raise Unmeasurable('needs a landmark that was found in two pictures or more')
    xy, counts = xy[:, often], valid[:, often, None]
    rest = xy - xy.mean(axis=0, where=counts)
    squares = (rest**2).sum(axis=-1).mean(axis=0, where=counts[..., 0])
    spread = 100 * np.sqrt(squares) / side(test)
    return {'spread': float(spread.mean()), 'spread_least': float(spread.min())}


def landmark_repeatability(fit: Split, test: Split) -> dict[str, float]:
    """How well landmarks follow a known warp of their picture; `fit` is not used.

    The distance of each landmark found in a warped copy to where the warp takes the one
    found in the picture. Only places inside the copy count.

    Returns:
        `warp_error` and `warp_error_median`, of landmarks found in both, and
        `warp_shift`, the distance the warp takes them: the error of landmarks that stay
        where they are. All in % of the picture's side. `warp_within@3`: share of those
        found in the picture that are met within 3 % of the side in the copy, in %.

    Raises:
        Unmeasurable: the keypoints are no landmarks (`landmarks_of`), there are no
            predictions of warped copies, or no landmark was found in both.

    Source: equivariance as in [thewlis2017]; own definition.
    """
    landmarks_of(test.prediction.keypoints, test.num_labels)
    if test.warped is None:
        raise Unmeasurable(
            'the method reads more of these pictures than a warped copy has: config.data.features'
        )
    size, unit = np.array(test.size[::-1]), side(test) / 100
    (xy, there), (place, valid), (found, again) = (
        by_label(points, test.num_labels) for points in test.warped
    )
    inside = ((place >= -0.5) & (place <= size - 0.5)).all(axis=-1)
    counts = there & valid & inside
    both = counts & again
    if not both.any():
        raise Unmeasurable('no landmark was found in a picture and its warped copy')
    error = np.linalg.norm(found - place, axis=-1) / unit
    return {
        'warp_error': float(error[both].mean()),
        'warp_error_median': float(np.median(error[both])),
        f'warp_within@{_NEAR}': float(
            100 * (error <= _NEAR)[both].sum() / counts.sum()
        ),
        'warp_shift': float(np.linalg.norm(place - xy, axis=-1)[both].mean() / unit),
    }


def landmarks_of(keypoints: Keypoints, num_labels: int) -> tuple[Array, Array]:
    """`by_label` of keypoints whose labels are the same in every picture.

    Raises:
        Unmeasurable: they are not, or some label has no keypoint.
    """
    label = np.asarray(keypoints.label)
    if (label != label[:1]).any() or set(label[0]) != set(range(num_labels)):
        raise Unmeasurable('needs landmarks: keypoint k with label k in every picture')
    return by_label(keypoints, num_labels)
