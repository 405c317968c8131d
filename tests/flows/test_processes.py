"""Real processes on one study: several workers, ``kill -9``, Ctrl-C once and twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import honed
from honed.records import Cause, State

ROOT = Path(__file__).parents[2]


@contextmanager
def worker(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.flows.workers", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(folder: Path, pattern: str, seconds: float = 20) -> Path:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"no {pattern} in {folder} after {seconds} s")


def test_six_processes_share_a_study_and_stop_at_its_total(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.flows.workers", "join", str(storage), "120"],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(6)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, outputs
    joined = "Using an existing study with name 'shared' instead of creating a new one."
    assert sum(joined in output for output in outputs) == 5
    trials = honed.load_study("shared", storage=storage).trials
    assert [t.number for t in trials] == list(range(120))
    assert {t.state for t in trials} == {State.COMPLETE}
    assert len({tuple(t.params.values()) for t in trials}) == 120


def test_four_processes_exhaust_a_discovered_grid_exactly(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    command = [sys.executable, "-m", "tests.flows.workers", "grid", str(storage)]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    trials = honed.load_study("grid", storage=storage).trials
    assert len(trials) == len({tuple(t.params.items()) for t in trials}) == 3 + 3 + 9


def test_a_killed_worker_is_continued_with_the_same_number_and_params(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    with worker("slow", storage, tmp_path, 100) as process:
        wait_for(tmp_path, "*-0-1-15")
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = honed.load_study("slow", storage=storage)
    assert before.trials[0].state is State.RUNNING
    assert before.history.lost == (0,)
    params = dict(before.trials[0].params)
    n_kept = len(before.trials[0].reports)
    assert n_kept >= 1
    before.close()
    with worker("slow", storage, tmp_path, 2) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Trial 0 was interrupted" in err
    assert "attempt 2 begins" in err
    trials = honed.load_study("slow", storage=storage).trials
    assert [(t.number, t.state, t.attempt) for t in trials] == [
        (0, State.COMPLETE, 2), (1, State.COMPLETE, 1), (2, State.COMPLETE, 1)
    ]  # fmt: skip
    assert dict(trials[0].params) == params


def test_a_trial_whose_worker_dies_three_times_is_given_up(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    for attempt in (1, 2, 3):
        with worker("slow", storage, tmp_path, 100) as process:
            wait_for(tmp_path, f"*-0-{attempt}-1")
            process.send_signal(signal.SIGKILL)
            process.wait()
    with worker("slow", storage, tmp_path, 1) as process:
        _, err = process.communicate(timeout=60)
    assert "Trial 0 is given up: its worker died 3 times" in err
    trials = honed.load_study("slow", storage=storage).trials
    assert (trials[0].state, trials[0].cause) == (State.FAILED, Cause.LOST)
    assert [t.state for t in trials[1:]] == [State.COMPLETE] * 3


def test_ctrl_c_gives_the_training_back_after_its_step(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    with worker("slow", storage, tmp_path, 40) as process:
        wait_for(tmp_path, "*-1-1-5")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert "press it again to stop at once" in err
    assert "Study statistics:" in out
    trials = honed.load_study("slow", storage=storage).trials
    assert [t.state for t in trials] == [State.COMPLETE, State.WAITING]
    assert len(trials[0].reports) == 40
    assert 5 <= len(trials[1].reports) <= 8
    with worker("slow", storage, tmp_path, 2) as process:
        _, err = process.communicate(timeout=60)
    trials = honed.load_study("slow", storage=storage).trials
    assert [(t.state, t.attempt) for t in trials] == [(State.COMPLETE, n) for n in (1, 2, 1)]


def test_ctrl_c_lets_a_training_without_steps_finish(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    with worker("deaf", storage, tmp_path) as process:
        wait_for(tmp_path, "1-begun")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 0
    trials = honed.load_study("slow", storage=storage).trials
    assert [(t.state, t.value) for t in trials] == [(State.COMPLETE, 0.0), (State.COMPLETE, 1.0)]


def test_ctrl_c_twice_ends_at_once(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    with worker("deaf", storage, tmp_path) as process:
        wait_for(tmp_path, "1-begun")
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert time.monotonic() - begun < 5
    assert "KeyboardInterrupt" in err
    trials = honed.load_study("slow", storage=storage).trials
    assert (trials[0].state, trials[0].value) == (State.COMPLETE, 0.0)
    assert (trials[1].state, trials[1].cause) == (State.FAILED, Cause.CANCELLED)


@pytest.mark.soak
def test_workers_killed_for_five_minutes_lose_nothing(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    command = [sys.executable, "-m", "tests.flows.workers", "join", str(storage), "1000000"]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(4)]
    begun = time.monotonic()
    turn = 0
    while time.monotonic() - begun < 300:
        time.sleep(2)
        victim = turn % 4
        processes[victim].send_signal([signal.SIGKILL, signal.SIGTERM, signal.SIGINT][turn % 3])
        processes[victim].wait(20)
        processes[victim] = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        turn += 1
    for process in processes:
        process.kill()
        process.wait()
    study = honed.load_study("shared", storage=storage)
    numbers = [t.number for t in study.trials]
    assert numbers == list(range(len(numbers)))
    assert study.history.count(State.RUNNING) == len(study.history.lost)
