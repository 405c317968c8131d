"""Decisions without the model: asynchronous halving on real rungs, and new configurations that nobody has judged.

A share of all decisions is made so. It guarantees what asynchronous halving reaches with that share of the budget,
however wrong the model is.
"""

from __future__ import annotations

import numpy as np

from honed.algorithms.rungs import best_of
from honed.freeze_thaw.budget import ETA, rungs
from honed.freeze_thaw.seen import Seen
from honed.history import Floats, History, Ints
from honed.records import Resume, State
from honed.samplers.base import Stream


def is_insured(history: History, share: float) -> bool:
    """Whether this decision is made without the model."""
    return _uniform(history, "insurance") < share


def is_promoting(history: History) -> bool:
    """Whether such a decision goes on with a trial where it can, rather than begin one: half of them."""
    return _uniform(history, "promote") < 0.5


def promotion(history: History, data: Seen, first: int) -> Resume | None:
    """From the top rung down: the best paused trial among the best third of a rung that has not reached the next one."""
    is_paused = np.zeros(len(data.xs), dtype=bool)
    is_paused[data.paused] = True
    steps = rungs(first, data.full)
    for rung, above in reversed(list(zip(steps, (*steps[1:], data.full), strict=True))):
        numbers, scores = _at_share(data, rung) if data.times.is_stretched else _at_step(history, rung)
        untils = _shares(data, numbers, above) if data.times.is_stretched else np.full(len(numbers), above)
        may = is_paused[numbers] & (data.at[numbers] < untils)
        row = best_of(scores, numbers, may, len(numbers) // ETA)
        if row is not None:
            return data.granted(int(numbers[row]), int(untils[row]))
    return None


def _at_step(history: History, rung: int) -> tuple[Ints, Floats]:
    """Who has come to a step, and the best values up to there."""
    found = history.rung(rung)
    return found.numbers, np.where(np.isfinite(found.losses), found.bests, np.inf)


def _at_share(data: Seen, rung: int) -> tuple[Ints, Floats]:
    """The same where trainings are stretched: at equal shares of trainings, not at equal steps."""
    everyone = np.arange(len(data.xs))
    steps = _shares(data, everyone, rung)
    bests, y = np.full(len(data.xs), np.inf), data.values(len(data.numbers), 0)
    is_before = data.steps <= steps[data.numbers]
    np.minimum.at(bests, data.numbers[is_before], y[is_before])
    numbers = everyone[(data.at >= steps) & np.isfinite(bests)]
    return numbers, bests[numbers]


def _shares(data: Seen, numbers: Ints, step: int) -> Ints:
    """[n] the steps of trials that are as large a share as this one is of the longest training."""
    return np.maximum(-(-step * data.totals[numbers] // data.full), 1)


def _uniform(history: History, what: str) -> float:
    """New for every decision: each changes who runs, or follows steps or trials that the one before did not know.

    Attempts are no measure of decisions: a trial whose worker was killed takes another one.
    """
    running = history.count(State.RUNNING)
    return Stream(history.study.seed, history.n_steps).uniform(f"{what}/{len(history)}/{running}")
