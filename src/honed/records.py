"""What a study remembers: frozen records, the states of a trial, and the messages that change them.

The states of a trial and the only ways between them (every storage enforces this table)::

            add                claim (attempt + 1)          told
    --------------> WAITING ------------------> RUNNING --------------> COMPLETE | STOPPED | FAILED
                       ^                        |  ^  |
                       |   released, or lost    |  |  | reached its grant, checkpoint saved
                       +------------------------+  |  v
                                            claim  +- PAUSED ---> STOPPED | FAILED

``add`` may also make a RUNNING trial (a worker starts it) or a finished one (results from elsewhere). A finished trial
never changes again, so that finished trials can live in arrays that only grow.

Every owner's write says which ``attempt`` it is; a write of an older attempt changes nothing (``StaleLease``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from honed.domains import Domain, Scalar

EMPTY: Mapping[Any, Any] = MappingProxyType({})


def _empty() -> Mapping[Any, Any]:
    return EMPTY


class State(StrEnum):
    """Where a trial is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_finished(self) -> bool:
        """Whether the trial can never change again."""
        return self in _FINISHED


_FINISHED = frozenset({State.COMPLETE, State.STOPPED, State.FAILED})

TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.WAITING: frozenset({State.RUNNING, State.FAILED}),
        State.RUNNING: frozenset(State),
        State.PAUSED: frozenset({State.RUNNING, State.STOPPED, State.FAILED}),
        State.COMPLETE: frozenset(),
        State.STOPPED: frozenset(),
        State.FAILED: frozenset(),
    }
)
"""State -> states it may change to. RUNNING -> RUNNING is a claim of a lost trial, with the next attempt."""

ADDED = frozenset({State.WAITING, State.RUNNING, *_FINISHED})
"""The states in which a trial may be added."""


class Cause(StrEnum):
    """Why a trial FAILED."""

    ERROR = "error"
    OOM = "oom"
    TIMEOUT = "timeout"
    LOST = "lost"
    INFEASIBLE = "infeasible"
    CANCELLED = "cancelled"


Direction = Literal["minimize", "maximize"]
Summary = Literal["best", "last", "mean"]

VALUE = "value"
"""Name of the objective's metric where the user gave none."""


CONSTRAINT = "constraint:"
"""Attributes of a trial under this prefix are measured constraints: ``{"value": 23.1, "max": 20}``."""

LOOK = "look"
"""In the note of a trial that was begun without a grant: the step at which it pauses if it can be resumed."""

LENGTH, LENGTH_BEFORE, SCHEDULE = "n_steps", "n_steps_before", "schedule"
"""In the note of a trial: the steps of its training, another number of them that it had announced before, and the learning-rate
schedule that is stretched over them (``algorithms.schedules``)."""


def length_note(noted: Mapping[str, Any], n_steps: int, schedule: Any) -> dict[str, Any]:
    """What a trial keeps of the length that it announces, and of one that it had announced before."""
    before = noted.get(LENGTH, n_steps)
    changed = {LENGTH_BEFORE: before} if before != n_steps else {}
    return {**changed, LENGTH: n_steps, SCHEDULE: schedule}


_MOST_EXCESS = 1e6  # what is farther beyond a limit is as bad


def excess(limit: Mapping[str, float | None]) -> float:
    """How far a measured value lies beyond its limits, relative to the limit (where that is not 0); 0 or less is allowed.

    Args:
        limit: ``value`` (None for NaN, which is as far beyond as can be), and ``max`` or ``min`` or both.
    """
    value, most, least = limit.get("value"), limit.get("max"), limit.get("min")
    if value is None:
        return _MOST_EXCESS
    beyond = -_MOST_EXCESS
    if most is not None:
        beyond = max(beyond, value / (abs(most) or 1.0) - most / (abs(most) or 1.0))
    if least is not None:
        beyond = max(beyond, least / (abs(least) or 1.0) - value / (abs(least) or 1.0))
    return min(beyond, _MOST_EXCESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A study as the storage keeps it.

    Attributes:
        id: number given by the storage; 0 in a draft.
        directions: one for each objective.
        metrics: names of the objectives, as many as directions; reports use these names.
        seed: everything random derives from it and a trial's number.
        summary: whether a trial's value is the best, the last or the mean of its reported ones, whose steps are folds or repeats.
        space: the declared space as JSON; None where it is discovered.
        revision: count of changes so far.
    """

    name: str
    directions: tuple[Direction, ...] = ("minimize",)
    metrics: tuple[str, ...] = (VALUE,)
    seed: int = 0
    summary: Summary = "best"
    space: Mapping[str, Any] | None = None
    attributes: Mapping[str, Any] = field(default_factory=_empty)
    id: int = 0
    revision: int = 0
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The metrics of one trial after one step; NaN and infinities are kept as they are.

    Attributes:
        number: the trial.
        step: amount of the resource used when it was measured (epochs done), 0 or more.
        values: metric -> value; the objective's metrics under the study's names.
    """

    number: int
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One configuration and its training, as far as it is known.

    Attributes:
        params: name -> stored value (a number, or the label of a choice), in the order in which they were asked for;
            only those that were active.
        domains: name -> the domain that this trial asked with (the same names as ``params``).
        values: one for each objective, as the user reported them; None before the end and for FAILED trials.
        reports: in order of steps. The records inside a ``Delta`` carry none: they stand in ``Delta.reports``.
        attempt: how often a worker has started or resumed it; 0 while it only waits.
        until: the step up to which it was granted; None is to the end.
        checkpoint: key of its latest checkpoint.
        parent: the trial whose checkpoint it started from.
        note: what its sampler and scheduler left with it (JSON).
        message: why it failed: a traceback, or one line.
        worker: who ran it last.
    """

    number: int
    state: State
    params: Mapping[str, Any] = field(default_factory=_empty)
    domains: Mapping[str, Domain] = field(default_factory=_empty)
    values: tuple[float, ...] | None = None
    reports: tuple[Report, ...] = ()
    attempt: int = 0
    until: int | None = None
    checkpoint: str | None = None
    parent: int | None = None
    note: Mapping[str, Any] = field(default_factory=_empty)
    attributes: Mapping[str, Any] = field(default_factory=_empty)
    cause: Cause | None = None
    message: str | None = None
    worker: str | None = None
    created: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None

    @property
    def value(self) -> float | None:
        """The value of a study with one objective."""
        return None if self.values is None else self.values[0]

    @property
    def last_step(self) -> int | None:
        """The largest step reported so far."""
        return self.reports[-1].step if self.reports else None

    @property
    def goal(self) -> int | None:
        """The step up to which it trains now, as far as that is known: its grant, where it is looked at, or its end."""
        look: int | None = self.note.get(LOOK)
        if self.until is not None or look is None or (self.last_step or 0) >= look:
            return self.until if self.until is not None else self.note.get(LENGTH)
        return look

    @property
    def excesses(self) -> dict[str, float]:
        """How far each measured constraint lies beyond its limit; 0 or less is allowed (``excess``)."""
        n = len(CONSTRAINT)
        return {key[n:]: excess(limit) for key, limit in self.attributes.items() if key.startswith(CONSTRAINT)}

    @property
    def violation(self) -> float:
        """The sum of what lies beyond the limits; 0 where all measured constraints hold."""
        return sum(max(beyond, 0.0) for beyond in self.excesses.values()) if self.attributes else 0.0

    def with_reports(self, reports: tuple[Report, ...]) -> TrialRecord:
        """This record with other reports; histories do this for every flush, so it is quicker than ``replace``."""
        copy = object.__new__(TrialRecord)
        for name in _RECORD_FIELDS:
            object.__setattr__(copy, name, getattr(self, name))
        object.__setattr__(copy, "reports", reports)
        return copy


_RECORD_FIELDS = tuple(entry.name for entry in fields(TrialRecord) if entry.name != "reports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A trial to be added: RUNNING (the adding worker owns it), WAITING (queued) or finished (known results)."""

    state: State = State.RUNNING
    params: Mapping[str, Any] = field(default_factory=_empty)
    domains: Mapping[str, Domain] = field(default_factory=_empty)
    values: tuple[float, ...] | None = None
    steps: Mapping[int, Mapping[str, float]] = field(default_factory=_empty)
    until: int | None = None
    parent: int | None = None
    checkpoint: str | None = None
    note: Mapping[str, Any] = field(default_factory=_empty)
    attributes: Mapping[str, Any] = field(default_factory=_empty)
    cause: Cause | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A change of one trial by its owner; what is None stays as it is.

    Attributes:
        params: all params so far, with their ``domains`` (both or neither).
        steps: new reports: step -> metric -> value; a step reported again is replaced.
        state: the new state; finished states need ``values`` or ``cause``, and are written durably.
        note, attributes: merged into what is there; a value of None removes the key.
        space: the study's declared space as JSON; only in a change of the study itself.
    """

    params: Mapping[str, Scalar] | None = None
    domains: Mapping[str, Domain] | None = None
    steps: Mapping[int, Mapping[str, float]] = field(default_factory=_empty)
    state: State | None = None
    values: tuple[float, ...] | None = None
    until: int | None = None
    checkpoint: str | None = None
    note: Mapping[str, Any] = field(default_factory=_empty)
    attributes: Mapping[str, Any] = field(default_factory=_empty)
    cause: Cause | None = None
    message: str | None = None
    space: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What changed in a study after a revision.

    Attributes:
        revision: the study's revision now; pass it as ``after`` next time.
        study: the study record when it changed (always in the first delta), else None.
        trials: each changed trial once, as it is now and without reports, by revision of its last change.
        reports: each new or replaced report, by revision.
        lost: numbers of RUNNING trials that nobody holds any more: a worker may claim them.
    """

    revision: int
    study: StudyRecord | None = None
    trials: tuple[TrialRecord, ...] = ()
    reports: tuple[Report, ...] = ()
    lost: tuple[int, ...] = ()


# ------------------------------------------------------------------------------------ what policies answer with


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A sampler's proposal.

    Attributes:
        params: stored values for names of the space; a name it lacks is suggested when the objective asks for it.
        note: what the sampler wants to find with the trial later (JSON).
    """

    params: Mapping[str, Scalar]
    note: Mapping[str, Any] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A sampler's answer when nothing new is left; ``reason`` is told to the user."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The answer when nothing can be decided before another trial has moved on."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A scheduler's move: a new trial, up to step ``until`` (None: to the end).

    Attributes:
        parent: the trial whose checkpoint it starts from.
        params: given params; None asks the sampler.
    """

    until: int | None = None
    parent: int | None = None
    params: Mapping[str, Scalar] | None = None
    note: Mapping[str, Any] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A scheduler's move: go on with a waiting or paused trial, up to step ``until`` (None: to the end)."""

    number: int
    until: int | None = None


class Decision(StrEnum):
    """A scheduler's answer to a report."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"
