"""The times of learning curves whose lengths differ: trainings cut off at different steps, or stretched over them.

*Cut off*: a step means the same in all trainings, u = log(1 + t) / log(1 + T) with one T for all, the longest; a shorter training
is judged at a time before 1. *Stretched*: its learning rates are made for its own length T_j, so that only shares of a training
can be compared. Then u = 1/2 log(1 + t) / log(1 + T_j) + 1/2 P_j(t / T_j), with the progress P_j of its schedule (``schedules``),
and every training ends at time 1.

    rows, steps  [n]  points        totals  [N]  lengths        u  [n]  times
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.algorithms.curve_kernels import time_of
from honed.algorithms.schedules import CELLS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CurveTimes:
    """When each point of N trials is.

    Attributes:
        full: the longest training.
        usual: the length of a training yet to begin.
        totals: [N].
        schedule: [N] the row of ``progress`` that a trial is stretched by; -1 where a step means the same in all.
        progress: [schedules, CELLS + 1] P at even shares of a training.
        new: the schedule of a training yet to begin.
    """

    full: int
    usual: int
    totals: Ints
    schedule: Ints
    progress: Floats
    new: int = -1

    @staticmethod
    def alike(full: int, n: int = 0) -> CurveTimes:
        """For n trials of one length, or cut off."""
        return CurveTimes(full, full, np.full(n, full), np.full(n, -1), np.zeros((0, CELLS + 1)))

    @property
    def is_stretched(self) -> bool:
        """Whether any training is."""
        return len(self.progress) > 0

    @property
    def key(self) -> bytes:
        """What times depend on beside the longest training and all lengths."""
        if not self.is_stretched:
            return f"/{self.usual}".encode()
        return f"/{self.usual}/{self.new}/".encode() + self.schedule.tobytes() + self.progress.tobytes()

    def of(self, rows: Ints, steps: npt.NDArray[np.generic]) -> Floats:
        """U [n] of trials at steps."""
        if not self.is_stretched:
            return time_of(steps, self.full)
        return self._times(self.schedule[rows], self.totals[rows], np.asarray(steps, dtype=np.float64))

    def of_new(self, steps: npt.NDArray[np.generic], totals: Ints | None = None) -> Floats:
        """U [n] of trainings yet to begin.

        Args:
            totals: [n] their lengths, where they are known.
        """
        n = len(steps)
        lengths = np.full(n, self.usual) if totals is None else totals
        return self._times(np.full(n, self.new), lengths, np.asarray(steps, dtype=np.float64))

    def _times(self, schedule: Ints, totals: Ints, steps: Floats) -> Floats:
        u = time_of(steps, self.full)
        for k, progress in enumerate(self.progress):
            mine = schedule == k
            length = totals[mine].astype(np.float64)
            shares = np.minimum(steps[mine] / length, 1.0)
            done = np.interp(shares, np.linspace(0.0, 1.0, CELLS + 1), progress)
            u[mine] = 0.5 * np.log1p(np.minimum(steps[mine], length)) / np.log1p(length) + 0.5 * done
        return u
