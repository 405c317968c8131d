"""What the suite's tests share: a clock that stands still, short ways to trials in each state, and the fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from honed.clock import Clock
from honed.domains import Domain, Float
from honed.records import Cause, Draft, State, StudyRecord, TrialRecord, Update
from honed.storage.base import Storage

Opener = Callable[[Clock], Storage]

FINISHED = [state for state in State if state.is_finished]
LR: Mapping[str, Domain] = {"lr": Float(1e-4, 1, log=True)}
DRAFT = Draft(params={"lr": 0.01}, domains=LR)
TOLD_DRAFT = Draft(state=State.COMPLETE, values=(0.5,))
TOLD = Update(state=State.COMPLETE, values=(0.5,))


class ManualClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self._start = datetime(2030, 1, 1, 12, 0, 0, 123457, tzinfo=UTC)
        self._seconds = 1000.0

    def now(self) -> datetime:
        """A day in 2030, and the seconds since."""
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """The seconds so far."""
        return self._seconds

    def sleep(self, seconds: float) -> None:
        """Goes on by so much."""
        self._seconds += seconds


class Opened(Protocol):
    """What the suite's tests get: ``open()`` gives one more owner of the same data."""

    def __call__(self) -> Storage:
        """One more owner; the suite closes it."""
        ...


def state_update(state: State) -> Update:
    """An update to that state with what it needs."""
    return Update(
        state=state,
        values=(0.5,) if state in (State.COMPLETE, State.STOPPED) else None,
        cause=Cause.ERROR if state is State.FAILED else None,
    )


def add_in(storage: Storage, study: int, state: State) -> TrialRecord:
    """A new trial in that state, brought there by legal ways."""
    if state is State.PAUSED:
        trial = add(storage, study)
        storage.write(study, trial.number, 1, Update(state=State.PAUSED, checkpoint="c"))
        return replace(trial, state=State.PAUSED, checkpoint="c")
    update = state_update(state)
    return add(storage, study, replace(DRAFT, state=state, values=update.values, cause=update.cause))


def add(storage: Storage, study: int, draft: Draft = DRAFT) -> TrialRecord:
    """A new trial, which must not be refused."""
    trial = storage.add(study, draft, worker="w")
    assert trial is not None
    return trial


def record_of(storage: Storage, study: int, number: int) -> TrialRecord:
    """The trial's record now, with its reports."""
    delta = storage.read(study)
    (trial,) = (trial for trial in delta.trials if trial.number == number)
    reports = sorted((each for each in delta.reports if each.number == number), key=lambda each: each.step)
    return replace(trial, reports=tuple(reports))


class Fixtures:
    """What every part of the suite takes; ``opener`` is defined by the class that inherits the suite."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The clock of all storages of one test."""
        return ManualClock()

    @pytest.fixture
    def opener(self) -> Opener:
        """Opens one more owner of the same data, empty at first; to be defined by the inheriting class."""
        raise NotImplementedError("define the fixture `opener` in your class")

    @pytest.fixture
    def open(self, opener: Opener, clock: ManualClock) -> Iterator[Opened]:
        """Opens storages and closes them after the test."""
        opened: list[Storage] = []

        def open_one() -> Storage:
            opened.append(opener(clock))
            return opened[-1]

        yield open_one
        for storage in opened:
            storage.close()

    @pytest.fixture
    def storage(self, open: Opened) -> Storage:
        """One owner."""
        return open()

    @pytest.fixture
    def other(self, open: Opened, storage: Storage) -> Storage:
        """Another owner of the same data."""
        return open()

    @pytest.fixture
    def study(self, storage: Storage) -> int:
        """The id of a new study."""
        return storage.create_study(StudyRecord(name="cifar"))[0].id
