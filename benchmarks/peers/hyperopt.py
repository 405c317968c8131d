"""hyperopt's TPE with its defaults; conditions are branches of ``hp.choice``, as its users write them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.peers.axes import Axis, axes_of, is_active, ours
from benchmarks.problems import Params, Problem, Values
from honed.domains import Scalar


def node(hp: Any, axis: Axis) -> Any:
    """hyperopt's expression of one parameter.

    A rounded number gets half a cell more at both ends, so that all values are as likely as the others.
    """
    if axis.kind == "choice":
        return hp.choice(axis.name, list(range(len(axis.values))))
    low, high = axis.low, axis.high
    if axis.kind == "int":
        low, high = low - 0.5, high + 0.499
        if axis.is_log:
            return hp.qloguniform(axis.name, math.log(low), math.log(high), 1)
        return hp.quniform(axis.name, low, high, 1)
    return hp.loguniform(axis.name, math.log(low), math.log(high)) if axis.is_log else hp.uniform(axis.name, low, high)


class Tree:
    """A conditional space as nested choices.

    A parent is a choice whose options hold what depends on it. What several options share is one node.
    """

    def __init__(self, hp: Any, axes: tuple[Axis, ...]) -> None:
        self._hp, self._axes = hp, axes
        self._parents = {parent for axis in axes for parent in axis.conditions or {}}
        self._nodes: dict[str, Any] = {}
        self.expression = self._branch({}, set())

    def _branch(self, given: Mapping[str, Scalar], above: set[str]) -> dict[str, Any]:
        """What becomes known once ``given`` is: the parameters whose conditions it meets."""
        found: dict[str, Any] = {}
        for axis in self._axes:
            if axis.name in above or axis.name in given or not is_active(axis, given):
                continue
            found[axis.name] = self._node(axis, given, above | {a.name for a in self._axes if is_active(a, given)})
        return found

    def _node(self, axis: Axis, given: Mapping[str, Scalar], above: set[str]) -> Any:
        if axis.name in self._nodes:
            return self._nodes[axis.name]
        if axis.name not in self._parents:
            made = node(self._hp, axis)
        else:
            options = []
            for index, value in enumerate(values_of(axis)):
                below = self._branch({**given, axis.name: value}, above)
                options.append({"index": index, "below": below})
            made = self._hp.choice(axis.name, options)
        self._nodes[axis.name] = made
        return made


def values_of(axis: Axis) -> tuple[Scalar, ...]:
    """All values of a parent."""
    if axis.values:
        return axis.values
    assert axis.kind == "int", f"{axis.name}: a real number decides nothing"
    return tuple(range(int(axis.low), int(axis.high) + 1))


class Hyperopt:
    """One study."""

    def __init__(self, problem: Problem, seed: int) -> None:
        import hyperopt

        logging.getLogger("hyperopt").setLevel(logging.ERROR)
        self._hyperopt, self._problem, self._axes = hyperopt, problem, axes_of(problem.space)
        self._parents = {parent for axis in self._axes for parent in axis.conditions or {}}
        self._trials, self._rng = hyperopt.Trials(), np.random.default_rng(seed)
        self._domain = hyperopt.Domain(None, Tree(hyperopt.hp, self._axes).expression)
        self._document: Any = None

    def ask(self) -> Params | None:
        ids = self._trials.new_trial_ids(1)
        self._trials.refresh()
        draw = int(self._rng.integers(2**31 - 1))
        new = self._hyperopt.tpe.suggest(ids, self._domain, self._trials, draw, verbose=False)
        self._trials.insert_trial_docs(new)
        self._trials.refresh()
        self._document = self._trials._dynamic_trials[-1]
        chosen = {name: values[0] for name, values in self._document["misc"]["vals"].items() if values}
        return ours(self._axes, {name: self._read(name, value) for name, value in chosen.items()})

    def _read(self, name: str, value: Any) -> Any:
        """A parent that is a whole number was chosen by its index."""
        axis = next(axis for axis in self._axes if axis.name == name)
        return values_of(axis)[int(value)] if name in self._parents and not axis.values else value

    def tell(self, params: Params, values: Values) -> None:
        if self._problem.pool is not None:  # what it learns from is the row, not what it asked for
            for axis in self._axes:
                self._document["misc"]["vals"][axis.name] = [axis.to_theirs(params[axis.name])]
        loss = values[0]
        status = self._hyperopt.STATUS_FAIL if math.isnan(loss) else self._hyperopt.STATUS_OK
        self._document["result"] = {"loss": loss, "status": status}
        self._document["state"] = self._hyperopt.JOB_STATE_DONE
        self._trials.refresh()


def enter(problem: Problem, seed: int, n: int) -> Hyperopt:
    """hyperopt enters a study."""
    return Hyperopt(problem, seed)
