"""Rustuna, Optuna's samplers in Rust, with their defaults.

In pool mode it keeps to its own params: with trials added from outside its generations would never end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.peers.axes import axes_of, is_active
from benchmarks.peers.base import Enter
from benchmarks.peers.optuna import suggested
from benchmarks.problems import Params, Problem, Values
from honed.domains import Scalar

SINGLE: dict[str, Callable[[Any, int], Any]] = {
    "TPE": lambda samplers, seed: samplers.TPESampler(seed=seed),
    "CMA-ES": lambda samplers, seed: samplers.CmaEsSampler(seed=seed),
}
SEVERAL: dict[str, Callable[[Any, int], Any]] = {
    "NSGA-II": lambda samplers, seed: samplers.NSGAIISampler(seed=seed),
}


class Rustuna:
    """One study."""

    def __init__(self, make: Callable[[Any, int], Any], problem: Problem, seed: int) -> None:
        import rustuna

        self._axes = axes_of(problem.space)
        directions: Any = ["minimize"] * problem.n_objectives
        self._study = rustuna.create_study(directions=directions, sampler=make(rustuna.samplers, seed))
        self._trial: Any = None

    def ask(self) -> Params | None:
        self._trial = self._study.ask()
        params: dict[str, Scalar] = {}
        for axis in self._axes:
            if is_active(axis, params):
                params[axis.name] = axis.to_ours(suggested(self._trial, axis))
        return params

    def tell(self, params: Params, values: Values) -> None:
        self._study.tell(self._trial.number, list(values))


def by(make: Callable[[Any, int], Any]) -> Enter:
    """How a sampler enters a study."""
    return lambda problem, seed, n: Rustuna(make, problem, seed)
