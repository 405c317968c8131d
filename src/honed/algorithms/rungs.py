"""The arithmetic of halving and stopping: which steps, how many trials, who is among the best.

    T       steps of a full training
    eta     how many times fewer trials reach the next rung, > 1
    r, r_k  steps of the first and of the k-th rung
    s       a bracket; it starts at T eta^-s
    scores  [n] losses at one step, smaller is better; +inf is worst and never chosen

Ranks are by score, then by trial number: the older of equals comes first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_TINY = 1e-9  # floor(27 * (1/3)) is 9


def geometric_steps(first: int, eta: float, full: int) -> tuple[int, ...]:
    """The rungs first eta^k below ``full``; the last rung, ``full`` itself, is not among them."""
    steps: list[int] = []
    level = float(first)
    while (step := math.floor(level + _TINY)) < full:
        if not steps or step > steps[-1]:
            steps.append(step)
        level *= eta
    return tuple(steps)


def kept(n: int, share: float) -> int:
    """How many of ``n`` trials a share is, rounded down, at least 1."""
    return max(1, math.floor(n * share + _TINY))


def halvings(n: int, share: float, k: int) -> tuple[int, ...]:
    """Trials at rung 0..k: max(1, floor(n share^i)), never more than before."""
    return tuple(kept(n, share**i) for i in range(k + 1))


@dataclass(frozen=True, slots=True)
class Bracket:
    """One bracket of Hyperband: ``counts[i]`` trials are trained up to ``steps[i]``; the last of the steps is T."""

    s: int
    steps: tuple[int, ...]
    counts: tuple[int, ...]


def hyperband(full: int, first: int, eta: float) -> tuple[Bracket, ...]:
    """The brackets of Hyperband, most trials first (Li et al. 2018, arXiv 1603.06560, algorithm 1).

    n = ceil((s_max + 1) eta^s / (s + 1)) trials begin with r = T eta^-s steps; floor(n eta^-i) of them reach r eta^i.
    Steps are whole numbers: rounded down. No rung is left without a trial.
    """
    s_max = 0
    while first * eta ** (s_max + 1) <= full * (1 + _TINY):
        s_max += 1
    brackets: list[Bracket] = []
    for s in range(s_max, -1, -1):
        n = math.ceil((s_max + 1) * eta**s / (s + 1) - _TINY)
        steps: list[int] = []
        counts: list[int] = []
        for i in range(s + 1):
            step = max(1, math.floor(full * eta ** (i - s) + _TINY))
            if steps and step <= steps[-1]:
                continue  # rounded to the same step: one rung
            steps.append(step)
            counts.append(kept(n, eta**-i))
        brackets.append(Bracket(s, tuple(steps), tuple(counts)))
    return tuple(brackets)


def best_of(scores: Floats, numbers: Ints, may: Bools, k: int) -> int | None:
    """The index of the best row with ``may``, if fewer than ``k`` of all rows are better; +inf is never chosen. O(n).

    Args:
        scores, numbers: [n] all rows of the rung.
        may: [n] rows that could be chosen.
        k: how many of the rung go on.
    """
    if k < 1:
        return None
    rows = np.flatnonzero(may)
    rows = rows[scores[rows] < np.inf]
    if not len(rows):
        return None
    lowest = rows[scores[rows] == scores[rows].min()]
    row = int(lowest[numbers[lowest].argmin()])
    n_better = int(np.count_nonzero(scores < scores[row]))
    if n_better < k:
        n_better += int(np.count_nonzero(numbers[scores == scores[row]] < numbers[row]))
    return row if n_better < k else None


def ordered(scores: Floats, numbers: Ints) -> Ints:
    """[n] row indices from best to worst."""
    return np.lexsort((numbers, scores))


def domination_scores(losses: Floats) -> Floats:
    """[n] place of each row among all: by front of non-domination, within a front by the first column.

    Rows with a NaN get +inf. Equal places are equal. O(n f m) for f fronts by peeling (Deb et al. 2002, NSGA-II).

    Args:
        losses: [n, m].
    """
    scores = np.full(len(losses), np.inf)
    order = np.flatnonzero(~np.isnan(losses).any(axis=1))
    order = order[np.lexsort(losses[order].T[::-1])]  # nothing later in this order dominates an earlier row
    fronts = np.zeros(len(losses), dtype=np.int64)
    level, left = 0, order
    while len(left):
        is_next = _first_front(losses[left])
        fronts[left[is_next]] = level
        left, level = left[~is_next], level + 1
    keys = np.column_stack([fronts[order].astype(np.float64), losses[order, 0]])
    if len(order):
        _, places = np.unique(keys, axis=0, return_inverse=True)
        scores[order] = places.reshape(-1)
    return scores


def _first_front(losses: Floats) -> Bools:
    """[n] which rows, sorted so that none dominates an earlier one, are dominated by nobody."""
    if losses.shape[1] == 2:  # sorted by the first: a row is dominated when an earlier one is at most as large there
        second = losses[:, 1]
        before = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
        is_first = second < before
        same = np.zeros(len(losses), dtype=np.bool_)
        same[1:] = np.all(losses[1:] == losses[:-1], axis=1)
        for row in np.flatnonzero(same).tolist():  # equal rows share a front
            is_first[row] = is_first[row - 1]
        return is_first
    is_first = np.ones(len(losses), dtype=np.bool_)
    for row in range(len(losses)):
        if is_first[row]:
            later = losses[row + 1 :]
            worse = np.all(losses[row] <= later, axis=1) & np.any(losses[row] < later, axis=1)
            is_first[row + 1 :] &= ~worse
    return is_first


def quantile(scores: Floats, q: float) -> float:
    """The q-quantile by linear interpolation; +inf is a value like any other."""
    place = q * (len(scores) - 1)
    low, high = math.floor(place), math.ceil(place)
    part = np.partition(scores, (low, high))
    if part[low] == part[high]:
        return float(part[low])
    return float(part[low] + (place - low) * (part[high] - part[low]))


def signed_rank_p(differences: Floats) -> float:
    """One-sided p-value of the signed-rank test that the differences lie above zero (Wilcoxon 1945), 1 without any.

    Zeros are left out, ties get their mean rank, and the null distribution is exact, also with ties: each of the 2^n
    choices of signs is equally likely. Beyond 50 pairs the normal approximation with continuity correction is used.
    """
    differences = differences[differences != 0]
    n = len(differences)
    if n == 0:
        return 1.0
    sizes = np.abs(differences)
    below = np.searchsorted(np.sort(sizes), sizes, side="left")
    upto = np.searchsorted(np.sort(sizes), sizes, side="right")
    doubled = (below + upto + 1).astype(np.int64)  # twice the mean rank is a whole number
    positive = int(doubled[differences > 0].sum())
    if n > 50:
        mean, variance = doubled.sum() / 2, float((doubled.astype(np.float64) ** 2).sum()) / 4
        return 0.5 * math.erfc((positive - mean - 1) / math.sqrt(2 * variance))
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for rank in doubled.tolist():
        ways[rank:] = ways[rank:] + ways[:-rank]
    return float(ways[positive:].sum() / 2.0**n)


def crossing_noise(curves: Floats, q: float = 0.9) -> float:
    """How far apart two curves may end and still be a toss-up (Bohdal et al. 2023, arXiv 2207.06940, section 4.3).

    The q-quantile of the final distances over all pairs that criss-cross: one ahead, then the other, then the first again.
    0 where none do.

    Args:
        curves: [n, steps] losses; NaN where nothing was reported.
    """
    n = len(curves)
    first, second = np.triu_indices(n, 1)
    with np.errstate(invalid="ignore"):
        gaps = curves[first] - curves[second]
    ends = gaps[:, -1] if gaps.shape[1] else np.zeros(0)
    now = np.sign(ends)
    # from the end: has the other been ahead, and before that the first again?
    other = np.logical_or.accumulate(gaps[:, ::-1] * now[:, None] < 0, axis=1)
    again = (other[:, :-1] & (gaps[:, ::-1][:, 1:] * now[:, None] > 0)).any(axis=1)
    distances = np.abs(ends[again & np.isfinite(ends)])
    return quantile(distances, q) if len(distances) else 0.0


def is_same_order(lower: Floats, upper: Floats, numbers: Ints, epsilon: float) -> bool:
    """Whether two rungs rank the same trials alike, up to swaps of trials within ``epsilon`` of each other below.

    The trial at each place of the upper ranking must lie within ``epsilon`` of the trial at that place of the lower one,
    measured at the lower rung (the soft ranking of arXiv 2207.06940, section 4.2).
    """
    below, above = lower[ordered(lower, numbers)], lower[ordered(upper, numbers)]
    with np.errstate(invalid="ignore"):
        return bool(np.all((below == above) | (np.abs(below - above) <= epsilon)))
