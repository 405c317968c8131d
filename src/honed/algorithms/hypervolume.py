"""The volume that a set of points dominates: exact, in any number of objectives, quick up to four.

Two objectives by a sweep, three by a sweep over the third that keeps a staircase of the first two (Fonseca, Paquete,
Lopez-Ibanez 2006), more by WFG (While, Bradstreet, Barone 2012): the part of a point that the points after it do not
dominate, one dimension less at each turn.

    P  [n, m]  losses, smaller is better; rows with NaN and points that do not beat the reference count nothing
    r  [m]     the reference, worse than what counts in every objective
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MARGIN = 0.1


def reference_of(P: Floats) -> Floats:
    """The usual reference [m] for points [n, m]: the worst values, and a tenth of their range beyond."""
    P = P[np.isfinite(P).all(axis=1)]
    if not len(P):
        return np.zeros(P.shape[1])
    worst, span = P.max(axis=0), np.ptp(P, axis=0)
    reference: Floats = worst + _MARGIN * np.where(span > 0.0, span, np.maximum(np.abs(worst), 1.0))
    return reference


def hypervolume(P: Floats, r: Floats) -> float:
    """The volume between the points and the reference.

    Raises:
        ValueError: points and reference of different lengths, or a reference that is not finite.
    """
    P, r = _checked(P, r)
    return _volume(P[(r > P).all(axis=1)], r)


def contributions(P: Floats, r: Floats) -> Floats:
    """What each point [n] alone adds to the volume; 0 for dominated points and for one of several equal ones.

    Raises:
        ValueError: as ``hypervolume``.
    """
    P, r = _checked(P, r)
    rows = np.flatnonzero((r > P).all(axis=1))
    alone = np.zeros(len(P))
    for i, row in enumerate(rows):
        others = P[np.delete(rows, i)]
        shared = _volume(np.maximum(others, P[row]), r)  # what they dominate of its box
        alone[row] = max(float(np.prod(r - P[row])) - shared, 0.0)
    return alone


def _checked(P: Floats, r: Floats) -> tuple[Floats, Floats]:
    P, r = np.asarray(P, dtype=np.float64), np.asarray(r, dtype=np.float64)
    if P.ndim != 2 or r.shape != P.shape[1:]:
        raise ValueError(
            f"hypervolume: points of shape {P.shape} and a reference of shape {r.shape}; give [n, m] and [m]"
        )
    if not np.isfinite(r).all():
        raise ValueError(f"hypervolume: the reference {r.tolist()} must be finite")
    return P, r


def _volume(P: Floats, r: Floats) -> float:
    """The volume of points that all beat the reference."""
    m = len(r)
    if not len(P):
        return 0.0
    if m == 1:
        return float(r[0] - P.min())
    if m == 2:
        return _area(P, r)
    P = front_of(P)
    return _sweep(P, r) if m == 3 else _wfg(P, r)


def _area(P: Floats, r: Floats) -> float:
    P = P[np.lexsort((P[:, 1], P[:, 0]))]
    lowest = np.minimum.accumulate(P[:, 1])
    before = np.concatenate([r[1:], lowest[:-1]])
    return float(((r[0] - P[:, 0]) * (before - lowest)).sum())


def _sweep(P: Floats, r: Floats) -> float:
    """Three objectives: the area of the staircase of the first two, times the way to the next point's third."""
    P = P[np.lexsort((P[:, 1], P[:, 0], P[:, 2]))]
    rx, ry, rz = r.tolist()
    xs: list[float] = [rx]  # ascending; their ys descend
    ys: list[float] = [-np.inf]
    total = area = 0.0
    ends = [*P[1:, 2].tolist(), rz]
    for (x, y, z), end in zip(P.tolist(), ends, strict=True):
        i = bisect_left(xs, x)
        top = ys[i - 1] if i else ry
        if i < len(xs) - 1 and xs[i] == x and ys[i] <= y:
            top = y
        if y < top:  # otherwise it adds no area
            j, left, height = i, x, top
            while ys[j] >= y:  # steps that it covers
                area += (xs[j] - left) * (height - y)
                left, height, j = xs[j], ys[j], j + 1
            area += (xs[j] - left) * (height - y)
            xs[i:j], ys[i:j] = [x], [y]
        total += area * (end - z)
    return total


def _wfg(P: Floats, r: Floats) -> float:
    P = P[np.argsort(-P[:, -1], kind="stable")]  # what follows a point is at least as good in the last objective
    heights = r[-1] - P[:, -1]
    flat, base = P[:, :-1], r[:-1]
    total = 0.0
    for k in range(len(P)):
        alone = float(np.prod(base - flat[k])) - _volume(np.maximum(flat[k + 1 :], flat[k]), base)
        total += float(heights[k]) * alone
    return total


def front_of(P: Floats) -> Floats:
    """The points [f, m] that no other dominates, equal ones once, by the first objective."""
    P = np.unique(P, axis=0)  # also sorts by the first objective: nothing later dominates an earlier one
    if P.shape[1] == 2:
        before = np.concatenate([[np.inf], np.minimum.accumulate(P[:, 1])[:-1]])
        return P[P[:, 1] < before]
    kept = np.ones(len(P), dtype=bool)
    for i in range(len(P)):
        if kept[i]:
            kept[i + 1 :] &= (P[i + 1 :] < P[i]).any(axis=1)
    front: Floats = P[kept]
    return front
