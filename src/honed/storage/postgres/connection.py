"""One connection to a PostgreSQL server, which outlives restarts of it: every statement is asked again until it is answered.

A statement whose connection breaks may have been done or not. Whoever sends one that must not be done twice puts a stamp
into it, and looks for the stamp when it is asked ``again``.

A connection must not live in two processes: a forked child puts its copy of the socket away without a word to the server.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from honed.clock import SYSTEM_CLOCK
from honed.errors import StorageError, StorageLocked
from honed.optional import require
from honed.storage.hiding import hidden
from honed.storage.postgres import messages

if TYPE_CHECKING:
    import psycopg
    from psycopg import conninfo, pq
    from psycopg.types.numeric import Int8Dumper
else:
    psycopg = require("psycopg", "postgres")
    conninfo = require("psycopg.conninfo", "postgres")
    pq = require("psycopg.pq", "postgres")
    Int8Dumper = require("psycopg.types.numeric", "postgres").Int8Dumper

Answer = TypeVar("Answer")
Row = tuple[Any, ...]

RETRY_SECONDS = 300.0
_FIRST_SECONDS = 3.0  # a server that refuses the very first connection may be about to start; a wrong port is told soon
_PAUSES = (0.02, 2.0)  # the first and the longest, before the dice are thrown
_OLDEST = 120_000  # procedures that commit, INSERT ... ON CONFLICT, and all else that is needed
_WAYS = {  # a server that has vanished is noticed within half a minute
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "honed",
    "client_encoding": "utf8",
}


class Connection:
    """The way to one database.

    Args:
        url: ``postgresql://user:password@host:port/database``, or what else libpq understands.
        retry_seconds: how long a lost connection is looked for again.
        begin: called with each new connection before it is used.
    """

    def __init__(self, url: str, retry_seconds: float, begin: Callable[[psycopg.Connection], None]) -> None:
        self.shown = hidden(url)
        self._ways = _ways(url, self.shown)
        self._retry_seconds = retry_seconds
        self._begin = begin
        self._gate = threading.RLock()
        self._connection: psycopg.Connection | None = None
        self._can_prepare = True
        self._was_there = False
        self._is_closed = False
        self._is_busy = False
        _all.add(self)

    def ask(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows that one statement answers with; ``%(again)s`` is true when it may have been done before."""
        return self.work(lambda connection, again: _rows(connection, sql, values, again))

    def work(self, task: Callable[[psycopg.Connection, bool], Answer]) -> Answer:
        """What ``task(connection, again)`` returns; it is called again on a new connection when that breaks.

        Raises:
            StorageError: no connection could be had for ``retry_seconds``, or the server refuses.
        """
        since, again, pause, is_looked_up = SYSTEM_CLOCK.monotonic(), False, _PAUSES[0], False
        while True:
            begun = False
            try:
                with self._gate, self._entered():
                    connection = self._opened()
                    begun = True
                    with self._whole():
                        return task(connection, again)
            except psycopg.Error as error:
                again = again or begun
                waited = SYSTEM_CLOCK.monotonic() - since
                if messages.is_stale_statement(error):
                    self._can_prepare = False
                if messages.is_missing(error) and not is_looked_up:  # a new connection looks at the schema
                    is_looked_up = True
                elif not self._may_go_on(error, waited, begun=begun):
                    raise self._final(error, waited) from error
            SYSTEM_CLOCK.sleep(min(pause * random.uniform(0.5, 1.5), max(self._retry_seconds - waited, 0.01)))
            pause = min(2 * pause, _PAUSES[1])

    def close(self) -> None:
        """Closes it; the next call raises ``StorageError``."""
        with self._gate:
            self._is_closed = True
            self._drop()

    def try_once(self, sql: str, values: Mapping[str, Any]) -> None:
        """Sends one statement if there is a connection, and does not care when it fails."""
        with self._gate, contextlib.suppress(psycopg.Error):
            if self._connection is not None and not self._is_busy:
                with self._whole():
                    _rows(self._connection, sql, values, False)

    def forget(self) -> None:
        """In a forked child: the connection is its parent's."""
        if self._connection is not None:
            _abandon(self._connection)
        self._connection = None
        self._is_busy = False
        self._gate = threading.RLock()

    # ----------------------------------------------------------------------------------------------------- opening

    def _opened(self) -> psycopg.Connection:
        if self._is_closed:
            raise StorageError("This storage is closed; open it again to use it.")
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = psycopg.connect(autocommit=True, **self._ways)  # type: ignore[arg-type]  # all are strings
        self._was_there = True
        try:
            if connection.info.server_version < _OLDEST:
                raise StorageError(f"{self.shown}: honed needs PostgreSQL 12 or later, this is {_version(connection)}.")
            # One type for all integers, so that each statement is prepared once.
            connection.adapters.register_dumper(int, Int8Dumper)
            if not self._can_prepare:
                connection.prepare_threshold = None
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """A signal handler may have interrupted a call of this very thread, which holds the gate: it must not wait."""
        if self._is_busy:
            raise StorageLocked(
                f"A call of {self.shown} was interrupted by another one in the same thread (a signal handler?); only set "
                "a flag there, and write after it."
            )
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """A connection on which something went wrong is not used again: an answer may still be under way."""
        try:
            yield
        except psycopg.Error as error:
            if error.sqlstate is None or messages.is_passing(error) or messages.is_missing(error):
                self._drop()
            raise
        except BaseException:  # Ctrl-C in the midst of an answer, or an error of ours
            if self._connection is not None and self._connection.info.transaction_status != pq.TransactionStatus.IDLE:
                self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _may_go_on(self, error: psycopg.Error, waited: float, *, begun: bool) -> bool:
        if not messages.is_passing(error):
            return False
        if begun or self._was_there or messages.is_full(error) or messages.is_starting(error):
            return waited < self._retry_seconds
        return messages.is_refused(error) and waited < min(_FIRST_SECONDS, self._retry_seconds)

    def _final(self, error: psycopg.Error, waited: float) -> Exception:
        password = self._ways.get("password")
        if messages.is_passing(error) or (error.sqlstate is None and isinstance(error, psycopg.OperationalError)):
            return messages.no_connection(error, self.shown, waited, password)
        return messages.translated(error, self.shown, self._user(), password)

    def _user(self) -> str:
        return self._ways.get("user") or (self._connection.info.user if self._connection is not None else "USER")


def _rows(connection: psycopg.Connection, sql: str, values: Mapping[str, Any] | None, again: bool) -> list[Row]:
    cursor = connection.execute(sql, None if values is None else {**values, "again": again})
    return cursor.fetchall() if cursor.description is not None else []


def _ways(url: str, shown: str) -> dict[str, str]:
    """What libpq is told: the URL's settings over ours."""
    kind, separator, rest = url.partition("://")
    try:
        given = conninfo.conninfo_to_dict(f"{kind.partition('+')[0]}{separator}{rest}")
        if not all(port.isdecimal() for port in str(given.get("port") or "0").split(",") if port):
            raise psycopg.ProgrammingError("the port is no number")
    except psycopg.Error:  # its message may show a piece of the password
        raise StorageError(
            f"storage={shown!r} cannot be read as the URL of a PostgreSQL database. It looks like "
            "postgresql://user:password@host:5432/database; characters such as @ : / % in a password are written %40 %3A %2F %25."
        ) from None
    return {**_WAYS, **{name: str(value) for name, value in given.items() if value is not None}}


def _version(connection: psycopg.Connection) -> str:
    return connection.info.parameter_status("server_version") or "unknown"


# ------------------------------------------------------------------------------------------------------------- forking

_all: weakref.WeakSet[Connection] = weakref.WeakSet()
_abandoned: list[psycopg.Connection] = []


def _abandon(connection: psycopg.Connection) -> None:
    """Takes the socket away from libpq, which would say good-bye to the server in its parent's name."""
    _abandoned.append(connection)
    with contextlib.suppress(OSError, psycopg.Error):
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nothing, connection.fileno(), inheritable=False)
        os.close(nothing)


def _after_in_child() -> None:
    for connection in list(_all):
        connection.forget()


def _at_exit() -> None:
    for connection in list(_all):
        connection.close()


os.register_at_fork(after_in_child=_after_in_child)
atexit.register(_at_exit)
