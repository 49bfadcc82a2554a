"""`kpd evaluate`: every figure the method and the data's truth allow, as metrics.json."""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax

from kpdiscovery import __version__, cli, data, inference, metrics
from kpdiscovery.types import Source, UserError


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd evaluate', description=__doc__)
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument('--data', help="the config's files, if they have moved")
    parser.add_argument('--split', default='test', help='validation or test (default)')
    args, overrides = parser.parse(argv)
    trained = inference.load(args.workdir, overrides)
    if args.data:
        data.point_to(trained.config.data, args.data)
    result = evaluate(trained, split=args.split)
    path = pathlib.Path(args.workdir) / 'metrics.json'
    path.write_text(json.dumps(result, indent=1))
    print(table(result))
    print(f'written to {path}')
    return 0


def evaluate(trained: inference.Trained, *, split: str = 'test') -> dict[str, Any]:
    """The content of metrics.json: figures of the trained and of the untrained model.

    Fitting (regressors) uses rows of the training split, never those of `split`.
    """
    start, settings = time.monotonic(), trained.config
    fit, test = (data.build(settings.data, split=name) for name in ('train', split))
    check_landmarks(settings.data.get('landmarks', ''), test)
    values, skipped, found = _measure(trained, fit, test)
    fresh, *_ = _measure(inference.untrained(settings, test), fit, test)
    text = json.dumps(settings.to_dict(), sort_keys=True)
    return {
        'metrics': values,
        'untrained': fresh,
        'skipped': skipped,
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


def check_landmarks(name: str, source: Source) -> None:
    """The source's points must be those of the set that `data.landmarks` names.

    Raises:
        UserError: there is no such set, or it has another number of points.
    """
    points = source[0].get('keypoints')
    if not name or points is None:
        return
    try:
        known = metrics.landmark_set(name)
    except ValueError as error:
        raise UserError(f'data.landmarks: {error}') from None
    if points.shape[-2] != known.num_points:
        raise UserError(
            f'the annotations have {points.shape[-2]} points a picture, data.landmarks '
            f'{name!r} means {known.num_points}: name their set with '
            "--config.data.landmarks=NAME ('' for none)"
        )


def table(result: dict[str, Any]) -> str:
    """Figures of the trained and the untrained model, a line each."""
    lines = [f'{"":34}{"trained":>10}{"untrained":>11}']
    for name, value in result['metrics'].items():
        fresh = result['untrained'].get(name, float('nan'))
        lines.append(f'{name:34}{value:>10.3f}{fresh:>11.3f}')
    lines += [f'{name:34}   skipped: {why}' for name, why in result['skipped'].items()]
    return '\n'.join(lines)


def _measure(trained, fit: Source, test: Source):
    counts = trained.config.evaluation
    predict = lambda source, count: inference.predict_rows(
        trained, source, count, batch_size=counts.batch_size
    )
    stacked = predict(test, counts.test)
    fitted = predict(fit, counts.fit) if counts.fit else None
    values, skipped = metrics.evaluate(trained.method.metrics, fitted, stacked)
    return values, skipped, stacked.prediction.keypoints.label.shape[-1]


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
