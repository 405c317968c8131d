"""Warps of the values of learning curves: what one Gaussian process fits, on smooth landscapes and on needles.

lo is the best value so far, hi the .9 quantile over trials of each trial's best: what lies beyond hi says no more than that
it is bad. *Log-gap* magnifies differences near the best and wins on smooth landscapes. *Rank-Gaussian* gives each value its
normal quantile, with a line beyond the best; it wins where most configurations sit on a plateau or diverge. Both are
standardised over the points. Each is inverted for predictions: where a warp is flat, its inverse goes on as the warp did before.

    y  [n]  values, smaller is better        bests  [m]  the best value of each trial        z  [n]  what the model sees
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Map = Callable[[Floats], Floats]

MEMBERS = ("log-gap", "rank")

_GAP, _BEYOND = 1.0, 0.9  # log-gap: added to the gap, and how far a prediction may lie below the best
_SLOPE = 2.0  # rank: of the line beyond the best
_LEAST = 1e-100  # smaller differences are none: slopes between such values would overflow
_FAR = 50.0  # exponents beyond would overflow


@dataclass(frozen=True, slots=True)
class CurveWarp:
    """A warp fitted to values.

    Attributes:
        z: [n] the warped values.
        apply: warps other values.
        invert: the values that warped ones stand for, never falling; beyond hi and far below lo a continuation.
    """

    name: str
    z: Floats
    apply: Map
    invert: Map


def curve_warps(y: Floats, bests: Floats) -> list[CurveWarp]:
    """Both members; none where the values do not differ."""
    lo, hi = float(bests.min()), float(np.quantile(bests, 0.9))
    least = max(1e-12 * max(abs(lo), abs(hi)), _LEAST)
    if not hi - lo > least:
        hi = float(y.max())
    if not hi - lo > least or not np.isfinite(hi - lo):
        return []
    made = (("log-gap", _log_gap(lo, hi)), ("rank", _rank_gaussian(np.minimum(y, hi), lo, hi)))
    return [_standardised(name, pair, y) for name, pair in made]


def _standardised(name: str, pair: tuple[Map, Map], y: Floats) -> CurveWarp:
    raw, back = pair
    g = raw(y)
    mean, sd = float(g.mean()), max(float(g.std()), 1e-12)

    def apply(v: Floats) -> Floats:
        return (raw(v) - mean) / sd

    def invert(z: Floats) -> Floats:
        return back(z * sd + mean)

    return CurveWarp(name, (g - mean) / sd, apply, invert)


def _log_gap(lo: float, hi: float) -> tuple[Map, Map]:
    def raw(v: Floats) -> Floats:
        gap = (np.minimum(v, hi) - lo) / (hi - lo)
        return np.asarray(np.log(np.maximum(gap, -_BEYOND) + _GAP))

    def back(g: Floats) -> Floats:
        return np.asarray(lo + (hi - lo) * (np.exp(np.minimum(g, _FAR)) - _GAP))

    return raw, back


def _rank_gaussian(y: Floats, lo: float, hi: float) -> tuple[Map, Map]:
    from scipy.special import ndtr, ndtri

    n = len(y)
    near_zero = np.abs(y) < _LEAST * (hi - lo)
    values, counts = np.unique(np.where(near_zero, 0.0, y), return_counts=True)
    q = (np.cumsum(counts) - 0.5 * counts) / n  # equals share the middle of their ranks
    first, last = ndtri(q[[0, -1]])

    def raw(v: Floats) -> Floats:
        rank = np.clip(np.interp(np.minimum(v, hi), values, q), 0.5 / n, 1.0 - 0.5 / n)
        return np.asarray(ndtri(rank) + _SLOPE * np.minimum((v - lo) / (hi - lo), 0.0))

    def back(g: Floats) -> Floats:
        within = np.interp(ndtr(g), q, values)
        below, above = np.minimum(g - first, 0.0), np.maximum(g - last, 0.0)
        start = np.where(below < 0.0, min(lo, float(values[0])), within)
        return np.asarray(start + (below / _SLOPE + above / _SLOPE) * (hi - lo))

    return raw, back
