"""What goes beyond its limits is ended, with all it has started; the study goes on, and knows why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import honed
from honed.errors import TooManyFailures
from honed.events import Notice
from honed.records import Cause, State
from honed.supervisor import ends, loop
from honed.supervisor.settings import Workers
from tests.workers.runs import is_running, lines, until


def quiet(made: honed.Study, objective: Any, **settings: Any) -> list[Any]:
    """Optimizes without output; returns the events."""
    events: list[Any] = []
    made.optimize(objective, "random", progress="quiet", on_event=events.append, **settings)
    return events


def notices(events: list[Any]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Notice))


@pytest.fixture
def made(tmp_path: Path) -> honed.Study:
    return honed.create_study("s", storage=tmp_path / "honed.db", seed=3)


def test_a_training_that_takes_too_long_keeps_its_best_value(made: honed.Study, tmp_path: Path) -> None:
    book = tmp_path / "pids"

    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number != 1:
            return x
        loader = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        book.write_text(f"{os.getpid()} {loader.pid}")
        trial.report(0.75, step=1)
        trial.report(0.5, step=2)
        time.sleep(0.6)
        trial.report(0.9, step=3)
        while True:
            pass

    quiet(made, objective, n_trials=3, workers=1, trial_timeout="3s")
    states = [(record.state, record.cause) for record in made.trials]
    ended = (State.COMPLETE, None)
    assert states == [ended, (State.FAILED, Cause.TIMEOUT), ended, ended]
    late = made.trials[1]
    assert late.value == 0.5
    assert late.message == "it ran longer than trial_timeout=3 s"
    assert made.best_trial.number != 1
    for pid in lines(book):
        until(lambda pid=int(pid): not is_running(pid), f"process {pid} was left behind")  # type: ignore[misc]


def test_a_training_that_hangs_in_c_and_ignores_signals_is_killed(made: honed.Study) -> None:
    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in trial.steps(3):
            trial.report(x, step=step)
            if trial.number == 0 and step == 2:
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                import ctypes

                ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock
        return x

    quiet(made, objective, n_trials=2, workers=1, no_report_timeout=2)
    assert [record.state for record in made.trials] == [State.FAILED, State.COMPLETE, State.COMPLETE]
    assert made.trials[0].cause is Cause.TIMEOUT
    assert "it reported nothing for no_report_timeout=2 s" in (made.trials[0].message or "")


def test_a_training_that_reports_in_time_is_left_alone(made: honed.Study) -> None:
    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in trial.steps(8):
            time.sleep(0.4)
            if step % 2:
                trial.report(x)
        return x

    quiet(made, objective, n_trials=1, workers=1, no_report_timeout=2)
    assert [record.state for record in made.trials] == [State.COMPLETE]


def test_memory_beyond_the_limit(made: honed.Study) -> None:
    def objective(trial: honed.Trial) -> float:
        width = trial.suggest_int("width", 1, 100)
        if trial.number == 0:
            hoard = bytearray(600_000_000)
            hoard[::4096] = b"x" * len(hoard[::4096])
            time.sleep(30)
        return float(width)

    quiet(made, objective, n_trials=2, workers=1, trial_memory="400MB")
    assert [(record.state, record.cause) for record in made.trials[:2]] == [
        (State.FAILED, Cause.OOM),
        (State.COMPLETE, None),
    ]
    assert "trial_memory=400 MB" in (made.trials[0].message or "")


def test_after_an_out_of_memory_error_a_fresh_process_goes_on(made: honed.Study) -> None:
    def objective(trial: honed.Trial) -> float:
        trial.annotate("pid", os.getpid())
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 1:
            raise MemoryError("too wide")
        return x

    quiet(made, objective, n_trials=4, workers=Workers(1))
    assert made.trials[1].cause is Cause.OOM
    pids = [record.attributes["pid"] for record in made.trials]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_the_kernel_ran_out_of_memory(made: honed.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's counter is a file here; the kill is real."""
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 1\noom_kill 4\n")
    monkeypatch.setattr(ends, "VMSTAT", counter)

    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 0:
            counter.write_text("nr_free_pages 1\noom_kill 5\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    quiet(made, objective, n_trials=2, workers=Workers(1))
    assert made.trials[0].cause is Cause.OOM
    assert "the machine ran out of memory" in (made.trials[0].message or "")
    assert [record.state for record in made.trials[1:]] == [State.COMPLETE, State.COMPLETE]


def test_a_poison_trial_ends_after_three_attempts_and_the_others_live(made: honed.Study) -> None:
    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 1:
            os.abort()
        return x

    events = quiet(made, objective, n_trials=6, workers=2)
    poisoned = made.trials[1]
    assert (poisoned.state, poisoned.cause, poisoned.attempt) == (State.FAILED, Cause.LOST, 4)
    assert sum(record.state is State.COMPLETE for record in made.trials) == 6
    assert "was killed by SIGABRT in trial 1; a new one goes on." in notices(events)


def test_workers_that_only_die_end_the_run(made: honed.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_DEATHS", 5)

    def objective(trial: honed.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        sys.stderr.write("no such instruction\n")
        os.kill(os.getpid(), signal.SIGILL)
        return 0.0

    with pytest.raises(TooManyFailures, match="was killed by SIGILL in trial") as caught:
        quiet(made, objective, n_trials=50, workers=2)
    assert "no such instruction" in str(caught.value)


def test_trainings_that_all_take_too_long_end_the_run(made: honed.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_DEATHS", 4)

    def objective(trial: honed.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        time.sleep(600)
        return 0.0

    with pytest.raises(TooManyFailures, match=r"6 trainings in a row went beyond their limits.*trial_timeout=0.1 s"):
        quiet(made, objective, n_trials=50, workers=2, trial_timeout=0.1)
    assert {record.cause for record in made.trials if record.state is State.FAILED} == {Cause.TIMEOUT}


def test_the_run_ends_at_its_deadline_whatever_the_trainings_do(made: honed.Study) -> None:
    def objective(trial: honed.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        time.sleep(600)
        return 0.0

    begun = time.monotonic()
    quiet(made, objective, n_trials=50, workers=2, timeout=8, grace=1)  # time for a worker to begin on a busy machine
    assert time.monotonic() - begun < 26
    assert {record.state for record in made.trials} == {State.WAITING}


def test_memory_of_the_caller_stays_flat(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    made = honed.create_study("s", storage=tmp_path / "honed.db", durability="fast")

    def objective(trial: honed.Trial) -> float:
        import builtins

        hoard = builtins.__dict__.setdefault("hoard", [])  # outlives the trial, as leaks do
        hoard.append(bytearray(b"x" * 30_000_000))
        return trial.suggest_float("x", 0, 1)

    quiet(made, objective, n_trials=5, workers=Workers(1, recycle_after=20))
    before = psutil.Process().memory_info().rss
    quiet(made, objective, n_trials=45, workers=Workers(1, recycle_after=20))
    assert psutil.Process().memory_info().rss - before < 50_000_000
