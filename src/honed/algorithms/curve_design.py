"""Where curves were observed: the trial and the time of each point, and what many of a process's matrices share.

Points are many, their trials and times are few. So covariances are computed once for each pair of trials and once for each
pair of times, and taken from there for points: [k, k] and [t, t] instead of [n, n].

    rows  [n]  the trial of each point        u  [n]  its time
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The points of a process.

    Attributes:
        rows, u: [n] trials and times.
        used: [k] the trials that have points, in order.
        place: [n] the index of each point's trial among them.
        times: [t] the times at which there are points, in order.
        moment: [n] the index of each point's time among them.
    """

    rows: Ints
    u: Floats
    used: Ints
    place: Ints
    times: Floats
    moment: Ints

    @staticmethod
    def of(rows: Ints, u: Floats) -> Design:
        """The design of points."""
        used, place = np.unique(rows, return_inverse=True)
        times, moment = np.unique(u, return_inverse=True)
        return Design(rows, u, used, place, times, moment)

    def joined(self, rows: Ints, u: Floats) -> Design:
        """These points, then others."""
        return Design.of(np.concatenate([self.rows, rows]), np.concatenate([self.u, u]))

    def own(self) -> tuple[Ints, Ints]:
        """The pairs of points that lie on one curve, as indices of rows and columns."""
        return pairs(self.place, self.place)


def pairs(rows: Ints, others: Ints) -> tuple[Ints, Ints]:
    """Where two lists name the same trial, as indices into both."""
    i, j = np.nonzero(rows[:, None] == others)
    return i.astype(np.int64, copy=False), j.astype(np.int64, copy=False)
