"""PostgreSQL's errors in honed's words: one line, without passwords, with what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from honed.errors import HonedError, StorageError, StorageReadOnly
from honed.optional import require

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", "postgres")

_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", "08001", "08004", "25P03"})
_REPEATABLE = frozenset({"40001", "40P01"})  # rolled back for the sake of another transaction
_STALE_STATEMENT = frozenset({"26000", "42P05"})  # a pooler has given us another connection
_MISSING = frozenset({"42P01", "3F000", "42883"})
_FULL = ("too many clients", "remaining connection slots", "too many connections", "no more connections allowed")
_STARTING = (
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting connections",
    "not accepting connections",
)
_REFUSED = ("Connection refused", "No such file or directory")
_USELESS = ("authentication failed", "pg_hba.conf", "does not exist", "no password supplied", "not permitted to log in")


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same call may work on another connection, or a little later."""
    state = error.sqlstate
    if state is None:  # the line is cut, or there was none
        return isinstance(error, psycopg.OperationalError) and not any(text in str(error) for text in _USELESS)
    return state in _LOST or state in _REPEATABLE or state in _STALE_STATEMENT or is_full(error)


def is_stale_statement(error: psycopg.Error) -> bool:
    """Whether a pooler between us and the server does not know our prepared statements."""
    return error.sqlstate in _STALE_STATEMENT


def is_missing(error: psycopg.Error) -> bool:
    """Whether a table or function of ours is not there."""
    return error.sqlstate in _MISSING


def is_full(error: psycopg.Error) -> bool:
    """Whether the server has no connection left."""
    return error.sqlstate == "53300" or any(text in str(error) for text in _FULL)


def is_starting(error: psycopg.Error) -> bool:
    """Whether the server will be there in a moment."""
    return error.sqlstate == "57P03" or any(text in str(error) for text in _STARTING)


def is_refused(error: psycopg.Error) -> bool:
    """Whether nothing listens at that address, as it is while a server is started again."""
    return _is_refused(str(error))


def _is_refused(text: str) -> bool:
    return any(part in text for part in _REFUSED)


def one_line(error: psycopg.Error, password: str | None) -> str:
    """What the server, or the way to it, said."""
    primary = error.diag.message_primary or str(error)
    lines = [line.strip() for line in primary.splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = re.sub(r"^(connection failed: |connection to server )+", "", text)
    return text.replace(password, "***") if password else text


def no_connection(error: psycopg.Error, shown: str, seconds: float, password: str | None) -> StorageError:
    """The error for a server that cannot be reached, or not any more."""
    said = one_line(error, password)
    waited = f" for {seconds:.0f} s" if seconds >= 1 else ""
    if is_full(error):
        return StorageError(
            f"{shown} has had no free connection{waited} ({said}). Each worker takes one: raise max_connections in "
            "postgresql.conf, put PgBouncer in front, or start fewer workers."
        )
    return StorageError(f"{shown} cannot be reached{waited}: {said}. {_hint(str(error))}")


def _hint(text: str) -> str:
    if "authentication failed" in text or "no password supplied" in text:
        return "Look at the user and the password; characters such as @ : / in a password are written %40 %3A %2F."
    if "pg_hba.conf" in text:
        return "The server lets no such user in from this machine: add a line to its pg_hba.conf."
    if "database" in text and "does not exist" in text:
        return "Make the database first: createdb NAME."
    if "role" in text and "does not exist" in text:
        return "Make the user first: createuser NAME."
    if "translate host name" in text or "resolve" in text:
        return "Look at the host's name."
    if _is_refused(text):
        return "Is the server running, and does it listen on that host and port?"
    return "Is the server running, and the network up?"


def translated(error: psycopg.Error, shown: str, user: str, password: str | None) -> Exception:
    """The error for what a server refuses for good."""
    state, said = error.sqlstate or "", one_line(error, password)
    if state == "42501":
        return forbidden(shown, user, said)
    if state == "25006":
        return StorageReadOnly(f"{shown} cannot be written ({said}): it is a standby, or set to read only.")
    if is_missing(error):
        return StorageError(f"{shown}: the tables of honed are not what they were ({said}). Has somebody changed them?")
    if state == "53100":
        return StorageError(f"{shown}: the server's disk is full ({said}). Free some space and go on; nothing is lost.")
    if state.startswith("22") or isinstance(error, psycopg.DataError):
        return ValueError(f"PostgreSQL cannot keep a value of this call: {said}")
    return StorageError(f"{shown}: PostgreSQL said: {said}" + (f" ({state})" if state else ""))


def forbidden(shown: str, user: str, said: str) -> HonedError:
    """The error for a user who may not do what a storage does."""
    name = '"' + user.replace('"', '""') + '"'
    return StorageError(
        f"{shown}: {said}. To make the tables, the user needs GRANT CREATE ON DATABASE ... TO {name}; to use those that "
        f"another user has made: GRANT USAGE ON SCHEMA honed TO {name}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES "
        f"IN SCHEMA honed TO {name}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA honed TO {name}"
    )
