"""What descriptors know of the objects that keypoints stand on, whatever their labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.metrics.objects.prototypes import prototype_accuracy
from kpdiscovery.ops import kmeans
from kpdiscovery.types import Array, Split, Unmeasurable

_NEIGHBORS = 5
_CHUNK = 1024  # Descriptors whose neighbours are looked for at a time.
_RESTARTS = 3


def descriptor_probes(fit: Split, test: Split) -> dict[str, float]:
    """Whether objects' attributes can be read off the descriptors; `fit` is not used.

    Keypoints in the box of an object (of several, the one whose middle is nearest) stand for
    it. Where these find the attributes and the labels do not, labels are at fault;
    where they do not either, descriptors are.

    Returns:
        For every attribute, in [0, 1] of these keypoints: `<name>_5nn`, told by the five
        nearest descriptors of other pictures; `<name>_linear`, by a linear map fitted on one
        half of the pictures and measured on the other; `<name>_kmeans`, as
        `<name>_accuracy_paper` (of MNIST-Hard `classification_majority`) tells it by
        labels, but by as many clusters of the descriptors; and `<name>_chance`, the share of
        the most frequent value.

    Raises:
        Unmeasurable: no keypoint lies on an object, or all do in one picture.

    Source: own choice; [jin2022] has pictures of the descriptors (t-SNE).
    """
    owner = objects_of(test)
    picture, place = np.nonzero(owner >= 0)
    if len(np.unique(picture)) < 2:
        raise Unmeasurable('keypoints lie on objects of no two pictures')
    found = np.asarray(test.prediction.descriptors, np.float32)[picture, place]
    found = found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-9)
    cluster = _clusters(found, test.num_labels)
    near = _neighbors(found, picture)
    figures: dict[str, float] = {}
    for name, values in test.truth['attributes'].items():
        value = np.asarray(values)[picture, owner[picture, place]]
        figures |= {
            f'{name}_5nn': _by_neighbors(near, value),
            f'{name}_linear': _by_linear_map(found, value, picture),
            f'{name}_kmeans': prototype_accuracy(cluster, value),
            f'{name}_chance': float(np.unique(value, return_counts=True)[1].max()
                                    / len(value)),
        }  # fmt: skip
    return figures


def objects_of(split: Split) -> Array:
    """The object in whose box each keypoint lies, `[N, K]`, -1 for none.

    Of several the one whose middle is nearest; keypoints that are not valid have none.
    """
    keypoints, truth = split.prediction.keypoints, split.truth
    boxes = np.asarray(truth['boxes'], np.float64)[:, None]  # [N, 1, T, 4]
    xy = np.asarray(keypoints.xy, np.float64)[:, :, None]
    inside = ((xy >= boxes[..., :2]) & (xy <= boxes[..., 2:])).all(axis=-1)
    inside &= np.asarray(truth['boxes_valid'], bool)[:, None]
    inside &= np.asarray(keypoints.valid, bool)[..., None]
    apart = np.linalg.norm(xy - (boxes[..., :2] + boxes[..., 2:]) / 2, axis=-1)
    nearest = np.where(inside, apart, np.inf).argmin(axis=-1)
    return np.where(inside.any(axis=-1), nearest, -1)


def _clusters(found: Array, count: int) -> Array:
    clusters = kmeans.kmeans(
        jax.random.key(0), jnp.asarray(found), min(count, len(found)),
        spherical=True, restarts=_RESTARTS,
    )  # fmt: skip
    return np.asarray(clusters.labels)


def _neighbors(found: Array, picture: Array) -> Array:
    """The (at most) five nearest of other pictures, nearest first: `[n, 5]` row numbers."""
    near = []
    most = np.unique(picture, return_counts=True)[1].max()
    count = min(_NEIGHBORS, len(found) - most)  # So many are in other pictures.
    for start in range(0, len(found), _CHUNK):
        rows = slice(start, start + _CHUNK)
        cosine = jnp.dot(found[rows], found.T, precision='highest')
        other = picture[rows, None] != picture[None]
        cosine = jnp.where(other, cosine, -2)
        near.append(jax.lax.top_k(cosine, count)[1])
    return np.concatenate(near)


def _by_neighbors(near: Array, value: Array) -> float:
    """Accuracy of the most frequent value; of equally frequent ones the nearest's."""
    votes = value[near]
    count = (votes[:, :, None] == votes[:, None]).sum(axis=-1)
    chosen = np.take_along_axis(votes, count.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((chosen == value).mean())


def _by_linear_map(found: Array, value: Array, picture: Array) -> float:
    """Accuracy on the second half of the pictures of least squares fitted on the first."""
    half = picture < np.median(np.unique(picture))
    classes, index = np.unique(value, return_inverse=True)
    known = np.concatenate([found, np.ones((len(found), 1))], axis=1)
    weights = np.linalg.lstsq(known[half], np.eye(len(classes))[index[half]])[0]
    told = (known[~half] @ weights).argmax(axis=-1)
    return float((told == index[~half]).mean())
