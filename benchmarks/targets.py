"""What was aimed at, and what was reached: regret of honed over regret of others in the same run, with paired intervals.

Both means are over the tasks and seeds that both methods have; a row says how many those are. The interval is drawn over tasks,
10,000 times, as the ratio of the two means; with fewer than five tasks seeds are drawn within tasks as well, of each method by
itself. A target is met when the upper end is at or below its number; an interval
that crosses 1 is a tie and is called one. Where the best of several others counts, it is the one that honed beats by
least at that cost, of those that were played on all of its tasks, chosen after the fact, which is in its favour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.pairs import Studies, Values, at, drawn, extent, mean, regret
from benchmarks.scoring import N_RESAMPLES, Place, Result
from benchmarks.tables.base import Floats

OURS = ("auto", "freeze-thaw")
"""The methods that are judged: the first of them that was played at a place, on as many tasks as the other."""
HALVED = "Optuna random + SuccessiveHalving"
MOST_MILLISECONDS, MOST_SEARCH_SECONDS = 30.0, 5.0
WORKER_LIMITS = ((10, 1.3, ""), *((budget, 1.2, ", a fifth at most") for budget in (5, 10, 20)))
"""Cost, what is allowed, and how the row is told from another: the target, and the stricter demand at several costs."""


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
        target: the number of ALGORITHMS 2.2 that it belongs to.
        method: which of ours is judged.
        limit: what the upper end must not exceed.
        studies: on how many tasks and seeds both were played.
    """

    target: int
    method: str
    what: str
    against: str
    ratio: Ratio
    limit: float
    studies: str


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


def ratio_of(ours: Values, theirs: Values) -> Ratio:
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


def _played(cells: Studies) -> str | None:
    """Who of ours is judged: the first with the most tasks."""
    ours = [name for name in OURS if name in cells]
    return max(ours, key=lambda name: len(cells.of(name)), default=None)


def _best(cells: Studies, ours: str, others: Sequence[str]) -> list[str]:
    """The one that we beat by least, of those that were played on all of our tasks."""

    def ahead(other: str) -> float:
        mine, theirs = cells.common(ours, other)
        return mean(theirs) - mean(mine)

    rivals = [other for other in others if cells.has_tasks_of(other, ours)]
    return [min(rivals, key=ahead)] if rivals else []


def _row(number: int, method: str, what: str, against: str, pair: tuple[Values, Values], limit: float) -> Row:
    return Row(number, method, what, against, ratio_of(*pair), limit, extent(pair[0]))


def _regret_rows(target: Target, results: Sequence[Result], budgets: Sequence[int]) -> list[Row]:
    rows = []
    for budget in target.budgets:
        cells = at(results, Place(target.suite, "pool", 1), regret(list(budgets).index(budget)))
        ours = _played(cells)
        others = [name for name in target.others or cells.methods if name in cells and name not in OURS]
        if ours is None:
            continue
        for other in _best(cells, ours, others) if target.is_best else others:
            said = f"best: {other}" if target.is_best else other
            pair = cells.common(ours, other)
            rows.append(_row(target.number, ours, f"{target.suite}, {budget}", said, pair, target.limit))
    return rows


def _level_rows(results: Sequence[Result]) -> list[Row]:
    """Target 4: median cost to the level of 100 random trainings; a level that was not reached is infinitely far."""
    cells = at(results, Place("lcbench", "pool", 1), lambda r: math.inf if r.to_level is None else r.to_level)
    ours = _played(cells)
    if ours is None:
        return []
    pairs = {
        name: cells.common(ours, name) for name in cells.methods if cells.has_tasks_of(name, ours) and name not in OURS
    }
    medians = {name: _median(list(theirs.values())) for name, (_, theirs) in pairs.items() if theirs}
    reached = [name for name, cost in medians.items() if math.isfinite(cost)]
    if not reached:
        return []
    best = min(reached, key=lambda name: medians[name])
    mine, theirs = (list(values.values()) for values in pairs[best])
    rng = np.random.default_rng(0)
    ratios = [
        _median_ratio([mine[i] for i in picks], [theirs[i] for i in picks])
        for picks in rng.integers(0, len(mine), (2_000, len(mine)))
    ]
    low, high = np.percentile(ratios, [2.5, 97.5], method="nearest")
    ratio = Ratio(_median_ratio(mine, theirs), float(low), float(high))
    return [Row(4, ours, "lcbench, median cost to level", f"best: {best}", ratio, 0.25, extent(pairs[best][0]))]


def _median(tasks: Sequence[Floats]) -> float:
    return float(np.median(np.concatenate(tasks)))


def _median_ratio(mine: Sequence[Floats], theirs: Sequence[Floats]) -> float:
    """Of two medians; who reaches a level that the other does not reach is infinitely faster."""
    a, b = _median(mine), _median(theirs)
    if math.isfinite(a) and math.isfinite(b):
        return a / b
    return 0.0 if math.isfinite(a) else math.inf


def _worker_rows(results: Sequence[Result], budgets: Sequence[int]) -> list[Row]:
    """Target 8: eight workers against one, at equal cost; then at more costs with at most a fifth lost."""
    rows = []
    for budget, limit, said in WORKER_LIMITS:
        number = regret(list(budgets).index(budget))
        many, one = (at(results, Place("lcbench", "pool", n), number) for n in (8, 1))
        ours = next((name for name in OURS if name in many and name in one), None)
        if ours is not None:
            pair = many.against(ours, one)
            rows.append(_row(8, ours, f"lcbench, {budget}, 8 workers{said}", "itself, 1 worker", pair, limit))
    return rows


def _cost_rows(results: Sequence[Result]) -> list[Row]:
    """Target 12, as shares of what is allowed; medians over studies, the interval is that of the studies."""
    rows = []
    for method in OURS:
        mine = [result for result in results if result.method == method and result.n_workers == 1]
        for what, known, most in (
            ("CPU ms of a decision at 250 points", [r.decision_ms for r in mine], MOST_MILLISECONDS),
            ("CPU s of a search of 1,000 steps", [r.search_seconds for r in mine], MOST_SEARCH_SECONDS),
        ):
            values = [value / most for value in known if value is not None]
            if values:
                low, high = np.percentile(values, [2.5, 97.5])
                ratio = Ratio(float(np.median(values)), float(low), float(high))
                rows.append(Row(12, method, what, f"{most:g}", ratio, 1.0, f"{len(values)} studies"))
    return rows


def _worst_rows(results: Sequence[Result], budgets_of: Callable[[str], Sequence[int]]) -> list[Row]:
    """Target 13: at each cost the task on which we are worst against random search; intervals over seeds."""
    rows = []
    for place in sorted({result.place for result in results}):
        where = f"{place.suite}, {place.mode}, {place.n_workers} worker{'s' if place.n_workers > 1 else ''}"
        for i, budget in enumerate(budgets_of(place.suite)):
            cells = at(results, place, regret(i))
            ours = _played(cells)
            if ours is None:
                continue
            mine, random = cells.common(ours, "random")
            ratios = {name: ratio_of({name: mine[name]}, {name: random[name]}) for name in mine}
            if ratios:
                worst = max(ratios, key=lambda name: ratios[name].value)
                what = f"{where}, {budget}: worst is {worst}"
                rows.append(Row(13, ours, what, "random", ratios[worst], 1.1, extent({worst: mine[worst]})))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table, and a line that counts."""
    heads = ["target", "of", "where, cost", "against", "ratio", "at most", "tasks × seeds", "verdict"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    verdicts = [verdict(row.ratio, row.limit) for row in rows]
    for row, said in zip(rows, verdicts, strict=True):
        cells = [row.target, row.method, row.what, row.against, row.ratio, f"{row.limit:g}", row.studies, said]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    counts = [f"{verdicts.count(said)} {said}" for said in sorted(set(verdicts))]
    return "\n".join(["### Targets", "", _SAID, "", *lines, "", f"In all: {'; '.join(counts)}." if counts else ""])


_SAID = (
    "Regret of honed (auto where it was played, else freeze-thaw) over that of another method after the same cost in full "
    "trainings, on the tasks and with the seeds that both have; in brackets the 95 % bootstrap interval over tasks, with "
    "fewer than five tasks over seeds as well. Met: its upper end is at or below the number. An interval that crosses 1 is a "
    "tie. Target 4 compares median costs; target 8 the same method with eight workers and with one, the second demand of it "
    "being stricter than the first; target 12 medians over studies with the number that is allowed (brackets: 95 % of the "
    "studies), on the machine of the run; target 13 is the worst of all tasks, chosen after the fact."
)
