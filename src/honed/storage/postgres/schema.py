"""How a database of an older honed, or one without any, gets the tables of this.

All of ours lives in the schema ``honed`` (PostgreSQL's word for a namespace). ``honed.meta`` counts the migrations that it
has had; each is a function that runs in one transaction, under a lock that all who open the database at once wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from honed.errors import StorageDamaged, StorageError, StorageReadOnly
from honed.optional import require
from honed.storage.schema import honed_version, newer

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", "postgres")

_LOCK = 0x686F6E6564  # "honed"; any number will do that no other program uses

Migration = Callable[["psycopg.Connection"], None]


def _schema_1(connection: psycopg.Connection) -> None:
    text = resources.files("honed.storage.postgres").joinpath("schema_1.sql").read_text(encoding="utf-8")
    connection.execute(text.encode())  # bytes: psycopg's types want it that way where SQL is no literal


MIGRATIONS: Sequence[Migration] = (_schema_1,)
"""Number n brings a database from schema n to n + 1."""


def prepare(connection: psycopg.Connection, shown: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Makes the tables where there are none, or brings older ones up to date.

    Raises:
        StorageTooNew: a later honed has written them.
        StorageDamaged: the schema is another program's.
    """
    while True:
        version = _version(connection, shown)
        if version > len(migrations):
            raise newer(shown, _writer(connection), version, len(migrations), can_read=True)
        if version == len(migrations):
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if _version(connection, shown) != version:
                continue  # somebody else did it meanwhile
            if version == 0:
                connection.execute("SET LOCAL client_min_messages = warning")
                connection.execute("CREATE SCHEMA IF NOT EXISTS honed")
            migrations[version](connection)
            sql = "INSERT INTO honed.meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            for entry in (("schema", str(version + 1)), ("honed", honed_version())):
                connection.execute(sql, entry)


def check_readable(connection: psycopg.Connection, shown: str) -> None:
    """Whether there is something to read.

    Raises:
        StorageError: there are no tables yet.
        StorageReadOnly: they are older; only a writer can bring them up to date.
    """
    version = _version(connection, shown)
    if version == 0:
        raise StorageError(f"{shown} has no studies yet; open it once without read_only=True to make the tables.")
    if version < len(MIGRATIONS):
        raise StorageReadOnly(
            f"{shown} has schema {version}, from an older honed; this is schema {len(MIGRATIONS)}. "
            "Open it once for writing: it is brought up to date."
        )


def too_new_to_read(connection: psycopg.Connection, shown: str) -> Exception | None:
    """Why reading failed, if the tables are of a later honed."""
    version = _version(connection, shown)
    if version <= len(MIGRATIONS):
        return None
    return newer(shown, _writer(connection), version, len(MIGRATIONS), can_read=False)


def _version(connection: psycopg.Connection, shown: str) -> int:
    sql = (
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'honed' AND c.relkind IN ('r', 'p', 'v')"
    )
    tables = {name for (name,) in connection.execute(sql).fetchall()}
    if not tables:
        return 0
    if not {"meta", "counters", "pulse"} <= tables:
        listed = ", ".join(sorted(tables)[:5])
        raise StorageDamaged(
            f"{shown} has a schema named honed that is another program's (tables: {listed}). Nothing was changed; choose "
            "another database."
        )
    found = connection.execute("SELECT value FROM honed.meta WHERE key = 'schema'").fetchone()
    if found is None or not found[0].isdecimal():
        raise StorageDamaged(f"{shown}: the table honed.meta does not say which schema this is.")
    return int(found[0])


def _writer(connection: psycopg.Connection) -> str:
    found = connection.execute("SELECT value FROM honed.meta WHERE key = 'honed'").fetchone()
    return "?" if found is None else str(found[0])
