"""What trainings cost in time is measured, and limits in time hold: over restarts, over workers, to a finished training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.ask_tell import AskTell
from honed.checkpoints.directory import DirectoryStore
from honed.clock import Clock
from honed.costs import costs_of, seconds_of
from honed.events import Event, RunEnded
from honed.history import Allowance, History
from honed.records import Decision, State, StudyRecord, TrialRecord
from honed.samplers.random import Random
from honed.schedulers.base import Move, Scheduler
from honed.schedulers.full import Full
from honed.storage.memory import MemoryStorage
from honed.testing.storage_suite.tools import ManualClock
from honed.trial import Trial
from honed.worker import Limits, run
from tests.slices import Slices

STEPS = 27


class Place:
    """One study in simulated time, which any number of workers come to one after the other."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.storage = MemoryStorage(clock=self.clock)
        self.checkpoints = DirectoryStore(folder)
        self.record, _ = self.storage.create_study(StudyRecord(name="timed", seed=3))
        self.events: list[Event] = []

    def connect(self, sampler: Any, scheduler: Scheduler, worker: str = "here:1:a") -> AskTell:
        return AskTell(
            self.storage,
            self.record,
            lambda history: (sampler, scheduler),
            worker=worker,
            clock=self.clock,
            listen=self.events.append,
            checkpoints=self.checkpoints,
        )

    def run(self, objective: Callable[[Trial], Any], sampler: Any, scheduler: Scheduler, limits: Limits) -> History:
        flow = self.connect(sampler, scheduler)
        run(flow, objective, limits, clock=self.clock, listen=self.events.append)
        flow.close()
        return flow.refresh()

    @property
    def seconds(self) -> float:
        return self.clock.monotonic() - 1000.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@dataclass
class Weights:
    """Something to track that takes its time."""

    clock: Clock
    saving: float = 0.0
    loading: float = 0.0

    def state_dict(self) -> dict[str, float]:
        self.clock.sleep(self.saving)
        return {"w": 1.0}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.clock.sleep(self.loading)


@dataclass(frozen=True)
class Watching:
    """Full trainings; remembers what it was shown."""

    notes: list[Any] = field(default_factory=list)
    allowances: list[Allowance] = field(default_factory=list)

    def next(self, history: History) -> Move:
        self.allowances.append(history.allowance)
        return Full().next(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        self.notes.append(dict(trial.note))
        return Decision.CONTINUE


def training(place: Place, second: float = 1.0) -> Callable[[Trial], None]:
    """An objective of 27 steps, each of which takes a second; pausing costs nothing."""

    def objective(trial: Trial) -> None:
        x = trial.suggest_float("x", 0, 1)
        trial.track(rng=np.random.default_rng(0))
        for step in trial.steps(STEPS):
            place.clock.sleep(second)
            trial.report((x - 0.4) ** 2 + 1 / step)

    return objective


# ------------------------------------------------------------------------------------------------------ the stopwatch


def test_times_are_what_they_were(place: Place) -> None:
    def objective(trial: Trial) -> None:
        trial.suggest_float("x", 0, 1)
        place.clock.sleep(5.0)  # loads its data
        trial.track(weights=Weights(place.clock, saving=2.0, loading=3.0))
        is_first = True
        for step in trial.steps(9):
            place.clock.sleep(11.0 if is_first else 4.0)  # the first step of a process compiles
            is_first = False
            trial.report(1 / step)

    history = place.run(objective, Random(), Slices(3), Limits(n_trials=1))
    note = history[0].note
    assert history[0].attempt == 3
    assert note["seconds"] == pytest.approx(place.seconds)
    assert note["step_seconds"] == pytest.approx(4.0)
    assert note["save_seconds"] == pytest.approx(2.0)
    assert note["restore_seconds"] == pytest.approx(8.0)
    costs = costs_of(history)
    assert costs.seconds == pytest.approx(place.seconds)
    assert costs.step_seconds == pytest.approx(4.0)
    assert costs.pause_seconds == pytest.approx(10.0)


def test_a_single_step_is_better_than_nothing_and_worse_than_any_other(place: Place) -> None:
    def objective(trial: Trial) -> None:
        trial.suggest_float("x", 0, 1)
        trial.track(rng=np.random.default_rng(0))
        for step in trial.steps(4):
            place.clock.sleep(9.0 if trial.attempt == 1 else 2.0)
            trial.report(1 / step)

    found = []
    flow = place.connect(Random(), Slices(1))
    for _ in range(3):
        trial = flow.ask()
        assert isinstance(trial, Trial)
        objective(trial)
        found.append(flow.tell(trial.number, flow.outcome(trial.number, None)).note["step_seconds"])
    flow.close()
    assert found == [pytest.approx(9.0)] * 3  # none of them has had a second step


def test_loops_of_ones_own_are_timed_too(place: Place) -> None:
    def objective(trial: Trial) -> float:
        place.clock.sleep(1.0)
        for step in range(trial.resumed_from_step + 1, 6):
            place.clock.sleep(3.0)
            trial.report(1 / step, step=step)
            with trial.checkpoint(step) as folder:
                place.clock.sleep(0.5)
                (folder / "w").write_text("1")
        return 0.1

    note = place.run(objective, Random(), Full(), Limits(n_trials=1))[0].note
    assert note["step_seconds"] == pytest.approx(3.0)
    assert note["save_seconds"] == pytest.approx(0.5)
    assert note["tracks"] is True


def test_what_a_lost_worker_has_used_stays(place: Place) -> None:
    flow = place.connect(Random(), Full())
    trial = flow.ask()
    assert isinstance(trial, Trial)
    trial.suggest_float("x", 0, 1)
    for step in range(1, 9):
        place.clock.sleep(20.0)
        trial.report(1 / step, step=step)
    flow.close()  # and never comes back
    history = place.connect(Random(), Full()).refresh()
    assert 120.0 <= costs_of(history).seconds <= 160.0


def test_a_plain_objective_writes_no_times_and_is_counted_by_its_row(place: Place) -> None:
    def objective(trial: Trial) -> float:
        place.clock.sleep(10.0)
        return trial.suggest_float("x", 0, 1)

    history = place.run(objective, Random(), Full(), Limits(n_trials=3))
    assert not any("seconds" in record.note for record in history)
    assert costs_of(history).seconds == pytest.approx(30.0)


def test_rules_see_at_the_first_report_whether_a_training_can_be_paused(place: Place) -> None:
    watching = Watching()
    place.run(training(place), Random(), watching, Limits(n_trials=1))
    assert watching.notes[0]["tracks"] is True
    assert watching.notes[0]["n_steps"] == STEPS

    def bare(trial: Trial) -> None:
        for step in trial.steps(3):
            trial.report(trial.suggest_float(f"x{step}", 0, 1))

    untracked = Watching()
    place.run(bare, Random(), untracked, Limits(n_trials=2))
    assert len(untracked.notes) == 2
    assert not any("tracks" in note for note in untracked.notes)


# ----------------------------------------------------------------------------------------------------------- limits


def test_policies_know_what_is_left(place: Place) -> None:
    watching = Watching()
    place.run(training(place), Random(), watching, Limits(timeout=100.0, gpu_hours=0.5, gpus_per_trial=2, n_trials=3))
    assert [allowance.seconds_left for allowance in watching.allowances] == [100.0, 73.0, 46.0, 19.0]
    first = watching.allowances[0]
    assert (first.trials, first.run_seconds, first.train_seconds, first.host) == (3, 100.0, 900.0, "here")


def test_hours_of_training_are_counted_over_restarts(place: Place) -> None:
    def trials(hours: float, gpus: float = 0.0) -> int:
        return len(place.run(training(place), Random(), Full(), Limits(gpu_hours=hours, gpus_per_trial=gpus)))

    assert trials(60 / 3600) == 3  # the third had begun
    ended = next(event for event in reversed(place.events) if isinstance(event, RunEnded))
    assert ended.reason == "the time for training is used up (1 min, all trials together)"
    assert trials(60 / 3600) == 3
    assert trials(90 / 3600) == 4
    assert trials(210 / 3600, gpus=2) == 4  # 108 s on two cards are 216
    assert trials(220 / 3600, gpus=2) == 5


def sleeping(trial: honed.Trial) -> None:
    import time

    trial.suggest_float("x", 0, 1)
    for step in trial.steps(4):
        time.sleep(0.05)
        trial.report(1 / step)


def test_worker_processes_share_the_hours(tmp_path: Path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=1, durability="fast")
    study.optimize(sleeping, "random", gpu_hours=2 / 3600, workers=2, progress="quiet")
    assert sum(map(seconds_of, study.trials)) >= 2.0
    n = len(study.trials)
    assert 2 <= n <= 12  # each takes .2 s or more, and two had begun
    study.optimize(sleeping, "random", gpu_hours=2 / 3600, workers=2, progress="quiet")
    assert len(study.trials) == n


@pytest.mark.parametrize("steps", [29, 36, 60])
@pytest.mark.parametrize("kind", ["timeout", "gpu_hours", "total_steps"])
def test_a_tight_limit_is_enough_for_one_training_to_its_end(place: Place, kind: str, steps: int) -> None:
    limits = {
        "timeout": Limits(timeout=float(steps)),
        "gpu_hours": Limits(gpu_hours=steps / 3600),
        "total_steps": Limits(total_steps=steps),
    }[kind]
    both = honed.FreezeThaw()
    history = place.run(training(place), both, both, limits)
    ends = [record.finished for record in history if record.state is State.COMPLETE and record.finished is not None]
    begun = history[0].started
    assert begun is not None
    assert (min(ends) - begun).total_seconds() <= steps
    assert len(history) > 1 or steps < 30  # and the rest was not wasted on one


def test_without_time_for_one_nothing_is_forced(place: Place) -> None:
    both = honed.FreezeThaw()
    history = place.run(training(place), both, both, Limits(total_steps=20))
    assert not history.count(State.COMPLETE)
    assert len(history) >= 4


@pytest.mark.parametrize("hours", [-1, float("nan"), "8h"])
def test_hours_are_a_number(hours: Any) -> None:
    with pytest.raises(ValueError, match="gpu_hours"):
        honed.create_study(storage="memory").optimize(sleeping, gpu_hours=hours, progress="quiet")
