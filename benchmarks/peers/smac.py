"""SMAC3's facade for hyperparameters (random forest) and for black boxes (Gaussian process), with their defaults.

Costs are told as exact: with SMAC's own handling of noise a part of the trials would repeat what was tried.
In pool mode it keeps to its own params: a trial that it asked for must be answered.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from benchmarks.peers.axes import Axis, axes_of, ours
from benchmarks.peers.base import Enter
from benchmarks.problems import Params, Problem, Values

FACADES = {"": "HyperparameterOptimizationFacade", "BB": "BlackBoxFacade"}


def parameter(cs: Any, axis: Axis) -> Any:
    """ConfigSpace's expression of one parameter."""
    if axis.kind == "choice":
        return cs.CategoricalHyperparameter(axis.name, list(range(len(axis.values))))
    if axis.is_ordered:
        return cs.OrdinalHyperparameter(axis.name, list(range(len(axis.values))))
    if axis.kind == "int":
        return cs.UniformIntegerHyperparameter(axis.name, int(axis.low), int(axis.high), log=axis.is_log)
    return cs.UniformFloatHyperparameter(axis.name, axis.low, axis.high, log=axis.is_log)


def configuration_space(axes: tuple[Axis, ...], seed: int) -> Any:
    """The space with its conditions."""
    import ConfigSpace as cs  # noqa: N813  (as its users import it)

    space = cs.ConfigurationSpace(seed=seed)
    made = {axis.name: parameter(cs, axis) for axis in axes}
    by_name = {axis.name: axis for axis in axes}
    space.add(list(made.values()))
    for axis in axes:
        clauses = [
            cs.InCondition(made[axis.name], made[parent], [by_name[parent].to_theirs(value) for value in wanted])
            for parent, wanted in (axis.conditions or {}).items()
        ]
        if clauses:
            space.add(clauses[0] if len(clauses) == 1 else cs.AndConjunction(*clauses))
    return space


class Smac:
    """One study; what it writes is thrown away with it."""

    def __init__(self, facade: str, problem: Problem, seed: int, n: int) -> None:
        import smac

        self._axes = axes_of(problem.space)
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        scenario = smac.Scenario(
            configuration_space(self._axes, seed), n_trials=n, seed=seed, deterministic=True,
            output_directory=folder,
        )  # fmt: skip
        made = getattr(smac, FACADES[facade])
        self._smac = made(scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=False)
        self._info: Any = None

    def ask(self) -> Params | None:
        self._info = self._smac.ask()
        return ours(self._axes, dict(self._info.config))

    def tell(self, params: Params, values: Values) -> None:
        from smac.runhistory.dataclasses import TrialValue
        from smac.runhistory.enumerations import StatusType

        failed = math.isnan(values[0])
        told = TrialValue(cost=values[0], status=StatusType.CRASHED if failed else StatusType.SUCCESS)
        self._smac.tell(self._info, told, save=False)


def by(facade: str) -> Enter:
    """How a facade enters a study."""
    return lambda problem, seed, n: Smac(facade, problem, seed, n)
