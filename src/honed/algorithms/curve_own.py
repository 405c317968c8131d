"""What a learning curve says by itself, without any model of the others: where its own fall would lead, and that it may end.

Curves that a search goes on with are those that fall; a model that has seen their ends expects of the others what became of
these. A curve's own values do not: from half of its known steps to the last one it fell at some rate in log time, and as a rule
the rest falls at this rate or slower, so that the last value lies anywhere between no fall at all and that one.

    numbers, steps, y  [n]  points        totals  [N]  lengths        rows, at  [q]  trials and the steps that are asked for
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_RISE = 0.1  # of the fall: a falling curve may rise by so much


@dataclass(frozen=True, slots=True, eq=False)
class OwnCurves:
    """Of N trials; NaN where one has no point.

    Attributes:
        steps, last, worst: [N] the last step, its value, and the highest value.
        rate: [N] by how much the curve fell in a unit of log time, in its later half.
        spread: how far above the best value the middle one of all trials' bests lies.
        best: the lowest value.
    """

    steps: Floats
    last: Floats
    worst: Floats
    rate: Floats
    spread: float
    best: float

    @staticmethod
    def of(numbers: Ints, steps: Ints, y: Floats, n_trials: int) -> OwnCurves:
        """From points in any order."""
        unknown = np.full(n_trials, np.nan)
        found = OwnCurves(unknown, unknown.copy(), unknown.copy(), unknown.copy(), 0.0, np.inf)
        if not len(y):
            return found
        order = np.lexsort((steps, numbers))
        number, step, value = numbers[order], steps[order], y[order]
        starts = np.flatnonzero(np.append(True, number[1:] != number[:-1]))
        ends, trials = np.append(starts[1:], len(number)) - 1, number[starts]
        length = int(step.max()) + 1
        half = np.searchsorted(number * length + step, trials * length + step[ends] // 2, side="right") - 1
        half = np.maximum(half, starts)
        apart = np.log(step[ends] / np.maximum(step[half], 1))
        fall = value[half] - value[ends]
        found.steps[trials], found.last[trials] = step[ends], value[ends]
        found.worst[trials] = np.maximum.reduceat(value, starts)
        found.rate[trials] = np.divide(fall, apart, out=np.zeros(len(fall)), where=apart > 0)
        bests = np.minimum.reduceat(value, starts)
        best = float(bests.min())
        return OwnCurves(found.steps, found.last, found.worst, found.rate, float(np.median(bests)) - best, best)

    def values(self, rows: Ints, at: Ints, n: int) -> Floats:
        """[q, n] values of equal probability at steps."""
        ahead = np.maximum(np.log(at / self.steps[rows]), 0.0)
        fall = self.rate[rows] * ahead
        low = self.last[rows] - np.abs(fall)
        high = self.last[rows] + np.where(fall >= 0.0, _RISE, 1.0) * np.abs(fall)
        return np.asarray(low[:, None] + (high - low)[:, None] * (np.arange(n) + 0.5) / n)

    def ceilings(self, rows: Ints) -> Floats:
        """[q] what no value is expected above: as far above a curve's worst value as its last one lies above the best of all."""
        return np.asarray(self.worst[rows] + np.maximum(self.last[rows] - self.best, self.spread))
