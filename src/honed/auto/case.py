"""What the rules look at: the space, the limits, the workers, and what the trials so far have shown."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from honed.auto.evidence import Evidence, evidence_of
from honed.domains import Categorical
from honed.history import STATES, History
from honed.records import State
from honed.space import Space

MOST_PROCESS_TRIALS, MOST_PROCESS_DIMENSIONS, MOST_WORKERS = 250, 20, 32
MOST_CURVE_TRIALS = 1000
FEW_TRIALS = 10

_MOST_CATEGORIES = 1 / 3  # of the parameters, up to which Gaussian processes are asked


def look(n_finished: int) -> int:
    """How many finished trials the rules look at: 0, 1, 2, 4, 8, ... and 250 of them; in between a choice stays."""
    latest = 1 << (n_finished.bit_length() - 1) if n_finished else 0
    return max(latest, MOST_PROCESS_TRIALS) if n_finished >= MOST_PROCESS_TRIALS else latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the rules look at.

    Attributes:
        n: parameters.
        n_choices, n_conditional: how many of them are unordered choices, and how many exist only under conditions.
        n_begun: trials, looked at like the finished ones.
        size: configurations of a finite space with at most ``n_trials`` of them.
        is_budgeted: whether steps or time are limited.
        most_steps: how many, where steps are.
        may_pause: whether early decisions can be made: one objective, and steps that are no folds.
        evidence: of trainings.
    """

    n: int
    n_choices: int
    n_conditional: int
    n_objectives: int
    n_finished: int
    n_begun: int
    n_trials: int | None
    n_workers: int
    size: int | None
    is_declared: bool
    is_budgeted: bool = False
    most_steps: int | None = None
    may_pause: bool = True
    evidence: Evidence = field(default_factory=Evidence)

    @staticmethod
    def of(space: Space, history: History, n_trials: int | None, n_workers: int, is_budgeted: bool) -> Case:
        """The case of a study."""
        domains = {name: domain for name, domain in space.domains.items() if domain.n_values != 1}
        seen = look(history.n_finished)
        choices = [name for name, d in domains.items() if isinstance(d, Categorical) and len(d.labels) > 2]
        return Case(
            n=len(space),
            n_choices=len(choices),
            n_conditional=len(domains.keys() & (space.conditions.keys() | _sometimes_missing(history, seen))),
            n_objectives=len(history.study.directions),
            n_finished=seen,
            n_begun=look(len(history)),
            n_trials=n_trials,
            n_workers=n_workers,
            size=space.n_configurations(most=n_trials) if len(space) and n_trials is not None else None,
            is_declared=len(history.declared) == len(space),
            is_budgeted=is_budgeted or history.max_total_steps is not None,
            most_steps=history.max_total_steps,
            may_pause=len(history.study.directions) == 1 and history.study.summary != "mean",
            evidence=evidence_of(history, seen),
        )

    @property
    def parameters(self) -> str:
        return "1 parameter" if self.n == 1 else f"{self.n:,} parameters"

    @property
    def trials(self) -> str:
        if self.n_trials is None:
            return "any number of trials"
        return f"{self.n_trials:,} trial{'s' if self.n_trials != 1 else ''}"

    @property
    def is_for_processes(self) -> bool:
        """Whether most parameters are what a Gaussian process is good at."""
        hard = max(self.n_choices, self.n_conditional)
        return self.n <= MOST_PROCESS_DIMENSIONS and hard <= _MOST_CATEGORIES * self.n

    @property
    def what_is_hard(self) -> str:
        """Why a Gaussian process is not asked."""
        if self.n_workers > MOST_WORKERS:
            return f"{self.n_workers} workers"
        if self.n > MOST_PROCESS_DIMENSIONS:
            return self.parameters
        if self.n_conditional >= self.n_choices:
            return f"{self.n_conditional} of {self.parameters} conditional"
        return f"{self.n_choices} of {self.parameters} unordered choices"

    @property
    def is_short(self) -> bool:
        """Whether so few trials are asked for that each is trained to its end."""
        return self.n_trials is not None and self.n_trials < FEW_TRIALS and not self.is_budgeted


def _sometimes_missing(history: History, n: int) -> set[str]:
    """Parameters that one of the first ``n`` trials lacks and another before had; failed trials may not have come to it."""
    columns = history.columns
    is_missing = np.isnan(columns.params[:n][columns.states[:n] != STATES.index(State.FAILED)])
    seen = np.logical_or.accumulate(~is_missing, axis=0)
    return {name for name, lacks in zip(columns.space.domains, (is_missing & seen).any(axis=0), strict=True) if lacks}
