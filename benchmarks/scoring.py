"""From played studies to tables: normalised regret with bootstrap intervals over tasks, paired differences, ranks."""

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


COSTS = (
    "`ms at 250`: CPU time of one decision that sees 200 to 260 reported steps, `CPU s`: of all decisions of the first 1,000 "
    "steps, medians over studies."
)


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


def by_task(results: Sequence[Result]) -> dict[str, Floats]:
    """Method -> [tasks, budgets] the mean over seeds, NaN where it was not played so long; tasks in alphabetical order."""
    cells: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    longest = max(len(result.regrets) for result in results)
    for result in results:
        padded = (*result.regrets, *[math.nan] * (longest - len(result.regrets)))
        cells.setdefault(result.method, {}).setdefault(result.task, []).append(padded)
    return {
        method: np.array([np.mean(tasks[name], axis=0) for name in sorted(tasks)]) for method, tasks in cells.items()
    }


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


def markdown(place: Place, results: Sequence[Result], budgets: Sequence[int], baseline: str, unit: str) -> str:
    """The tables of one comparison."""
    table = by_task(results)
    n_tasks, n_seeds = len({r.task for r in results}), len({r.seed for r in results})
    workers = f"{place.n_workers} worker{'s' if place.n_workers > 1 else ''}"
    said = f"Mean normalised regret after the cost of so many {unit}; {n_tasks} tasks, {n_seeds} seeds"
    said += "; in brackets the 95 % bootstrap interval over tasks. " + COSTS
    lines = [f"### {place.suite}, {place.mode} mode, {workers}", "", said, ""]
    lines += _regret_rows(table, results, budgets)
    if baseline in table and len(table) > 1:
        lines += ["", f"The same minus {baseline}, paired by task (below 0 is better than {baseline}):", ""]
        lines += _difference_rows(table, budgets, baseline)
    return "\n".join(lines)


def _regret_rows(table: Mapping[str, Floats], results: Sequence[Result], budgets: Sequence[int]) -> list[str]:
    ranks = mean_ranks(table)
    heads = ["method", *map(str, budgets), "rank", "to level", "trials", "ms at 250", "CPU s"]
    rows = [_row(heads), _row(["---"] * len(heads))]
    for method, values in table.items():
        low, high = interval(values)
        cells = [
            "–" if math.isnan(mean) else f"{_short(mean)} [{_short(lo)}, {_short(hi)}]"
            for mean, lo, hi in zip(values.mean(axis=0), low, high, strict=True)
        ]
        mine = [result for result in results if result.method == method]
        trials = float(np.mean([result.n_trials for result in mine]))
        costs = [_cost([r.decision_ms for r in mine]), _cost([r.search_seconds for r in mine])]
        rows.append(_row([method, *cells, f"{ranks[method]:.1f}", _to_level(mine), f"{trials:.0f}", *costs]))
    return rows


def _difference_rows(table: Mapping[str, Floats], budgets: Sequence[int], baseline: str) -> list[str]:
    rows = [_row(["method", *map(str, budgets)]), _row(["---"] * (1 + len(budgets)))]
    for method, values in table.items():
        if method == baseline:
            continue
        difference = values - table[baseline]
        low, high = interval(difference)
        cells = [
            "–" if math.isnan(mean) else f"{mean:+.3f} [{lo:+.3f}, {hi:+.3f}]" + ("" if lo <= 0.0 <= hi else " *")
            for mean, lo, hi in zip(difference.mean(axis=0), low, high, strict=True)
        ]
        rows.append(_row([method, *cells]))
    return rows


def _to_level(results: Sequence[Result]) -> str:
    """The median cost until the level, over all studies, and how many reached it."""
    reached = [math.inf if result.to_level is None else result.to_level for result in results]
    share = sum(map(math.isfinite, reached)) / len(reached)
    median = float(np.median(reached))
    return f"{median:.1f} ({share:.0%})" if math.isfinite(median) else f"– ({share:.0%})"


def _cost(values: Sequence[float | None]) -> str:
    """The median over studies that measured it."""
    known = [value for value in values if value is not None]
    return f"{np.median(known):.1f}" if known else "–"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _short(x: float) -> str:
    return f"{x:.3f}".removeprefix("0")
