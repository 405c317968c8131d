"""honed's samplers, made fit for use as a study does."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.meter import Meter, Timed
from benchmarks.peers.base import Beside, Enter, Played
from benchmarks.players import NearestFree
from benchmarks.problems import Params, Problem, Values
from honed.auto import choose, named
from honed.domains import Scalar
from honed.history import History
from honed.records import Direction, State, TrialRecord
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.combine import fit_for_use
from honed.schedulers.full import Full
from honed.space import Space
from honed.testing.driver import Ask, Driver
from honed.testing.simulate import CurveTask, simulate


@dataclass(frozen=True, slots=True)
class Auto:
    """What ``sampler="auto"`` does: the first rule that fits, asked before every trial."""

    n_trials: int
    n_workers: int = 1
    fit: Callable[[Sampler], Sampler] = fit_for_use

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        """What the sampler of the hour suggests."""
        chosen = choose(history.space, history, self.n_trials, self.n_workers).sampler
        return self.fit(chosen).suggest(history, space, rng, given)


@dataclass(frozen=True, slots=True)
class Remembering:
    """A sampler fit for use that is not asked again what was answered: the same question has the same answer.

    Where the automatic choice decides as a single method does, the two studies are one. Times mean nothing then.
    """

    sampler: Sampler
    answers: dict[bytes, Proposal]

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        """What the sampler suggests, or has suggested."""
        seen = [(r.number, r.state, sorted(r.params.items()), r.values, r.note) for r in history]
        question = (self.sampler, history.study, seen, space.to_json(), rng, sorted(given.items()))
        key = hashlib.blake2b(repr(question).encode(), digest_size=16).digest()
        if key not in self.answers:
            self.answers[key] = fit_for_use(self.sampler).suggest(history, space, rng, given)
        return self.answers[key]


@dataclass(frozen=True, slots=True)
class Memory:
    """Makes samplers fit for use, and remembers for all of them."""

    answers: dict[bytes, Proposal] = field(default_factory=dict)

    def __call__(self, sampler: Sampler) -> Sampler:
        return Remembering(sampler, self.answers)


def chosen_by(sampler: str, n: int, n_workers: int = 1, fit: Callable[[Sampler], Sampler] = fit_for_use) -> Sampler:
    """A sampler by its name, "auto" for the policy, in a study of ``n`` trials."""
    return Auto(n, n_workers, fit) if sampler == "auto" else fit(named(sampler))


class Ours:
    """One study.

    Args:
        sampler: its name; "auto" for the policy.
        n: how many trials the study will have.
        fit: makes a sampler fit for use.
    """

    def __init__(
        self, sampler: str, problem: Problem, seed: int, n: int, fit: Callable[[Sampler], Sampler] = fit_for_use
    ) -> None:
        chosen = chosen_by(sampler, n, fit=fit)
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


def by(sampler: str, fit: Callable[[Sampler], Sampler] = fit_for_use) -> Enter:
    """How a sampler enters a study."""
    return lambda problem, seed, n: Ours(sampler, problem, seed, n, fit)


def beside(sampler: str, fit: Callable[[Sampler], Sampler] = fit_for_use) -> Beside:
    """How a sampler plays with several workers, in simulated time: a trial lasts between half a unit and one and a half."""

    def play(problem: Problem, seed: int, n: int, n_workers: int) -> Played:
        chosen, meter = chosen_by(sampler, n, n_workers, fit), Meter()
        if problem.pool is not None:
            chosen = NearestFree(problem.pool, chosen)
        watched = Timed(chosen, Full(), meter)
        began = time.process_time()
        trace = simulate(
            in_one_step(problem), watched, watched, n_workers=n_workers, budget_steps=n, n_trials=n, seed=seed
        )
        spent = time.process_time() - began
        told, worth = zip(
            *(problem.tell(trace.history[i].params, Stream(seed, i)) for i in trace.numbers.tolist()), strict=True
        )
        return Played(np.array(told), np.array(worth), np.array(meter.seconds), spent)

    return play


def in_one_step(problem: Problem) -> CurveTask:
    """A problem of one objective as trainings of a single step, in the order of whose ends trials are told."""

    def seconds(params: Params) -> float:
        return 0.5 + zlib.crc32(repr(sorted(params.items())).encode()) / 2**32

    def losses(params: Params, rng: Stream) -> list[float]:
        return list(problem.tell(params, rng)[0])

    return CurveTask(name=problem.name, space=problem.space, total_steps=1, losses=losses, step_seconds=seconds)
