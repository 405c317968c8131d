"""From played studies to results: normalised regret at costs and times, intervals over tasks, ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from benchmarks.players import Played
from benchmarks.tables import RowTask
from benchmarks.tables.base import Floats
from honed.testing.simulate import normalised_regret

N_RESAMPLES = 10_000
LEVEL_TRAININGS = 100
ANYTIME = np.geomspace(0.1, 50.0, 60)
"""Costs in full trainings, or times in full trainings of mean length, at which plots show a regret."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Which comparison a study belongs to."""

    suite: str
    mode: str
    n_workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One study, scored.

    Attributes:
        regrets: normalised regret at each budget of the suite.
        to_level: full trainings until the mean level of 100 random ones; None when it was not reached.
        n_trials: configurations begun.
        wall_seconds: real time of the study.
        anytime: regret at each cost of ``ANYTIME``, as far as the study went; empty in files of older versions.
        by_time: the same at simulated times.
        decision_ms: median CPU time of a decision that sees about 250 points.
        search_seconds: CPU seconds of all decisions of the first 1,000 steps.
        version: of the tool that played; None in files of older versions.
    """

    suite: str
    mode: str
    n_workers: int
    method: str
    task: str
    seed: int
    regrets: tuple[float, ...]
    to_level: float | None
    n_trials: int
    wall_seconds: float
    anytime: tuple[float, ...] = ()
    by_time: tuple[float, ...] = ()
    decision_ms: float | None = None
    search_seconds: float | None = None
    version: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        curves = {name: tuple(data[name]) for name in ("regrets", "anytime", "by_time") if name in data}
        return cls(**{**data, **curves})

    @property
    def place(self) -> Place:
        """Which comparison it belongs to."""
        return Place(self.suite, self.mode, self.n_workers)


def score(place: Place, method: str, task: RowTask, seed: int, played: Played, budgets: Sequence[int]) -> Result:
    """A study's result."""
    total, k = task.total_steps, len(played.best)
    milliseconds = played.meter.median_near_250()
    at = [played.best[min(budget * total, k) - 1] if k else math.inf for budget in budgets]
    reached = np.flatnonzero(played.best <= task.level_of_random(LEVEL_TRAININGS))
    return Result(
        suite=place.suite,
        mode=place.mode,
        n_workers=place.n_workers,
        method=method,
        task=task.name,
        seed=seed,
        regrets=tuple(normalised_regret(task, float(loss)) for loss in at),
        to_level=float(reached[0] + 1) / total if len(reached) else None,
        n_trials=played.n_trials,
        wall_seconds=played.wall_seconds,
        anytime=_anytime(task, played, max(budgets)),
        by_time=_by_time(task, played),
        decision_ms=None if milliseconds is None else 1e3 * milliseconds,
        search_seconds=played.meter.of_search(k),
    )


def _anytime(task: RowTask, played: Played, budget: float) -> tuple[float, ...]:
    """Regret at the costs up to the budget."""
    counts = [int(cost * task.total_steps) for cost in ANYTIME if cost <= budget * (1 + 1e-9)]
    return tuple(_regret(task, played, n) for n in counts)


def _by_time(task: RowTask, played: Played) -> tuple[float, ...]:
    """Regret at the times until the last step ended."""
    times = ANYTIME * task.total_steps * task.step_seconds
    last = played.ends[-1] if len(played.ends) else 0.0
    counts = [int(np.searchsorted(played.ends, time, side="right")) for time in times if time <= last]
    return tuple(_regret(task, played, n) for n in counts)


def _regret(task: RowTask, played: Played, n_steps: int) -> float:
    n = min(n_steps, len(played.best))
    return round(normalised_regret(task, float(played.best[n - 1]) if n else math.inf), 4)


def interval(values: Floats) -> tuple[Floats, Floats]:
    """The 95 % bootstrap interval of the mean over tasks, for each column of [tasks, columns]."""
    picks = np.random.default_rng(0).integers(0, len(values), (N_RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5], axis=0)
    return low, high


def mean_ranks(table: Mapping[str, Floats]) -> dict[str, float]:
    """Method -> its mean rank over tasks and the budgets that all have, 1 is best; equals share their ranks."""
    names = list(table)
    stacked = np.stack([table[name] for name in names])  # [methods, tasks, budgets]
    stacked = stacked[:, :, ~np.isnan(stacked).any(axis=(0, 1))]
    better = (stacked[None, :] < stacked[:, None]).sum(axis=1)
    equal = (stacked[None, :] == stacked[:, None]).sum(axis=1) - 1
    ranks = 1.0 + better + equal / 2.0
    return {name: float(rank.mean()) for name, rank in zip(names, ranks, strict=True)}
