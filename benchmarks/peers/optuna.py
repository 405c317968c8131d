"""Optuna's samplers with their defaults, asked define-by-run, so that conditions are plain ifs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.peers.axes import Axis, axes_of, is_active
from benchmarks.peers.base import Enter
from benchmarks.problems import Params, Problem, Values
from honed.domains import Scalar

Make = Callable[[Any, int], Any]

SINGLE: dict[str, Make] = {
    "random": lambda samplers, seed: samplers.RandomSampler(seed=seed),
    "TPE": lambda samplers, seed: samplers.TPESampler(seed=seed),  # multivariate where all trials have the same params
    "TPE group": lambda samplers, seed: samplers.TPESampler(seed=seed, multivariate=True, group=True),
    "TPE univariate": lambda samplers, seed: samplers.TPESampler(seed=seed, multivariate=False),
    "GP": lambda samplers, seed: samplers.GPSampler(seed=seed),
    "CMA-ES": lambda samplers, seed: samplers.CmaEsSampler(seed=seed),
}
SEVERAL: dict[str, Make] = {
    "random": SINGLE["random"],
    "TPE": SINGLE["TPE"],  # univariate for several objectives
    "TPE multivariate": lambda samplers, seed: samplers.TPESampler(seed=seed, multivariate=True),
    "GP": SINGLE["GP"],
    "NSGA-II": lambda samplers, seed: samplers.NSGAIISampler(seed=seed),
    "NSGA-III": lambda samplers, seed: samplers.NSGAIIISampler(seed=seed),
}


def suggested(trial: Any, axis: Axis) -> Any:
    """Asks for one parameter; what the tool calls its value."""
    if axis.kind == "choice":
        return trial.suggest_categorical(axis.name, list(range(len(axis.values))))
    if axis.kind == "int":
        return trial.suggest_int(axis.name, int(axis.low), int(axis.high), log=axis.is_log)
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.is_log)


class Optuna:
    """One study."""

    def __init__(self, make: Make, problem: Problem, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._problem, self._axes = optuna, problem, axes_of(problem.space)
        directions: Any = ["minimize"] * problem.n_objectives
        self._study = optuna.create_study(directions=directions, sampler=make(optuna.samplers, seed))
        self._trial: Any = None

    def ask(self) -> Params | None:
        self._trial = self._study.ask()
        params: dict[str, Scalar] = {}
        for axis in self._axes:
            if is_active(axis, params):
                params[axis.name] = axis.to_ours(suggested(self._trial, axis))
        return params

    def tell(self, params: Params, values: Values) -> None:
        states = self._optuna.trial.TrialState
        if any(map(math.isnan, values)):
            self._study.tell(self._trial, state=states.FAIL)
        elif self._problem.pool is None:
            self._study.tell(self._trial, list(values))
        else:  # what it learns from is the row, not what it asked for
            self._study.tell(self._trial, state=states.FAIL)
            row = {axis.name: axis.to_theirs(params[axis.name]) for axis in self._axes}
            asked = self._study.trials[-1]  # with what a sampler has noted of its generations
            told = self._optuna.trial.create_trial(
                params=row, distributions=asked.distributions, values=list(values), system_attrs=asked.system_attrs
            )
            self._study.add_trial(told)


def by(make: Make) -> Enter:
    """How a sampler enters a study."""
    return lambda problem, seed, n: Optuna(make, problem, seed)
