"""One number of every study of a place, and which studies two methods have in common.

Runs of different sizes are joined: a method may have been played on fewer tasks, with fewer seeds, or not so long. Methods
are compared on the tasks and seeds that both have, and every row says how many those are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.scoring import N_RESAMPLES, Place, Result
from benchmarks.tables.base import Floats
from honed.history import Ints

FEWEST_TASKS = 5
"""With fewer tasks there is little to draw from them: seeds are drawn within tasks as well."""

Values = Mapping[str, Floats]
"""Task -> [seeds]; tasks in alphabetical order."""


class Study(Protocol):
    """One study of a method on a task."""

    @property
    def method(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def seed(self) -> int: ...


class Studies:
    """The studies of one place that have a number; infinite is one, NaN is none."""

    def __init__(self, results: Sequence[Study], number: Callable[[Any], float]) -> None:
        self._found: dict[str, dict[str, dict[int, float]]] = {}
        self.n_tasks = len({result.task for result in results})
        for result in sorted(results, key=lambda r: (r.task, r.seed)):
            x = number(result)
            if not math.isnan(x):
                self._found.setdefault(result.method, {}).setdefault(result.task, {})[result.seed] = x

    def __contains__(self, method: str) -> bool:
        return method in self._found

    @property
    def methods(self) -> list[str]:
        """Those that have a study."""
        return list(self._found)

    def of(self, method: str) -> Values:
        """All that a method has."""
        return {task: np.array(list(seeds.values())) for task, seeds in self._found.get(method, {}).items()}

    def is_complete(self, method: str) -> bool:
        """Whether it was played on all tasks of the place, so that its mean can stand beside others."""
        return len(self._found.get(method, {})) == self.n_tasks

    def has_tasks_of(self, method: str, other: str) -> bool:
        """Whether two methods have studies in common on each task of the other."""
        return len(self.common(method, other)[0]) == len(self._found.get(other, {}))

    def common(self, a: str, b: str) -> tuple[Values, Values]:
        """What two methods have on the same tasks with the same seeds, in the same order."""
        mine, theirs = self._found.get(a, {}), self._found.get(b, {})
        return matched(mine, theirs)

    def against(self, method: str, other: Studies) -> tuple[Values, Values]:
        """The same for one method at two places."""
        return matched(self._found.get(method, {}), other._found.get(method, {}))


def matched(a: Mapping[str, Mapping[int, float]], b: Mapping[str, Mapping[int, float]]) -> tuple[Values, Values]:
    """The numbers of the tasks and seeds that both have."""
    seeds = {task: sorted(a[task].keys() & b[task].keys()) for task in sorted(a.keys() & b.keys())}
    seeds = {task: both for task, both in seeds.items() if both}
    first, second = ({task: np.array([x[task][s] for s in both]) for task, both in seeds.items()} for x in (a, b))
    return first, second


def at(results: Sequence[Result], place: Place, number: Callable[[Result], float]) -> Studies:
    """The studies of a place."""
    return Studies([result for result in results if result.place == place], number)


def regret(i: int) -> Callable[[Result], float]:
    """The regret at a suite's i-th cost; NaN where it was not played so long."""
    return lambda result: result.regrets[i] if i < len(result.regrets) else math.nan


def extent(values: Values) -> str:
    """How many tasks and seeds, as in 10 × 5-10."""
    counts = [len(seeds) for seeds in values.values()]
    if not counts:
        return "–"
    low, high = min(counts), max(counts)
    return f"{len(counts)} × {low}" + (f"-{high}" if high > low else "")


def mean(values: Values) -> float:
    """The mean over tasks of means over seeds."""
    return float(np.mean([seeds.mean() for seeds in values.values()]))


def bootstrap(values: Values) -> tuple[float, float]:
    """The 95 % interval of ``mean``, drawn over tasks; with few tasks seeds are drawn within them as well."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(values), (N_RESAMPLES, len(values)))
    low, high = np.percentile(drawn(list(values.values()), picks, rng), [2.5, 97.5])
    return float(low), float(high)


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
