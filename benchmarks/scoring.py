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

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        return cls(**{**data, "regrets": tuple(data["regrets"])})

    @property
    def place(self) -> Place:
        """Which comparison it belongs to."""
        return Place(self.suite, self.mode, self.n_workers)


def score(place: Place, method: str, task: RowTask, seed: int, played: Played, budgets: Sequence[int]) -> Result:
    """A study's result."""
    total, k = task.total_steps, len(played.best)
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
    )


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
    said += "; in brackets the 95 % bootstrap interval over tasks."
    lines = [f"### {place.suite}, {place.mode} mode, {workers}", "", said, ""]
    lines += _regret_rows(table, results, budgets)
    if baseline in table and len(table) > 1:
        lines += ["", f"The same minus {baseline}, paired by task (below 0 is better than {baseline}):", ""]
        lines += _difference_rows(table, budgets, baseline)
    return "\n".join(lines)


def _regret_rows(table: Mapping[str, Floats], results: Sequence[Result], budgets: Sequence[int]) -> list[str]:
    ranks = mean_ranks(table)
    heads = ["method", *map(str, budgets), "rank", "to level", "trials", "ms/trial"]
    rows = [_row(heads), _row(["---"] * len(heads))]
    for method, values in table.items():
        low, high = interval(values)
        cells = [
            "–" if math.isnan(mean) else f"{_short(mean)} [{_short(lo)}, {_short(hi)}]"
            for mean, lo, hi in zip(values.mean(axis=0), low, high, strict=True)
        ]
        mine = [result for result in results if result.method == method]
        trials = float(np.mean([result.n_trials for result in mine]))
        milliseconds = 1e3 * sum(result.wall_seconds for result in mine) / max(sum(r.n_trials for r in mine), 1)
        rows.append(
            _row([method, *cells, f"{ranks[method]:.1f}", _to_level(mine), f"{trials:.0f}", f"{milliseconds:.1f}"])
        )
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


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _short(x: float) -> str:
    return f"{x:.3f}".removeprefix("0")
