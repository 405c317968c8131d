"""The tables of an SQLite storage, and how a file of an older honed becomes one of this.

``user_version`` counts the migrations that a file has had. Each is a function that runs in one transaction; a copy of
the file is made before the first. ``application_id`` says that a file is ours.

The tables: ``counters`` has what changes with every write of a study. ``trials`` and ``reports`` bear the study's
revision at their last change, with an index on it, so that a delta costs what has changed. ``leases`` has one row for
each RUNNING trial. Params, notes, attributes and values are JSON text, in which floats are exact and NaN is ``NaN``;
times are microseconds since 1970 in UTC; a trial's domains are ``domains.id``, in the order of its params.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from honed.errors import StorageDamaged, StorageError, StorageReadOnly, StorageTooNew

APPLICATION_ID = 0x686F6E65  # "hone"

_SCHEMA_1 = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE studies (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: workers of a deleted study must not find another
        name TEXT NOT NULL UNIQUE,
        directions TEXT NOT NULL,
        metrics TEXT NOT NULL,
        seed TEXT NOT NULL,                    -- may be larger than SQLite's integers
        summary TEXT NOT NULL,
        space TEXT,
        attributes TEXT,
        created INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE counters (
        study INTEGER PRIMARY KEY,
        revision INTEGER NOT NULL DEFAULT 0,
        changed INTEGER NOT NULL DEFAULT 0,    -- revision of the last change of the study itself
        trials INTEGER NOT NULL DEFAULT 0,     -- how many there are: the next number
        counted INTEGER NOT NULL DEFAULT 0     -- how many count for a limit
    )
    """,
    """
    CREATE TABLE domains (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        study INTEGER NOT NULL,
        name TEXT NOT NULL,
        domain TEXT NOT NULL,
        UNIQUE (study, name, domain)
    )
    """,
    """
    CREATE TABLE trials (
        id INTEGER PRIMARY KEY,                -- study * 2^32 + number
        study INTEGER NOT NULL,
        number INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        params TEXT NOT NULL,
        domains TEXT NOT NULL,
        told TEXT,                             -- the values
        until INTEGER,
        checkpoint TEXT,
        parent INTEGER,
        note TEXT,
        attributes TEXT,
        cause TEXT,
        message TEXT,
        worker TEXT,
        created INTEGER,
        started INTEGER,
        finished INTEGER
    )
    """,
    "CREATE INDEX trials_by_revision ON trials (study, revision)",
    """
    CREATE TABLE reports (
        study INTEGER NOT NULL,
        number INTEGER NOT NULL,
        step INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        measured TEXT NOT NULL,                -- metric -> value
        PRIMARY KEY (study, number, step)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX reports_by_revision ON reports (study, revision)",
    """
    CREATE TABLE owners (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        token TEXT NOT NULL,                   -- its file in the folder of workers
        boot TEXT NOT NULL                     -- deadlines are seconds since this boot of the machine
    )
    """,
    """
    CREATE TABLE leases (
        study INTEGER NOT NULL,
        number INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        deadline REAL NOT NULL,
        PRIMARY KEY (study, number)
    ) WITHOUT ROWID
    """,
)

Migration = Callable[[sqlite3.Connection], None]


def _schema_1(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA_1:
        connection.execute(statement)


MIGRATIONS: Sequence[Migration] = (_schema_1,)
"""Number n brings a file from schema n to n + 1."""


def check_readable(connection: sqlite3.Connection, shown: str, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """The schema of a file, 0 for an empty one.

    Raises:
        StorageDamaged: it is a database of another program.
        StorageReadOnly: its schema is older; only a writer can bring it up to date.
    """
    version = _version(connection, shown)
    if 0 < version < len(migrations):
        raise StorageReadOnly(
            f"{shown} has schema {version}, from an older honed; this is schema {len(migrations)}. "
            "Open it once for writing: it is copied, then brought up to date."
        )
    return version


def prepare(
    connection: sqlite3.Connection, path: Path, shown: str, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Makes the tables of a new file, or brings an older one up to date; the write lock must be held.

    Raises:
        StorageDamaged: it is a database of another program.
        StorageTooNew: a later honed has written it.
        StorageError: its file system knows no shared memory.
    """
    version = _version(connection, shown)
    if version > len(migrations):
        raise too_new(connection, shown, len(migrations))
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise StorageError(
            f"{shown}: SQLite's write-ahead log does not work here (journal mode {mode!r}): the file system has no "
            "shared memory. Use a path on a local disk."
        )
    if version == len(migrations):
        return
    if version > 0:
        _copy(connection, path.with_name(f"{path.name}.schema-{version}.backup"))
    for number in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            migrations[number](connection)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('honed', ?)", (honed_version(),))
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
    connection.execute(
        "PRAGMA wal_checkpoint(PASSIVE)"
    )  # the tables stand in the file itself, whatever befalls the log


def too_new(
    connection: sqlite3.Connection, shown: str, known: int = len(MIGRATIONS), *, can_read: bool = True
) -> StorageTooNew:
    """The error for a file of a later honed."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    try:
        writer = connection.execute("SELECT value FROM meta WHERE key = 'honed'").fetchone()[0]
    except (sqlite3.Error, TypeError):
        writer = "?"
    return newer(shown, writer, version, known, can_read=can_read)


def newer(shown: str, writer: str, version: int, known: int, *, can_read: bool) -> StorageTooNew:
    """The error for a storage that another version has written."""
    reading = " Reading still works: open it with read_only=True." if can_read else ""
    return StorageTooNew(
        f"{shown}: written by honed {writer} (schema {version}); this is {honed_version()} (schema {known}). "
        f"Upgrade with: pip install -U honed.{reading}"
    )


def _version(connection: sqlite3.Connection, shown: str) -> int:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application == APPLICATION_ID and tables and version > 0:
        return int(version)
    if not tables and not version and not application:
        return 0
    if {"studies", "trials", "alembic_version"} <= tables:
        what = "it is a storage of Optuna"
    else:
        what = f"it is an SQLite database of another program (tables: {', '.join(sorted(tables)[:5]) or 'none'})"
    raise StorageDamaged(f"{shown} is no honed storage: {what}. Nothing was changed; choose another file.")


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    copy = sqlite3.connect(path)
    try:
        connection.backup(copy)
    finally:
        copy.close()


def honed_version() -> str:
    """The version of this honed."""
    from importlib import metadata

    try:
        return metadata.version("honed")
    except metadata.PackageNotFoundError:  # run from a checkout
        return "unreleased"
