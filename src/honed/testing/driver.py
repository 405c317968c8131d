"""A study without storage and clock: samplers are asked, objectives answer, and the history grows.

``Driver`` does what workers do with a sampler, with any number of trials in flight and in any order of finishing::

    driver = Driver(MySampler(), lambda ask: ask("x", Float(0, 1)) ** 2)
    driver.run(20)
    driver.history.best
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from honed.domains import Domain, Scalar
from honed.errors import Infeasible
from honed.history import History
from honed.records import (
    Cause,
    Delta,
    Direction,
    Exhausted,
    Report,
    State,
    StudyRecord,
    Suggestion,
    TrialRecord,
    Wait,
)
from honed.samplers.base import Sampler, Stream
from honed.space import Space

Ask = Callable[[str, Domain], Any]
Objective = Callable[[Ask], float]
"""Asks for values by name and domain, like ``trial.suggest``, and returns a number."""


@dataclass(slots=True)
class Started:
    """A trial in flight: what its objective asked for, and what it will return."""

    params: dict[str, Scalar] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    value: float | None = None
    cause: Cause | None = None


class Driver:
    """One study and its sampler.

    Args:
        sampler: who proposes.
        objective: asks for params and returns a value; by default it takes a declared space as it is and returns 0.
        space: the declared space.
        seed: the study's.
    """

    def __init__(
        self,
        sampler: Sampler,
        objective: Objective | None = None,
        *,
        space: Space | None = None,
        seed: int = 0,
        directions: tuple[Direction, ...] = ("minimize",),
    ) -> None:
        self.sampler = sampler
        self.objective = objective
        self.study = StudyRecord(
            name="driven", seed=seed, directions=directions, space=None if space is None else space.to_json(),
            metrics=tuple(f"value{i}" for i in range(len(directions))),
        )  # fmt: skip
        self.declared = space
        self.history = History.empty(self.study, space)
        self.started: dict[int, Started] = {}
        self.deltas: list[Delta] = []

    # ------------------------------------------------------------------------------------------------- one trial

    def start(self) -> TrialRecord | Wait | Exhausted:
        """Begins the next trial: it is RUNNING with its plan, its objective has asked for what it needs."""
        history, number = self.history, len(self.history)
        proposal: Suggestion | Wait | Exhausted = Suggestion({})
        if len(history.space):
            proposal = self.sampler.suggest(history, history.space, Stream(self.study.seed, number), {})
        if not isinstance(proposal, Suggestion):
            return proposal
        domains = {name: history.space[name] for name in proposal.params if name in history.space}
        record = TrialRecord(
            number=number, state=State.RUNNING, params=dict(proposal.params), domains=domains, attempt=1,
            note=proposal.note,
        )  # fmt: skip
        self.change(record)
        self.started[number] = self._ask_all(history, number, proposal.params)
        return record

    def _ask_all(self, history: History, number: int, plan: Mapping[str, Scalar]) -> Started:
        trial = Started()
        declared = {name: plan[name] for name in history.space.declared if name in plan}
        for name, value in history.space.active(declared).items():
            trial.params[name], trial.domains[name] = value, history.space[name]

        def ask(name: str, domain: Domain) -> Any:
            if name in plan and history.space.domains.get(name) == domain:
                value = plan[name]
            else:
                proposal = self.sampler.suggest(
                    history, Space({name: domain}), Stream(self.study.seed, number), dict(trial.params)
                )
                assert isinstance(proposal, Suggestion), f"{proposal} to a trial that has begun"
                value = proposal.params[name]
            assert domain.contains(value), f"{name}={value!r} is not in {domain}"
            trial.params[name], trial.domains[name] = value, domain
            return domain.to_object(value)

        try:
            trial.value = 0.0 if self.objective is None else float(self.objective(ask))
        except Infeasible:
            trial.cause = Cause.INFEASIBLE
        except ArithmeticError:
            trial.cause = Cause.ERROR
        return trial

    def report(self, number: int, *losses: float) -> None:
        """Writes what a running trial asked for, and one report after another."""
        trial, record = self.started[number], self.history[number]
        first = len(record.reports) + 1
        values = self.study.metrics[0]
        reports = tuple(Report(number, step, {values: loss}) for step, loss in enumerate(losses, start=first))
        self.change(replace(record, params=trial.params, domains=trial.domains, reports=()), reports)

    def finish(self, number: int, state: State | None = None, cause: Cause | None = None) -> TrialRecord:
        """Ends a trial as its objective said, or as told here."""
        trial, record = self.started.pop(number), self.history[number]
        cause = cause or trial.cause
        state = state or (State.COMPLETE if cause is None else State.FAILED)
        values = None if state is State.FAILED else (trial.value or 0.0,) * len(self.study.directions)
        told = replace(record, state=state, params=trial.params, domains=trial.domains, values=values, reports=())
        self.change(replace(told, cause=(cause or Cause.ERROR) if state is State.FAILED else None))
        return self.history[number]

    def change(self, record: TrialRecord, reports: tuple[Report, ...] = ()) -> None:
        """Lets the history know one new or changed record, and reports."""
        delta = Delta(revision=self.history.revision + 1, trials=(record,), reports=reports)
        self.deltas.append(delta)
        self.history = self.history.extend(delta)

    # ------------------------------------------------------------------------------------------------- many trials

    def run(self, n: int) -> Exhausted | None:
        """Runs trials one after the other until there are ``n`` in all, or nothing is left."""
        while len(self.history) < n:
            record = self.start()
            if isinstance(record, Exhausted):
                return record
            assert isinstance(record, TrialRecord), f"{record} while nothing runs"
            self.finish(record.number)
        return None

    def restart(self) -> None:
        """What another process would see: the same history, read all at once."""
        last: dict[int, TrialRecord] = {}
        reports: dict[tuple[int, int], Report] = {}
        for delta in self.deltas:
            for record in delta.trials:
                last.pop(record.number, None)
                last[record.number] = record
            for report in delta.reports:
                reports.pop((report.number, report.step), None)
                reports[report.number, report.step] = report
        whole = Delta(revision=self.history.revision, trials=tuple(last.values()), reports=tuple(reports.values()))
        self.history = History.empty(self.study, self.declared).extend(whole)

    @property
    def params(self) -> list[dict[str, Any]]:
        """The params of all trials by number; for trials in flight, what they have asked for."""
        found = {record.number: dict(record.params) for record in self.history}
        return [found[n] if n not in self.started else self.started[n].params for n in sorted(found)]
