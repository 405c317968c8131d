"""What only a server has: addresses, rights, owners on other machines, many who open it at once; whole studies."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from honed.domains import Categorical, Float
from honed.errors import (
    StorageDamaged,
    StorageError,
    StorageReadOnly,
    StorageTooNew,
    StudyNotFound,
)
from honed.records import Cause, Draft, Report, State, StudyRecord, TrialRecord, Update
from honed.storage.memory import MemoryStorage
from honed.storage.postgres import PostgresStorage
from honed.testing.storage_suite import ManualClock
from tests.storage.postgres_server import PASSWORD, Server, execute, free_port

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


# ------------------------------------------------------------------------------------------------------------ opening


def test_it_says_how_durable_it_is_so_that_worker_processes_open_it_alike(wiped: str, storage: PostgresStorage) -> None:
    fast = PostgresStorage(wiped, durability="fast")
    assert (storage.durability, fast.durability) == ("full", "fast")
    fast.close()


def test_what_is_wrong_with_an_address_is_said_in_one_line(postgres_server: Server) -> None:
    port = postgres_server.port
    for url, said, hint in (
        (
            postgres_server.url_of("postgres", password="wr0ng"),
            "password authentication failed",
            "user and the password",
        ),
        (postgres_server.url_of("missing"), 'database "missing" does not exist', "createdb"),
        (f"postgresql://ada:wr0ng@no-such-host.invalid:{port}/x", "no-such-host.invalid", "host's name"),
        (f"postgresql://ada:wr0ng@127.0.0.1:{free_port()}/x", "refused", "Is the server running"),
    ):
        with pytest.raises(StorageError) as caught:
            PostgresStorage(url, retry_seconds=0.2)
        message = str(caught.value)
        assert said in message, message
        assert hint in message, message
        assert "\n" not in message
        assert "wr0ng" not in message
        assert PASSWORD not in message


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"durability='none' is unknown"):
        PostgresStorage("postgresql://x/y", durability="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"retry_seconds=-1 must be 0 or more"):
        PostgresStorage("postgresql://x/y", retry_seconds=-1)
    with pytest.raises(StorageError, match=r"cannot be read as the URL"):
        PostgresStorage("postgresql://ada@host/db?sslmood=require")


def test_many_may_open_a_new_database_at_once(database: str) -> None:
    n = 32
    barrier = threading.Barrier(n)

    def open_one(i: int) -> tuple[int, bool]:
        barrier.wait()
        storage = PostgresStorage(database)
        record, is_new = storage.create_study(StudyRecord(name="storm"))
        storage.close()
        return record.id, is_new

    with ThreadPoolExecutor(n) as pool:
        answers = list(pool.map(open_one, range(n)))
    assert len({study for study, _ in answers}) == 1
    assert sorted(is_new for _, is_new in answers) == [False] * (n - 1) + [True]
    assert execute(database, "SELECT count(*) FROM honed.meta") == [(2,)]


def test_a_newer_schema_is_named_and_can_be_read(database: str) -> None:
    storage = PostgresStorage(database)
    study = new_study(storage)
    storage.close()
    execute(database, "UPDATE honed.meta SET value = '9' WHERE key = 'schema'")
    execute(database, "UPDATE honed.meta SET value = '1.6' WHERE key = 'honed'")
    with pytest.raises(
        StorageTooNew, match=r"written by honed 1\.6 \(schema 9\); this is .* \(schema 1\)\. Upgrade with: pip"
    ):
        PostgresStorage(database)
    reader = PostgresStorage(database, read_only=True)
    assert reader.read(study).revision == 0
    reader.close()


def test_workers_notice_that_the_tables_have_become_newer(database: str) -> None:
    storage = PostgresStorage(database)
    study = new_study(storage)
    execute(database, "UPDATE honed.meta SET value = '9' WHERE key = 'schema'")
    execute(database, "DROP FUNCTION honed.renew")
    storage.add(study, Draft(), worker="w")
    with pytest.raises(StorageTooNew, match=r"schema 9"):
        storage.renew(study, 0, 1)
    storage.close()


def test_a_schema_of_another_program_is_left_alone(database: str) -> None:
    execute(database, "CREATE SCHEMA honed CREATE TABLE knives (id int)")
    with pytest.raises(StorageDamaged, match=r"another program's \(tables: knives\). Nothing was changed"):
        PostgresStorage(database)


def test_rights_that_are_missing_are_named(postgres_server: Server, database: str) -> None:
    name = database.rpartition("/")[2]
    user = f"u{name}"
    execute(database, f"CREATE ROLE {user} LOGIN PASSWORD 'pw'")
    url = postgres_server.url_of(name, user, "pw")
    with pytest.raises(StorageError, match=rf'permission denied.*GRANT CREATE ON DATABASE .* TO "{user}"'):
        PostgresStorage(url)
    PostgresStorage(database).close()
    with pytest.raises(StorageError, match=rf'permission denied.*GRANT USAGE ON SCHEMA honed TO "{user}"') as caught:
        PostgresStorage(url)
    for grant in str(caught.value).partition("has made: ")[2].split("; "):
        execute(database, grant)
    execute(database, "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) FROM PUBLIC")
    storage = PostgresStorage(url)
    study = new_study(storage)
    storage.add(study, Draft(domains=LR, params={"lr": 0.1}), worker="w")
    storage.write(study, 0, 1, TOLD)
    assert storage.read(study).trials[0].state is State.COMPLETE
    assert storage.check() == []
    storage.close()
    execute(database, f"DROP OWNED BY {user}")
    execute(database, f"DROP ROLE {user}")


def test_read_only(wiped: str, database: str, storage: PostgresStorage) -> None:
    study = new_study(storage)
    reader = PostgresStorage(f"{wiped}?options=-c%20default_transaction_read_only%3Don", read_only=True)
    calls: list[Callable[[], object]] = [
        lambda: reader.create_study(StudyRecord(name="y")),
        lambda: reader.delete_study(study),
        lambda: reader.add(study, Draft(), worker="w"),
        lambda: reader.claim(study, 0, worker="w"),
        lambda: reader.renew(study, 0, 1),
        lambda: reader.write(study, 0, 1, TOLD),
        lambda: reader.write(study, None, 0, Update(attributes={"a": 1})),
        lambda: reader.restore(StudyRecord(name="z"), []),
    ]
    for call in calls:
        with pytest.raises(StorageReadOnly, match=r"opened with read_only=True"):
            call()
    storage.add(study, Draft(), worker="w")
    assert [trial.number for trial in reader.read(study).trials] == [0]
    assert reader.create_study(StudyRecord(name="x"))[1] is False
    reader.close()
    with pytest.raises(StorageError, match=r"has no studies yet; open it once without read_only=True"):
        PostgresStorage(database, read_only=True)
    with pytest.raises(StorageReadOnly, match=r"a standby, or set to read only"):
        PostgresStorage(f"{database}?options=-c%20default_transaction_read_only%3Don")


def test_a_server_without_a_free_connection_is_waited_for(postgres_server: Server, wiped: str) -> None:
    PostgresStorage(wiped).close()
    execute(wiped, "CREATE ROLE single LOGIN PASSWORD 'pw' CONNECTION LIMIT 1")
    url = postgres_server.url_of("shared", "single", "pw")
    execute(wiped, "GRANT USAGE ON SCHEMA honed TO single")
    execute(wiped, "GRANT SELECT ON ALL TABLES IN SCHEMA honed TO single")
    first = PostgresStorage(url, read_only=True)
    with pytest.raises(StorageError, match=r"no free connection.* for .*Each worker takes one: raise max_connections"):
        PostgresStorage(url, read_only=True, retry_seconds=1.1)
    timer = threading.Timer(0.5, first.close)
    timer.start()
    second = PostgresStorage(url, read_only=True)
    timer.join()
    second.close()
    execute(wiped, "DROP OWNED BY single")
    execute(wiped, "DROP ROLE single")


def test_a_closed_storage_says_so(wiped: str) -> None:
    storage = PostgresStorage(wiped)
    study = new_study(storage)
    storage.close()
    storage.close()
    with pytest.raises(StorageError, match=r"This storage is closed; open it again"):
        storage.read(study)


def test_what_a_database_cannot_keep_is_a_wrong_argument(storage: PostgresStorage) -> None:
    study = new_study(storage)
    with pytest.raises(ValueError, match=r"PostgreSQL cannot keep a value"):
        storage.add(study, Draft(checkpoint="a\0b"), worker="w")
    with pytest.raises(ValueError, match=r"PostgreSQL cannot keep a value"):
        storage.add(study, Draft(until=2**70), worker="w")
    assert (
        storage.add(study, Draft(params={"a\0": "b\0"}, domains={"a\0": Categorical(["b\0"])}), worker="w") is not None
    )
    assert storage.read(study).trials[0].domains == {"a\0": Categorical(["b\0"])}


# ------------------------------------------------------------------------------------------------------------- owners

HOLD = """
import sys, time
sys.path.insert(0, "src")
from honed.records import *
from honed.storage.postgres import PostgresStorage
storage = PostgresStorage(sys.argv[1])
storage.add(int(sys.argv[2]), Draft(), worker="victim")
print("ready", flush=True)
time.sleep(60)
"""


def test_a_killed_owner_on_this_machine_is_found_at_once(wiped: str, storage: PostgresStorage) -> None:
    study = new_study(storage)
    with subprocess.Popen([sys.executable, "-c", HOLD, wiped, str(study)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert storage.read(study).lost == ()
        assert storage.claim(study, 0, worker="heir") is None
        execute(wiped, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'honed'")
        assert storage.read(study).lost == (), "a connection says nothing about its worker"
        process.kill()
        process.wait()
        assert storage.read(study).lost == (0,)
        heir = storage.claim(study, 0, worker="heir")
        assert heir is not None
        assert heir.attempt == 2


def test_owners_on_other_machines_live_as_long_as_their_leases(wiped: str) -> None:
    clock = ManualClock()
    here, there = (PostgresStorage(wiped, clock=clock) for _ in range(2))
    study = new_study(here)
    for _ in range(2):
        there.add(study, Draft(), worker="far")
    execute(wiped, "UPDATE honed.owners SET host = 'another machine'")
    clock.sleep(59)
    there.renew(study, 1, 1)
    assert here.read(study).lost == ()
    clock.sleep(2)
    assert here.read(study).lost == (0,)
    assert here.claim(study, 1, worker="near") is None
    assert here.claim(study, 0, worker="near") is not None
    there.close()
    assert here.read(study).lost == (1,)
    assert here.claim(study, 1, worker="near") is not None
    here.close()


def test_the_servers_clock_is_what_leases_run_by(wiped: str, storage: PostgresStorage) -> None:
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")
    left = "SELECT deadline - extract(epoch FROM clock_timestamp())::float8 FROM honed.leases"
    assert 30 < execute(wiped, left)[0][0] <= 60
    execute(wiped, "UPDATE honed.leases SET deadline = deadline - 61")
    assert storage.read(study).lost == (0,)
    storage.renew(study, 0, 1)
    assert storage.read(study).lost == ()


def test_deletion_while_workers_run(wiped: str, storage: PostgresStorage) -> None:
    study, begun = new_study(storage), threading.Barrier(4)

    def work(i: int) -> str:
        mine = PostgresStorage(wiped)
        begun.wait()
        try:
            while True:
                trial = mine.add(study, Draft(params={"lr": i / 10}, domains={"lr": Float(0, i + 1)}), worker="w")
                assert trial is not None
                mine.write(study, trial.number, 1, Update(steps={0: {"value": 1.0}}, attributes={"a": 1}))
                mine.renew(study, trial.number, 1)
                mine.write(study, trial.number, 1, TOLD)
        except StudyNotFound as error:
            return str(error)
        finally:
            mine.close()

    with ThreadPoolExecutor(3) as pool:
        ends = [pool.submit(work, i) for i in range(3)]
        begun.wait()
        while storage.read(study).revision < 50:
            pass
        storage.delete_study(study)
        assert all("No study" in end.result(timeout=30) for end in ends)
    for table in ("studies", "counters", "trials", "reports", "leases", "domains"):
        assert execute(wiped, f"SELECT count(*) FROM honed.{table}") == [(0,)], table


def test_threads_share_one_object(storage: PostgresStorage) -> None:
    study = new_study(storage)

    def work(i: int) -> None:
        for _ in range(20):
            trial = storage.add(study, Draft(), worker=str(i))
            assert trial is not None
            storage.write(study, trial.number, 1, TOLD)
            storage.read(study)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    trials = storage.read(study).trials
    assert sorted(trial.number for trial in trials) == list(range(80))


# -------------------------------------------------------------------------------------------------- whole studies


def test_a_restored_study_is_what_it_was(storage: PostgresStorage) -> None:
    memory = MemoryStorage()
    study = memory.create_study(StudyRecord(name="x", directions=("minimize", "maximize"), metrics=("a", "b")))[0].id
    for i in range(3):
        memory.add(study, Draft(params={"lr": i / 10, "z": 2**80}, domains={**LR, "z": Float(0, i + 1)}), worker="w")
        memory.write(study, i, 1, Update(steps={2: {"a": float("nan")}, 1: {"b": 1e-17}}, note={"n": [i]}))
    memory.write(study, 0, 1, Update(state=State.PAUSED, checkpoint="c\u2028"))
    memory.write(study, 1, 1, Update(state=State.FAILED, cause=Cause.OOM, message="tab\t, \\N and\nnew line"))
    record = memory.studies()[0]
    delta = memory.read(study)
    trials = [
        trial.with_reports(tuple(report for report in delta.reports if report.number == trial.number))
        for trial in delta.trials
    ]
    restored = storage.restore(record, trials)
    assert replace(restored, id=0, revision=0) == replace(record, id=0, revision=0)
    found = storage.read(restored.id)
    key = lambda each: (each.number, getattr(each, "step", 0))  # noqa: E731
    assert sorted(found.trials, key=key) == sorted(delta.trials, key=key)
    shown = [
        [(each.number, each.step, str(dict(each.values))) for each in sorted(d.reports, key=key)]
        for d in (found, delta)
    ]
    assert shown[0] == shown[1]
    assert found.lost == (2,)
    assert storage.check() == []
    claimed = storage.claim(restored.id, 2, worker="heir")
    assert claimed is not None
    assert claimed.attempt == 2
    with pytest.raises(ValueError, match=r"has a study 'x' already; nothing was written"):
        storage.restore(record, trials)
    with pytest.raises(ValueError, match=r"numbered from 0 without gaps"):
        storage.restore(replace(record, name="y"), [trial for trial in trials if trial.number])


def test_ten_thousand_trials_are_restored_and_read_in_seconds(storage: PostgresStorage) -> None:
    trials = [
        TrialRecord(
            number=i,
            state=State.COMPLETE,
            params={"lr": 0.5},
            domains=LR,
            values=(float(i),),
            reports=tuple(Report(i, step, {"value": float(step)}) for step in range(3)),
        )
        for i in range(10_000)
    ]
    begin = time.monotonic()
    study = storage.restore(StudyRecord(name="large"), trials).id
    delta = storage.read(study)
    assert time.monotonic() - begin < 20
    assert (len(delta.trials), len(delta.reports), delta.revision) == (10_000, 30_000, 10_000)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM honed.counters", "study 'x' has no counters"),
        ("UPDATE honed.counters SET trials = 5", "study 'x' counts 5 trials, its rows are 2"),
        ("UPDATE honed.counters SET counted = 0", "study 'x' counts 0 trials that count, its rows are 2"),
        ("UPDATE honed.counters SET changed = 99", "study 'x' was changed at a revision that it never had"),
        (
            "UPDATE honed.trials SET number = 7 WHERE number = 1",
            "study 'x' has 1 trials whose numbers are outside of its 2",
        ),
        ("UPDATE honed.trials SET revision = 99 WHERE number = 1", "trial 1 has a revision that its study never had"),
        ("UPDATE honed.reports SET number = 9", "trial 9 has reports, but there is no such trial"),
        ("UPDATE honed.reports SET measured = 'x'", "trial 0: its report of step 1 cannot be read"),
        ("UPDATE honed.trials SET params = '{' WHERE number = 0", "trial 0 cannot be read"),
        ("DELETE FROM honed.domains", "trial 0 cannot be read, or names a domain that is not there"),
        ("DELETE FROM honed.leases", "trial 1 is running without a lease"),
        ("UPDATE honed.leases SET attempt = 4", "trial 1 has a lease, but is not running with its attempt"),
        ("UPDATE honed.trials SET told = NULL WHERE number = 0", "trial 0 is complete without values"),
        ("DELETE FROM honed.studies", "trials: 2 rows of study #1, which does not exist"),
    ],
)
def test_the_check_finds_what_is_wrong(damage: str, said: str, wiped: str, storage: PostgresStorage) -> None:
    study = new_study(storage)
    for _ in range(2):
        storage.add(study, Draft(params={"lr": 0.5}, domains=LR), worker="w")
    storage.write(study, 0, 1, Update(state=State.COMPLETE, values=(1.0,), steps={1: {"value": 1.0}}))
    assert storage.check() == []
    execute(wiped, damage)
    found = storage.check()
    assert any(said in line for line in found), found
