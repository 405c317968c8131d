"""What all schedulers do alike: queued trials first, then new ones; and how long a full training is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from honed.algorithms.rungs import best_of
from honed.history import History, Ints
from honed.records import EMPTY, Resume, Start, State, Wait
from honed.schedulers.base import Move
from honed.schedulers.ranking import Ranking

UNKNOWN_LENGTH = 2**40
"""More steps than any training has."""


def queued(history: History) -> int | None:
    """The oldest trial that waits for its first start."""
    if not history.count(State.WAITING):
        return None
    waiting = np.flatnonzero(history.standings().are(State.WAITING)).tolist()
    return next((number for number in waiting if not history[number].attempt), None)


def start(history: History, until: int | None = None, note: Mapping[str, Any] = EMPTY) -> Start | Resume:
    """The oldest queued trial, or else a new one."""
    number = queued(history)
    return Start(until=until, note=note) if number is None else Resume(number=number, until=until)


def start_or_wait(history: History, until: int | None = None, note: Mapping[str, Any] = EMPTY) -> Move:
    """A new trial, or, where none may begin any more, a wait for running ones to change that.

    A study that may begin none and runs none gets the answer ``Start`` nevertheless: it is over.
    """
    if not history.may_start and history.count(State.RUNNING):
        return Wait("paused trials may go on when a running one has reported")
    return Start(until=until, note=note)


def leader_to_end(history: History, rungs: tuple[int, ...], ranking: Ranking) -> Resume | None:
    """The best paused trial of the highest rung, to its end, when a study would be over without any full training."""
    if history.may_start or history.count(State.RUNNING) or history.count(State.COMPLETE):
        return None
    grants = paused(history)
    for rung in reversed(rungs):
        ranked = ranking.at(history, rung)
        numbers = ranked.numbers
        row = best_of(ranked.scores, numbers, grants[numbers] == rung, len(numbers))
        if row is not None:
            return Resume(number=int(numbers[row]))
    return None


def full_length(history: History, max_steps: int | None) -> int | None:
    """The steps of a full training: the setting, or else the largest number that a trial has announced."""
    return history.max_steps if max_steps is None else max_steps


def paused(history: History) -> Ints:
    """[n] the grant of each PAUSED trial by number; -1 for the others."""
    standings = history.standings()
    return np.where(standings.are(State.PAUSED), standings.untils, -1)


def stray(grants: Ints, rungs: tuple[int, ...]) -> Resume | None:
    """Goes on with a trial that stands at a step which is no rung (any more), up to the next rung.

    Rungs can move when the length of a full training becomes known, or with other settings on the same study.

    Args:
        grants: [n] of the PAUSED trials by number, -1 for the others.
        rungs: all steps at which trials pause.
    """
    levels = np.array(rungs, dtype=np.int64)
    rows = np.flatnonzero(grants >= 0)
    off = rows[~np.isin(grants[rows], levels)]
    if not len(off):
        return None
    number = int(off[0])
    above = levels[levels > grants[number]]
    return Resume(number=number, until=int(above[0]) if len(above) else None)
