"""The growing arrays behind a history: params and losses of finished trials, reports by metric.

Rows are appended and never changed, so that the views of older snapshots stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.encode import INACTIVE, coordinate, coordinates
from honed.records import Cause, Direction, Report, State, TrialRecord
from honed.space import Space

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STATES: tuple[State, ...] = (State.COMPLETE, State.STOPPED, State.FAILED)
"""``Columns.states`` holds indices into this tuple."""

INFEASIBLE = frozenset({Cause.INFEASIBLE, Cause.OOM, Cause.TIMEOUT})
"""Causes for which the configuration itself is to blame."""

_FIRST_CAPACITY = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """All finished trials as arrays, in the order in which they finished; n trials, d parameters, m objectives.

    Attributes:
        space: the joint space; its names are the columns of ``params``.
        numbers: [n] trial numbers.
        states: [n] indices into ``STATES``.
        params: [n, d] coordinates (``honed.encode``); NaN where a parameter was not active.
        losses: [n, m] values turned so that smaller is better; NaN for failed trials.
        is_infeasible: [n] whether the configuration itself was to blame for a failure: it diverged, took too much memory or
            time, or cannot work. Bugs, lost workers and cancelled trials say nothing about a configuration.
        constraints: names of the c constraints that trials have measured (``Trial.constraint``), in the order of their coming.
        excesses: [n, c] how far a trial lies beyond each limit, relative to it; 0 or less is allowed, NaN was not measured.
        violations: [n] sum of what lies beyond; 0 for trials that keep all limits they were measured against.
    """

    space: Space
    numbers: Ints
    states: npt.NDArray[np.int8]
    params: Floats
    losses: Floats
    is_infeasible: npt.NDArray[np.bool_]
    constraints: tuple[str, ...]
    excesses: Floats
    violations: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """All reports of one metric, in the order in which they arrived; each (trial, step) once, with its latest value.

    Attributes:
        numbers, steps: [k] whose report it is.
        losses: [k] turned so that smaller is better (metrics that are no objective stay as they are).
    """

    numbers: Ints
    steps: Ints
    losses: Floats


def signs_of(directions: Sequence[Direction]) -> list[float]:
    """What each objective's values are multiplied by, so that smaller is better."""
    return [1.0 if direction == "minimize" else -1.0 for direction in directions]


class TrialTable:
    """The arrays of ``Columns``: doubled when full, so that a trial costs a constant time."""

    def __init__(self, space: Space, signs: Sequence[float]) -> None:
        self.space = space
        self.n = 0
        self._viewed: tuple[int, Columns] | None = None
        self._signs = signs
        self._numbers: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._states: npt.NDArray[np.int8] = np.zeros(_FIRST_CAPACITY, dtype=np.int8)
        self._params: Floats = np.full((_FIRST_CAPACITY, len(space)), INACTIVE)
        self._losses: Floats = np.full((_FIRST_CAPACITY, len(signs)), np.nan)
        self._is_infeasible: npt.NDArray[np.bool_] = np.zeros(_FIRST_CAPACITY, dtype=np.bool_)
        self._constraints: tuple[str, ...] = ()
        self._excesses: Floats = np.full((_FIRST_CAPACITY, 0), np.nan)
        self._violations: Floats = np.zeros(_FIRST_CAPACITY)

    def append(self, record: TrialRecord) -> None:
        """Adds the row of a finished trial."""
        row = self.n
        if row == len(self._numbers):
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
            self._states = np.concatenate([self._states, np.zeros_like(self._states)])
            self._params = np.concatenate([self._params, np.full_like(self._params, INACTIVE)])
            self._losses = np.concatenate([self._losses, np.full_like(self._losses, np.nan)])
            self._is_infeasible = np.concatenate([self._is_infeasible, np.zeros_like(self._is_infeasible)])
            self._excesses = np.concatenate([self._excesses, np.full_like(self._excesses, np.nan)])
            self._violations = np.concatenate([self._violations, np.zeros_like(self._violations)])
        self._is_infeasible[row] = record.state is State.FAILED and record.cause in INFEASIBLE
        self._numbers[row] = record.number
        self._states[row] = STATES.index(record.state)
        self._params[row] = coordinates(self.space, record.params)
        if record.values is not None and record.state is not State.FAILED:
            self._losses[row] = [sign * value for sign, value in zip(self._signs, record.values, strict=True)]
        if record.attributes and (excesses := record.excesses):
            self._measure(row, excesses)
        self.n += 1

    def _measure(self, row: int, excesses: Mapping[str, float]) -> None:
        """Enters the constraints of a row, with columns for those that no trial had before."""
        fresh = tuple(name for name in excesses if name not in self._constraints)
        if fresh:
            self._constraints += fresh
            empty = np.full((len(self._excesses), len(fresh)), np.nan)
            self._excesses = np.concatenate([self._excesses, empty], axis=1)
        for name, beyond in excesses.items():
            self._excesses[row, self._constraints.index(name)] = beyond
        self._violations[row] = sum(max(beyond, 0.0) for beyond in excesses.values())

    def with_space(self, space: Space, finished: Sequence[TrialRecord]) -> TrialTable:
        """The table for a changed space: only the columns of new or changed domains are encoded again."""
        table = TrialTable(space, self._signs)
        table.n, table._numbers, table._states, table._losses = self.n, self._numbers, self._states, self._losses
        table._is_infeasible = self._is_infeasible
        table._constraints, table._excesses, table._violations = self._constraints, self._excesses, self._violations
        table._params = np.full((len(self._numbers), len(space)), INACTIVE)
        before = {name: i for i, name in enumerate(self.space.domains)}
        for i, (name, domain) in enumerate(space.domains.items()):
            if name in before and self.space[name] == domain:
                table._params[:, i] = self._params[:, before[name]]
                continue
            for row, record in enumerate(finished[: self.n]):
                if name in record.params:
                    table._params[row, i] = coordinate(domain, record.params[name])
        return table

    def view(self, n: int) -> Columns:
        """The first ``n`` rows, not to be written."""
        if self._viewed is not None and self._viewed[0] == n:  # rows never change
            return self._viewed[1]
        columns = Columns(
            space=self.space,
            numbers=self._numbers[:n],
            states=self._states[:n],
            params=self._params[:n],
            losses=self._losses[:n],
            is_infeasible=self._is_infeasible[:n],
            constraints=self._constraints,
            excesses=self._excesses[:n],
            violations=self._violations[:n],
        )
        columns.numbers.flags.writeable = columns.states.flags.writeable = columns.params.flags.writeable = False
        columns.losses.flags.writeable = columns.is_infeasible.flags.writeable = False
        columns.excesses.flags.writeable = columns.violations.flags.writeable = False
        self._viewed = (n, columns)
        return columns


class CurveTable:
    """The arrays of ``Curves`` for one metric; a report that replaces another one takes a new row, for a copy of all."""

    def __init__(self, metric: str, sign: float) -> None:
        self.n_reports = 0
        self._metric, self._sign = metric, sign
        self._rows: dict[tuple[int, int], int] = {}
        self._keys: Ints = np.zeros((_FIRST_CAPACITY, 2), dtype=np.int64)
        self._losses: Floats = np.zeros(_FIRST_CAPACITY)

    def extend(self, reports: Sequence[Report]) -> None:
        """Takes in reports in the order in which they arrived."""
        self.n_reports += len(reports)
        fresh: dict[tuple[int, int], float] = {}
        for report in reports:
            if self._metric in report.values:
                fresh.pop((report.number, report.step), None)  # what comes again moves to the end
                fresh[report.number, report.step] = self._sign * report.values[self._metric]
        replaced = [row for key in fresh if (row := self._rows.get(key)) is not None]
        if replaced:
            self._drop(replaced)
        first = len(self._rows)
        while first + len(fresh) > len(self._losses):
            self._keys = np.concatenate([self._keys, np.zeros_like(self._keys)])
            self._losses = np.concatenate([self._losses, np.zeros_like(self._losses)])
        for row, (key, loss) in enumerate(fresh.items(), start=first):
            self._rows[key] = row
            self._keys[row], self._losses[row] = key, loss

    def _drop(self, rows: Sequence[int]) -> None:
        n = len(self._rows)
        keys, losses = np.delete(self._keys[:n], rows, axis=0), np.delete(self._losses[:n], rows)
        self._keys, self._losses = np.zeros_like(self._keys), np.zeros_like(self._losses)
        self._keys[: len(keys)], self._losses[: len(keys)] = keys, losses
        self._rows = {(number, step): row for row, (number, step) in enumerate(keys.tolist())}

    def view(self) -> Curves:
        """All rows, not to be written."""
        n = len(self._rows)
        keys, losses = self._keys[:n], self._losses[:n]
        keys.flags.writeable = losses.flags.writeable = False
        return Curves(numbers=keys[:, 0], steps=keys[:, 1], losses=losses)
