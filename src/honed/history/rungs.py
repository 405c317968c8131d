"""Rungs and standings: what schedulers ask of a history, ready after every report.

``RungIndex`` keeps, for one metric, a column of arrays for every step: who reported there, what, and the best so far.
``StandingTable`` keeps state and grant of every trial by number. Both take in only what is new. Rows are appended, and
what must change is copied first, so that the arrays of older snapshots stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.records import LENGTH, Report, State, TrialRecord

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TO_THE_END = 2**62
"""The grant of a trial without ``until``, as a number."""

_FIRST_CAPACITY = 16
_CODES = {state: code for code, state in enumerate(State)}
ALL_STATES: tuple[State, ...] = tuple(State)
"""``Standings.states`` holds indices into this tuple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Who has reported a metric at exactly one step, in the order in which the first of these reports arrived.

    Attributes:
        numbers: [n] trial numbers, each once.
        losses: [n] the values there, turned so that smaller is better.
        bests: [n] the best of each trial's values up to there; NaN where it had none but NaN.
    """

    numbers: Ints
    losses: Floats
    bests: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """Where each trial is; the row is its number.

    Attributes:
        states: [n] indices into ``ALL_STATES``.
        untils: [n] its grant; ``TO_THE_END`` where it has none.
    """

    states: npt.NDArray[np.int8]
    untils: Ints

    def are(self, state: State) -> npt.NDArray[np.bool_]:
        """[n] whether each trial is in this state."""
        return np.equal(self.states, _CODES[state])


class _Column:
    """The arrays of one step; doubled when full."""

    __slots__ = ("bests", "losses", "n", "numbers", "positions")

    def __init__(self) -> None:
        self.n = 0
        self.numbers: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self.positions: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self.losses: Floats = np.zeros(_FIRST_CAPACITY)
        self.bests: Floats = np.zeros(_FIRST_CAPACITY)

    def append(self, number: int, position: int, loss: float, best: float) -> None:
        row = self.n
        if row == len(self.numbers):
            self.numbers = np.concatenate([self.numbers, np.zeros_like(self.numbers)])
            self.positions = np.concatenate([self.positions, np.zeros_like(self.positions)])
            self.losses = np.concatenate([self.losses, np.zeros_like(self.losses)])
            self.bests = np.concatenate([self.bests, np.zeros_like(self.bests)])
        self.numbers[row], self.positions[row] = number, position
        self.losses[row], self.bests[row] = loss, best
        self.n += 1

    def row_of(self, number: int) -> int | None:
        rows = np.flatnonzero(self.numbers[: self.n] == number)
        return int(rows[0]) if len(rows) else None


class RungIndex:
    """All reports of one metric by step.

    Args:
        metric: its name.
        sign: 1 where smaller is better, -1 where larger is.
    """

    __slots__ = ("_columns", "_latest", "_metric", "_sign", "n_reports", "settled")

    def __init__(self, metric: str, sign: float) -> None:
        self.n_reports = 0
        self.settled = 0  # snapshots with fewer reports than this need an index of their own
        self._metric, self._sign = metric, sign
        self._columns: dict[int, _Column] = {}
        self._latest: dict[int, tuple[int, float]] = {}  # trial -> its last step, and its best so far

    def extend(self, reports: Sequence[Report], n: int) -> None:
        """Takes in ``reports`` up to the ``n``-th: a constant time for each that comes in order of steps."""
        for position in range(self.n_reports, n):
            report = reports[position]
            value = report.values.get(self._metric)
            if value is None:
                continue
            loss, number, step = self._sign * value, report.number, report.step
            last, best = self._latest.get(number, (-1, math.nan))
            if step > last:
                best = smaller(best, loss)
                self._latest[number] = (step, best)
                self._column(step).append(number, position, loss, best)
            else:
                self._correct(number, step, loss, position)
        self.n_reports = n

    def _column(self, step: int) -> _Column:
        column = self._columns.get(step)
        if column is None:
            column = self._columns[step] = _Column()
        return column

    def _correct(self, number: int, step: int, loss: float, position: int) -> None:
        """A replaced report, or one before the trial's last step: its bests from there on are found again."""
        mine = {s: (c, row) for s, c in self._columns.items() if (row := c.row_of(number)) is not None}
        if step in mine:
            column, row = mine[step]
            before = column.losses[row]
            if before == loss or (before != before and loss != loss):
                return
        else:
            self._column(step).append(number, position, loss, loss)
            mine[step] = (self._columns[step], self._columns[step].n - 1)
        best = math.nan
        for s in sorted(mine):
            column, row = mine[s]
            if s == step:
                column.losses = column.losses.copy()
                column.losses[row] = loss
            best = smaller(best, float(column.losses[row]))
            if s >= step:
                column.bests = column.bests.copy()
                column.bests[row] = best
        self._latest[number] = (max(mine), best)
        self.settled = position + 1

    def rung(self, step: int, n: int) -> Rung:
        """The rung at ``step`` for a snapshot with ``n`` reports; not to be written."""
        column = self._columns.get(step)
        if column is None:
            return Rung(numbers=_NOBODY, losses=_NOTHING, bests=_NOTHING)
        k = column.n
        if n < self.n_reports:
            k = int(np.searchsorted(column.positions[:k], n))
        numbers, losses, bests = column.numbers[:k], column.losses[:k], column.bests[:k]
        numbers.flags.writeable = losses.flags.writeable = bests.flags.writeable = False
        return Rung(numbers=numbers, losses=losses, bests=bests)


_NOBODY: Ints = np.zeros(0, dtype=np.int64)
_NOTHING: Floats = np.zeros(0)


def smaller(best: float, loss: float) -> float:
    """The smaller of two losses; a number beats NaN."""
    return loss if best != best or loss < best else best


Stand = tuple[int, int, int]
"""A trial's number, the code of its state and its grant, at one change."""


def stand(record: TrialRecord) -> Stand:
    """What a standing keeps of a record."""
    return record.number, _CODES[record.state], TO_THE_END if record.until is None else record.until


def longest(before: int | None, records: Sequence[TrialRecord]) -> int | None:
    """The length of a full training, as far as it is known: what trials announce, or the last step of COMPLETE ones."""
    steps = before or 0
    for record in records:
        reached = record.last_step if record.state is State.COMPLETE else None
        steps = max(steps, record.note.get(LENGTH) or 0, reached or 0)
    return steps or None


class StandingTable:
    """The arrays of ``Standings``, brought up to date from a list of changes."""

    __slots__ = ("_n_trials", "_states", "_untils", "n_changes")

    def __init__(self) -> None:
        self.n_changes = 0
        self._n_trials = 0
        self._states: npt.NDArray[np.int8] = np.zeros(_FIRST_CAPACITY, dtype=np.int8)
        self._untils: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)

    def extend(self, changes: Sequence[Stand], n: int) -> None:
        """Takes in ``changes`` up to the ``n``-th; arrays that were given away are copied first."""
        new = changes[self.n_changes : n]
        self._n_trials = max(self._n_trials, 1 + max(change[0] for change in new))
        size = len(self._states)
        while size < self._n_trials:
            size *= 2
        states, untils = np.zeros(size, dtype=np.int8), np.zeros(size, dtype=np.int64)
        states[: len(self._states)], untils[: len(self._untils)] = self._states, self._untils
        for number, state, until in new:
            states[number], untils[number] = state, until
        self._states, self._untils, self.n_changes = states, untils, n

    def view(self) -> Standings:
        """All trials, not to be written."""
        states, untils = self._states[: self._n_trials], self._untils[: self._n_trials]
        states.flags.writeable = untils.flags.writeable = False
        return Standings(states=states, untils=untils)


class Ladder:
    """What the snapshots of one study share for schedulers: rung indices by metric, and standings.

    Attributes:
        changes: each change of a trial's record, in order; appended, never changed.
    """

    __slots__ = ("_indices", "_standings", "changes")

    def __init__(self) -> None:
        self.changes: list[Stand] = []
        self._indices: dict[tuple[str, float], RungIndex] = {}
        self._standings = StandingTable()

    def rung(self, reports: Sequence[Report], n: int, step: int, metric: str, sign: float) -> Rung:
        """A rung of the snapshot with the first ``n`` of ``reports``."""
        index = self._indices.get((metric, sign))
        if index is None or n < index.settled:
            index = self._indices[metric, sign] = RungIndex(metric, sign)
        if index.n_reports < n:
            index.extend(reports, n)
        return index.rung(step, n)

    def standings(self, n: int) -> Standings:
        """The standings of the snapshot with the first ``n`` changes."""
        if n < self._standings.n_changes:
            self._standings = StandingTable()
        if n > self._standings.n_changes:
            self._standings.extend(self.changes, n)
        return self._standings.view()
