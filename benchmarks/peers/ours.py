"""honed's samplers, made fit for use as a study does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.peers.base import Enter
from benchmarks.problems import Params, Problem, Values
from honed.auto import choose, named
from honed.domains import Scalar
from honed.history import History
from honed.records import Direction, State, TrialRecord
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.combine import fit_for_use
from honed.space import Space
from honed.testing.driver import Ask, Driver


@dataclass(frozen=True, slots=True)
class Auto:
    """What ``sampler="auto"`` does: the first rule that fits, asked before every trial."""

    n_trials: int

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        """What the sampler of the hour suggests."""
        chosen = choose(history.space, history, self.n_trials, 1).sampler
        return fit_for_use(chosen).suggest(history, space, rng, given)


class Ours:
    """One study.

    Args:
        sampler: its name; "auto" for the policy.
        n: how many trials the study will have.
    """

    def __init__(self, sampler: str, problem: Problem, seed: int, n: int) -> None:
        chosen: Sampler = Auto(n) if sampler == "auto" else fit_for_use(named(sampler))
        space = problem.space

        def objective(ask: Ask) -> float:  # asks for what the sampler left open
            params: dict[str, Any] = {}
            while (name := space.next_name(params)) is not None:
                params[name] = ask(name, space[name])
            return 0.0

        goal: Direction = "minimize"
        self._driver = Driver(chosen, objective, space=space, seed=seed, directions=(goal,) * problem.n_objectives)
        self._number = 0

    def ask(self) -> Params | None:
        record = self._driver.start()
        if not isinstance(record, TrialRecord):
            return None
        self._number = record.number
        return dict(self._driver.started[self._number].params)

    def tell(self, params: Params, values: Values) -> None:
        begun = self._driver.started.pop(self._number)
        record = self._driver.history[self._number]
        finished = replace(
            record, state=State.COMPLETE, params=dict(params), domains=begun.domains, values=values, reports=()
        )
        self._driver.change(finished)


def by(sampler: str) -> Enter:
    """How a sampler enters a study."""
    return lambda problem, seed, n: Ours(sampler, problem, seed, n)
