"""A worker under its keeper, with real processes: crashes, bugs, requests to end, and the keeper's own death."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import honed
from honed.launchers import keeper as keeping
from honed.launchers.command import Work
from honed.launchers.keeper import Keeper
from honed.records import State
from tests.launchers.objectives import folder_with_script, plain_environment, steps


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "FIRST_PAUSE", 0.001)


def make(folder: Path, objective: str = "objective", n_trials: int = 3, **settings) -> tuple[Keeper, list[bytes]]:
    lines: list[bytes] = []
    work = Work(
        target=f"train.py:{objective}",
        storage=str(folder / "honed.db"),
        study="s",
        trials=n_trials,
        options=settings.pop("options", ("--sampler=random",)),
        python=settings.pop("python", sys.executable),
    )
    folder_with_script(folder)
    environment = plain_environment(STEP_SECONDS=settings.pop("step_seconds", "0.02"))
    settings = {"grace": 20.0, "folder": settings.pop("start_in", str(folder))} | settings
    return Keeper(work, environment=environment, output=lines.append, **settings), lines


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def in_thread(keeper: Keeper) -> threading.Thread:
    thread = threading.Thread(target=keeper.run)
    thread.start()
    return thread


def test_a_worker_that_has_done_all_is_finished(tmp_path: Path) -> None:
    keeper, lines = make(tmp_path)
    status = keeper.run()
    assert (status.state, status.reason, status.lives) == ("finished", "all 3 trials are done", 1)
    assert b"Trial 2 finished" in b"".join(lines)
    assert honed.load_study("s", storage=tmp_path / "honed.db").history.n_counted == 3


def test_any_reason_of_its_own_ends_it(tmp_path: Path) -> None:
    keeper, _ = make(tmp_path, "quick", n_trials=100, options=("--target=2.0",))
    status = keeper.run()
    assert status.state == "finished"
    assert status.reason.startswith("the target 2 is reached")


def test_a_crash_is_followed_by_another_life_that_takes_the_trial_over(tmp_path: Path) -> None:
    keeper, _ = make(tmp_path, "deadly", n_trials=4)
    status = keeper.run()
    assert (status.state, status.lives) == ("finished", 2)
    trials = honed.load_study("s", storage=tmp_path / "honed.db").trials
    assert [(trial.number, trial.state, trial.attempt) for trial in trials] == [
        (0, State.COMPLETE, 1),
        (1, State.COMPLETE, 1),
        (2, State.COMPLETE, 2),
        (3, State.COMPLETE, 1),
    ]


def test_a_bug_in_the_script_is_not_tried_again(tmp_path: Path) -> None:
    keeper, _ = make(tmp_path, "broken")
    status = keeper.run()
    assert (status.state, status.reason, status.lives) == ("failed", "it ended with exit code 1", 1)
    assert "shape mismatch" in keeper.last_words


def test_endless_crashes_come_to_an_end(tmp_path: Path) -> None:
    program = tmp_path / "crashing"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    keeper, _ = make(tmp_path, python=str(program))
    status = keeper.run()
    assert (status.state, status.lives) == ("failed", keeping.MOST_CRASHES)
    assert status.reason == "10 times in a row it died of SIGSEGV within 30 s"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    keeper, _ = make(tmp_path, start_in=str(tmp_path / "none"))
    status = keeper.run()
    assert status.state == "failed"
    assert "cannot be started" in status.reason


def test_one_that_does_not_end_in_its_grace_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MARGIN_SECONDS", 0.1)
    program = tmp_path / "deaf"
    program.write_text("#!/bin/sh\ntrap '' TERM\nsleep 600 &\necho $! > child\nwait\nsleep 600\n")
    program.chmod(0o755)
    keeper, _ = make(tmp_path, python=str(program), grace=0.2)
    thread = in_thread(keeper)
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().endswith("\n"))
    keeper.stop()
    thread.join(60)
    assert keeper.status.state == "stopped"
    until(lambda: not is_running(int((tmp_path / "child").read_text())))


def test_a_worker_that_is_asked_to_end_can_go_on_later(tmp_path: Path) -> None:
    keeper, _ = make(tmp_path, n_trials=2, step_seconds="0.1")
    thread = in_thread(keeper)
    until(lambda: len(steps(tmp_path)) >= 2)
    keeper.stop()
    thread.join(60)
    assert keeper.status.state == "stopped"
    again, _ = make(tmp_path, n_trials=2)
    assert again.run().state == "finished"
    assert {trial.state for trial in honed.load_study("s", storage=tmp_path / "honed.db").trials} == {State.COMPLETE}


def test_the_time_is_up(tmp_path: Path) -> None:
    keeper, _ = make(tmp_path, n_trials=1000, step_seconds="0.2", timeout=3.0)
    status = keeper.run()
    assert (status.state, status.reason) == ("stopped", "the time is up")
    (trial, *_) = [
        each for each in honed.load_study("s", storage=tmp_path / "honed.db").trials if each.state is State.WAITING
    ]
    assert trial.checkpoint is not None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_no_worker_outlives_its_keeper(tmp_path: Path) -> None:
    folder_with_script(tmp_path)
    command = [sys.executable, "-m", "honed", "launch", "worker", "train.py", "--trials", "50"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=plain_environment(STEP_SECONDS="0.1"), stdout=subprocess.DEVNULL
    )
    until(lambda: len(steps(tmp_path)) >= 2)
    worker = int(steps(tmp_path)[0][4])
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not is_running(worker))


def is_running(pid: int) -> bool:
    """Whether the process lives; nobody may be there to bury it, so that a zombie counts as gone."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
