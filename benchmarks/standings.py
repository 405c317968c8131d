"""Tables of studies of a number of trials: what was missed with intervals, ranks, costs, paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.cells import line, short
from benchmarks.scoring import N_RESAMPLES, interval, mean_ranks
from benchmarks.studies import Result
from benchmarks.tables.base import Floats

FEWEST_TASKS = 5
"""With fewer tasks there is nothing to draw from them: intervals are then over seeds."""

DIGITS = 12
"""What is equal but for the order of additions must count as equal."""

FEWEST_SEEDS = 5
"""With fewer seeds, and few tasks, there is no interval at all: drawn from so few, it would be too narrow."""


@dataclass(frozen=True, slots=True)
class Titles:
    """The words of a program's tables.

    Attributes:
        measure: what the numbers are.
    """

    measure: str


@dataclass(frozen=True, slots=True)
class Row:
    """A method in one suite.

    Attributes:
        losses: [tasks, budgets, seeds] with NaN where it was not played.
    """

    name: str
    losses: Floats
    milliseconds: float
    cpu_seconds: float

    @property
    def means(self) -> Floats:
        """[tasks, budgets] over seeds."""
        is_there = ~np.isnan(self.losses)
        count = is_there.sum(axis=2)
        total = np.where(is_there, self.losses, 0.0).sum(axis=2)
        means: Floats = np.where(count, total / np.maximum(count, 1), np.nan).round(DIGITS)
        return means

    @property
    def seeds(self) -> str:
        """How many, from the fewest to the most of a task."""
        low, high = self.fewest_seeds, int(self._n_seeds.max())
        return f"{low}" if low == high else f"{low}-{high}"

    @property
    def fewest_seeds(self) -> int:
        """Of any task."""
        return int(self._n_seeds.min())

    @property
    def _n_seeds(self) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = (~np.isnan(self.losses[:, 0, :])).sum(axis=1)
        return counts


def rows_of(results: Sequence[Result], n_budgets: int) -> dict[str, Row]:
    """Method -> its row; tasks in alphabetical order, studies that were cut short end in NaN."""
    tasks = sorted({result.task for result in results})
    methods = list(dict.fromkeys(result.method for result in results))
    n_seeds = max(result.seed for result in results) + 1
    rows = {}
    for method in methods:
        mine = [result for result in results if result.method == method]
        losses = np.full((len(tasks), n_budgets, n_seeds), np.nan)
        for result in mine:
            losses[tasks.index(result.task), : len(result.losses), result.seed] = result.losses
        seconds = float(np.median([result.seconds for result in mine]))
        cpu = float(np.mean([result.cpu_seconds for result in mine]))
        rows[method] = Row(method, losses, 1e3 * seconds, cpu)
    return rows


def bootstrap(a: Row, b: Row | None = None) -> tuple[Floats, Floats]:
    """The 95 % interval of a mean, or of the mean difference of two methods on the same tasks, for each budget.

    It is drawn over tasks; below ``FEWEST_TASKS`` the tasks stay and their seeds are drawn, of each method by itself.
    """
    if len(a.losses) >= FEWEST_TASKS:
        return interval(a.means if b is None else (a.means - b.means).round(DIGITS))
    if min(row.fewest_seeds for row in (a, b) if row is not None) < FEWEST_SEEDS:
        return np.full(a.losses.shape[1], np.nan), np.full(a.losses.shape[1], np.nan)
    rng = np.random.default_rng(0)
    drawn = _resampled(a, rng) if b is None else _resampled(a, rng) - _resampled(b, rng)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return low, high


def _resampled(row: Row, rng: np.random.Generator) -> Floats:
    """[resamples, budgets] means over tasks of means over drawn seeds."""
    total = np.zeros((N_RESAMPLES, row.losses.shape[1]))
    for task in row.losses:
        seeds = task[:, ~np.isnan(task[0])]
        picks = rng.integers(0, seeds.shape[1], (N_RESAMPLES, seeds.shape[1]))
        total += seeds[:, picks].mean(axis=2).T
    means: Floats = (total / len(row.losses)).round(DIGITS)
    return means


def tables(
    results: Sequence[Result], suites: Sequence[str], budgets: Sequence[int], baseline: str, titles: Titles
) -> str:
    """The tables of all suites that have results."""
    parts = [
        suite_tables(suite, mine, budgets, baseline, titles)
        for suite in suites
        if (mine := [result for result in results if result.suite == suite])
    ]
    packages = sorted({f"{result.method.split()[0]} {result.version}" for result in results})
    return "\n\n".join([*parts, f"Played: {', '.join(packages)}."])


def suite_tables(suite: str, results: Sequence[Result], budgets: Sequence[int], baseline: str, titles: Titles) -> str:
    """What was missed, then the differences from the baseline."""
    longest = max(len(result.losses) for result in results)
    every = rows_of(results, longest)
    rows = {name: row for name, row in every.items() if not np.isnan(row.means[:, 0]).any()}
    unready = [name for name in every if name not in rows]
    n_tasks = len({result.task for result in results})
    over = "tasks" if n_tasks >= FEWEST_TASKS else "seeds"
    tasks = f"{n_tasks} task{'s' if n_tasks > 1 else ''}"
    said = f"{titles.measure} after so many trials, mean over {tasks}; in brackets the 95 % bootstrap interval over {over}."
    lines = [f"### {suite}", "", said, "", *_main_rows(rows, budgets[:longest])]
    if baseline in rows and len(rows) > 1:
        lines += ["", f"The same minus {baseline}, paired by task (below 0 is better than {baseline}):", ""]
        lines += _difference_rows(rows, budgets[:longest], baseline)
    if unready:
        lines += ["", f"Not yet played on all tasks: {', '.join(unready)}."]
    return "\n".join(lines)


def _main_rows(rows: Mapping[str, Row], budgets: Sequence[int]) -> list[str]:
    if not rows:
        return []
    ranks = mean_ranks({name: row.means for name, row in rows.items()})
    heads = ["method", *map(str, budgets), "rank", "seeds", "ms", "CPU s"]
    lines = [line(heads), line(["---"] * len(heads))]
    for name, row in rows.items():
        low, high = bootstrap(row)
        cells = [_cell(*numbers, short) for numbers in zip(row.means.mean(axis=0), low, high, strict=True)]
        costs = [f"{ranks[name]:.1f}", row.seeds, f"{row.milliseconds:.1f}", f"{row.cpu_seconds:.1f}"]
        lines.append(line([name, *cells, *costs]))
    return lines


def _difference_rows(rows: Mapping[str, Row], budgets: Sequence[int], baseline: str) -> list[str]:
    lines = [line(["method", *map(str, budgets)]), line(["---"] * (1 + len(budgets)))]
    for name, row in rows.items():
        if name == baseline:
            continue
        low, high = bootstrap(row, rows[baseline])
        means = (row.means - rows[baseline].means).mean(axis=0).round(DIGITS) + 0.0  # no minus before a zero
        cells = [
            _cell(mean, a, b, lambda x: f"{x:+.3f}") + (" *" if a > 0.0 or b < 0.0 else "")
            for mean, a, b in zip(means, low, high, strict=True)
        ]
        lines.append(line([name, *cells]))
    return lines


def _cell(mean: float, low: float, high: float, write: Callable[[float], str]) -> str:
    if math.isnan(mean):
        return "–"
    return write(mean) if math.isnan(low) else f"{write(mean)} [{write(low)}, {write(high)}]"


KEY = "A * marks an interval without 0; the others are ties; – was not played so long."


def write_between(name: str, text: str, command: str, path: Path, key: str = KEY) -> None:
    """Puts the tables between the markers of that name; without markers at the end."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    block = f"{begin}\n\nWritten by `{command}`. {key}\n\n{text}\n\n{end}"
    if begin in before and end in before:
        head, rest = before.split(begin, 1)
        after = head + block + rest.split(end, 1)[1]
    else:
        after = f"{before.rstrip()}\n\n{block}\n"
    path.write_text(after, encoding="utf-8")
