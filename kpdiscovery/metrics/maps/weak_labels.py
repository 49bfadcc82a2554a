"""What is learnt from class labels alone: classes, boxes and pixels."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.maps.boxes import inclusive_overlap, to_protocol
from kpdiscovery.metrics.maps.localization import (
    ground_truth_known_localization,
    max_box_accuracies,
    top1_localization,
)
from kpdiscovery.metrics.maps.pixel_precision import pixel_average_precision
from kpdiscovery.types import Array, Split, Unmeasurable

_SIDE = 224  # Of the square that the protocol compares boxes on.
_STEP = 0.01  # Of thresholds, as the protocol's stand-alone evaluator has it.
_SHARES = np.arange(0.02, 1.001, 0.02)  # Sides of centred boxes.
_OVERLAPS = np.array([0.3, 0.5, 0.7])
_WHOLE = 0.9  # Of a picture: a box as good as none.


def classification(fit: Split, test: Split) -> dict[str, float]:
    """`top1_accuracy`: pictures whose most likely class is the true one, in %."""
    del fit
    logits = np.asarray(test.prediction.class_logits)
    right = logits.argmax(axis=-1) == test.truth['label']
    return {'top1_accuracy': float(100 * right.mean())}


def sparsity(fit: Split, test: Split) -> dict[str, float]:
    """`feature_entropy`: mean over pictures of `ops.pooling.sparsity`, nats."""
    del fit
    entropy = np.asarray(test.prediction.feature_entropy)
    return {'feature_entropy': float(entropy.mean())}


def localization(fit: Split, test: Split) -> dict[str, float]:
    """The WSOL protocol for the method's maps, for CAM, and for a box in the middle.

    Boxes need true boxes, pixels true masks: with one of them the figures of the other
    are left out.

    Returns:
        For '' and, where the method gives `class_maps`, `cam_` (those of the true class,
        as is usual): `gt_known` (boxes at a tenth of the map's maximum, which is the
        paper's cut and that of maps trained for it), `max_box_accuracy` (V1: at the best
        cut for the whole set, `max_box_threshold`, a share of each map stretched to
        [0, 1]: what CAM is to be compared by), `max_box_accuracy_v2`; with labels and
        class scores `top1_localization` (of the first); with true masks `pxap`. Besides
        `whole_boxes`, those of the method that cover more than nine tenths of the picture;
        `center_box` and `center_box_v2`: the best centred box. All but the cut in %, cuts
        in steps of .01.

    Raises:
        Unmeasurable: no picture has a true box or mask.

    Source: [choe2020], sections 4 and 5.
    """
    del fit
    figures = _of_maps('', test.prediction.mask, test)
    if not figures:
        raise Unmeasurable('no picture has a true box or mask')
    if test.prediction.boxes is not None:
        figures['whole_boxes'] = _whole(test)
    if test.prediction.class_maps is not None and 'label' in test.truth:
        figures |= _of_maps('cam_', _of_class(test), test)
    if not _boxed(test.truth):
        return figures
    best = _centered(test.truth['boxes'], test.truth['boxes_valid'], test.size)
    return figures | {'center_box': best[1], 'center_box_v2': float(np.mean(best))}


def _of_maps(name, maps, test):
    figures = _of_boxes(name, maps, test) if _boxed(test.truth) else {}
    mask = test.truth.get('mask')
    if mask is None or not (mask & ~_ignored(test.truth)).any():
        return figures
    precision = pixel_average_precision(maps, mask, _ignored(test.truth))
    return {**figures, f'{name}pxap': precision}


def _boxed(truth):
    return truth.get('boxes') is not None and np.any(truth['boxes_valid'])


def _of_boxes(name, maps, test):
    boxes, valid = test.truth['boxes'], test.truth['boxes_valid']
    size = np.array(test.size)
    fixed = ground_truth_known_localization(maps, boxes, valid, image_size=size)
    figures = {f'{name}gt_known': fixed.mean}
    if 'label' in test.truth and test.prediction.class_logits is not None:
        figures[f'{name}top1_localization'] = top1_localization(
            fixed, test.prediction.class_logits, test.truth['label']
        )
    best = max_box_accuracies(maps, boxes, valid, step=_STEP, image_size=size)
    return figures | {
        f'{name}max_box_accuracy': best[1].mean,
        f'{name}max_box_threshold': float(best[1].thresholds[0]),
        f'{name}max_box_accuracy_v2': best[2].mean,
    }


def _whole(test):
    boxes = np.asarray(test.prediction.boxes)[:, 0]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)
    return float(100 * (area > _WHOLE * np.prod(test.size)).mean())


def _ignored(truth):
    """Pixels of which nothing is known, and the bars around a padded picture."""
    unknown = truth.get('mask_ignored', np.zeros(truth['mask'].shape, bool))
    return unknown | ~truth.get('pixels_valid', np.ones(unknown.shape, bool))


def _of_class(test):
    """Class activation maps `[N, h, w]` of the true classes."""
    maps, label = test.prediction.class_maps, test.truth['label']
    return maps[np.arange(len(label)), :, :, label]


def _centered(boxes: Array, valid: Array, size) -> Array:
    """% of pictures that the best centred box finds, at each overlap `[3]`."""
    truth, there = to_protocol(boxes, valid, np.array(size), to=_SIDE)
    low = np.round(_SIDE * (1 - _SHARES) / 2)
    tried = np.stack([low, low, _SIDE - low - 1, _SIDE - low - 1], axis=1)
    counted = there.any(axis=1)
    found = np.stack([
        inclusive_overlap(tried, true[ok]).max(axis=1)
        for true, ok in zip(truth[counted], there[counted], strict=True)
    ])  # fmt: skip
    hits = found[..., None] >= _OVERLAPS  # [N, shares, overlaps]
    return 100 * hits.mean(axis=0).max(axis=0)
