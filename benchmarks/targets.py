"""What was aimed at, and what was reached: regret of honed over regret of others in the same run, with paired intervals.

The interval is drawn over tasks, 10,000 times, as the ratio of the two means; with fewer than five tasks seeds are drawn
within tasks as well, of each method by itself. A target is met when the upper end is at or below its number; an interval
that crosses 1 is a tie and is called one. Where the best of several others counts, it is the one with the lowest mean at
that cost, chosen after the fact, which is in its favour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.scoring import N_RESAMPLES, Place, Result
from benchmarks.tables.base import Floats
from honed.history import Ints

FEWEST_TASKS = 5
OURS = ("auto", "freeze-thaw")
"""The methods that are judged: the first of them that was played at a place."""
HALVED = "Optuna random + SuccessiveHalving"
MOST_MILLISECONDS, MOST_SEARCH_SECONDS = 30.0, 5.0


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        target: the number of ALGORITHMS 2.2 that it belongs to, and what is compared.
        limit: what the upper end must not exceed.
    """

    target: int
    what: str
    against: str
    ratio: Ratio
    limit: float


@dataclass(frozen=True, slots=True)
class Target:
    """Regret at some costs against some others; with ``is_best`` only the best of them counts."""

    number: int
    suite: str
    budgets: tuple[int, ...]
    others: tuple[str, ...]
    limit: float
    is_best: bool = False


TPE = ("Optuna TPE", "Optuna TPE + Median", "Optuna TPE + SuccessiveHalving", "Optuna TPE + Hyperband")

TARGETS = (
    Target(1, "lcbench", (5, 10, 20), ("ASHA", "Hyperband"), 0.5),
    Target(2, "lcbench", (5, 10, 20), TPE, 0.5, is_best=True),
    Target(3, "lcbench", (5, 10, 20), (HALVED, "3-Epoch", "5-Epoch"), 0.7),
    Target(5, "taskset", (2, 5), ("ASHA", "Hyperband"), 1.0),
    Target(6, "taskset", (10, 20), ("ASHA", "Hyperband", "3-Epoch"), 0.75),
    Target(7, "lcbench", (50,), (), 1.0, is_best=True),
    Target(7, "taskset", (50,), (), 1.0, is_best=True),
)


def verdict(ratio: Ratio, limit: float) -> str:
    """What came of it, in a word or two."""
    if math.isnan(ratio.value):
        return "not played"
    if ratio.high <= limit:
        return "met"
    if ratio.low <= 1.0 <= ratio.high:
        return "tie"
    return "missed, ahead" if ratio.high < 1.0 else "missed, behind"


class Study(Protocol):
    """One study of a method on a task."""

    @property
    def method(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def seed(self) -> int: ...


class Cells:
    """The results of one place: method -> task -> [seeds] of one number of each study."""

    def __init__(self, results: Sequence[Study], number: Callable[[Any], float]) -> None:
        self.values: dict[str, dict[str, Floats]] = {}
        found: dict[str, dict[str, list[float]]] = {}
        for result in sorted(results, key=lambda r: (r.task, r.seed)):
            found.setdefault(result.method, {}).setdefault(result.task, []).append(number(result))
        for method, tasks in found.items():
            if not any(math.isnan(x) for values in tasks.values() for x in values):
                self.values[method] = {task: np.array(values) for task, values in tasks.items()}

    def mean(self, method: str) -> float:
        """The mean over tasks of means over seeds."""
        return float(np.mean([values.mean() for values in self.values[method].values()]))


def drawn(tasks: Sequence[Floats], picks: Ints, rng: np.random.Generator) -> Floats:
    """[resamples] means over drawn tasks; with few tasks of drawn seeds."""
    if len(tasks) >= FEWEST_TASKS:
        means: Floats = np.array([values.mean() for values in tasks])[picks].mean(axis=1)
        return means
    total = np.zeros(len(picks))
    for column in picks.T:
        for i, values in enumerate(tasks):
            here = column == i
            seeds = rng.integers(0, len(values), (int(here.sum()), len(values)))
            total[here] += values[seeds].mean(axis=1)
    drawn_means: Floats = total / picks.shape[1]
    return drawn_means


def ratio_of(ours: dict[str, Floats], theirs: dict[str, Floats]) -> Ratio:
    """The ratio of two means over the tasks that both have; NaN without any."""
    names = sorted(ours.keys() & theirs.keys())
    if not names:
        return Ratio(math.nan, math.nan, math.nan)
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(names), (N_RESAMPLES, len(names)))
    a, b = [ours[name] for name in names], [theirs[name] for name in names]
    ratios = _divided(drawn(a, picks, rng), drawn(b, picks, rng))
    low, high = np.percentile(ratios, [2.5, 97.5], method="nearest")
    value = _divided(np.array([np.mean([x.mean() for x in a])]), np.array([np.mean([x.mean() for x in b])]))
    return Ratio(float(value[0]), float(low), float(high))


def _divided(a: Floats, b: Floats) -> Floats:
    """Two zeros are equal; anything else over zero is infinitely worse."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b > 0, a / b, np.where(a > 0, np.inf, 1.0))


def rows_of(results: Sequence[Result], budgets_of: Callable[[str], Sequence[int]]) -> list[Row]:
    """All lines for which something was played."""
    rows = [row for target in TARGETS for row in _regret_rows(target, results, budgets_of(target.suite))]
    rows += _level_rows(results)
    rows += _worker_rows(results, budgets_of("lcbench"))
    rows += _cost_rows(results)
    rows += _worst_rows(results, budgets_of)
    return sorted(rows, key=lambda row: row.target)


def _at(results: Sequence[Result], place: Place, number: Callable[[Result], float]) -> Cells:
    return Cells([result for result in results if result.place == place], number)


def _regret(i: int) -> Callable[[Result], float]:
    return lambda result: result.regrets[i] if i < len(result.regrets) else math.nan


def _played(cells: Cells) -> str | None:
    return next((name for name in OURS if name in cells.values), None)


def _regret_rows(target: Target, results: Sequence[Result], budgets: Sequence[int]) -> list[Row]:
    rows = []
    for budget in target.budgets:
        cells = _at(results, Place(target.suite, "pool", 1), _regret(list(budgets).index(budget)))
        ours = _played(cells)
        others = [name for name in target.others or cells.values if name in cells.values and name not in OURS]
        if ours is None or not others:
            continue
        if target.is_best:
            others = [min(others, key=cells.mean)]
        for other in others:
            ratio = ratio_of(cells.values[ours], cells.values[other])
            said = f"best: {other}" if target.is_best else other
            rows.append(Row(target.number, f"{target.suite}, {budget}", said, ratio, target.limit))
    return rows


def _level_rows(results: Sequence[Result]) -> list[Row]:
    """Target 4: median cost to the level of 100 random trainings; a level that was not reached is infinitely far."""
    cells = _at(results, Place("lcbench", "pool", 1), lambda r: math.inf if r.to_level is None else r.to_level)
    ours = _played(cells)
    medians = {name: float(np.median(np.concatenate(list(tasks.values())))) for name, tasks in cells.values.items()}
    others = {name: cost for name, cost in medians.items() if name not in OURS and math.isfinite(cost)}
    if ours is None or not others:
        return []
    best = min(others, key=lambda name: others[name])
    names = sorted(cells.values[ours].keys() & cells.values[best].keys())
    rng = np.random.default_rng(0)
    ratios = []
    for picks in rng.integers(0, len(names), (2_000, len(names))):
        a, b = (
            float(np.median(np.concatenate([cells.values[method][names[i]] for i in picks]))) for method in (ours, best)
        )
        ratios.append(a / b if math.isfinite(a) and math.isfinite(b) else (0.0 if math.isfinite(a) else math.inf))
    low, high = np.percentile(ratios, [2.5, 97.5], method="nearest")
    ratio = Ratio(medians[ours] / others[best], float(low), float(high))
    return [Row(4, "lcbench, median cost to level", f"best: {best}", ratio, 0.25)]


def _worker_rows(results: Sequence[Result], budgets: Sequence[int]) -> list[Row]:
    """Target 8: eight workers against one, at equal cost."""
    number = _regret(list(budgets).index(10))
    many, one = (_at(results, Place("lcbench", "pool", n), number) for n in (8, 1))
    ours = _played(many)
    if ours is None or ours not in one.values:
        return []
    return [Row(8, "lcbench, 10, 8 workers", f"{ours}, 1 worker", ratio_of(many.values[ours], one.values[ours]), 1.3)]


def _cost_rows(results: Sequence[Result]) -> list[Row]:
    """Target 12, as shares of what is allowed; medians over studies, the interval is that of the studies."""
    rows = []
    mine = [result for result in results if result.method in OURS and result.n_workers == 1]
    for what, known, most in (
        ("CPU ms of a decision at 250 points", [r.decision_ms for r in mine], MOST_MILLISECONDS),
        ("CPU s of a search of 1,000 steps", [r.search_seconds for r in mine], MOST_SEARCH_SECONDS),
    ):
        values = [value / most for value in known if value is not None]
        if values:
            low, high = np.percentile(values, [2.5, 97.5])
            rows.append(Row(12, what, f"{most:g}", Ratio(float(np.median(values)), float(low), float(high)), 1.0))
    return rows


def _worst_rows(results: Sequence[Result], budgets_of: Callable[[str], Sequence[int]]) -> list[Row]:
    """Target 13: at each cost the task on which we are worst against random search; intervals over seeds."""
    rows = []
    for place in sorted({result.place for result in results}):
        budgets = list(budgets_of(place.suite))
        for i, budget in enumerate(budgets):
            cells = _at(results, place, _regret(i))
            ours = _played(cells)
            if ours is None or "random" not in cells.values:
                continue
            mine, random = cells.values[ours], cells.values["random"]
            ratios = {name: ratio_of({name: mine[name]}, {name: random[name]}) for name in mine if name in random}
            worst = max(ratios, key=lambda name: ratios[name].value)
            what = (
                f"{place.suite}, {place.mode}, {place.n_workers} worker{'s' if place.n_workers > 1 else ''}, {budget}"
            )
            rows.append(Row(13, f"{what}: worst is {worst}", "random", ratios[worst], 1.1))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table, and a line that counts."""
    lines = ["| target | where, cost | against | ratio | at most | verdict |", "| --- | --- | --- | --- | --- | --- |"]
    verdicts = [verdict(row.ratio, row.limit) for row in rows]
    for row, said in zip(rows, verdicts, strict=True):
        lines.append(f"| {row.target} | {row.what} | {row.against} | {row.ratio} | {row.limit:g} | {said} |")
    counts = [f"{verdicts.count(said)} {said}" for said in sorted(set(verdicts))]
    return "\n".join(["### Targets", "", _SAID, "", *lines, "", f"In all: {'; '.join(counts)}." if counts else ""])


_SAID = (
    "Regret of honed (auto where it was played, else freeze-thaw) over that of another method after the same cost in full "
    "trainings, in this run; in brackets the 95 % bootstrap interval over tasks, with fewer than five tasks over seeds as "
    "well. Met: its upper end is at or below the number. An interval that crosses 1 is a tie. Target 4 compares median costs; "
    "target 12 medians over studies with the number that is allowed (brackets: 95 % of the studies), on the machine of the "
    "run; target 13 is the worst of all tasks, chosen after the fact."
)
