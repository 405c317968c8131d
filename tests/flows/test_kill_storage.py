"""``kill -9`` in a loop: what was told is there, once; what was running can be had at once."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from honed.errors import StorageLocked
from honed.records import State, StudyRecord, Update
from honed.storage.sqlite import SQLiteStorage
from tests.flows.storage_workers import add_one, hold_write_lock, processes, work_until_killed


def kill_in_a_loop(folder: Path, seconds: float, n_workers: int = 4) -> None:
    """Ends one of some workers every few hundredths of a second, without warning, and starts another."""
    context = processes()

    def start(i: int):
        log = folder / "logs" / f"{i}.log"
        process = context.Process(target=work_until_killed, args=(folder / "honed.db", log), daemon=True)
        process.start()
        return process

    (folder / "logs").mkdir()
    workers = [start(i) for i in range(n_workers)]
    until = time.monotonic() + seconds
    for i in range(n_workers, 10**6):
        time.sleep(random.uniform(0.02, 0.15))
        victim = workers.pop(random.randrange(n_workers))
        assert victim.exitcode is None, f"a worker ended by itself: {victim.exitcode}"
        victim.kill()
        victim.join()
        if time.monotonic() > until:
            break
        workers.append(start(i))
    for worker in workers:
        worker.kill()
        worker.join()


def check(folder: Path) -> None:
    path = folder / "honed.db"
    storage = SQLiteStorage(path)
    study = storage.create_study(StudyRecord(name="killed"))[0].id
    delta = storage.read(study)
    trials = {trial.number: trial for trial in delta.trials}
    assert sorted(trials) == list(range(len(trials)))
    assert any(trial.attempt > 2 for trial in trials.values()), "no trial of a killed worker was taken over"

    logged = [line.split() for log in (folder / "logs").iterdir() for line in log.read_text().splitlines()]
    told = [(int(number), int(attempt), float(value)) for kind, number, attempt, value in logged if kind == "told"]
    assert len(told) == len(logged)
    assert len({number for number, _, _ in told}) == len(told), "a result was told twice"
    assert len(told) > 50
    for number, attempt, value in told:
        trial = trials[number]
        assert (trial.state, trial.attempt, trial.values) == (State.COMPLETE, attempt, (value,))

    running = tuple(sorted(n for n, trial in trials.items() if trial.state is State.RUNNING))
    assert delta.lost == running
    for number in running:
        claimed = storage.claim(study, number, worker="heir")
        assert claimed is not None
        assert claimed.attempt == trials[number].attempt + 1
    assert storage.read(study).lost == ()
    assert add_one(storage, study).number == len(trials)
    storage.close()
    assert list(folder.glob("honed.db-workers/*")) == []
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counted = connection.execute("SELECT count(*) FROM trials WHERE state != 'failed'").fetchone()
    assert connection.execute("SELECT counted FROM counters").fetchone() == counted
    connection.close()


def test_no_told_result_is_lost_by_kill_9(tmp_path: Path) -> None:
    kill_in_a_loop(tmp_path, seconds=12)
    check(tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_no_told_result_is_lost_by_kill_9_for_five_minutes(tmp_path: Path) -> None:
    kill_in_a_loop(tmp_path, seconds=300, n_workers=8)
    check(tmp_path)


# An interrupt may fall into a finalizer, where Python can only print it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_instant_leaves_a_storage_that_goes_on(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db", durability="fast", lock_seconds=5)
    study = storage.create_study(StudyRecord(name="x"))[0].id

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGVTALRM, interrupt)
    n_interrupts = 0
    try:
        while n_interrupts < 250:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, random.uniform(1e-5, 2e-3), 0.1)  # again, if lost so
                while True:
                    number = add_one(storage, study).number
                    storage.write(study, number, 1, Update(state=State.COMPLETE, values=(1.0,)))
                    storage.read(study, 10**9)
            except KeyboardInterrupt:
                n_interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    trials = storage.read(study).trials
    assert sorted(trial.number for trial in trials) == list(range(len(trials)))
    assert add_one(storage, study).number == len(trials)
    other = SQLiteStorage(tmp_path / "honed.db", lock_seconds=1)
    assert add_one(other, study).number == len(trials) + 1
    other.close()
    storage.close()


def test_the_lock_of_a_killed_holder_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    storage = SQLiteStorage(path, lock_seconds=0.5)
    study = storage.create_study(StudyRecord(name="x"))[0].id
    context = processes()
    held = context.Event()
    holder = context.Process(target=hold_write_lock, args=(path, held), daemon=True)
    holder.start()
    assert held.wait(20)
    with pytest.raises(StorageLocked, match=rf"honed\.db for 0\.5 s; held by pid {holder.pid} "):
        add_one(storage, study)
    assert storage.read(study).trials == ()  # readers do not wait
    holder.kill()
    holder.join()
    start = time.monotonic()
    add_one(storage, study)
    assert time.monotonic() - start < 1
    storage.close()
