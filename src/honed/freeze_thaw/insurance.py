"""Decisions without the model: asynchronous halving on real rungs, and new configurations that nobody has judged.

A share of all decisions is made so. It guarantees what asynchronous halving reaches with that share of the budget,
however wrong the model is.
"""

from __future__ import annotations

import numpy as np

from honed.algorithms.rungs import best_of
from honed.freeze_thaw.budget import ETA, rungs
from honed.freeze_thaw.seen import Seen
from honed.history import History
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
        found = history.rung(rung)
        numbers, scores = found.numbers, np.where(np.isfinite(found.losses), found.bests, np.inf)
        may = is_paused[numbers] & (data.at[numbers] < above)
        row = best_of(scores, numbers, may, len(numbers) // ETA)
        if row is not None:
            return data.granted(int(numbers[row]), above)
    return None


def _uniform(history: History, what: str) -> float:
    """New for every decision: each changes who runs, or follows steps or trials that the one before did not know.

    Attempts are no measure of decisions: a trial whose worker was killed takes another one.
    """
    running = history.count(State.RUNNING)
    return Stream(history.study.seed, history.n_steps).uniform(f"{what}/{len(history)}/{running}")
