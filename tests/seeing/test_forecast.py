"""The plan of a run and the time that is left, against what the run takes in the end; in simulated time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.ask_tell import AskTell
from honed.checkpoints.directory import DirectoryStore
from honed.display.board import Board
from honed.durations import seconds
from honed.events import Event, Notice, RunForecast, RunStarted, TrialEnded, TrialStarted
from honed.forecast import Forecaster, forecast
from honed.history import History
from honed.progress import Position
from honed.records import Delta, State, StudyRecord, TrialRecord
from honed.samplers.random import Random
from honed.schedulers.asha import ASHA
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.storage.memory import MemoryStorage
from honed.testing.storage_suite.tools import ManualClock
from honed.trial import Trial
from honed.worker import Limits, run
from tests.seeing.made import a_history, complete

STEPS, STEP_SECONDS = 27, 4.0


class Watched:
    """One run in simulated time: what was said, and when."""

    def __init__(self, folder: Path, scheduler: Scheduler, limits: Limits, objective: Any, budget: int | None = None):
        self.clock = ManualClock()
        self.said: list[tuple[float, Event]] = []
        storage = MemoryStorage(clock=self.clock)
        record, _ = storage.create_study(StudyRecord(name="planned", seed=3))
        flow = AskTell(
            storage, record, lambda history: (Random(), scheduler), worker="here:1:a", clock=self.clock,
            listen=self.hear, checkpoints=DirectoryStore(folder), checkpoint_budget=budget,
        )  # fmt: skip
        checkpoints, clock = flow.checkpoints, self.clock
        self.forecaster = Forecaster(lambda: flow.history, limits, checkpoints.keys, budget, clock, self.hear)
        self.begun = self.clock.monotonic()
        run(flow, lambda trial: objective(trial, self.clock), limits, clock=self.clock, listen=self.both)
        self.took = self.clock.monotonic() - self.begun
        self.history = flow.refresh()
        flow.close()

    def hear(self, event: Event) -> None:
        self.said.append((self.clock.monotonic() - self.begun, event))

    def both(self, event: Event) -> None:
        self.hear(event)
        self.forecaster(event)

    @property
    def plans(self) -> list[str]:
        return [e.text for _, e in self.said if isinstance(e, Notice) and e.text.startswith("Expected in all")]

    @property
    def expected(self) -> float:
        """Seconds of the whole run, by its plan."""
        (plan,) = self.plans
        found = re.match(r"Expected in all: about ([^;]+);", plan)
        assert found is not None
        return sum(seconds(part, "plan") or 0.0 for part in re.findall(r"\d+ (?:s|min|h|d)", found[1]))


def steady(trial: Trial, clock: ManualClock) -> None:
    _train(trial, clock)


def resumable(trial: Trial, clock: ManualClock) -> None:
    trial.track(draws=np.random.default_rng(0))
    _train(trial, clock)


def _train(trial: Trial, clock: ManualClock) -> None:
    x = trial.suggest_float("x", 0, 1)
    for step in trial.steps(STEPS):
        clock.sleep(STEP_SECONDS)
        trial.report(x + 1.0 / step)


@pytest.mark.parametrize(("scheduler", "objective"), [(Full(), steady), (ASHA(), resumable)])
def test_a_steady_run_takes_what_its_plan_says(tmp_path: Path, scheduler: Scheduler, objective: Any) -> None:
    found = Watched(tmp_path, scheduler, Limits(n_trials=30), objective)
    assert 1 / 1.5 < found.expected / found.took < 1.5
    (plan,) = found.plans
    assert "30 trials" in plan
    assert "epochs of 4" in plan
    assert ("of checkpoints" in plan) == isinstance(scheduler, ASHA)
    first = next(at for at, event in found.said if isinstance(event, Notice) and "Expected" in event.text)
    assert first < 0.2 * found.took
    for at, event in found.said:
        if isinstance(event, RunForecast) and at < 0.9 * found.took:
            assert 1 / 1.5 < (at + event.seconds_left) / found.took < 1.5


def test_a_plan_in_steps(tmp_path: Path) -> None:
    found = Watched(tmp_path, ASHA(), Limits(total_steps=200), resumable)
    assert 1 / 1.5 < found.expected / found.took < 1.5
    assert "200 epochs of 4" in found.plans[0]


def test_trainings_without_steps(tmp_path: Path) -> None:
    def silent(trial: Trial, clock: ManualClock) -> float:
        clock.sleep(20.0)
        return trial.suggest_float("x", 0, 1)

    found = Watched(tmp_path, Full(), Limits(n_trials=30), silent)
    assert found.took == pytest.approx(600.0)
    assert found.plans == ["Expected in all: about 10 min; 30 trials."]


def test_the_time_limit_cuts_the_plan(tmp_path: Path) -> None:
    found = Watched(tmp_path, Full(), Limits(n_trials=40, timeout=1080.0), steady)
    assert found.plans == ["Expected in all: about 18 min; 270 epochs of 4 s."]
    left = [(at, event.seconds_left) for at, event in found.said if isinstance(event, RunForecast)]
    assert all(at + seconds_left <= 1080.0 + 1e-6 for at, seconds_left in left)


def test_gpu_hours_and_a_disk_budget(tmp_path: Path) -> None:
    def heavy(trial: Trial, clock: ManualClock) -> None:
        x = trial.suggest_float("x", 0, 1)
        trial.track(model=_Weights())
        for step in trial.steps(STEPS):
            clock.sleep(100.0)
            trial.report(x + 1.0 / step)

    limits = Limits(n_trials=20, gpus_per_trial=2.0)
    assert re.search(r"up to 4\.\d MB of checkpoints", Watched(tmp_path / "a", ASHA(), limits, heavy).plans[0])
    found = Watched(tmp_path / "b", ASHA(), limits, heavy, budget=1_000_000)
    (plan,) = found.plans
    assert "up to 1.0 MB of checkpoints" in plan
    hours = float(re.findall(r"([\d.]+) GPU-hours", plan)[0])
    assert 1 / 1.5 < hours / (2.0 * found.took / 3600.0) < 1.5


class _Weights:
    def state_dict(self) -> dict[str, Any]:
        return {"w": np.zeros(25_000)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert len(state["w"]) == 25_000


def test_short_runs_have_no_plan_but_a_time(tmp_path: Path) -> None:
    def quick(trial: Trial, clock: ManualClock) -> float:
        clock.sleep(0.5)
        return trial.suggest_float("x", 0, 1)

    found = Watched(tmp_path, Full(), Limits(n_trials=20), quick)
    assert found.plans == []
    assert any(isinstance(event, RunForecast) for _, event in found.said)


def test_workers_share_the_time() -> None:
    clock, said, trials = ManualClock(), list[Event](), list[TrialRecord]()

    def look() -> History:
        study = StudyRecord(name="s")
        return History.empty(study).extend(Delta(revision=1, study=study, trials=tuple(trials)))

    forecaster = Forecaster(look, Limits(n_trials=40), dict, None, clock, said.append)
    forecaster(RunStarted(study=StudyRecord(name="s"), n_counted=0, n_trials=40))
    for turn in range(5):
        four = range(4 * turn, 4 * turn + 4)
        for number in four:
            record = TrialRecord(number=number, state=State.RUNNING)
            forecaster(TrialStarted(trial=record, position=Position()))
        clock.sleep(60.0)
        for number in four:
            trials.append(replace(complete(number, 1.0), note={"seconds": 60.0}))
            forecaster(TrialEnded(trial=trials[-1], best=None, n_counted=len(trials), n_trials=40))
    left = [event.seconds_left for event in said if isinstance(event, RunForecast)]
    assert 1 / 1.5 < left[-1] / 300.0 < 1.5  # 20 trials of a minute, four at a time
    (plan,) = [event.text for event in said if isinstance(event, Notice)]
    assert "4 workers" in plan
    assert plan.startswith("Expected in all: about 1")


def test_nothing_is_foretold_without_a_limit_or_a_duration() -> None:
    assert forecast(a_history(complete(0, 1.0)), Limits()) is None
    assert forecast(a_history(), Limits(n_trials=5)) is None


def test_the_display_counts_down_from_the_forecast() -> None:
    clock = ManualClock()
    board = Board(clock)
    board.hear(RunStarted(study=StudyRecord(name="mnist"), n_counted=0, n_trials=100))
    board.hear(TrialStarted(trial=TrialRecord(number=0, state=State.RUNNING), position=Position()))
    board.hear(RunForecast(seconds_left=100.0))
    clock.sleep(40.0)
    assert board.lines(120)[0].endswith("about 0:01:00 left")
