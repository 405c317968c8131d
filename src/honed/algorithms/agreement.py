"""Do two orders agree? Ranks, Kendall's tau, and the comparison of two groups, for tens to hundreds of trials.

Beliefs and past studies are weighed by order alone: losses of different studies share no unit.

Papers: Kendall, Biometrika 30 (1938) for tau; Mann, Whitney, Ann. Math. Statist. 18 (1947) for two groups.

    losses      [n, m]  smaller is better        violations  [n]     0 keeps all constraints
    merits      [n]     ranks in [0, 1], 0 is the best; NaN says nothing
    points      [k, d]  of the source            targets     [n, d]  coordinates; NaN where a parameter is not active

Departures: tau is tau-a over the pairs that are tied in neither order; what a source predicts at a point is the mean of its
nearest trials, which needs no scale of the losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_NEIGHBOURS = 3
_TIE = 1e-12


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two orders are.

    Attributes:
        n: things that were ordered.
        alike, pairs: pairs ordered alike, of those that are tied in neither order.
    """

    n: int = 0
    alike: int = 0
    pairs: int = 0

    @property
    def tau(self) -> float:
        """1 for the same order, -1 for the opposite one, 0 for no relation."""
        return 2.0 * self.alike / self.pairs - 1.0 if self.pairs else 0.0

    @property
    def error(self) -> float:
        """The standard deviation of tau between orders without relation (Kendall 1938)."""
        n = self.n
        return math.sqrt(2.0 * (2 * n + 5) / (9.0 * n * (n - 1))) if n > 1 else math.inf


def merits(losses: Floats, violations: Floats, is_infeasible: Flags) -> Floats:
    """Ranks in [0, 1] over all objectives: their mean, then those that break constraints, then what cannot work.

    Trials without losses that are not to blame for it (a lost worker, a bug) get NaN.
    """
    n = len(losses)
    known = ~np.isnan(losses).any(axis=1)
    score = np.full(n, np.nan)
    if known.any():
        score[known] = np.mean([_ranks(column) for column in losses[known].T], axis=0)
    broken = known & (violations > 0.0)
    score[broken] = 2.0 + _ranks(violations[broken])
    score[is_infeasible] = 4.0
    counted = ~np.isnan(score)
    score[counted] = _ranks(score[counted])
    return score


def _ranks(values: Floats) -> Floats:
    """Ranks in [0, 1]; equal values share their mean rank."""
    if len(values) < 2:
        return np.zeros(len(values))
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - 0.5 * (counts + 1))[place] / (len(values) - 1)
    return ranks


def agreement(left: Floats, right: Floats) -> Agreement:
    """Kendall's comparison of two orders of the same things."""
    a, b = left[:, None] - left, right[:, None] - right
    upper = np.triu(np.ones(a.shape, dtype=bool), 1)
    differs = upper & (np.abs(a) > _TIE) & (np.abs(b) > _TIE)
    return Agreement(len(left), int((differs & (a * b > 0.0)).sum()), int(differs.sum()))


def advantage(merit: Floats, is_first: Flags) -> float:
    """By how many standard deviations the first group does better (Mann, Whitney 1947); 0 where a group has fewer than 2."""
    n_first = int(is_first.sum())
    n_second = len(merit) - n_first
    if min(n_first, n_second) < 2:
        return 0.0
    ranks = _ranks(merit)
    gap = float(ranks[~is_first].mean() - ranks[is_first].mean())
    # The mean rank of n_first of n things has variance n_second (n + 1) / (12 n_first) in ranks from 1 to n.
    n = len(merit)
    deviation = math.sqrt(n * n * (n + 1.0) / (12.0 * n_first * n_second)) / (n - 1)
    return gap / deviation


def predicted(points: Floats, losses: Floats, targets: Floats, is_choice: Flags) -> Floats:
    """[n] what the source's trials nearest to each target have reached.

    Args:
        losses: [k] of the source.
        is_choice: [d] columns whose coordinates are equal or not; the others have distances.
    """
    gap = targets[:, None, :] - points[None, :, :]
    absent = np.isnan(targets)[:, None, :] != np.isnan(points)[None, :, :]
    far = np.where(is_choice, np.abs(gap) > _TIE, np.minimum(np.abs(gap), 1.0))
    distance = np.where(absent, 1.0, np.nan_to_num(far, nan=0.0)) ** 2  # inactive in both: the same
    nearest = np.argsort(distance.sum(axis=2), axis=1, kind="stable")[:, :_NEIGHBOURS]
    mean: Floats = losses[nearest].mean(axis=1)
    return mean
