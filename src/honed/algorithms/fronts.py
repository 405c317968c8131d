"""The good part of trials with several objectives: whole fronts, and of the last one the points that cover most volume.

Multiobjective TPE (Ozaki, Tanigaki, Watanabe, Onishi 2020, GECCO; 2022, JAIR 73) splits by non-domination rank, cuts the last
rank by greedy hypervolume subset selection, and weighs good points by what each alone adds to the volume. Departure: volumes
are not exact but means over fixed directions, the hypervolume by scalarizations of Zhang and Golovin (2020, arXiv 2006.04655),
volume ~ mean over l of (max over points of min_j (r_j - F_j) / l_j)^m, so that a choice costs
the same in any number of objectives.

    F  [n, m]  losses, smaller is better, no NaN
    L  [s, m]  directions, positive and of length 1
    H  [n, s]  volume of a point in each direction: its distance to the reference r along l, to the power m
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DIRECTIONS = 128
_LARGEST = 1e300  # so that differences of losses stay finite
_BEYOND = 0.1  # of the range: how far the reference lies beyond the worst
_MANY = 2_000  # points; more than these are thinned out first where most are on the first front
_FEW_OBJECTIVES = 3
_LEAST_SHARE = 1e-12  # directions do not touch the axes, and good points that add nothing keep this weight


@lru_cache(maxsize=16)
def directions(m: int) -> Floats:
    """L: evenly spread over the positive part of the sphere, the same ones in every process."""
    from scipy.special import ndtri

    if m == 2:
        angles = (np.arange(_DIRECTIONS) + 0.5) * (0.5 * np.pi / _DIRECTIONS)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    root = 1.5
    for _ in range(60):  # the additive recurrence of Roberts (2018): powers of the root of x^(m + 1) = x + 1
        root = (1.0 + root) ** (1.0 / (m + 1))
    units = (0.5 + np.outer(np.arange(1, _DIRECTIONS + 1), root ** -np.arange(1.0, m + 1))) % 1.0
    normals = np.maximum(np.abs(ndtri(np.clip(units, 1e-9, 1.0 - 1e-9))), _LEAST_SHARE)
    found: Floats = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return found


def good_part(F: Floats, n: int) -> tuple[Ints, Floats]:
    """Rows of the ``n`` good points, front by front, and their weights [n] with mean 1."""
    F = np.clip(F, -_LARGEST, _LARGEST)
    rows = np.arange(len(F))
    if len(F) > _MANY and F.shape[1] > _FEW_OBJECTIVES:
        rows = _thinned(F, n)
    chosen = np.zeros(0, dtype=np.int64)
    while len(chosen) < n:
        front = rows[first_front(F[rows])]
        room = n - len(chosen)
        if len(front) > room:
            H = volumes(F[np.concatenate([chosen, front])])
            front = front[_covering(H[len(chosen) :], H[: len(chosen)], room)]
        chosen = np.concatenate([chosen, front])
        rows = np.setdiff1d(rows, front, assume_unique=True)
    return chosen, _weights(volumes(F[chosen])) if n else np.ones(0)


def first_front(F: Floats) -> Ints:
    """Rows of the points that no other dominates, of equal ones all, in the order of their sums of scaled losses."""
    left = _scaled(F).sum(axis=1).argsort(kind="stable")  # nobody is dominated by a point behind it
    F = F[left]
    front: list[Ints] = []
    while len(left):
        leader = F[:1]
        is_left = (leader > F).any(axis=1)
        front.append(left[~is_left & (leader >= F).all(axis=1)])
        left, F = left[is_left], F[is_left]
    return np.concatenate(front)


def volumes(F: Floats) -> Floats:
    """H with the reference a tenth of the points' range beyond the worst of them."""
    m = F.shape[1]
    reach = np.full((len(F), _DIRECTIONS), np.inf)
    for room, along in zip((1.0 + _BEYOND - _scaled(F)).T, directions(m).T, strict=True):
        np.minimum(reach, np.multiply.outer(room, 1.0 / along), out=reach)
    found: Floats = reach**m
    return found


def _scaled(F: Floats) -> Floats:
    """Losses from 0, the best, to 1, the worst."""
    low = 0.5 * F.min(axis=0)  # halves, since the range may be more than the largest number
    span = 0.5 * F.max(axis=0) - low
    scaled: Floats = (0.5 * F - low) / np.where(span > 0.0, span, 1.0)
    return scaled


def _covering(H: Floats, taken: Floats, n: int) -> list[int]:
    """The ``n`` points that one after the other add most to the volume; the earlier one of equals."""
    covered = taken.max(axis=0, initial=0.0)
    chosen: list[int] = []
    for _ in range(n):
        gains = np.maximum(H, covered).sum(axis=1)
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, H[chosen[-1]])
    return chosen


def _weights(H: Floats) -> Floats:
    """[n] half by what each point alone adds to the volume, half alike; mean 1."""
    n = len(H)
    if n < 2:
        return np.ones(n)
    second, first = np.partition(H, n - 2, axis=0)[-2:]
    alone = np.where(first == H, first - second, 0.0).sum(axis=1)
    total = float(alone.sum())
    if total <= 0.0:
        return np.ones(n)
    weights: Floats = 0.5 + 0.5 * alone * (n / total)
    return weights


def _thinned(F: Floats, n: int) -> Ints:
    """The points that are among the best in some direction, at least ``n`` of them."""
    each = max(_MANY // _DIRECTIONS, n)
    best = np.argpartition(-volumes(F), each, axis=0)[:each]
    return np.unique(best)
