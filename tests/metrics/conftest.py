"""Hand-made splits."""

import numpy as np
import pytest

from kpdiscovery.types import Keypoints, Prediction, Split


def make_keypoints(xy, label, valid=None, score=None):
    """Keypoints of `[N, K, 2]` and `[N, K]`; all valid with score 1 by default."""
    label = np.asarray(label, np.int32)
    valid = np.ones(label.shape, bool) if valid is None else np.asarray(valid, bool)
    score = np.ones(label.shape) if score is None else np.asarray(score)
    return Keypoints(
        xy=np.asarray(xy, np.float32),
        score=score.astype(np.float32),
        label=label,
        valid=valid,
    )


@pytest.fixture
def keypoints():
    return make_keypoints


@pytest.fixture
def split():
    """Factory of splits; further arguments are fields of the prediction."""

    def make(
        truth,
        xy,
        label,
        valid=None,
        score=None,
        size=(80, 80),
        num_labels=10,
        landmarks='',
        **more,
    ):
        prediction = Prediction(make_keypoints(xy, label, valid, score), **more)
        return Split(prediction, truth, size, num_labels, landmarks)

    return make
