"""The suites of the quality program, and how each is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks.tables.base import RowTask
from benchmarks.tables.curves import deepobs, lcbench, taskset
from benchmarks.tables.grids import fcnet, hpobench
from benchmarks.tables.noise import faint, flat

FULL_TRAININGS = (1, 2, 5, 10, 20, 50)
TRIALS = (30, 50, 100, 200)


@dataclass(frozen=True, slots=True)
class Suite:
    """Tasks that are averaged together.

    Attributes:
        budgets: in full trainings.
        has_steps: whether trainings can be paused and stopped.
        seeds: how many studies of each method on each task.
        purpose: whether methods may be tuned on it, or are reported on it.
    """

    name: str
    load: Callable[[Path], list[RowTask]]
    budgets: tuple[int, ...]
    has_steps: bool
    seeds: int
    purpose: str


SUITES = {
    suite.name: suite
    for suite in (
        Suite("lcbench", lcbench, FULL_TRAININGS, True, 10, "report"),
        Suite("taskset", taskset, FULL_TRAININGS, True, 20, "report"),
        Suite("deepobs", deepobs, FULL_TRAININGS, True, 10, "tune"),
        Suite("fcnet", fcnet, TRIALS, False, 10, "tune"),
        Suite("hpobench", hpobench, TRIALS, False, 10, "tune"),
        Suite("flat", lambda folder: flat(), FULL_TRAININGS, True, 5, "report"),
        Suite("faint", lambda folder: faint(), FULL_TRAININGS, True, 10, "report"),
    )
}


@lru_cache(maxsize=8)
def load_suite(name: str, folder: Path) -> tuple[RowTask, ...]:
    """The tasks of a suite; read once in a process."""
    return tuple(SUITES[name].load(folder))
