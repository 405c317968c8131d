"""Machines that are not kind: clocks that jump, workers that are stopped for longer than their lease, a writer killed in
the middle of a transaction; each while a reader polls. ``python -m tests.flows.test_rough_machines`` is one worker.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import honed
from honed import ask_tell
from honed.clock import SystemClock
from honed.records import State, StudyRecord, TrialRecord
from honed.storage import sqlite
from honed.storage.base import LEASE_SECONDS, RENEW_SECONDS
from honed.storage.locks import WriteLock
from honed.storage.sqlite import SQLiteStorage
from tests.flows.storage_workers import add_one, processes

ROOT = Path(__file__).parents[2]
N_STEPS = 4
YEARS = 10 * 365 * 86_400.0
HOURS = 5 * 3600.0


def work(folder: Path, name: str, n_trials: int) -> None:
    """One worker; its clock and its patience come from files in the folder."""

    def shift(which: str) -> float:
        path = folder / which
        return float(path.read_text() or 0) if path.exists() else 0.0

    real_now, real_monotonic = SystemClock.now, SystemClock.monotonic
    SystemClock.now = lambda self: real_now(self) + timedelta(seconds=shift("wall"))  # type: ignore[method-assign]
    SystemClock.monotonic = lambda self: real_monotonic(self) + shift("monotonic")  # type: ignore[method-assign]
    sqlite.LEASE_SECONDS = float(os.environ.get("LEASE", LEASE_SECONDS))  # type: ignore[attr-defined]
    ask_tell.RENEW_SECONDS = float(os.environ.get("RENEW", RENEW_SECONDS))  # type: ignore[attr-defined]

    def objective(trial: honed.Trial) -> None:
        trial.suggest_float("x", 0, 1)
        for step in trial.steps(N_STEPS):
            (folder / f"{name}-{trial.number}-{trial.attempt}-{step}").touch()
            while name == "slow" and step == 2 and not (folder / "go").exists():
                time.sleep(0.01)
            time.sleep(0.02)
            trial.report(100.0 * trial.attempt + step, step=step)

    study = honed.create_study("s", storage=folder / "honed.db", seed=0)
    study.optimize(objective, "random", n_trials, progress="plain", report=False)
    study.close()


def start(folder: Path, name: str, n_trials: int, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.flows.test_rough_machines", str(folder), name, str(n_trials)]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], Any], *workers: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert all(worker.poll() is None for worker in workers), "a worker ended too soon"
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def end(worker: subprocess.Popen[str]) -> str:
    """What a worker said, when it has ended well."""
    _, errors = worker.communicate(timeout=90)
    assert worker.returncode == 0, errors
    return errors


@contextmanager
def polling(path: Path) -> Iterator[None]:
    """Reads all the while, as a dashboard does; whatever it sees must be whole, and what is finished never changes."""
    stop, troubles = threading.Event(), list[BaseException]()
    n_reads = 0

    def poll() -> None:
        nonlocal n_reads
        storage = SQLiteStorage(path, read_only=True)
        finished, revision = dict[int, TrialRecord](), 0
        try:
            study = storage.studies()[0].id
            while not stop.wait(0.02):
                delta = storage.read(study)
                assert [trial.number for trial in sorted(delta.trials, key=lambda t: t.number)] == list(
                    range(len(delta.trials))
                )
                assert delta.revision >= revision
                revision = delta.revision
                for trial in delta.trials:
                    assert finished.get(trial.number, trial) == trial
                    if trial.state.is_finished:
                        finished[trial.number] = trial
                n_reads += 1
        except BaseException as error:
            troubles.append(error)
        finally:
            storage.close()

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()
    assert not troubles, troubles
    assert n_reads > 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    honed.create_study("s", storage=tmp_path / "honed.db", seed=0).close()
    return tmp_path / "honed.db"


def check(path: Path, n_trials: int) -> list[TrialRecord]:
    """Everything is there, once."""
    study = honed.load_study("s", storage=path)
    trials = study.trials
    study.close()
    assert [trial.number for trial in trials] == list(range(n_trials))
    assert {trial.state for trial in trials} == {State.COMPLETE}
    assert all([report.step for report in trial.reports] == [1, 2, 3, 4] for trial in trials)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return trials


@pytest.mark.parametrize("seconds", [YEARS, -YEARS])
def test_a_wall_clock_that_jumps_by_years_costs_no_trial(path: Path, seconds: float) -> None:
    folder = path.parent
    with polling(path):
        slow = start(folder, "slow", 8)
        until(lambda: list(folder.glob("slow-*-2")), slow)  # it holds a trial before the other one could take all
        quick = start(folder, "quick", 8)
        until(lambda: list(folder.glob("quick-*-1")))
        (folder / "wall").write_text(str(seconds))
        assert "is no longer held" not in end(quick)
        (folder / "go").touch()
        assert "is no longer held" not in end(slow)
    trials = check(path, 8)
    assert [trial.attempt for trial in trials] == [1] * 8
    years = {trial.created.year for trial in trials if trial.created is not None}
    assert max(years) - min(years) in (0, 9, 10, 11)  # times are for people, and as the clock said


def test_after_a_long_sleep_a_trial_that_was_taken_over_is_left_to_its_new_owner(path: Path) -> None:
    folder = path.parent
    with polling(path):
        slow = start(folder, "slow", 8, RENEW="1000")  # the machine wakes, and the other one is faster
        until(lambda: list(folder.glob("slow-*-2")), slow)
        (folder / "monotonic").write_text(str(HOURS))  # all leases are over, and their owners live
        quick = start(folder, "quick", 7)
        until((folder / "quick-0-2-4").exists)
        end(quick)
        (folder / "go").touch()
        said = end(slow)
    assert "Trial 0 is no longer held by attempt 1" in said
    trials = check(path, 8)
    assert [trial.attempt for trial in trials] == [2] + [1] * 7
    assert [report.values["value"] for report in trials[0].reports][1:] == [202.0, 203.0, 204.0]
    assert list(folder.glob("slow-7-1-4")), "the worker that had lost its trial did not go on"


def test_a_worker_stopped_for_longer_than_its_lease_loses_the_trial_and_goes_on(path: Path) -> None:
    folder = path.parent
    with polling(path):
        slow = start(folder, "slow", 8, LEASE="2", RENEW="0.5")
        until(lambda: list(folder.glob("slow-*-2")), slow)
        lock = WriteLock(path.with_name("honed.db-lock"), "honed.db")
        lock.acquire()  # so that it is not stopped while it holds this lock: then nobody could write
        slow.send_signal(signal.SIGSTOP)
        lock.release()
        lock.close()
        try:
            until(lambda: is_lost(path, 0))
            quick = start(folder, "quick", 7, LEASE="2", RENEW="0.5")
            until((folder / "quick-0-2-4").exists)
            end(quick)
        finally:
            (folder / "go").touch()
            slow.send_signal(signal.SIGCONT)
        said = end(slow)
    assert "is no longer held by attempt 1" in said
    trials = check(path, 8)
    assert [trial.attempt for trial in trials] == [2] + [1] * 7
    assert all(report.values["value"] >= 200 for report in trials[0].reports[1:])
    assert list(folder.glob("slow-7-1-4"))


def is_lost(path: Path, number: int) -> bool:
    storage = SQLiteStorage(path, read_only=True)
    try:
        return number in storage.read(storage.studies()[0].id).lost
    finally:
        storage.close()


def write_half_a_change(path: Path, begun: Any) -> None:
    """Is in the middle of a transaction that it never ends."""
    storage = SQLiteStorage(path)
    with storage._connections.writing() as connection:
        connection.execute("UPDATE trials SET state = 'failed'")
        connection.execute("UPDATE counters SET trials = trials + 1, revision = revision + 1000")
        connection.execute("PRAGMA cache_spill = 1")
        begun.set()
        time.sleep(600)


def test_a_writer_killed_in_the_middle_of_its_transaction_leaves_no_trace(path: Path) -> None:
    storage = SQLiteStorage(path)
    study = storage.create_study(StudyRecord(name="s"))[0].id
    numbers = [add_one(storage, study).number for _ in range(3)]
    before = storage.read(study)
    context = processes()
    with polling(path):
        for _ in range(3):
            begun = context.Event()
            writer = context.Process(target=write_half_a_change, args=(path, begun), daemon=True)
            writer.start()
            assert begun.wait(60)
            assert storage.read(study) == before  # readers neither wait nor see it
            writer.kill()
            writer.join()
            numbers.append(add_one(storage, study).number)  # at once: nobody has the lock
            before = storage.read(study)
    assert numbers == list(range(6))
    assert {trial.state for trial in before.trials} == {State.RUNNING}
    storage.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT trials FROM counters").fetchone() == (6,)
    connection.close()


def test_lock_files_of_dead_processes_stop_nobody(path: Path) -> None:
    """They are left by every crash and every power cut; what counts is who holds the lock, not that the file is there."""
    folder = path.parent
    workers = folder / "honed.db-workers"
    workers.mkdir(exist_ok=True)
    for n in range(50):
        (workers / f"{n + 1}-{n:016x}").touch()
    path.with_name("honed.db-lock").write_text("999999 gone.py".ljust(63) + "\n")
    with polling(path):
        end(start(folder, "quick", 4))
    assert list(workers.iterdir()) == []
    check(path, 4)


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
