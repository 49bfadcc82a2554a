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
        `follows`: chance / (chance + error) of the points of a warped picture, chance
        being the way the warp takes them: 1 without error, a half for points that stay
        where they are. `agrees`: the same of the distance to another seed's points, chance
        being that to those of another picture. `covers`: coverage.

    Source: own definition, chosen on one set of pictures of three (RESULTS.md).
    """
    known = {k: v for k, v in figures.items() if v is not None and np.isfinite(v)}
    covers = known['coverage'] / 100 if 'coverage' in known else None
    follows = _beside_chance(known, 'warp_error', 'warp_shift')
    agrees = _beside_chance(known, 'seed_distance', 'seed_chance')
    return dict(zip(PARTS, (follows, agrees, covers), strict=True))


def label_free_score(figures: Figures) -> float | None:
    """Geometric mean of the known `score_parts`, in [0, 1]; None where none is."""
    parts = [part for part in score_parts(figures).values() if part is not None]
    return float(np.prod(parts) ** (1 / len(parts))) if parts else None


def _beside_chance(known: Mapping[str, float], error: str, chance: str) -> float | None:
    """1 for no error, a half for that of chance; None where there is no chance of any."""
    if error not in known or not known.get(chance):
        return None
    return float(known[chance] / (known[chance] + known[error]))
