"""Studies copied between storages are the same, number for number; backups are whole; a check finds what is wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honed.errors import HonedError, StaleLease, StorageError, StudyNotFound
from honed.records import Draft, State, StudyRecord, TrialRecord, Update
from honed.storage.base import Storage
from honed.storage.copying import Copied, backup, chosen, copy_studies, whole
from honed.storage.memory import MemoryStorage
from honed.storage.postgres import PostgresStorage
from honed.storage.sqlite import SQLiteStorage
from honed.testing.storage_suite import ManualClock
from tests.fixtures.make_storage import contents, fill
from tests.storage.served import Movable, file_opener
from tests.storage.test_state_machine import DRAFTS, UPDATES
from tests.storage.test_state_machine import plain as comparable

TOLD = Update(state=State.COMPLETE, values=(0.5,))


def without_revisions(storage: Storage) -> Any:
    """All that a storage holds and a copy keeps."""
    kept = []
    for record in storage.studies():
        study, trials = whole(storage, record.id)
        kept.append((replace(study, id=0, revision=0), sorted(trials, key=lambda trial: trial.number)))
    return comparable(kept)


@pytest.fixture(scope="module")
def http() -> Iterator[Movable]:
    with Movable() as server:
        yield server


Opened = Callable[[str, str], Any]


@pytest.fixture
def opened(http: Movable, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Opens a storage of that kind and name with everything that a storage can hold, or an empty one."""
    with ExitStack() as stack:

        def open_one(kind: str, name: str) -> Any:
            clock = ManualClock()
            path = tmp_path / f"{name}.db"
            if kind == "http":
                http.place = file_opener(path, clock)
                storage: Any = http.client()
            elif kind == "postgres":
                storage = PostgresStorage(request.getfixturevalue("wiped"), durability="fast", clock=clock)
            else:
                storage = MemoryStorage(clock=clock) if kind == "memory" else SQLiteStorage(path, clock=clock)
            stack.callback(storage.close)
            if name == "full":
                fill(storage, clock)
                storage.add(1, Draft(params={"lr": 0.5}), worker="runs")
                storage.write(1, 8, 1, Update(steps={5: {"loss": 0.25}}, note={"rung": 1}))
            return storage

        yield open_one
        http.app.state.desk.close()


WAYS = [(a, b) for a in ("memory", "sqlite", "http", "postgres") for b in ("memory", "sqlite", "postgres")]


@pytest.mark.parametrize(("source", "target"), [way for way in WAYS if way != ("postgres", "postgres")])
def test_everything_comes_along(source: str, target: str, opened: Opened) -> None:
    old, new = opened(source, "full"), opened(target, "empty")
    new.create_study(StudyRecord(name="was here before"))
    before = without_revisions(old)
    done = copy_studies(old, new, chosen(old))
    assert [(each.name, each.n_trials, each.n_reports, each.n_running, each.n_checkpoints) for each in done] == [
        ("größe", 9, 4, 2, 2),
        ("empty", 0, 0, 0, 0),
    ]
    assert without_revisions(new)[1:] == before
    assert without_revisions(old) == before
    if target != "memory":
        assert new.check() == []
    study = new.studies()[1]
    delta = new.read(study.id)
    assert delta.revision == study.revision
    assert delta.lost == (5, 8)
    assert [trial.number for trial in delta.trials] == [trial.number for trial in old.read(1).trials]
    assert delta.trials[0].domains is delta.trials[1].domains


def test_a_copy_goes_on_like_any_study(opened: Opened) -> None:
    old, new = opened("sqlite", "full"), opened("sqlite", "empty")
    copy_studies(old, new, chosen(old))
    claimed = new.claim(1, 8, worker="heir")
    assert (claimed.attempt, claimed.params) == (2, {"lr": 0.5})
    with pytest.raises(StaleLease):
        new.write(1, 8, 1, TOLD)
    new.write(1, 8, 2, TOLD)
    added = new.add(1, Draft(), worker="w", number=9, limit=8)
    assert added.number == 9
    assert new.add(1, Draft(), worker="w", limit=8) is None
    assert old.claim(1, 8, worker="w") is None  # the original is running still
    assert new.check() == []


def test_names_are_chosen_and_changed(opened: Opened) -> None:
    old, new = opened("sqlite", "full"), opened("memory", "empty")
    assert copy_studies(old, new, chosen(old, ["empty"])) == [Copied("empty", "empty", 0, 0, 0, 0)]
    with pytest.raises(
        ValueError, match=r"memory has a study 'empty' already; nothing was written.*--rename empty=OTHER"
    ):
        copy_studies(old, new, chosen(old))
    assert [study.name for study in new.studies()] == ["empty"]
    with pytest.raises(ValueError, match="has a study 'x' already"):
        copy_studies(old, new, chosen(old, renames={"empty": "x", "größe": "x"}))
    copy_studies(old, new, chosen(old, renames={"empty": "empty too"}))
    assert [study.name for study in new.studies()] == ["empty", "größe", "empty too"]
    with pytest.raises(StudyNotFound, match=r"No study 'emty' in .*full\.db. Did you mean 'empty'"):
        chosen(old, ["emty"])
    with pytest.raises(StudyNotFound):
        chosen(old, renames={"emty": "x"})
    with pytest.raises(ValueError, match="is not copied; add --study größe"):
        chosen(old, ["empty"], {"größe": "x"})


def test_a_server_takes_no_copies(opened: Opened) -> None:
    old, new = opened("memory", "full"), opened("http", "empty")
    with pytest.raises(StorageError, match=r"takes new trials, but no copies of old ones .* where `honed serve` runs"):
        copy_studies(old, new, chosen(old))


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_what_is_no_whole_study_is_refused(kind: str, opened: Opened) -> None:
    storage = opened(kind, "empty")
    trials = [TrialRecord(number=number, state=State.WAITING) for number in (0, 2)]
    with pytest.raises(ValueError, match="must be numbered from 0 without gaps; look at number 1"):
        storage.restore(StudyRecord(name="x"), trials)
    storage.restore(StudyRecord(name="x"), [])
    with pytest.raises(ValueError, match="has a study 'x' already"):
        storage.restore(StudyRecord(name="x"), [])
    assert [study.name for study in storage.studies()] == ["x"]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(DRAFTS, st.lists(UPDATES, max_size=3)), max_size=5))
def test_any_study_survives_two_copies(tmp_path_factory: pytest.TempPathFactory, calls: Any) -> None:
    folder = tmp_path_factory.mktemp("copy")
    memory, clock = MemoryStorage(), ManualClock()
    memory.create_study(StudyRecord(name="a", seed=2**65))
    for draft, updates in calls:
        for change in (lambda draft=draft: memory.add(1, draft, worker="w"), *(
            lambda update=update: memory.write(1, max(len(memory.read(1).trials) - 1, 0), 1, update) for update in updates
        )):  # fmt: skip
            try:
                change()
            except (HonedError, ValueError):
                continue
    with closing(SQLiteStorage(folder / "a.db", durability="fast", clock=clock)) as file:
        copy_studies(memory, file, chosen(memory))
        assert file.check() == []
        again = MemoryStorage()
        copy_studies(file, again, chosen(file))
        assert without_revisions(again) == without_revisions(file) == without_revisions(memory)


# ------------------------------------------------------------------------------------------------------------- backups


@pytest.mark.parametrize("kind", ["memory", "sqlite", "http", "postgres"])
def test_a_backup_of_any_storage_is_a_file_of_its_own(kind: str, opened: Opened, tmp_path: Path) -> None:
    storage = opened(kind, "full")
    path = tmp_path / "copies" / "backup.db"
    path.parent.mkdir()
    backup(storage, path)
    assert [each.name for each in path.parent.iterdir()] == ["backup.db"]
    with closing(SQLiteStorage(path)) as copied:
        assert without_revisions(copied) == without_revisions(storage)
        assert copied.read(1).lost == (5, 8)  # who runs them holds them in the original
        assert copied.check() == []
    with pytest.raises(ValueError, match=r"backup\.db is there already; name another file, or replace it with --force"):
        backup(storage, path)
    storage.add(1, Draft(), worker="w")
    backup(storage, path, force=True)
    with closing(SQLiteStorage(path)) as copied:
        assert len(copied.read(1).trials) == 10


def test_a_backup_while_a_writer_is_in_the_middle(opened: Opened, tmp_path: Path) -> None:
    storage = opened("sqlite", "full")
    before = contents(storage)
    with closing(sqlite3.connect(tmp_path / "full.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM trials")
        backup(storage, tmp_path / "backup.db")
        writer.execute("ROLLBACK")
    with closing(SQLiteStorage(tmp_path / "backup.db")) as copied:
        assert [study["trials"] for study in contents(copied)] == [study["trials"] for study in before]


def test_a_backup_never_lies_beside_the_log_of_another_file(opened: Opened, tmp_path: Path) -> None:
    storage = opened("sqlite", "full")
    with closing(SQLiteStorage(tmp_path / "other.db")) as other:
        other.create_study(StudyRecord(name="x"))
        with pytest.raises(
            StorageError, match=r"other\.db is in use, or was not closed \(other\.db-wal lies beside it\)"
        ):
            backup(storage, tmp_path / "other.db", force=True)
        assert [study.name for study in other.studies()] == ["x"]
    with pytest.raises(StorageError, match=r"the folder .*nowhere does not exist. Create it first: mkdir -p"):
        backup(storage, tmp_path / "nowhere" / "x.db")


# ------------------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE counters SET trials = 7 WHERE study = 1", ["study 'größe' counts 7 trials, its rows are 9"]),
        ("UPDATE counters SET counted = 1", ["study 'größe' counts 1 trials that count, its rows are 7",
                                             "study 'empty' counts 1 trials that count, its rows are 0"]),
        ("UPDATE counters SET revision = 14 WHERE study = 1",
         ["study 'größe', trial 8 has a revision that its study never had",
          "study 'größe', trial 8 has reports of a revision that its study never had",
          "study 'größe' was changed at a revision that it never had"]),
        ("DELETE FROM counters WHERE study = 2", ["study 'empty' has no counters"]),
        ("DELETE FROM trials WHERE number = 3", ["study 'größe' has 8 trials, but none with number 3",
                                                 "study 'größe' counts 9 trials, its rows are 8"]),
        ("DELETE FROM trials WHERE number = 1", ["study 'größe', trial 1 has reports, but there is no such trial"]),
        ("DELETE FROM leases WHERE number = 8",
         ["study 'größe', trial 8 is running without a lease: nobody would ever go on with it"]),
        ("UPDATE leases SET attempt = 4 WHERE number = 8",
         ["study 'größe', trial 8 has a lease, but is not running with its attempt"]),
        ("UPDATE trials SET id = 5 WHERE number = 0",
         ["study 'größe', trial 0 is stored under another number's key"]),
        ("INSERT INTO reports VALUES (1, 99, 0, 1, '{}')",
         ["study 'größe', trial 99 has reports, but there is no such trial"]),
        (("INSERT INTO trials SELECT 77, 9, number, revision, state, attempt, params, domains, told, until, checkpoint, "
         "parent, note, attributes, cause, message, worker, created, started, finished FROM trials WHERE number = 0"),
         ["trials: 1 rows of study #9, which does not exist"]),
        ("UPDATE trials SET params = '{' WHERE number = 4", ["study 'größe', trial 4 cannot be read"]),
        ("UPDATE trials SET state = 'asleep' WHERE number = 4", ["study 'größe', trial 4 cannot be read"]),
        ("UPDATE trials SET domains = '1,99' WHERE number = 4",
         ["study 'größe', trial 4 names a domain that is not there, or cannot be read"]),
        ("UPDATE domains SET domain = '[]' WHERE name = 'lr'", ["study 'größe': the domain of 'lr' cannot be read"]),
        ("UPDATE trials SET told = NULL WHERE number = 0",
         ["study 'größe', trial 0 is complete without values and without a cause"]),
        ("UPDATE reports SET measured = 'NaN, 3' WHERE number = 0 AND step = 1",
         ["study 'größe', trial 0: its report of step 1 cannot be read"]),
        ("UPDATE studies SET seed = 'x' WHERE id = 2", ["study 'empty' cannot be read"]),
        ("DROP TABLE leases", ["no such table: leases"]),
    ],
)  # fmt: skip
def test_a_check_names_what_is_wrong(damage: str, said: list[str], opened: Opened, tmp_path: Path) -> None:
    storage = opened("sqlite", "full")
    assert storage.check() == []
    with closing(sqlite3.connect(tmp_path / "full.db", isolation_level=None)) as file:
        file.execute(damage)
    found = storage.check()
    assert [line for line in said if line not in "\n".join(found)] == [], found


def test_a_check_finds_a_damaged_page(opened: Opened, tmp_path: Path) -> None:
    opened("sqlite", "full").close()
    path = tmp_path / "full.db"
    with closing(sqlite3.connect(path)) as file:
        page = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'trials_by_revision'").fetchone()[0]
        size = file.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(path.read_bytes())
    content[(page - 1) * size + 40 : page * size] = b"\xff" * (size - 40)
    path.write_bytes(content)
    with closing(SQLiteStorage(path, read_only=True)) as storage:
        assert any(line.startswith("pages: ") for line in storage.check())
