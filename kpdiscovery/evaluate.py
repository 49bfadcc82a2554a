"""`kpd evaluate`: every figure the method and the data's truth allow, as metrics.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from kpdiscovery import __version__, cli, data, detection, inference, metrics
from kpdiscovery.data import class_labels
from kpdiscovery.data.joined import detections
from kpdiscovery.metrics import protocols
from kpdiscovery.ops import landmark_clusters
from kpdiscovery.ops.coordinates import in_boxes
from kpdiscovery.reporting import logs
from kpdiscovery.training import checkpoints
from kpdiscovery.types import Prediction, Source, UserError

_WARPED = 50  # Pictures whose warped copies are predicted.
_WORDS = {
    'attributes': 'attributes of objects',
    'boxes': 'object boxes',
    'boxes_valid': 'object boxes',
    'instances': 'masks of each object',
    'keypoints': 'annotated points',
    'label': 'class labels',
    'mask': 'object masks',
    'part_boxes': 'boxes of parts',
    'part_label': 'boxes of parts',
    'visible': 'annotated points',
}


def main(argv: Sequence[str]) -> int:
    """Prints the figures and writes them into the workdir; 0."""
    parser = cli.Parser('kpd evaluate', description=__doc__)
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument('--data', help="the config's files, if they have moved")
    parser.add_argument('--split', default='test', help='validation or test (default)')
    parser.add_argument(
        '--step', type=int, help='a kept checkpoint; default: the last (run.keep)'
    )
    parser.add_argument(
        '--oracle',
        metavar='METRIC',
        help='also the last epoch and, of those kept, the one with the highest METRIC',
    )
    args, overrides = parser.parse(argv)
    cli.check_writable(args.workdir)
    trained = inference.load(args.workdir, overrides, step=args.step)
    if args.data:
        data.point_to(trained.config.data, args.data)
        class_labels.expect(trained.config, type(trained.method))
    result = evaluate(trained, split=args.split)
    if args.oracle:
        result = with_hindsight(result, trained, args.workdir, args.oracle)
    path = pathlib.Path(args.workdir) / _file_name(args.split, args.step)
    path.write_text(json.dumps(result, indent=1))
    print(table(result))
    print(f'written to {path}')
    return 0


def evaluate(trained: inference.Trained, *, split: str = 'test') -> dict[str, Any]:
    """The content of metrics.json: figures of the trained and of the untrained model.

    Fitting (regressors) uses rows of the training split, never those of `split`.
    """
    start, settings = time.monotonic(), trained.config
    fit, test = _sources(settings, split)
    metrics.check_landmarks(settings.data.get('landmarks', ''), test)
    values, skipped, found, splits = _measure(trained, fit, test)
    fresh, *_ = _measure(inference.untrained(settings, test), fit, test)
    text = json.dumps(settings.to_dict(), sort_keys=True)
    return {
        'metrics': values,
        'untrained': fresh,
        'baselines': _baselines(trained, fit, test),
        'generic': _generic(trained, (fit, test), splits),
        'skipped': skipped,
        'truth': sorted(test.truth),
        'protocol': list(trained.method.metrics),
        'split': split,
        'pictures': min(settings.evaluation.test, len(test)),
        'keypoints': found,
        'seed': settings.seed,
        **trained.meta,
        'evaluation_seconds': round(time.monotonic() - start, 1),
        'evaluation_device': jax.devices()[0].device_kind,
        'version': __version__,
        'commit': _commit(),
        'config_hash': hashlib.sha256(text.encode()).hexdigest()[:12],
        'config': settings.to_dict(),
    }


def with_hindsight(
    result: dict[str, Any], trained, workdir: str | os.PathLike, metric: str
) -> dict[str, Any]:
    """The result with the last epoch and the oracle among its `baselines`.

    The oracle is the kept epoch with the highest `metric`, which nobody could choose
    without the truth. `epochs` has every one's, by step through all phases.

    Raises:
        UserError: the result has no such metric.
    """
    if metric not in result['metrics']:
        known = ', '.join(result['metrics'])
        raise UserError(f'--oracle={metric} is none of the figures: {known}')
    fit, test = _sources(trained.config, result['split'])
    figures = {
        step: _measure(trained._replace(variables=variables), fit, test)[0]
        for step, variables in checkpoints.load_epochs(workdir)
    }
    best = max(figures, key=lambda step: figures[step][metric])
    chosen = {'last epoch': figures[max(figures)], f'oracle ({best})': figures[best]}
    return {
        **result,
        'baselines': {**result['baselines'], **chosen},
        'epochs': {step: found[metric] for step, found in figures.items()},
    }


def table(result: dict[str, Any]) -> str:
    """Figures of the trained and the untrained model and of others, a line each."""
    lines = [f'{result["pictures"]} pictures of split {result["split"]}']
    if result['metrics']:
        lines += _figures(result)
    else:
        words = ', '.join(dict.fromkeys(map(_plain, result['truth'])))
        lines.append(
            f'nothing could be measured: the pictures have {words or "no annotations"}'
        )
    lines += [f'{name:34}   not measured: {_why(name, why, result["truth"])}'
              for name, why in result['skipped'].items()]  # fmt: skip
    return '\n'.join(lines)


def _figures(result):
    columns = logs.columns(result)
    widths = [max(len(name) + 2, 11) for name in columns]
    heads = [f'{name:>{width}}' for name, width in zip(columns, widths, strict=True)]
    lines = [f'{"":33}{"".join(heads)}']
    for name in result['metrics']:
        row = (figures.get(name, float('nan')) for figures in columns.values())
        cells = [f'{v:>{width}.3f}' for v, width in zip(row, widths, strict=True)]
        lines.append(f'{name:33}{"".join(cells)}')
    return lines


def _why(name, reason, truth) -> str:
    """In plain words what truth a protocol lacks, or its own reason."""
    lacking = protocols.lacking(metrics.PROTOCOLS[name].truth, truth)
    if not lacking or not reason.startswith('needs truth'):
        return reason
    return f'the pictures have no {", ".join(dict.fromkeys(map(_plain, lacking)))}'


def _plain(need: str) -> str:
    return ' or '.join(_WORDS.get(field, field) for field in need.split(' or '))


def _file_name(split: str, step: int | None) -> str:
    """metrics.json is of the test split at the last step: what all others read."""
    more = [split] * (split != 'test') + [str(step)] * (step is not None)
    return '_'.join(['metrics', *more]) + '.json'


def _sources(settings, split: str) -> tuple[Source, Source]:
    build = lambda name: class_labels.as_trained(
        data.build(settings.data, split=name), settings
    )
    return build('train'), build(split)


def _baselines(trained, fit: Source, test: Source) -> dict[str, dict[str, float]]:
    """Figures of the same network used otherwise, as its method names them."""
    method: Any = trained.method  # Some dataclass.
    found = {}
    for name, options in method.baselines.items():
        other = dataclasses.replace(method, **options)
        if other != method:
            found[name] = _measure(trained._replace(method=other), fit, test)[0]
    return found


def _measure(trained, fit: Source, test: Source):
    counts = trained.config.evaluation
    predict = lambda source, count: inference.predict_rows(
        trained, source, count, batch_size=counts.batch_size
    )
    stacked = predict(test, counts.test)
    fitted = predict(fit, counts.fit) if counts.fit else None
    if any(metrics.PROTOCOLS[name].warped for name in trained.method.metrics):
        warped = inference.predict_warped(
            trained, test, stacked, _WARPED, batch_size=counts.batch_size
        )
        stacked = stacked._replace(warped=warped)
    values, skipped = metrics.evaluate(trained.method.metrics, fitted, stacked)
    found = stacked.prediction.keypoints.label.shape[-1]
    return values, skipped, found, (fitted, stacked)


def _generic(trained, sources, splits) -> dict[str, float]:
    """Figures of the start: generic keypoints clustered once into as many landmarks.

    {} where training does not start from a detector that can be run here, or has no
    split to find the clusters in.
    """
    chosen = trained.config.data.get('keypoints', '')
    if splits[0] is None or not chosen or chosen.endswith('.npz'):
        return {}
    try:
        found = _found(chosen, trained.config.data.num_detected, sources, splits)
    except UserError as error:  # Its files may have moved.
        logging.warning('generic keypoints are not measured: %s', error)
        return {}
    key, k = jax.random.key(trained.config.seed), trained.method.num_labels
    clusters = landmark_clusters.cluster_descriptors(
        key, found[0].descriptors, found[0].score > 0, k
    )
    replaced = []
    for split, points in zip(splits, found, strict=True):
        keypoints = landmark_clusters.landmarks_from_points(
            points.descriptors, points.xy, points.score > 0, clusters
        )
        prediction = Prediction(keypoints=jax.device_get(keypoints))
        replaced.append(
            split._replace(prediction=prediction, num_labels=k, warped=None)
        )
    return metrics.evaluate(trained.method.metrics, *replaced)[0]


def _found(name, num, sources, splits) -> list[detections.Detections]:
    """Generic keypoints of the splits' pictures, those off the object left out."""
    detector, found = detection.detector(name, num), []
    for source, split in zip(sources, splits, strict=True):
        rows = len(split.truth['index'])
        points = detections.detect(source, detector, num=num, rows=rows)
        counts = in_boxes(points.xy, split.size, split.truth)
        found.append(points._replace(score=np.where(counts, points.score, 0)))
    return found


def _commit() -> str:
    """The checkout's commit, '' where the package is installed without one."""
    here = pathlib.Path(__file__).parent
    command = ['git', '-C', str(here), 'describe', '--always', '--dirty']
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return found.stdout.strip()


if __name__ == '__main__':
    sys.exit(cli.run(main))
