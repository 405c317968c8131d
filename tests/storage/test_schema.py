"""Files of other versions, of other programs, and no files at all."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from honed.errors import StorageDamaged, StorageError, StorageReadOnly, StorageTooNew
from honed.records import Draft, StudyRecord
from honed.storage import schema
from honed.storage.sqlite import SQLiteStorage
from honed.testing.storage_suite import ManualClock
from tests.fixtures.make_storage import FOLDER, contents, fill

RELEASED = sorted(FOLDER.glob("schema-*.db"))


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def new_file(path: Path) -> int:
    storage = SQLiteStorage(path)
    study = storage.create_study(StudyRecord(name="x"))[0].id
    storage.add(study, Draft(), worker="w")
    storage.close()
    return study


def test_there_is_a_file_of_every_schema() -> None:
    assert [path.stem for path in RELEASED] == [f"schema-{i + 1}" for i in range(len(schema.MIGRATIONS))]


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_every_schema_opens_with_all_it_has(released: Path, read_only: bool, tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    shutil.copy(released, path)
    if read_only and released != RELEASED[-1]:
        SQLiteStorage(path).close()  # brings it up to date
    storage = SQLiteStorage(path, read_only=read_only)
    wanted = json.loads(released.with_suffix(".json").read_text())
    assert json.dumps(contents(storage)) == json.dumps(wanted)
    if not read_only:
        assert storage.claim(1, 5, worker="w") is not None
    storage.close()


def test_the_last_file_is_as_this_version_writes_it(tmp_path: Path) -> None:
    clock = ManualClock()
    storage = SQLiteStorage(tmp_path / "honed.db", clock=clock)
    fill(storage, clock)
    storage.close()
    files = [sqlite3.connect(path) for path in (tmp_path / "honed.db", RELEASED[-1])]
    tables, released = ([*file.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")] for file in files)
    for file in files:
        file.close()
    assert tables == released


def test_a_newer_file_is_refused_and_can_still_be_read(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    study = new_file(path)
    change(
        path,
        "PRAGMA user_version = 9",
        "UPDATE meta SET value = '1.6.0' WHERE key = 'honed'",
        "ALTER TABLE trials ADD COLUMN mood TEXT",
    )
    with pytest.raises(
        StorageTooNew, match=r"honed\.db: written by honed 1\.6\.0 \(schema 9\); this is .*pip install -U"
    ):
        SQLiteStorage(path)
    reader = SQLiteStorage(path, read_only=True)
    assert len(reader.read(study).trials) == 1
    reader.close()
    change(path, "ALTER TABLE trials RENAME COLUMN params TO parameters")
    with pytest.raises(StorageTooNew, match="schema 9"), closing(SQLiteStorage(path, read_only=True)) as reader:
        reader.read(study)


def test_a_file_that_a_later_honed_migrates_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    study = new_file(path)
    storage = SQLiteStorage(path)
    change(path, "PRAGMA user_version = 9")
    with pytest.raises(StorageTooNew):
        storage.add(study, Draft(), worker="w")
    assert len(storage.read(study).trials) == 1
    storage.close()


def migrated(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE trials ADD COLUMN mood TEXT DEFAULT 'good'")


def broken(connection: sqlite3.Connection) -> None:
    migrated(connection)
    connection.execute("UPDATE trials SET nonsense = 1")


def migrate(path: Path, *steps: Callable[[sqlite3.Connection], None]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        schema.prepare(connection, path, path.name, [*schema.MIGRATIONS, *steps])
    finally:
        connection.close()


def test_an_older_file_is_copied_and_then_migrated(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    new_file(path)
    migrate(path, migrated)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT mood FROM trials").fetchall() == [("good",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS) + 1,)
    connection.close()
    backup = SQLiteStorage(tmp_path / f"honed.db.schema-{len(schema.MIGRATIONS)}.backup")
    assert len(backup.read(1).trials) == 1
    backup.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    new_file(path)
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        migrate(path, broken)
    storage = SQLiteStorage(path)
    assert len(storage.read(1).trials) == 1
    storage.close()


def test_an_older_file_cannot_be_migrated_by_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    new_file(path)
    connection = sqlite3.connect(path)
    with pytest.raises(StorageReadOnly, match="Open it once for writing"):
        schema.check_readable(connection, "honed.db", [*schema.MIGRATIONS, migrated])
    connection.close()


def text_file(path: Path) -> None:
    path.write_text("epoch,loss\n1,0.5\n" * 100)


def optuna_file(path: Path) -> None:
    change(path, *(f"CREATE TABLE {name} (x)" for name in ("studies", "trials", "alembic_version")))


def other_database(path: Path) -> None:
    change(path, "CREATE TABLE customers (x)")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text_file, r"mine\.db is no honed storage: it is no SQLite database \(it begins with b'epoch,loss"),
        (optuna_file, "it is a storage of Optuna"),
        (other_database, r"another program \(tables: customers\)"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_files_that_are_no_storage_are_named_and_left_alone(
    make: Callable[[Path], None], said: str, read_only: bool, tmp_path: Path
) -> None:
    path = tmp_path / "mine.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StorageDamaged, match=said):
        SQLiteStorage(path, read_only=read_only)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_storage(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    path.touch()
    new_file(path)
    assert path.stat().st_size > 0


def test_an_empty_file_has_nothing_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.storage.connections._EMPTY_WAITS", 2)
    path = tmp_path / "honed.db"
    path.touch()
    with pytest.raises(StorageDamaged, match="it is empty"):
        SQLiteStorage(path, read_only=True)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trials SET params = '{'",
        "UPDATE trials SET state = 'asleep'",
        "UPDATE trials SET domains = '99'",
        "UPDATE trials SET told = X'00'",
        "UPDATE trials SET created = 'noon'",
        "UPDATE leases SET deadline = 'soon'",
        "UPDATE counters SET revision = 'many'",
        "INSERT INTO reports VALUES (1, 0, 0, 1, 'NaN, 3')",
        "UPDATE studies SET seed = 'x'",
        "DROP TABLE reports",
    ],
)
def test_damaged_contents_are_reported_as_such(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    study = new_file(path)
    change(path, damage)
    storage = SQLiteStorage(path)
    with pytest.raises(StorageDamaged):
        storage.read(study)
    storage.close()


def test_no_shared_memory_is_said(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(StorageError, match="local disk"):
        schema.prepare(connection, tmp_path / "honed.db", "honed.db")
    connection.close()
