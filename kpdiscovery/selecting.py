"""What `kpd select` measures of trained runs, and which of them it would take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery import inference, measuring, metrics
from kpdiscovery.metrics.landmarks.labelled import side
from kpdiscovery.types import Keypoints, Split

_LABELLED = ('landmark_nme', 'landmark_regression')  # Protocols that read annotations.
_FEWEST = 3  # Runs that have an order to speak of.


class Candidate(NamedTuple):
    """A run to be chosen."""

    workdir: str
    num_keypoints: int
    seed: int


class Seen(NamedTuple):
    """What a run finds in the held-out pictures, and what is measured of it alone."""

    run: Candidate
    keypoints: Keypoints  # [N, K]
    side: float  # Of the pictures, pixels.
    figures: dict[str, float | None]
    labelled: dict[str, float]  # Name and value of the error in annotated points.


def choose(
    plan: Sequence[Candidate],
    load: Callable[[Candidate], inference.Trained],
    *,
    split: str,
) -> dict[str, Any]:
    """The runs with their figures, the best score first, and the number to take.

    All processes of JAX must call it at the same time.

    Args:
        load: gives a run's trained model; runs differ in seed and number of keypoints.
        split: whose pictures are measured.
    """
    sources = measuring.splits(load(plan[0]).config, split)
    seen = [_look(run, load(run), sources) for run in plan]
    rows = [_row(one, seen) for one in seen]
    names = dict.fromkeys(name for one in seen for name in one.labelled)
    return {
        'runs': sorted(rows, key=lambda row: -_or(row['score'], -1.0)),
        'recommended': recommended(rows),
        'labelled_figure': next(iter(names), None),
        'rank_correlation': rank_correlation(rows),
        'split': split,
        'pictures': len(seen[0].keypoints.xy),
    }


def recommended(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The number of keypoints of the highest mean score over seeds; None: no score."""
    scores: dict[int, list[float]] = {}
    for row in rows:
        if row['score'] is not None:
            scores.setdefault(row['num_keypoints'], []).append(row['score'])
    means = {count: float(np.mean(found)) for count, found in scores.items()}
    return max(means, key=lambda count: means[count], default=None)


def rank_correlation(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Spearman's, of score and labelled error: -1 if the score orders runs as labels do.

    None where fewer than three runs have both, or all the same.
    """
    from scipy import stats  # Two thirds of a second.

    both = [(row['score'], row['labelled_error']) for row in rows]
    both = [pair for pair in both if None not in pair]
    if len(both) < _FEWEST or 1 in (len({*one}) for one in zip(*both, strict=True)):
        return None
    return float(stats.spearmanr(*zip(*both, strict=True)).statistic)


def _look(run: Candidate, trained, sources) -> Seen:
    fit, test = sources
    ordered = trained.method.ordered
    warped = 'landmark_repeatability' if ordered else 'point_repeatability'
    known = 'keypoints' in test.truth
    names = [n for n in trained.method.metrics if n in _LABELLED and known]
    once = measuring.extracted(trained, fit, test)
    values, _, _, (_, split) = measuring.measure(
        *once, looking=(trained, test), names=[*names, warped]
    )
    keypoints, long = split.prediction.keypoints, side(split)
    figures = values if ordered else _unordered(split)
    alone = {name: figures.get(name) for name in ('warp_error', 'warp_shift')}
    alone['distinct'] = metrics.distinct_points(keypoints, side=long)
    return Seen(run, keypoints, long, alone, _labelled(values))


def _unordered(split: Split) -> dict[str, float]:
    return (
        metrics.warped_matches(split.warped, side=side(split)) if split.warped else {}
    )


def _labelled(values: Mapping[str, float]) -> dict[str, float]:
    """The error at all annotated points, which its protocol gives first."""
    errors = ('forward_nme', 'regression_nme')
    return dict([item for item in values.items() if item[0].startswith(errors)][:1])


def _row(one: Seen, seen: Sequence[Seen]) -> dict[str, Any]:
    """What selection.json says of a run; figures that are not known are None."""
    others = [other for other in seen if other.run != one.run]
    figures = {**one.figures, **_agreement(one, others)}
    figures['coverage'] = metrics.coverage(
        one.keypoints, [other.keypoints for other in others], side=one.side
    )
    figures = {k: v if _is_known(v) else None for k, v in figures.items()}
    return {
        **one.run._asdict(),
        'score': metrics.label_free_score(figures),
        **metrics.score_parts(figures),
        **figures,
        'labelled_error': next(iter(one.labelled.values()), None),
    }


def _agreement(one: Seen, others: Sequence[Seen]) -> dict[str, float | None]:
    """Means over the other seeds of the same number of keypoints."""
    same = [o for o in others if o.run.num_keypoints == one.run.num_keypoints]
    found = [
        metrics.seed_agreement(one.keypoints, other.keypoints, side=one.side)
        for other in same
    ]
    names = ('seed_distance', 'seed_chance', 'seed_consistency')
    return {n: float(np.mean([f[n] for f in found])) if found else None for n in names}


def _is_known(value) -> bool:
    return value is not None and math.isfinite(value)


def _or(value, instead):
    return instead if value is None else value
