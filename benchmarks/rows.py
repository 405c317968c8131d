"""Freeze-thaw and the automatic choice as players: in pool mode new configurations are rows of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from benchmarks.players import Played, Setting, honed_player
from benchmarks.tables import RowTask
from benchmarks.tables.base import Floats
from honed.algorithms.curve_ensemble import CurveEnsemble, NewScores
from honed.algorithms.optimize_acquisition import untried
from honed.auto import Choice, choose
from honed.domains import Scalar
from honed.encode import coordinates
from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.seen import Seen
from honed.history import History
from honed.records import Decision, Suggestion, TrialRecord
from honed.samplers.base import Proposal, Stream
from honed.schedulers.base import Move
from honed.space import Space


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a pool as candidates of freeze-thaw."""

    task: RowTask

    def points(self, data: Seen, model: CurveEnsemble, draw: np.random.Generator) -> Floats:
        """The rows that were not tried."""
        return untried(self._units(), data.xs)

    def improved(self, data: Seen, model: CurveEnsemble, scores: NewScores, best: Floats) -> Floats:
        """None: there are no others."""
        return best[:0]

    def _units(self) -> Floats:
        if self.task not in _UNITS:
            _UNITS[self.task] = np.array([coordinates(self.task.space, row) for row in self.task.rows])
        return _UNITS[self.task]


_UNITS: dict[RowTask, Floats] = {}


def play_freeze_thaw(task: RowTask, setting: Setting) -> Played:
    """Freeze-thaw: in pool mode it chooses among the rows, in continuous mode anywhere in the space."""
    policy = FreezeThaw(candidates=Rows(task)) if setting.mode == "pool" else FreezeThaw()
    return honed_player(lambda _: policy, policy)(task, setting)


def play_auto(task: RowTask, setting: Setting) -> Played:
    """What ``optimize`` does without any choice, told the number of workers and that trainings can be resumed."""
    policy = Auto(Rows(task) if setting.mode == "pool" else None, setting.n_workers)
    return honed_player(lambda _: policy, policy)(task, setting)


@dataclass(frozen=True, slots=True, eq=False)
class Auto:
    """The first rule that fits, asked at every decision.

    Attributes:
        rows: the candidates of freeze-thaw; None leaves it its own.
    """

    rows: Rows | None
    n_workers: int

    def next(self, history: History) -> Move:
        return self._chosen(history).scheduler.next(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return self._chosen(history).scheduler.decide(history, trial)

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        proposal = self._chosen(history).sampler.suggest(history, space, rng, given)
        if not isinstance(proposal, Suggestion):
            return proposal
        return Suggestion(proposal.params, {**proposal.note, "tracks": True})  # as if the objective called trial.track

    def _chosen(self, history: History) -> Choice:
        choice = choose(history.space, history, None, self.n_workers)
        if self.rows is None:
            return choice
        sampler, scheduler = among(choice.sampler, self.rows), among(choice.scheduler, self.rows)
        return replace(choice, sampler=sampler, scheduler=scheduler)


def among(policy: Any, rows: Rows) -> Any:
    """The same policy, and those inside it, with freeze-thaw's candidates replaced by the rows."""
    if isinstance(policy, FreezeThaw):
        return replace(policy, candidates=rows)
    if not is_dataclass(policy) or isinstance(policy, type):
        return policy
    inner = {field.name: getattr(policy, field.name) for field in fields(policy) if field.name in _POLICIES}
    changed = {name: among(value, rows) for name, value in inner.items()}
    return replace(policy, **changed) if any(changed[name] is not inner[name] for name in inner) else policy


_POLICIES = ("sampler", "scheduler", "inner")
