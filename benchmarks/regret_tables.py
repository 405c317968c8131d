"""The tables of one comparison: mean regret, what it cost, and differences from a baseline on common studies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.cells import line, short
from benchmarks.pairs import FEWEST_TASKS, Studies, Values, bootstrap, extent, mean, regret
from benchmarks.scoring import Place, Result, mean_ranks
from benchmarks.tables.base import Floats

DIGITS = 12
"""What is equal but for the order of additions must count as equal."""

RANKED = 0.75
"""Ranks go up to the cost that this share of the methods reaches, so that a few short rows do not cut those of all."""

COSTS = (
    "`ms at 250`: CPU time of one decision that sees 200 to 260 reported steps, `CPU s`: of all decisions of the first 1,000 "
    "steps, medians over studies."
)


def markdown(place: Place, results: Sequence[Result], budgets: Sequence[int], baseline: str, unit: str) -> str:
    """The tables of one comparison; methods in the order of the results."""
    methods = list(dict.fromkeys(result.method for result in results))
    studies = [Studies(results, regret(i)) for i in range(len(budgets))]
    workers = f"{place.n_workers} worker{'s' if place.n_workers > 1 else ''}"
    n_tasks = studies[0].n_tasks
    over = "tasks" if n_tasks >= FEWEST_TASKS else "tasks and, as they are few, seeds"
    said = f"Mean normalised regret after the cost of so many {unit}, over {n_tasks} task{'s' if n_tasks > 1 else ''}; "
    said += f"in brackets the 95 % bootstrap interval over {over}. "
    ranks, last = ranked(methods, studies)
    said += f"`rank`: the mean over tasks and the costs up to {budgets[last]}, among those that were played so long. {COSTS}"
    lines = [f"### {place.suite}, {place.mode} mode, {workers}", "", said, ""]
    lines += _regret_rows(ranks, studies, results, budgets)
    if any(baseline in cells and len(cells.methods) > 1 for cells in studies):
        same = "on the tasks and with the seeds that both have"
        lines += ["", f"The same minus {baseline}, {same} (below 0 is better than {baseline}):", ""]
        lines += _difference_rows(methods, studies, budgets, baseline)
    return "\n".join(lines)


def _regret_rows(
    ranks: Mapping[str, float], studies: Sequence[Studies], results: Sequence[Result], budgets: Sequence[int]
) -> list[str]:
    heads = ["method", *map(str, budgets), "rank", "to level", "trials", "ms at 250", "CPU s", "tasks × seeds"]
    rows = [line(heads), line(["---"] * len(heads))]
    for method in dict.fromkeys(result.method for result in results):
        cells = [_mean_cell(cells.of(method)) if cells.is_complete(method) else "–" for cells in studies]
        mine = [result for result in results if result.method == method]
        longest = max(len(result.regrets) for result in mine)
        trials = float(np.mean([result.n_trials for result in mine if len(result.regrets) == longest]))
        costs = [_cost([r.decision_ms for r in mine]), _cost([r.search_seconds for r in mine])]
        rank = f"{ranks[method]:.1f}" if method in ranks else "–"
        extents = said_extents([extent(cells.of(method)) for cells in studies], budgets)
        rows.append(line([method, *cells, rank, _to_level(mine), f"{trials:.0f}", *costs, extents]))
    return rows


def _difference_rows(
    methods: Sequence[str], studies: Sequence[Studies], budgets: Sequence[int], baseline: str
) -> list[str]:
    heads = ["method", *map(str, budgets), "tasks × seeds"]
    rows = [line(heads), line(["---"] * len(heads))]
    for method in methods:
        if method == baseline:
            continue
        pairs = [cells.common(method, baseline) for cells in studies]
        differences: list[Values] = [
            {task: (mine[task] - theirs[task]).round(DIGITS) for task in mine} for mine, theirs in pairs
        ]
        extents = said_extents([extent(values) for values in differences], budgets)
        rows.append(line([method, *map(_difference_cell, differences), extents]))
    return rows


def said_extents(extents: Sequence[str], budgets: Sequence[int]) -> str:
    """How many studies stand behind a row, and from which cost on they are others, as in 10 × 10; 50: 10 × 3."""
    said: list[str] = []
    last = ""
    for budget, here in zip(budgets, extents, strict=True):
        if here not in ("–", last):
            said.append(f"{budget}: {here}" if said else here)
            last = here
    return "; ".join(said) or "–"


def ranked(methods: Sequence[str], studies: Sequence[Studies]) -> tuple[dict[str, float], int]:
    """Mean ranks of the methods that were played on all tasks up to a cost, and which cost that is."""
    complete = [{method for method in methods if cells.is_complete(method)} for cells in studies]
    last = max((i for i, names in enumerate(complete) if len(names) >= RANKED * len(complete[0])), default=0)
    table: dict[str, Floats] = {
        method: np.array([[seeds.mean() for seeds in cells.of(method).values()] for cells in studies[: last + 1]]).T
        for method in methods
        if all(method in names for names in complete[: last + 1])
    }
    return (mean_ranks(table) if table else {}), last


def _mean_cell(values: Values) -> str:
    return _cell(values, short)


def _difference_cell(values: Values) -> str:
    if not values:
        return "–"
    low, high = bootstrap(values)
    return _cell(values, lambda x: f"{x:+.3f}") + ("" if low <= 0.0 <= high else " *")


def _cell(values: Values, write: Callable[[float], str]) -> str:
    low, high = bootstrap(values)
    return f"{write(mean(values))} [{write(low)}, {write(high)}]"


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
