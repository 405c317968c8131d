"""Connections that break, servers that crash, processes that fork: every call is done once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from honed.domains import Float
from honed.errors import (
    StaleLease,
    StorageError,
    StorageLocked,
    StudyNotFound,
    TrialNotFound,
)
from honed.records import Cause, Draft, State, StudyRecord, TrialRecord, Update
from honed.storage.postgres import PostgresStorage
from tests.storage.cutting_proxy import CuttingProxy
from tests.storage.forks import CHILD_OUTLIVES_PARENT, forks_among_threads
from tests.storage.postgres_server import Server, execute, running

ROOT = Path(__file__).parents[2]
TOLD = Update(state=State.COMPLETE, values=(0.5,))
LR = {"lr": Float(0, 1)}


def new_study(storage: PostgresStorage) -> int:
    return storage.create_study(StudyRecord(name="x"))[0].id


@pytest.fixture
def storage(wiped: str) -> Iterator[PostgresStorage]:
    opened = PostgresStorage(wiped)
    yield opened
    opened.close()


# ------------------------------------------------------------------------------------------------- lost connections


class Cut:
    """A storage behind a proxy that cuts its line, and one beside it that sees what has happened."""

    def __init__(self, proxy: CuttingProxy, url: str) -> None:
        self.proxy = proxy
        self.storage = PostgresStorage(proxy.url, retry_seconds=30)
        self.watcher = PostgresStorage(url)
        self.study = new_study(self.storage)
        for _ in range(4):
            self.storage.add(self.study, Draft(params={"lr": 0.1}, domains=LR), worker="w")
        self.storage.write(self.study, 1, 1, Update(state=State.PAUSED, checkpoint="c"))
        self.storage.write(self.study, None, 0, Update(attributes={"n": 1}))
        self.storage.read(self.study)
        self.revision = self.watcher.read(self.study).revision

    def trial(self, number: int) -> TrialRecord:
        return next(trial for trial in self.watcher.read(self.study).trials if trial.number == number)

    def add(self) -> None:
        assert self.storage.add(self.study, Draft(), worker="w", number=4).number == 4  # type: ignore[union-attr]
        self.storage.write(self.study, 4, 1, Update(steps={1: {"value": 1.0}}))
        self.changed(2)
        assert len(self.watcher.read(self.study).trials) == 5

    def add_result(self) -> None:
        assert self.storage.add(self.study, Draft(state=State.COMPLETE, values=(1.0,)), worker="w") is not None
        self.changed(1)

    def claim(self) -> None:
        assert self.storage.claim(self.study, 1, worker="w").attempt == 2  # type: ignore[union-attr]
        self.storage.write(self.study, 1, 2, Update(attributes={"a": 1}))
        self.changed(2)

    def renew(self) -> None:
        self.storage.renew(self.study, 0, 1)
        self.changed(0)

    def report(self) -> None:
        self.storage.write(self.study, 0, 1, Update(steps={1: {"value": 1.0}}, note={"a": 1}))
        self.changed(1)

    def tell(self) -> None:
        self.storage.write(self.study, 0, 1, TOLD)
        assert self.trial(0).state is State.COMPLETE
        self.changed(1)

    def give_back(self) -> None:
        self.storage.write(self.study, 0, 1, Update(state=State.WAITING))
        assert self.trial(0).state is State.WAITING
        self.changed(1)

    def change_study(self) -> None:
        self.storage.write(self.study, None, 0, Update(attributes={"n": 2, "m": 3}))
        assert self.watcher.read(self.study).study.attributes == {"n": 2, "m": 3}  # type: ignore[union-attr]
        self.changed(1)

    def read(self) -> None:
        assert len(self.storage.read(self.study).trials) == 4

    def studies(self) -> None:
        assert [record.name for record in self.storage.studies()] == ["x"]

    def create_study(self) -> None:
        _, is_new = self.storage.create_study(StudyRecord(name="y"))
        assert (is_new, [each.name for each in self.watcher.studies()]) == (True, ["x", "y"])

    def delete_study(self) -> None:
        self.storage.delete_study(self.study)
        assert self.watcher.studies() == ()
        with pytest.raises(StudyNotFound):
            self.storage.delete_study(self.study)

    def restore(self) -> None:
        record = self.storage.restore(StudyRecord(name="y"), [TrialRecord(number=0, state=State.WAITING)])
        assert len(self.watcher.read(record.id).trials) == 1

    def changed(self, n: int) -> None:
        assert self.watcher.read(self.study).revision == self.revision + n


VERBS = [name for name in vars(Cut) if not name.startswith("_") and name not in ("trial", "changed")]


@pytest.fixture
def cut(postgres_server: Server, wiped: str) -> Iterator[Cut]:
    proxy = CuttingProxy(wiped, postgres_server.port)
    made = Cut(proxy, wiped)
    yield made
    made.storage.close()
    made.watcher.close()
    proxy.close()


@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_done_once_when_the_line_is_cut(verb: str, what: str, cut: Cut) -> None:
    cut.proxy.cut_next(what)
    getattr(cut, verb)()
    assert cut.proxy.n_cut == 1
    assert cut.storage.check() == []


def test_the_answer_to_a_write_is_lost_and_another_worker_goes_on(cut: Cut) -> None:
    """The commit is in, the trial is somebody else's when the call is sent again: it has succeeded all the same."""
    heir = PostgresStorage(cut.watcher.url)
    cut.proxy.cut_next("answer")
    cut.proxy.on_cut = lambda: heir.claim(cut.study, 0, worker="heir")
    cut.storage.write(cut.study, 0, 1, Update(state=State.PAUSED, checkpoint="c"))
    assert (cut.trial(0).state, cut.trial(0).attempt, cut.trial(0).worker) == (State.RUNNING, 2, "heir")
    with pytest.raises(StaleLease):
        cut.storage.write(cut.study, 0, 1, TOLD)
    heir.close()


def test_connections_are_ended_all_the_time(wiped: str, storage: PostgresStorage) -> None:
    study, n, stop = new_study(storage), 40, threading.Event()

    def end_them() -> None:
        sql = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'honed' AND pid <> pg_backend_pid() AND random() < 0.5"
        )
        while not stop.wait(0.05):
            execute(wiped, sql)

    def work(name: str) -> None:
        mine = PostgresStorage(wiped)
        for i in range(n):
            trial = mine.add(study, Draft(params={"lr": 0.1}, domains=LR), worker=name)
            assert trial is not None
            mine.write(study, trial.number, 1, Update(steps={i: {"value": 1.0}}))
            mine.write(study, trial.number, 1, TOLD)
            assert mine.read(study).lost == ()
        mine.close()

    killer = threading.Thread(target=end_them)
    killer.start()
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, ["a", "b", "c"]))
    finally:
        stop.set()
        killer.join()
    delta = storage.read(study)
    assert sorted(trial.number for trial in delta.trials) == list(range(3 * n))
    assert {trial.state for trial in delta.trials} == {State.COMPLETE}
    assert len(delta.reports) == 3 * n
    assert delta.revision == 3 * 3 * n
    assert storage.check() == []


def test_a_pooler_that_knows_no_prepared_statements(storage: PostgresStorage) -> None:
    study = new_study(storage)
    for _ in range(3):
        for _ in range(7):  # psycopg prepares at the fifth time
            assert storage.add(study, Draft(), worker="w") is not None
        storage._server.ask("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    assert len(storage.read(study).trials) == 21


def test_ctrl_c_in_a_call_that_waits(wiped: str, storage: PostgresStorage) -> None:
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")
    with psycopg.connect(wiped) as blocker:
        blocker.execute("SELECT FROM honed.counters FOR UPDATE")

        def interrupt() -> None:
            while execute(wiped, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
                pass
            os.kill(os.getpid(), signal.SIGINT)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            storage.write(study, 0, 1, TOLD)
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert storage.read(study).trials[0].state is State.RUNNING
    storage.write(study, 0, 1, TOLD)
    assert storage.read(study).trials[0].state is State.COMPLETE


def test_a_signal_handler_that_calls_in_the_midst_of_a_call_is_told_so(wiped: str, storage: PostgresStorage) -> None:
    study, said = new_study(storage), list[str]()
    storage.add(study, Draft(), worker="w")
    with psycopg.connect(wiped) as blocker:
        blocker.execute("SELECT FROM honed.counters FOR UPDATE")

        def handle(*_: object) -> None:
            with pytest.raises(StorageLocked) as caught:
                storage.read(study)
            said.append(str(caught.value))
            blocker.rollback()

        def send() -> None:
            while execute(wiped, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
                pass
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, handle)
        thread = threading.Thread(target=send)
        thread.start()
        storage.write(study, 0, 1, TOLD)
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(said) == 1
    assert "only set a flag there" in said[0]
    assert storage.read(study).trials[0].state is State.COMPLETE


def test_a_server_that_stays_away_is_an_error_in_the_end() -> None:
    with running() as server:
        storage = PostgresStorage(server.url, retry_seconds=1.0)
        study = new_study(storage)
        server.stop()
        with pytest.raises(StorageError, match=r"cannot be reached for \d s.*Is the server running"):
            storage.read(study)
        storage.close()


# ------------------------------------------------------------------------------------------------- crash of the server


def test_a_crash_takes_back_what_nobody_waited_for_and_nobody_is_misled() -> None:
    with running(wal_writer_delay="10000") as server:
        worker, other = (PostgresStorage(server.url, retry_seconds=60) for _ in range(2))
        study = new_study(worker)
        for _ in range(2):
            worker.add(study, Draft(params={"lr": 0.1}, domains=LR), worker="w")
        worker.write(study, 0, 1, TOLD)  # on disk, with all before it
        worker.add(study, Draft(params={"lr": 0.2}, domains=LR), worker="w")
        worker.write(study, 1, 1, Update(note={"a": 1}))
        seen = other.read(study)
        assert len(seen.trials) == 3
        server.kill()
        server.start()
        again = other.add(study, Draft(params={"lr": 0.3}, domains=LR), worker="another", number=2)
        assert again is not None, "the third trial was not lost: this test shows nothing"
        after = other.read(study, seen.revision)
        assert {trial.number for trial in after.trials} == {0, 1, 2}
        by_number = {trial.number: trial for trial in after.trials}
        assert by_number[0].state is State.COMPLETE
        assert by_number[1].note == {}
        assert by_number[2].worker == "another"
        assert after.revision > seen.revision
        with pytest.raises(StaleLease):  # the same number and attempt, but another's
            worker.write(study, 2, 1, TOLD)
        with pytest.raises(StaleLease):
            worker.renew(study, 2, 1)
        assert worker.check() == []
        worker.close()
        other.close()


def test_the_numbers_of_lost_trials_are_not_given_to_others_under_the_eyes_of_who_saw_them() -> None:
    with running(wal_writer_delay="10000") as server:
        worker, other = (PostgresStorage(server.url, retry_seconds=60) for _ in range(2))
        study = new_study(worker)
        worker.add(study, Draft(state=State.COMPLETE, values=(1.0,)), worker="w")
        worker.add(study, Draft(), worker="w")
        worker.add(study, Draft(), worker="w")
        revision = other.read(study).revision
        server.kill()
        server.start()
        delta = other.read(study, revision)
        assert [(trial.number, trial.state, trial.cause) for trial in delta.trials] == [
            (0, State.COMPLETE, None),
            (1, State.FAILED, Cause.LOST),
            (2, State.FAILED, Cause.LOST),
        ]
        for number in (1, 2):
            with pytest.raises(StaleLease):
                worker.write(study, number, 1, TOLD)
        with pytest.raises(TrialNotFound):
            worker.write(study, 3, 1, TOLD)
        assert other.add(study, Draft(), worker="w", number=3) is not None
        assert worker.check() == []
        worker.close()
        other.close()


# ------------------------------------------------------------------------------------------------------------ forking

FORKS = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)  # forks among threads are what is tested
sys.path.insert(0, "src")
from honed.records import *
from honed.storage.postgres import PostgresStorage
storage = PostgresStorage(sys.argv[1])
study = int(sys.argv[2])
def cycle():
    trial = storage.add(study, Draft(), worker=str(os.getpid()))
    storage.write(study, trial.number, 1, Update(state=State.COMPLETE, values=(1.0,)))
"""

CHILDREN_WORK = """
cycle()
held = storage.add(study, Draft(), worker="parent")
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        for _ in range(10):
            cycle()
        storage.close()
        os._exit(0)
    children.append(pid)
    cycle()
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
assert storage.read(study).lost == (), "a child's end is not its parent's"
storage.write(study, held.number, 1, Update(state=State.COMPLETE, values=(1.0,)))
storage.close()
"""

FORKS_AMONG_THREADS = forks_among_threads(2, 10)


def start(code: str, url: str, study: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", FORKS + code, url, str(study)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("code", [CHILDREN_WORK, FORKS_AMONG_THREADS], ids=["children", "threads"])
def test_forked_children_use_connections_of_their_own(code: str, wiped: str, storage: PostgresStorage) -> None:
    study = new_study(storage)
    with start(code, wiped, study) as process:
        assert process.wait(60) == 0
    delta = storage.read(study)
    assert {trial.state for trial in delta.trials} == {State.COMPLETE}
    assert sorted(trial.number for trial in delta.trials) == list(range(len(delta.trials)))
    assert storage.check() == []


def test_a_child_that_outlives_its_parent_keeps_neither_trial_nor_connection(
    wiped: str, storage: PostgresStorage
) -> None:
    study = new_study(storage)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'honed'"
    before = execute(wiped, count)
    with start(CHILD_OUTLIVES_PARENT, wiped, study) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert storage.read(study).lost == ()
        process.kill()
        process.wait()
        assert storage.read(study).lost == (0,)
        deadline = time.monotonic() + 20
        while execute(wiped, count) != before:
            assert time.monotonic() < deadline, "the child holds its parent's connection"
        os.killpg(process.pid, signal.SIGKILL)
