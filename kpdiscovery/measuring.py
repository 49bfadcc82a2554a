"""Figures of a trained model, and of all that it is compared with."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from kpdiscovery import data, detection, inference, methods, metrics
from kpdiscovery.data import class_labels, subset
from kpdiscovery.data.joined import Joined, detections
from kpdiscovery.ops import landmark_clusters
from kpdiscovery.ops.coordinates import in_boxes
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.training import runs
from kpdiscovery.types import Prediction, Source, UserError

_SMALLER = ('nme', 'error', 'entropy')  # In names of figures: the less the better.
_WARPED = 50  # Pictures whose warped copies are predicted.
Looking = tuple[inference.Trained, Source]

_MOST = 2**32  # Bytes of extracted features of a split.
_DESCRIBED = 200  # Pictures whose annotated points are described.


def sources(settings, split: str) -> tuple[Source, Source]:
    """All of the training split and of the one to measure, with the classes of the run."""
    kind = methods.named(settings.method.name)
    build = lambda name: class_labels.as_trained(
        data.build(settings.data, split=name, together=True), settings, kind
    )
    return build('train'), build(split)


def thinned(counts, fit: Source, test: Source) -> tuple[Source, Source]:
    """Both splits as `config.evaluation` counts them, evenly spread over their rows:
    folders are in the order of their classes, videos of time."""
    return subset.thin(fit, counts.fit), subset.thin(test, counts.test)


def splits(settings, split: str) -> tuple[Source, Source]:
    """The pictures to fit on and those to measure."""
    return thinned(settings.evaluation, *sources(settings, split))


def extracted(trained, fit: Source, test: Source):
    """All three, with what a frozen network makes of the pictures joined to them.

    So it looks once at each, whatever is measured. As they were where nothing is frozen
    or it would not fit in memory.
    """
    given, counts = trained.method.on_extracted(), trained.config.evaluation
    if given is None:
        return trained, fit, test
    found = []
    for source, count in ((fit, counts.fit), (test, counts.test)):
        fields = inference.extract_rows(
            trained, source, count, batch_size=counts.batch_size, most=_MOST
        )
        if fields is None:
            return trained, fit, test
        found.append(Joined(source, fields))
    return trained._replace(method=given), *found


def baselines(
    trained, fit: Source, test: Source, *, looking: Looking
) -> dict[str, dict[str, float]]:
    """Figures of the same network used otherwise, as its method names them."""
    method: Any = trained.method  # Some dataclass.
    found = {}
    for name, options in method.baselines.items():
        other = dataclasses.replace(method, **options)
        if other != method:
            own = dataclasses.replace(looking[0].method, **options)
            seen = looking[0]._replace(method=own), looking[1]
            used = trained._replace(method=other)
            with _said_of(name):
                found[name] = measure(used, fit, test, looking=seen)[0]
    return found


def untrained(
    trained, fit: Source, test: Source, *, looking: Looking
) -> dict[str, float]:
    """Figures before the first step; {} where its pretrained start is not here."""
    try:
        fresh = inference.untrained(trained.config, looking[1])
    except UserError as error:
        logging.warning('the untrained model is not measured: %s', error)
        return {}
    given = fresh._replace(method=trained.method)
    with _said_of('untrained'):
        return measure(given, fit, test, looking=(fresh, looking[1]))[0]


@contextlib.contextmanager
def _said_of(name: str) -> Iterator[None]:
    """Warnings begin with the name of what is measured for comparison."""
    make = logging.getLogRecordFactory()

    def named(*args, **kwargs):
        record = make(*args, **kwargs)
        if record.levelno >= logging.WARNING:
            record.msg = f'{name.replace("%", "%%")}: {record.msg}'
        return record

    logging.setLogRecordFactory(named)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def measure(
    trained,
    fit: Source,
    test: Source,
    *,
    looking: Looking | None = None,
    names: Sequence[str] | None = None,
):
    """Figures, skipped protocols with reasons, keypoints a picture, both splits.

    Args:
        names: of protocols in place of the method's; where none of them fits anything
            the fit split is not looked at, and given as None.
        looking: the model and the test pictures before `extracted`, for warped copies;
            None: these are.
    """
    counts = trained.config.evaluation
    wanted = trained.method.metrics if names is None else names
    read = [metrics.PROTOCOLS[name] for name in wanted]
    predict = lambda source, count, keep=(): inference.predict_rows(
        trained, source, count, batch_size=counts.batch_size, keep=keep
    )
    stacked = predict(test, counts.test, {f for one in read for f in one.prediction})
    fits = names is None or any(protocol.fits for protocol in read)
    fitted = predict(fit, counts.fit) if counts.fit and fits else None
    if any(protocol.described for protocol in read):
        described = inference.describe_rows(
            trained, test, min(_DESCRIBED, counts.test), batch_size=counts.batch_size
        )
        stacked = stacked._replace(described=described)
    if any(protocol.warped for protocol in read):
        one, source = looking or (trained, test)
        warped = inference.predict_warped(
            one, source, stacked, _WARPED, batch_size=counts.batch_size
        )
        stacked = stacked._replace(warped=warped)
    values, skipped = metrics.evaluate(wanted, fitted, stacked)
    found = stacked.prediction.keypoints.label.shape[-1]
    return values, skipped, found, (fitted, stacked)


def generic(trained, sources, splits) -> dict[str, float]:
    """Figures of the start: generic keypoints clustered once into as many landmarks, or
    the landmarks of a run as they are.

    {} where training does not start from a detector that can be run here, or has no
    split to find the clusters in.
    """
    chosen = trained.config.data.get('keypoints', '')
    if splits[0] is None or not chosen or chosen.endswith('.npz'):
        return {}
    try:
        found = _found(trained.config.data, sources, splits)
    except UserError as error:  # Its files may have moved.
        logging.warning('generic keypoints are not measured: %s', error)
        return {}
    if found[0].labels is None:
        k = trained.method.num_labels
        predicted = _clustered(found, jax.random.key(trained.config.seed), k)
    else:  # Of a run, whose points have labels already.
        k = found[0].xy.shape[1]
        predicted = [labelled(one.xy, one.score, one.score > 0) for one in found]
    replaced = [
        split._replace(
            prediction=Prediction(keypoints), num_labels=k, warped=None, described=None
        )
        for split, keypoints in zip(splits, jax.device_get(predicted), strict=True)
    ]
    with _said_of('generic'):
        return metrics.evaluate(trained.method.metrics, *replaced)[0]


def _clustered(found, key, k):
    """Landmarks of points that the first split's descriptors are clustered for."""
    fit = found[0]
    clusters = landmark_clusters.cluster_descriptors(
        key, fit.descriptors, fit.score > 0, k
    )
    return [
        landmark_clusters.landmarks_from_points(
            points.descriptors, points.xy, points.score > 0, clusters
        )
        for points in found
    ]


def _found(data, sources, splits) -> list[detections.Detections]:
    """Keypoints of the splits' pictures, generic ones off the object left out."""
    num, found = data.num_detected, []
    detector = detection.detector(data.keypoints, num)
    for source, split in zip(sources, splits, strict=True):
        rows, side = len(split.truth['index']), detection.side(data, split.size)
        points = detections.detect(source, detector, num=num, rows=rows, side=side)
        if points.labels is None:
            counts = in_boxes(points.xy, split.size, split.truth)
            points = points._replace(score=np.where(counts, points.score, 0))
        found.append(points)
    return found


def with_hindsight(
    result: dict[str, Any], trained, workdir: str | os.PathLike, metric: str
) -> dict[str, Any]:
    """The result with the last epoch and the oracle among its `baselines`.

    The oracle is the kept epoch with the best `metric`, the lowest of errors, which nobody
    could choose without the truth. `epochs` has every one's, by step through all phases,
    but those that cannot be measured by it.

    Raises:
        UserError: the result has no such metric.
    """
    if metric not in result['metrics']:
        known = ', '.join(result['metrics'])
        raise UserError(f'--oracle={metric} is none of the figures: {known}')
    fit, test = splits(trained.config, result['split'])
    figures = {
        step: measure(trained._replace(variables=variables), fit, test)[0]
        for step, variables in runs.load_epochs(workdir)
    }
    chosen = {'last epoch': figures[max(figures)]}
    epochs = {
        step: found[metric] for step, found in figures.items()
        if math.isfinite(found.get(metric, math.nan))
    }  # fmt: skip
    if epochs:
        sign = -1 if any(word in metric for word in _SMALLER) else 1
        best = max(epochs, key=lambda step: sign * epochs[step])
        chosen[f'oracle ({best})'] = figures[best]
    return {
        **result,
        'baselines': {**result['baselines'], **chosen},
        'epochs': epochs,
    }
