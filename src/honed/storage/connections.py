"""Connections to one SQLite file: snapshots for readers, one writer at a time, errors in honed's words.

A storage object has two connections, one for reading (opened read-only) and one for writing, each used by one thread
at a time. Every write transaction runs under the ``WriteLock``; so does the transfer of the write-ahead log into the
file, which SQLite would otherwise do at any commit (before 3.51.3 that could damage the file when two processes did it
at once).

A commit does not wait for the disk. A durable one does so after the lock has been given back, by syncing the log: so
the results told by several workers at once share one sync. Whoever reads such a result a moment earlier loses nothing:
a power loss takes back the end of the log only, and what that reader wrote stands behind it.

SQLite must not live through a fork: its connections are closed before one, and opened again when they are needed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import sqlite3
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from honed.clock import SYSTEM_CLOCK
from honed.errors import StorageDamaged, StorageError, StorageLocked, StorageReadOnly, StorageTooNew
from honed.storage import filesystem, schema
from honed.storage.base import Storage
from honed.storage.locks import LOCK_SECONDS, WriteLock

_WRITES_PER_CHECKPOINT = 256
_VERBS = frozenset(name for name in vars(Storage) if not name.startswith("_"))
_NO_SPACE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_NONSENSE = (TypeError, AttributeError, UnicodeDecodeError)  # what damaged contents lead to, where SQLite sees nothing
_EMPTY_WAITS, _EMPTY_WAIT_SECONDS = 40, 0.05  # a reader waits for the tables of a file that is just being made


class Connections:
    """The way to one file.

    Args:
        path: the file.
        shown: how messages call it.
        read_only: nothing is written or made.
        lock_seconds: the longest wait for the write lock.
    """

    def __init__(self, path: Path, shown: str, *, read_only: bool, lock_seconds: float = LOCK_SECONDS) -> None:
        self._path = path
        self._shown = shown
        self._read_only = read_only
        self._lock_seconds = lock_seconds
        self._lock = WriteLock(path.with_name(path.name + "-lock"), shown, lock_seconds)
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._wal: _File | None = None
        self._gates = (threading.RLock(), threading.RLock())  # for the reader and the writer
        self._is_closed = False
        self._writes_left = random.randrange(1, _WRITES_PER_CHECKPOINT)  # so that processes take turns
        self._was_full = False  # the last write found no space
        _all.add(self)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A snapshot of the file; waits for nobody."""
        try:
            with self._gates[0]:
                self._check_open()
                connection = self._reader or self._open_reader()
                self._clear_interrupted(connection)
                try:
                    connection.execute("BEGIN")
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    _roll_back(connection)
                    raise
                finally:
                    if connection is not self._reader:
                        connection.close()
        except (sqlite3.Error, *_NONSENSE, ValueError, KeyError) as error:
            raise self._newer() or self._translated(error) from error

    @contextlib.contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, the only one at its time: all of it is kept, or nothing.

        Args:
            durable: what it wrote, and all before it, survives a power loss.

        Raises:
            StorageLocked: the lock could not be had in time.
            StorageReadOnly: opened for reading, or the file cannot be written.
        """
        if self._read_only:
            raise StorageReadOnly(f"{self._shown} was opened with read_only=True; open it without, to write.")
        if self._lock.is_mine:
            self._check_not_nested()
        wal = None
        try:
            self._lock.acquire()
            with self._gates[1]:
                self._check_open()
                connection = self._writer or self._open_writer()
                self._clear_interrupted(connection)
                if self._was_full:  # little space is best used for the file: then the log begins anew where it lies
                    self._checkpoint(connection)
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    self._check_schema(connection)
                    yield connection
                    connection.execute("COMMIT")
                except BaseException as error:
                    self._was_full |= isinstance(error, sqlite3.Error) and _code(error) in _NO_SPACE
                    _roll_back(connection)
                    raise
                self._was_full = False
                if durable:
                    wal = self._wal = self._wal or self._open_wal()
                self._checkpoint_sometimes(connection)
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError) as error:  # an argument that SQLite cannot keep
            raise TypeError(str(error)) from error
        except (sqlite3.Error, *_NONSENSE) as error:
            raise self._translated(error) from error
        except OSError as error:
            raise self._trouble(error) from error
        finally:
            try:
                self._lock.release()
            finally:
                self._lock.release()  # if Ctrl-C came into the first; else it does nothing
        if wal is not None:
            self._sync(wal)

    def prepare(self) -> None:
        """Opens the file and makes what it lacks; to be called once, before all else."""
        if self._read_only:
            with self.reading():
                return
        with self.writing():
            pass

    def close(self) -> None:
        """Closes all files."""
        with self._gates[0], self._gates[1]:
            self._is_closed = True
            self._close_connections()
        self._lock.close()

    # ----------------------------------------------------------------------------------------------------- opening

    def _open_reader(self) -> sqlite3.Connection:
        try:
            self._reader = self._connect_reader("mode=ro")
            return self._reader
        except sqlite3.OperationalError as error:
            if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or self._has_log():
                raise
        # In a folder where this user may make no file SQLite reads only what it is told will not change. So it is told,
        # for this one time: whoever may write the file can do so before the next.
        return self._connect_reader("mode=ro&immutable=1")

    def _connect_reader(self, mode: str) -> sqlite3.Connection:
        waits = _EMPTY_WAITS if self._read_only else 0
        while True:
            connection = self._connect(mode)
            try:
                is_empty = schema.check_readable(connection, self._shown) == 0
            except BaseException:
                connection.close()
                raise
            if not is_empty:
                return connection
            connection.close()
            if waits <= 0:
                raise StorageDamaged(f"{self._shown} is no honed storage: it is empty.")
            waits -= 1
            SYSTEM_CLOCK.sleep(_EMPTY_WAIT_SECONDS)

    def _has_log(self) -> bool:
        log = self._path.with_name(self._path.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    def _open_writer(self) -> sqlite3.Connection:
        is_new = not self._path.exists()
        connection = self._connect("mode=rwc")
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            schema.prepare(connection, self._path, self._shown)
        except BaseException:
            connection.close()
            raise
        if is_new:
            filesystem.sync_folder(self._path.parent)
        self._writer = connection
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?{mode}",
            uri=True,
            isolation_level=None,
            timeout=self._lock_seconds,  # for programs that do not know our lock
            check_same_thread=False,
        )
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
        return connection

    def _open_wal(self) -> _File:
        wal = _File(self._path.with_name(self._path.name + "-wal"))
        filesystem.sync_folder(self._path.parent)
        return wal

    # ----------------------------------------------------------------------------------------------------- writing

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError("This storage is closed; open it again to use it.")

    def _clear_interrupted(self, connection: sqlite3.Connection) -> None:
        """Ends the transaction of a call that was interrupted just where it could not end it itself."""
        if connection.in_transaction:
            self._check_not_nested()
            _roll_back(connection)

    def _check_not_nested(self) -> None:
        """A signal handler may have interrupted a call of this very thread: then its own call cannot go on.

        Raises:
            StorageLocked: it has.
        """
        frame, n_calls = sys._getframe().f_back, 0
        while frame is not None:
            caller = frame.f_locals.get("self") if frame.f_code.co_name in _VERBS else None
            n_calls += getattr(caller, "_connections", None) is self
            frame = frame.f_back
        if n_calls > 1:
            raise StorageLocked(
                f"A call of {self._shown} was interrupted by another one in the same thread (a signal handler?); only set "
                "a flag there, and write after it."
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """A later honed may have brought the file up to date since it was opened."""
        if connection.execute("PRAGMA user_version").fetchone()[0] != len(schema.MIGRATIONS):
            raise schema.too_new(connection, self._shown)

    def _checkpoint_sometimes(self, connection: sqlite3.Connection) -> None:
        self._writes_left -= 1
        if self._writes_left <= 0:
            self._writes_left = _WRITES_PER_CHECKPOINT
            self._checkpoint(connection)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # no space, say: the log keeps it all
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _sync(self, wal: _File) -> None:
        try:
            wal.sync()
        except OSError as error:
            raise StorageError(
                f"{self._shown}: the last result was written, but the disk did not confirm it ({error.strerror}); "
                "a power loss may take it back."
            ) from error

    # ------------------------------------------------------------------------------------------------------ errors

    def _newer(self) -> StorageTooNew | None:
        """Why reading failed, if the file is of a later honed whose tables are others."""
        with contextlib.suppress(sqlite3.Error, TypeError):
            if self._reader is not None:
                version = self._reader.execute("PRAGMA user_version").fetchone()[0]
                if version > len(schema.MIGRATIONS):
                    return schema.too_new(self._reader, self._shown, can_read=False)
        return None

    def _translated(self, error: Exception) -> StorageError:
        shown, code = self._shown, _code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
            return StorageLocked(
                f"No access to {shown} for {self._lock_seconds:g} s; a program other than honed holds it (an SQLite "
                "shell with an open transaction, or a backup). Nothing was written."
            )
        if code in _NO_SPACE:
            return StorageError(
                f"{shown}: {error}. No space left, a quota reached, or a failing disk. The last change was not "
                "written, all before it is kept; free some space and go on."
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return StorageReadOnly(
                f"{shown} cannot be written or opened ({error}). Look at the permissions of the file, of its folder "
                f"and of {self._path.name}-wal; or use another path."
            )
        if code == sqlite3.SQLITE_NOTADB:
            return StorageDamaged(f"{shown} is no honed storage: {_kind_of_file(self._path)}. Nothing was changed.")
        if code == sqlite3.SQLITE_NOMEM:
            return StorageError(f"{shown}: out of memory.")
        return StorageDamaged(
            f"{shown} is damaged ({error}). Copy it before anything else; `sqlite3 {self._path.name} .recover` saves "
            "what can be read."
        )

    def _trouble(self, error: OSError) -> StorageError:
        name = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageError(
                f"{self._shown}: {name}. The last change was not written, all before it is kept; free some space "
                "and go on."
            )
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            return StorageError(f"{self._shown}: its file system has no locks ({name}). Use a path on a local disk.")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return StorageReadOnly(f"{self._shown} cannot be written: {name}: {error.filename}. Use another path.")
        return StorageError(f"{self._shown}: {name}: {error.filename}")

    # ------------------------------------------------------------------------------------------------------ forking

    def enter_fork(self, seconds: float) -> list[threading.RLock]:
        """Closes SQLite's files before a fork; returns the gates that stay shut until it is over."""
        shut = [gate for gate in self._gates if gate.acquire(timeout=seconds)]
        if len(shut) == len(self._gates) and not self._is_busy():
            self._close_connections()
        return shut

    def start_anew(self) -> None:
        """In the child: nothing of the parent's is used."""
        open_ones = (each for each in (self._reader, self._writer) if each is not None)
        _abandoned.extend(open_ones)  # the fork came amid a transaction; closing here would break the parent's locks
        self._reader = self._writer = self._wal = None
        self._gates = (threading.RLock(), threading.RLock())

    def _is_busy(self) -> bool:
        """Whether this very thread is inside a transaction (a signal handler forks)."""
        return any(each is not None and each.in_transaction for each in (self._reader, self._writer))

    def _close_connections(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = self._wal = None


class _File:
    """A descriptor that lives as long as someone uses it."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._descriptor)

    def sync(self) -> None:
        if sys.platform == "darwin":
            fcntl.fcntl(self._descriptor, fcntl.F_FULLFSYNC)  # fsync does not reach the disk there
        else:
            os.fdatasync(self._descriptor)


def _roll_back(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.rollback()


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for errors of Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _kind_of_file(path: Path) -> str:
    with path.open("rb") as file:  # no database, so SQLite has no locks on it that closing would lose
        begin = file.read(24)
    return f"it is no SQLite database (it begins with {begin!r})"


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_abandoned: list[sqlite3.Connection] = []
_forking = threading.RLock()
_shut: list[threading.RLock] = []
_FORK_SECONDS = 10.0


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_all):
        _shut.extend(connections.enter_fork(_FORK_SECONDS))


def _after_in_parent() -> None:
    while _shut:
        _shut.pop().release()
    _forking.release()


def _after_in_child() -> None:
    global _forking
    _shut.clear()
    _forking = threading.RLock()
    for connections in list(_all):
        connections.start_anew()


os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
