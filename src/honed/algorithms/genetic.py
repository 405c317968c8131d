"""Evolution with several objectives: who is better, who stays, and how two parents make a child.

Ranks and crowding of NSGA-II (Deb, Pratap, Agarwal, Meyarivan 2002), reference directions of NSGA-III (Deb, Jain 2014;
directions: Das, Dennis 1998), simulated binary crossover (Deb, Agrawal 1995) and polynomial mutation (Deb, Goyal 1996), both
bounded to the unit cube. Departure: where NSGA-III draws lots between equal niches or points, the first one is taken,
so that who stays is a function of the losses.

    F  [n, m]  losses, smaller is better, no NaN
    V  [n]     total violation of constraints, 0 where all hold; None where there are none
    x  [d]     coordinates in [0, 1]

With V, those who hold all constraints beat those who do not, and of these the smaller violation wins (Deb 2000).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LARGEST = 1e300  # so that differences of losses stay finite
_FARTHEST = 1e100  # in ranges of the front; squares of more would overflow
_MOST_LAYERED = 5  # from more objectives on, reference points lie in two layers
_FARTHEST = 1e6


def dominates(F: Floats, V: Floats | None = None) -> Bools:
    """[n, n] whether row beats column: at least as good in all objectives and better in one."""
    n = len(F)
    no_worse, better = np.ones((n, n), dtype=bool), np.zeros((n, n), dtype=bool)
    for column in F.T:
        no_worse &= column[:, None] <= column
        better |= column[:, None] < column
    wins: Bools = no_worse & better
    if V is not None:
        holds = V <= 0.0
        wins = np.where(
            holds[:, None] & holds, wins, np.where(holds, 0.0, V)[None, :] > np.where(holds, 0.0, V)[:, None]
        )
    return wins


def ranks(F: Floats, V: Floats | None = None) -> Ints:
    """[n] the front of each point: 0 for those that none beats, 1 for those that only these beat, and so on.

    O(n^2) in time and memory.
    """
    wins = dominates(F, V)
    n_above = wins.sum(axis=0)
    found = np.full(len(F), -1, dtype=np.int64)
    rank = 0
    while (front := np.flatnonzero((n_above == 0) & (found < 0))).size:
        found[front] = rank
        n_above = n_above - wins[front].sum(axis=0)
        rank += 1
    return found


def crowding(F: Floats) -> Floats:
    """[n] how far the neighbours on one front are apart, over all objectives; the ends are infinitely far."""
    n = len(F)
    total = np.zeros(n)
    for column in np.clip(F, -_LARGEST, _LARGEST).T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        span = ordered[-1] - ordered[0] if n else 0.0
        total[order[[0, -1]]] = np.inf
        if n > 2 and span > 0.0:
            total[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
    return total


def merit(F: Floats, V: Floats | None = None) -> tuple[Ints, Floats]:
    """Ranks [n], and each point's crowding distance [n] on its own front."""
    found = ranks(F, V)
    distance = np.zeros(len(F))
    for rank in range(int(found.max(initial=-1)) + 1):
        rows = np.flatnonzero(found == rank)
        distance[rows] = crowding(F[rows])
    return found, distance


def select(F: Floats, n: int, V: Floats | None = None) -> Ints:
    """The ``n`` that stay by NSGA-II, best first: by rank, then the less crowded, then the earlier."""
    found, distance = merit(F, V)
    chosen: Ints = np.lexsort((-distance, found))[:n]
    return chosen


# -------------------------------------------------------------------------------------------------- reference directions


@lru_cache(maxsize=32)
def reference_directions(m: int, n: int) -> Floats:
    """[k, m] evenly spread on the simplex: as many as there are up to ``n``, at least one per objective.

    From six objectives on, half of them lie in a second layer nearer to the middle, which one layer would leave empty.
    """
    if m <= _MOST_LAYERED:
        return _simplex(m, _n_divisions(m, n))
    outer = _simplex(m, _n_divisions(m, (n + 1) // 2))
    return np.concatenate([outer, 0.5 * outer + 0.5 / m])


def _n_divisions(m: int, n: int) -> int:
    p = 1
    while m > 1 and comb(p + m, m - 1) <= n:
        p += 1
    return p


def _simplex(m: int, p: int) -> Floats:
    """All points of m shares that are multiples of 1 / p (Das, Dennis 1998)."""
    rows = []
    for bars in combinations(range(p + m - 1), m - 1):
        edges = (-1, *bars, p + m - 1)
        rows.append([edges[i + 1] - edges[i] - 1 for i in range(m)])
    return np.array(rows, dtype=np.float64) / p


def select_by_niche(F: Floats, n: int, V: Floats | None = None) -> Ints:
    """The ``n`` that stay by NSGA-III: whole fronts, and of the last one those in the emptiest niches."""
    found = ranks(F, V)
    order = np.argsort(found, kind="stable")
    if not 0 < n < len(F):
        return order[: max(n, 0)]
    last = found[order[n - 1]]
    kept, front = np.flatnonzero(found < last), np.flatnonzero(found == last)
    considered = np.concatenate([kept, front])
    niche, distance = _niches(F[considered], found[considered] == 0, n)
    n_kept = len(kept)
    counts = np.bincount(niche[:n_kept], minlength=int(niche.max(initial=0)) + 1)
    chosen = list(kept[np.argsort(found[kept], kind="stable")])
    left = [int(i) for i in np.argsort(distance[n_kept:], kind="stable")]
    while len(chosen) < n:
        best = min(left, key=lambda i: counts[niche[n_kept + i]])  # of equal niches the one with the nearest point
        left.remove(best)
        counts[niche[n_kept + best]] += 1
        chosen.append(front[best])
    return np.array(chosen, dtype=np.int64)


def _niches(F: Floats, is_first: Bools, n: int) -> tuple[Ints, Floats]:
    """Each point's nearest reference direction [n] and its distance [n] to that line."""
    scaled = np.clip(_normalised(np.clip(F, -_LARGEST, _LARGEST), is_first), -_FARTHEST, _FARTHEST)
    lines = reference_directions(F.shape[1], n)
    lines = lines / np.linalg.norm(lines, axis=1, keepdims=True)
    along = scaled @ lines.T
    squared = np.maximum((scaled**2).sum(axis=1, keepdims=True) - along**2, 0.0)
    niche: Ints = squared.argmin(axis=1)
    return niche, np.sqrt(squared[np.arange(len(F)), niche])


def _normalised(F: Floats, is_first: Bools) -> Floats:
    """The losses between the best and the intercepts of the plane through the extreme points."""
    ideal = F.min(axis=0)
    front = F[is_first] if is_first.any() else F
    worst = np.maximum(front.max(axis=0) - ideal, 0.0)
    worst = np.where(worst > 0.0, worst, 1.0)
    moved = (front - ideal) / worst
    m = F.shape[1]
    extremes = np.array(
        [moved[np.max(moved / np.where(np.arange(m) == j, 1.0, 1e-6), axis=1).argmin()] for j in range(m)]
    )
    intercepts = np.ones(m)
    if np.linalg.matrix_rank(extremes) == m:
        plane = np.linalg.solve(extremes, np.ones(m))
        if (plane > 1e-6).all():
            intercepts = 1.0 / plane
    with np.errstate(over="ignore"):  # points that are far behind a tiny front
        scaled: Floats = np.clip((F - ideal) / worst, 0.0, _FARTHEST) / intercepts
    return scaled


# ------------------------------------------------------------------------------------------------------------ children


def crossover(a: Floats, b: Floats, eta: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Two children of two parents by bounded simulated binary crossover; each coordinate is crossed with probability 1/2.

    Args:
        eta: the larger, the nearer to the parents.
    """
    u, is_crossed, is_swapped = rng.random(len(a)), rng.random(len(a)) < 0.5, rng.random(len(a)) < 0.5
    low, high = np.minimum(a, b), np.maximum(a, b)
    gap = high - low
    is_crossed &= gap > 1e-12
    width = np.where(is_crossed, gap, 1.0)
    below = 0.5 * (low + high - _spread(u, 1.0 + 2.0 * low / width, eta) * gap)
    above = 0.5 * (low + high + _spread(u, 1.0 + 2.0 * (1.0 - high) / width, eta) * gap)
    below, above = np.where(is_swapped, above, below), np.where(is_swapped, below, above)
    first, second = np.where(is_crossed, below, a), np.where(is_crossed, above, b)
    return np.clip(first, 0.0, 1.0), np.clip(second, 0.0, 1.0)


def _spread(u: Floats, room: Floats, eta: float) -> Floats:
    """How far the children lie apart relative to their parents, so that they stay within the bounds."""
    alpha = 2.0 - room ** -(eta + 1.0)
    inner = u * alpha
    return np.where(inner <= 1.0, inner, 1.0 / np.maximum(2.0 - inner, 1e-300)) ** (1.0 / (eta + 1.0))


def mutate(x: Floats, eta: float, share: float, rng: np.random.Generator) -> Floats:
    """The point after polynomial mutation of each coordinate with probability ``share``."""
    is_mutated, u = rng.random(len(x)) < share, rng.random(len(x))
    down = (2.0 * u + (1.0 - 2.0 * u) * (1.0 - x) ** (eta + 1.0)).clip(0.0) ** (1.0 / (eta + 1.0)) - 1.0
    up = 1.0 - (2.0 * (1.0 - u) + (2.0 * u - 1.0) * x ** (eta + 1.0)).clip(0.0) ** (1.0 / (eta + 1.0))
    return np.clip(np.where(is_mutated, x + np.where(u < 0.5, down, up), x), 0.0, 1.0)
