"""Steps that are not epochs, loops by hand, populations, rules that stop; interrupted, killed, without their checkpoints."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import honed
from honed.checkpoints.directory import DirectoryStore
from honed.history import History
from honed.records import Decision, State, TrialRecord
from honed.schedulers.additive import AdditiveHalving
from honed.schedulers.asha import ASHA
from honed.schedulers.full import Full
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.pbt import PBT
from honed.schedulers.stopping import Median, Threshold
from tests.flows.scheduler_workers import Past, loss
from tests.flows.test_schedulers import run
from tests.study.test_study import notices, quiet, reason

ROOT = Path(__file__).parents[2]
Steps = dict[int, list[int]]


def new(folder: Path, **settings: Any) -> honed.Study:
    return honed.create_study("fidelity", storage=folder / "h.db", seed=3, **settings)


def in_a_process(name: str, *arguments: object) -> int:
    """Runs a function of ``scheduler_workers`` with texts as arguments."""
    code = f"import sys; from tests.flows.scheduler_workers import {name}; {name}(*sys.argv[1:])"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


# ------------------------------------------------------------------------------------------ other than epochs


def test_the_data_fraction_is_known_before_the_training(tmp_path: Path) -> None:
    granted: Steps = {}

    def objective(trial: honed.Trial) -> None:
        x = trial.suggest_float("x", 0, 1)
        percent = trial.granted_until(100)
        granted.setdefault(trial.number, []).append(percent)
        trial.report(loss(x, percent), step=percent)  # fitted anew on so much of the data

    study = new(tmp_path)
    quiet(study, objective, "random", 9, scheduler=SuccessiveHalving(min_steps=11, max_steps=100))
    assert sorted(map(tuple, granted.values())) == [(11,)] * 6 + [(11, 33)] * 2 + [(11, 33, 99, 100)]
    assert [[r.step for r in t.reports] for t in study.trials] == list(granted.values())
    assert sorted(t.state for t in study.trials) == [State.COMPLETE] + [State.PAUSED] * 8


def test_a_returned_value_is_that_of_the_granted_step(tmp_path: Path) -> None:
    def objective(trial: honed.Trial) -> float:
        return loss(trial.suggest_float("x", 0, 1), trial.granted_until(9))

    study = new(tmp_path)
    quiet(study, objective, "random", 9, scheduler=SuccessiveHalving(min_steps=1))
    assert sorted(len(t.reports) for t in study.trials) == [1] * 6 + [2] * 3  # the last one is the trial's value
    (complete,) = (t for t in study.trials if t.state is State.COMPLETE)
    assert [r.step for r in complete.reports] == [1, 3]
    assert complete.value == min(loss(complete.params["x"], step) for step in (1, 3, 9))


def test_without_a_scheduler_everything_is_granted() -> None:
    study = honed.create_study("full", storage="memory")
    quiet(study, lambda trial: float(trial.granted_until(100)), "random", 2)
    assert [t.value for t in study.trials] == [100.0, 100.0]
    assert honed.FixedTrial({}).granted_until(100) == 100
    with pytest.raises(ValueError, match="granted_until: n=0"):
        honed.FixedTrial({}).granted_until(0)


def test_a_resolution_grows_with_the_steps_and_the_training_goes_on(tmp_path: Path) -> None:
    def objective(trial: honed.Trial) -> None:
        x, past = trial.suggest_float("x", 0, 1), Past()
        trial.track(past=past)
        for level in trial.steps(4):
            past.steps.append(f"{16 * level}")  # pixels
            trial.report(loss(x, level), step=level)
        trial.annotate("past", past.steps)

    study = new(tmp_path)
    quiet(study, objective, "random", 8, scheduler=AdditiveHalving(n_trials=8, rungs=[1, 2], keep=1 / 2))
    levels = sorted(t.last_step or 0 for t in study.trials)
    assert levels == [1, 1, 1, 1, 2, 2, 4, 4]
    assert all(t.attributes["past"] == ["16", "32", "48", "64"][: t.last_step] for t in study.trials)


def test_steps_between_which_nothing_is_reported(tmp_path: Path) -> None:
    """1,000 batches are the unit; an evaluation every 250 is reported, rungs lie where one falls."""
    done: Steps = {}

    def objective(trial: honed.Trial) -> None:
        x, total = trial.suggest_float("x", 0, 1), trial.granted_until(1000)
        start = 0
        if trial.resume_directory is not None:
            start = int((trial.resume_directory / "batches").read_text())
        assert start == trial.resumed_from_step
        for batch in range(start + 1, total + 1):
            if batch % 250 == 0:
                done.setdefault(trial.number, []).append(batch)
                trial.report(loss(x, batch), step=batch)
        with trial.checkpoint(total) as directory:
            (directory / "batches").write_text(str(total))

    study = new(tmp_path)
    quiet(study, objective, "random", 4, scheduler=SuccessiveHalving(n_trials=4, reduction_factor=2, min_steps=250))
    assert sorted(done.values()) == [[250], [250], [250, 500], [250, 500, 750, 1000]]
    assert [t.state for t in study.trials].count(State.COMPLETE) == 1


# -------------------------------------------------------------------------------------------- loops by hand


def by_hand(n_steps: int, done: Steps) -> Any:
    """An objective that knows nothing of grants and checkpoints."""

    def objective(trial: honed.Trial) -> None:
        x = trial.suggest_float("x", 0, 1)
        for step in range(1, n_steps + 1):
            done.setdefault(trial.number, []).append(step)
            trial.report(loss(x, step), step=step)
            if trial.should_stop():
                return

    return objective


def test_a_loop_by_hand_pauses_at_its_grant_and_starts_again(tmp_path: Path) -> None:
    study, done = new(tmp_path), Steps()
    quiet(study, by_hand(9, done), "random", 9, scheduler=SuccessiveHalving(min_steps=1, max_steps=9))
    whole, some = list(range(1, 10)), [1, 2, 3]
    assert sorted(done.values()) == sorted([[1]] * 6 + [[1, *some]] * 2 + [[1, *some, *whole]])
    assert sorted(t.last_step or 0 for t in study.trials) == [1] * 6 + [3] * 2 + [9]


@pytest.mark.parametrize("summary", ["best", "last"])
def test_a_stopped_training_keeps_its_best_and_its_last_value(summary: Any) -> None:
    study = honed.create_study("stopped", storage="memory", summary=summary)
    curve = [0.5, 0.2, 0.9, 0.1]

    def objective(trial: honed.Trial) -> None:
        for step, value in enumerate(curve, start=1):
            trial.report(value, step=step)
            if trial.should_stop():
                return

    quiet(study, objective, "random", 1, scheduler=Threshold(upper=0.8))
    (trial,) = study.trials
    assert trial.state is State.STOPPED
    assert [report.values["value"] for report in trial.reports] == curve[:3]
    assert trial.value == (0.2 if summary == "best" else 0.9)


def test_a_rule_stops_loops_by_hand_and_leaves_the_rest_complete() -> None:
    study = honed.create_study("median", storage="memory")

    def objective(trial: honed.Trial) -> None:
        for step in range(1, 11):
            trial.report(trial.number + 1 / step, step=step)  # each is worse than all before
            if trial.should_stop():
                return

    quiet(study, objective, "random", 12, scheduler=Median(n_startup=5, min_steps=4))
    assert [t.state for t in study.trials] == [State.COMPLETE] * 5 + [State.STOPPED] * 7
    assert {t.last_step for t in study.trials[5:]} == {4}


@dataclass(frozen=True)
class StopsAlways(Full):
    """Says stop after every report."""

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.STOP


def test_a_trial_at_its_last_step_is_complete_whatever_a_rule_says() -> None:
    study = honed.create_study("last", storage="memory")

    def objective(trial: honed.Trial) -> None:
        for step in trial.steps(1):
            trial.report(1.0, step=step)

    quiet(study, objective, "random", 3, scheduler=StopsAlways())
    assert {t.state for t in study.trials} == {State.COMPLETE}


def test_a_loop_by_hand_that_was_killed_at_its_grant_is_not_paused_at_its_first_step(tmp_path: Path) -> None:
    in_a_process("die_at_the_grant", tmp_path / "h.db")
    study, done = new(tmp_path), Steps()
    assert [r.step for r in study.trials[0].reports] == [1, 2, 3]
    quiet(study, by_hand(9, done), "random", 3, scheduler=ASHA(max_steps=9))
    assert done[0][:3] == [1, 2, 3]


# ---------------------------------------------------------------------------------------------- populations


def test_the_children_of_a_population_go_on_with_the_weights_of_their_parents(tmp_path: Path) -> None:
    pasts: dict[int, list[str]] = {}
    began: dict[int, int] = {}

    def objective(trial: honed.Trial) -> None:
        rate, past = trial.suggest_float("rate", 1e-3, 1, log=True), Past()
        trial.suggest_categorical("kind", ["a", "b"])
        trial.track(past=past)
        for step in trial.steps(8):
            began.setdefault(trial.number, step - 1)
            past.steps.append(f"{trial.number}:{step}")
            pasts[trial.number] = past.steps
            trial.report(abs(rate - 0.03) + 1 / step, step=step)

    study = new(tmp_path)
    quiet(study, objective, "random", 14, scheduler=PBT(params=["rate"], population=6, interval=2, quantile=0.34))
    children = [t for t in study.trials if t.parent is not None]
    assert len(children) >= 3
    for trial in study.trials:
        assert [int(step.split(":")[1]) for step in pasts[trial.number]] == list(range(1, (trial.last_step or 0) + 1))
    for child in children:
        parent, start = study.trials[child.parent or 0], began[child.number]
        assert start in (2, 4, 6)
        assert pasts[child.number][:start] == pasts[parent.number][:start]
        assert all(step.startswith(f"{child.number}:") for step in pasts[child.number][start:])
        assert child.params["kind"] == parent.params["kind"]
        assert child.params["rate"] != parent.params["rate"]
        assert child.note["generation"] == parent.note["generation"] + 1
        loser = study.trials[child.note["replaces"]]
        assert loser.state is State.STOPPED
        assert loser.note["member"] == child.note["member"]
        assert child.reports[0].step == start + 1
    assert len({t.note["replaces"] for t in children}) == len(children)
    assert {t.state for t in study.trials} == {State.COMPLETE, State.STOPPED}
    assert not list((tmp_path / "h.db-checkpoints").glob("study-*/t*/s*"))


def test_the_worst_member_is_replaced_though_it_began_first(tmp_path: Path) -> None:
    """One worker trains one after the other: the first one has nobody to be compared with when it reports."""

    def objective(trial: honed.Trial) -> None:
        trial.suggest_float("rate", 0, 1)
        trial.track(past=Past())
        for step in trial.steps(8):
            trial.report(9.0 - trial.number, step=step)

    study = new(tmp_path)
    quiet(study, objective, "random", 8, scheduler=PBT(params=["rate"], population=5, interval=2))
    assert [t.state for t in study.trials][:2] == [State.STOPPED] * 2
    assert [t.last_step for t in study.trials][:2] == [4, 6]


# ------------------------------------------------------------------------------------ interrupted, and damaged


def tracked(done: Steps, *, stop_at: tuple[int, int] | None = None, n_steps: int = 9) -> Any:
    """An objective that presses Ctrl-C in a step of a trial."""

    def objective(trial: honed.Trial) -> None:
        x, past = trial.suggest_float("x", 0, 1), Past()
        trial.track(past=past)
        for step in trial.steps(n_steps):
            past.steps.append(str(step))
            done.setdefault(trial.number, []).append(step)
            trial.report(loss(x, step), step=step)
            if (trial.number, step) == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

    return objective


@pytest.mark.parametrize("stop_at", [(0, 1), (4, 2), (4, 3)])
def test_an_interrupted_training_goes_on_with_the_same_grant(tmp_path: Path, stop_at: tuple[int, int]) -> None:
    study, done, whole = new(tmp_path), Steps(), Steps()
    events = quiet(study, tracked(done, stop_at=stop_at), "random", 6, scheduler="asha")
    assert reason(events) == "interrupted"
    number, step = stop_at
    is_at_grant = step == 3
    assert study.trials[number].state is (State.PAUSED if is_at_grant else State.WAITING)
    assert study.trials[number].until == 3
    quiet(study, tracked(done), "random", 6, scheduler="asha")
    other = honed.create_study("whole", storage=tmp_path / "h.db", seed=3)
    quiet(other, tracked(whole), "random", 6, scheduler="asha")
    assert done == whole
    assert [(t.state, t.until, t.value) for t in study.trials] == [(t.state, t.until, t.value) for t in other.trials]


def test_checkpoints_that_are_gone_cost_their_steps_and_nothing_else(tmp_path: Path) -> None:
    study, done, whole = new(tmp_path), Steps(), Steps()
    quiet(study, tracked(done, stop_at=(2, 3)), "random", 9, scheduler="asha")
    assert [t.state for t in study.trials] == [State.PAUSED] * 3
    shutil.rmtree(tmp_path / "h.db-checkpoints")
    events = quiet(study, tracked(done), "random", 9, scheduler="asha")
    again = [t.number for t in study.trials if "n_restarts" in t.note]
    assert again
    assert all(f"Trial {number} starts again from step 0" in notices(events) for number in again)
    assert all(number < 3 and done[number][:4] == [1, 2, 3, 1] for number in again)
    other = honed.create_study("whole", storage=tmp_path / "h.db", seed=3)
    quiet(other, tracked(whole), "random", 9, scheduler="asha")
    assert {n: sorted(set(steps)) for n, steps in done.items()} == whole
    assert [(t.state, t.until, t.value) for t in study.trials] == [(t.state, t.until, t.value) for t in other.trials]


@pytest.mark.parametrize(("verb", "n"), [("save", 2), ("delete", 2), ("delete", 8)])
def test_what_a_killed_worker_leaves_beside_its_row_is_removed(tmp_path: Path, verb: str, n: int) -> None:
    """Saved and not yet named, or no longer named and not yet deleted; the eighth is deleted after the trial's end."""
    assert in_a_process("die_when", tmp_path / "h.db", verb, n) == -signal.SIGKILL
    folder = DirectoryStore(tmp_path / "h.db-checkpoints")
    study, done = new(tmp_path), Steps()
    assert set(folder.keys()) - {t.checkpoint for t in study.trials if not t.state.is_finished}
    quiet(study, tracked(done), "random", 2)
    assert [t.state for t in study.trials] == [State.COMPLETE] * 2
    assert not folder.keys()


def test_a_training_whose_worker_dies_often_is_not_given_up_while_it_comes_further(tmp_path: Path) -> None:
    for _ in range(4):
        assert in_a_process("die_when", tmp_path / "h.db", "save", 2) == -signal.SIGKILL
    study, done = new(tmp_path), Steps()
    (trial,) = study.trials
    assert (trial.state, trial.attempt, trial.note["n_lost"]) == (State.RUNNING, 4, 1)
    quiet(study, tracked(done), "random", 1)
    (trial,) = study.trials
    assert (trial.state, trial.attempt, done) == (State.COMPLETE, 5, {0: [5, 6, 7, 8, 9]})


@pytest.mark.parametrize("n_workers", [1, 4])
def test_few_trials_end_cleanly(tmp_path: Path, n_workers: int) -> None:
    """Fewer trials than any promotion needs: nobody waits for ever, and the leader is trained to its end."""
    found = run(tmp_path, "asha", 2, n_workers)
    assert sorted(t.last_step or 0 for t in found.trials) == [1, 9]
    assert found.n_executed == 10
