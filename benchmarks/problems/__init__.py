"""Problems by suite: of one objective for ``full_fidelity.py``, of several for ``pareto.py``, of noise for ``families.py``.

``lcbench`` (all epochs, the best of them counts), ``fcnet`` and ``hpobench`` (one of the recorded seeds for each trial, judged
by the mean over seeds) are recorded trainings. ``analytic``, ``noisy`` and ``conditional`` are made, and so is ``fronts``;
``lcbench-size`` is recorded error against a counted size. ``flat`` and ``faint`` are noise.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from benchmarks.problems import analytic, conditional, noise, recorded, several
from benchmarks.problems.base import Params, Problem, Values
from benchmarks.tables import load_suite
from benchmarks.tables.base import VARIABLE

SINGLE = ("lcbench", "fcnet", "hpobench", "analytic", "noisy", "conditional")
"""Suites of one objective."""

SEVERAL = ("fronts", "lcbench-size")
"""Suites of two or three."""

__all__ = ["SEVERAL", "SINGLE", "Params", "Problem", "Values", "problems"]

_MADE = {
    "analytic": analytic.functions,
    "noisy": analytic.noisy_functions,
    "conditional": conditional.conditionals,
    "fronts": several.functions,
    "flat": noise.flat,
    "faint": noise.faint,
}


@lru_cache(maxsize=16)
def problems(suite: str, folder: Path | None) -> tuple[Problem, ...]:
    """The problems of a suite."""
    if suite in _MADE:
        return tuple(_MADE[suite]())
    if folder is None:
        raise SystemExit(
            f"The recordings of {suite!r} are no part of this repository. Name their folder with --data FOLDER or in "
            f"${VARIABLE}, or choose among --suites {' '.join(_MADE)}."
        )
    if suite == "lcbench-size":
        return tuple(several.recorded(folder))
    return tuple(map(recorded.of_table, load_suite(suite, folder)))
