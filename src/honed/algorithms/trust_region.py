"""Trust regions: in many dimensions, or after many trials, a box around the best point that grows and shrinks.

TuRBO (Eriksson et al. 2019, arXiv 1910.01739, section 2 and appendix A), replayed from the losses: side .8, doubled after three
successes in a row, halved after max(5, d) failures in a row, and begun anew, elsewhere, when it is below 2^-7.

    y  [n]  losses in order of trials, NaN failed
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_FIRST, _MOST, _LEAST = 0.8, 1.6, 2.0**-7
_SUCCESSES = 3
_IMPROVEMENT = 1e-3


@dataclass(frozen=True, slots=True)
class TrustRegion:
    """Where the replay stands.

    Attributes:
        side: of the box.
        begun: the losses before this index belong to earlier regions.
    """

    side: float
    begun: int


def replay(y: Floats, d: int, n_start: int) -> TrustRegion:
    """The region after these losses.

    Args:
        n_start: trials at the beginning of each region that only explore.
    """
    side, begun, successes, failures, best = _FIRST, 0, 0, 0, np.inf
    patience = max(5, d)
    for i, loss in enumerate(y.tolist()):
        is_better = loss < best - (_IMPROVEMENT * abs(best) if np.isfinite(best) else 0.0)
        best = min(best, loss) if loss == loss else best
        if i - begun < n_start:
            continue
        successes, failures = (successes + 1, 0) if is_better else (0, failures + 1)
        if successes == _SUCCESSES:
            side, successes = min(2.0 * side, _MOST), 0
        elif failures == patience:
            side, failures = side / 2.0, 0
        if side < _LEAST:
            side, begun, successes, failures, best = _FIRST, i + 1, 0, 0, np.inf
    return TrustRegion(side, begun)


def box(center: Floats, side: float, lengthscales: Floats) -> tuple[Floats, Floats]:
    """Lower and upper bounds [d] within the unit cube; sides in proportion to the lengthscales, of the same volume."""
    relative = lengthscales / np.exp(np.log(lengthscales).mean())
    half = 0.5 * side * relative
    return np.clip(center - half, 0.0, 1.0), np.clip(center + half, 0.0, 1.0)
