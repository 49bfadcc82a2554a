"""One number for a run without any label, out of what `unlabelled` measures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PARTS = ('follows', 'agrees', 'covers')
Figures = Mapping[str, float | None]  # None: not measured.


def score_parts(figures: Figures) -> dict[str, float | None]:
    """The parts of the label-free score, in [0, 1], higher is better; None: not known.

    Args:
        figures: of `seed_agreement`, `coverage` and the warp (`warp_error`,
            `warp_shift`), as far as they are known.

    Returns:
        `follows`: of the way a warp takes them, the share that points follow it; 0 for
        points that stay where they are. `agrees`: of matched points the share that is
        consistent, times the share of the chance distance that is missing. `covers`:
        coverage.
    """
    known = {k: v for k, v in figures.items() if v is not None and np.isfinite(v)}
    agrees = _below(known, 'seed_distance', 'seed_chance')
    if agrees is not None:
        agrees *= known['seed_consistency'] / 100
    covers = known['coverage'] / 100 if 'coverage' in known else None
    follows = _below(known, 'warp_error', 'warp_shift')
    return dict(zip(PARTS, (follows, agrees, covers), strict=True))


def label_free_score(figures: Figures) -> float | None:
    """Geometric mean of the known `score_parts`, in [0, 1]; None where none is."""
    parts = [part for part in score_parts(figures).values() if part is not None]
    return float(np.prod(parts) ** (1 / len(parts))) if parts else None


def _below(known, error: str, chance: str) -> float | None:
    """1 for no error, 0 for one that is not below chance."""
    if error not in known or not known.get(chance):
        return None
    return float(np.clip(1 - known[error] / known[chance], 0, 1))
