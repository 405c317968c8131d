"""HEBO with its defaults. It has no conditions: it sees all parameters, those that do not exist in a trial too.

Its metadata asks for old packages (numpy below 1.25), but it runs with today's:
``pip install gpytorch pymoo disjoint-set``, then ``pip install --no-deps HEBO``. It needs torch too.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from benchmarks.peers.axes import Axis, axes_of, ours
from benchmarks.problems import Params, Problem, Values


def parameter(axis: Axis) -> dict[str, Any]:
    """HEBO's description of one parameter."""
    if axis.kind == "choice":
        return {"name": axis.name, "type": "cat", "categories": list(range(len(axis.values)))}
    kind = {("float", False): "num", ("float", True): "pow", ("int", False): "int", ("int", True): "pow_int"}
    bounds = (int(axis.low), int(axis.high)) if axis.kind == "int" else (axis.low, axis.high)
    return {"name": axis.name, "type": kind[axis.kind, axis.is_log], "lb": bounds[0], "ub": bounds[1]}


class Hebo:
    """One study."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        np.random.seed(seed)  # noqa: NPY002  (HEBO draws from both)
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        self._problem, self._axes = problem, axes_of(problem.space)
        self._optimizer = HEBO(DesignSpace().parse([parameter(axis) for axis in self._axes]), scramble_seed=seed)
        self._asked: Any = None

    def ask(self) -> Params | None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its troubles with matrices
            self._asked = self._optimizer.suggest(n_suggestions=1)
        return ours(self._axes, self._asked.iloc[0].to_dict())

    def tell(self, params: Params, values: Values) -> None:
        if self._problem.pool is not None:  # what it learns from is the row, not what it asked for
            for axis in self._axes:
                self._asked[axis.name] = [axis.to_theirs(params[axis.name])]
        self._optimizer.observe(self._asked, np.array([[values[0]]]))


def enter(problem: Problem, seed: int, n: int) -> Hebo:
    """HEBO enters a study."""
    return Hebo(problem, seed)
