"""One study of one method on one task: by honed's samplers and schedulers in simulated time.

Pool mode: a random method takes the table's rows in an order that belongs to the seed, the same for every method and
every tool; a method that suggests freely gets the nearest row that was not taken yet. Continuous mode: every suggestion
gets the nearest row, as often as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from benchmarks.meter import Meter, Timed
from benchmarks.tables import RowTask
from benchmarks.tables.base import Floats, Params
from honed.domains import Scalar
from honed.history import History
from honed.records import Exhausted, Suggestion
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.random import Random
from honed.schedulers.base import Scheduler
from honed.space import Space
from honed.testing.simulate import Trace, simulate

Mode = Literal["pool", "continuous"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a study is given."""

    seed: int
    n_workers: int
    budget_steps: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class Played:
    """What became of it; k steps were paid.

    Attributes:
        best: [k] what the configuration that looks best so far is worth, after each paid step.
        n_trials: how many configurations were begun.
        wall_seconds: real time of the whole study.
        ends: [k] simulated time at which each paid step ended.
        meter: what its decisions cost.
    """

    best: Floats
    n_trials: int
    wall_seconds: float
    ends: Floats
    meter: Meter


Player = Callable[[RowTask, Setting], Played]


def incumbents(seen: Floats, worth: Floats) -> Floats:
    """[k] the worth of the lowest seen loss so far; infinite before the first."""
    seen = np.where(np.isnan(seen), np.inf, seen)
    lowest = np.minimum.accumulate(seen)
    is_new = np.concatenate([[True], lowest[1:] < lowest[:-1]])
    leader = np.maximum.accumulate(np.where(is_new, np.arange(len(seen)), 0))
    return np.where(np.isinf(lowest), np.inf, worth[leader])


@lru_cache(maxsize=64)
def order(seed: int, n: int) -> tuple[int, ...]:
    """The order in which a seed takes the rows of a pool."""
    return tuple(np.random.default_rng(seed).permutation(n).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class RowsInOrder:
    """Random search in a pool: each row once."""

    task: RowTask

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        """The row of the trial's number."""
        rows = self.task.rows
        if rng.number >= len(rows):
            return Exhausted(f"all {len(rows)} rows are taken")
        return Suggestion(rows[order(rng.seed, len(rows))[rng.number]])


@dataclass(frozen=True, slots=True, eq=False)
class NearestFree:
    """Another sampler's suggestion, moved to the nearest row that no trial has yet."""

    task: RowTask
    inner: Sampler

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        """The params of that row."""
        proposal = self.inner.suggest(history, space, rng, given)
        if not isinstance(proposal, Suggestion):
            return proposal
        free = np.ones(len(self.task.rows), dtype=bool)
        free[[record.note["row"] for record in history if "row" in record.note]] = False
        if not free.any():
            return Exhausted(f"all {len(free)} rows are taken")
        row = self.task.nearest(proposal.params, free)
        return Suggestion(self.task.rows[row], {**proposal.note, "row": row})


def honed_player(make_scheduler: Callable[[RowTask], Scheduler], sampler: Sampler | None = None) -> Player:
    """A player for a scheduler of honed.

    Args:
        make_scheduler: for a task.
        sampler: None is random search.
    """

    def play(task: RowTask, setting: Setting) -> Played:
        if setting.mode == "continuous":
            chosen: Sampler = sampler or Random()
        else:
            chosen = RowsInOrder(task) if sampler is None else NearestFree(task, sampler)
        meter = Meter()
        watched = Timed(chosen, make_scheduler(task), meter)
        begun = time.perf_counter()
        trace = simulate(
            task,
            watched,
            watched,
            n_workers=setting.n_workers,
            budget_steps=setting.budget_steps,
            seed=setting.seed,
        )
        seconds = time.perf_counter() - begun
        best = incumbents(trace.losses, _worth(task, trace))
        return Played(best, len(trace.history), seconds, trace.seconds, meter)

    return play


def _worth(task: RowTask, trace: Trace) -> Floats:
    """[k] what each reported loss is worth without the luck of its seed."""
    if not task.is_noisy:
        return trace.losses
    rows: dict[int, Params] = {record.number: record.params for record in trace.history}
    true = {number: task.true_curve(params) for number, params in rows.items()}
    pairs = zip(trace.numbers.tolist(), trace.steps.tolist(), strict=True)
    return np.array([true[number][step - 1] for number, step in pairs])
