"""How long each training is, by what trials have announced, and by which schedule it is stretched over its length.

An objective whose length was changed between two runs says so when the first of its trials goes on: all others that have
announced the old length are then taken for as long as the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from honed.algorithms.curve_times import CurveTimes
from honed.algorithms.schedules import CELLS, progress_of
from honed.history import Floats, History, Ints
from honed.records import LENGTH, LENGTH_BEFORE, SCHEDULE, State, TrialRecord

_LATEST = 8  # trials, whose middle length a new one is expected to have
_UNIT = 9.0  # a length so many times as long is one unit away


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """What is known of the lengths of N trainings.

    Attributes:
        times: with all lengths, and by which schedules trainings are stretched.
        parameter: the parameter that is the length; None where there is none.
        column: [N] logarithms of the lengths, where the model needs them beside the params.
        new: the logarithm for a training yet to begin.
        has_full: whether a trial is COMPLETE that is as long as new ones will be, or whose parameter says that it is shorter.
    """

    times: CurveTimes
    parameter: str | None
    column: Floats | None
    new: float
    has_full: bool


class Announced(NamedTuple):
    """What a trial has said of its length.

    Attributes:
        n_steps: 0 where it has said nothing.
        before: another length that it had announced before; 0 for none.
        schedule: as its note keeps it, a list as a tuple.
    """

    n_steps: int
    before: int
    schedule: str | tuple[float, ...] | None


def announced_by(record: TrialRecord) -> Announced:
    """What a trial has said."""
    note = record.note
    n_steps, before, schedule = note.get(LENGTH), note.get(LENGTH_BEFORE), note.get(SCHEDULE)
    if isinstance(schedule, list):
        schedule = tuple(schedule)
    return Announced(
        n_steps if isinstance(n_steps, int) and n_steps > 0 else 0,
        before if isinstance(before, int) and before > 0 else 0,
        schedule if progress_of(schedule) is not None else None,
    )


def lengths(history: History, unfinished: Mapping[int, Announced], full: int, max_steps: int | None) -> Lengths:
    """The lengths of all trainings.

    Args:
        unfinished: what these trials have said, by number.
        full: the longest training.
        max_steps: the length of a full training, where it is a setting.
    """
    finished = history.fold("lengths", _Finished, _Finished.take)
    kinds = finished.kinds.union(unfinished.values())
    if all(_cut(a.n_steps or full, max_steps) == full for a in kinds):  # of schedules alike, logarithms predict best
        return Lengths(CurveTimes.alike(full, len(history)), None, None, 0.0, bool(finished.complete))
    changed = _changed(kinds)
    said = {number: a for number, a in finished.by_number.items() if a.n_steps}
    said |= {
        number: a._replace(n_steps=changed.get(a.n_steps, a.n_steps)) for number, a in unfinished.items() if a.n_steps
    }
    numbers = np.array(sorted(said), dtype=np.int64)
    ordered = [said[number] for number in numbers.tolist()]
    totals = np.full(len(history), full, dtype=np.int64)
    totals[numbers] = [_cut(a.n_steps, max_steps) for a in ordered]
    latest = np.sort(totals[numbers[-_LATEST:]])
    usual = int(latest[len(latest) // 2]) if len(latest) else full
    kept = list(dict.fromkeys(a.schedule for a in ordered if a.schedule is not None))
    schedule = np.full(len(history), -1)
    schedule[numbers] = [-1 if a.schedule is None else kept.index(a.schedule) for a in ordered]
    has_full = any(n_steps >= usual and n_steps not in changed for n_steps in finished.complete)
    new = int(schedule[numbers[-1]]) if kept else -1
    times = CurveTimes(full, usual, totals, schedule, _table(kept), new)
    parameter = _parameter(history, said)
    if parameter is not None or not kept:
        return Lengths(times, parameter, None, 0.0, has_full or (parameter is not None and bool(finished.complete)))
    return Lengths(times, None, _logarithm(totals, full), float(_logarithm(np.array([usual]), full)[0]), has_full)


@dataclass(slots=True)
class _Finished:
    """What finished trials have said; grows with the history."""

    by_number: dict[int, Announced] = field(default_factory=dict)
    kinds: set[Announced] = field(default_factory=set)
    complete: set[int] = field(default_factory=set)

    def take(self, record: TrialRecord) -> None:
        a = announced_by(record)
        if not a.n_steps and record.state is State.COMPLETE:
            a = a._replace(n_steps=record.last_step or 0)
        if record.state is State.COMPLETE:
            self.complete.add(a.n_steps)
        self.by_number[record.number] = a
        self.kinds.add(a)


def _cut(n_steps: int, max_steps: int | None) -> int:
    return n_steps if max_steps is None else min(n_steps, max_steps)


def _changed(kinds: Iterable[Announced]) -> Mapping[int, int]:
    """Old length -> new one; nothing where it was changed there and back, as nobody can tell which came last."""
    found = {a.before: a.n_steps for a in sorted(kinds, key=str) if a.before and a.n_steps}
    for _ in range(len(found)):
        found = {old: found.get(new, new) for old, new in found.items()}
    return {old: new for old, new in found.items() if new not in found}


def _table(kept: Iterable[str | tuple[float, ...] | None]) -> Floats:
    rows = [progress for schedule in kept if (progress := progress_of(schedule)) is not None]
    return np.array(rows).reshape(len(rows), CELLS + 1)


def _parameter(history: History, said: Mapping[int, Announced]) -> str | None:
    """The first parameter whose value is the length of every training."""
    for name in history.space.domains:
        if all(history[number].params.get(name) == a.n_steps for number, a in said.items()):
            return name
    return None


def _logarithm(totals: Ints, full: int) -> Floats:
    """1 for the longest, 0 for a ninth of it."""
    return np.asarray(1.0 + np.log(totals / full) / np.log(_UNIT))
