"""Who may write, and who is still alive: two uses of ``flock``.

The kernel gives a lock back when its process ends, however it ends: nothing here can be left behind by a crash.

* ``WriteLock`` is one file beside the storage. SQLite's own waiting lets a busy writer starve the others; this lock is
  polled for a moment and then waited for in the kernel's queue.
* ``Owners`` is a folder beside the storage with one file for each storage object that owns running trials, locked as
  long as it lives. Whoever gets a shared lock on such a file knows that its owner is dead, now.

A child process made by ``fork`` would hold its parent's locks, so every descriptor here is closed in the child.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sys
import threading
import weakref
from pathlib import Path

from honed.clock import SYSTEM_CLOCK
from honed.errors import StorageLocked

LOCK_SECONDS = 60.0
NAMED = "lease:"
"""How the token of an owner with a name begins: it has no file, and lives as long as its leases."""
_POLL_SECONDS = 0.25  # so long a lock is polled for; then a thread waits in the kernel's queue, which is fair
_FIRST_PAUSE, _LONGEST_PAUSE = (
    0.001,
    0.02,
)  # longer than a write: who has the lock may write some more, from warm caches
_HOLDER_BYTES = 64

_descriptors: set[int] = set()  # all that must not be shared with a forked child
_locks: weakref.WeakSet[WriteLock | Owners] = weakref.WeakSet()


def _start_anew() -> None:
    """Runs in a forked child: its parent's locks stay its parent's."""
    for descriptor in _descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()
    for lock in _locks:
        lock.forget()


os.register_at_fork(after_in_child=_start_anew)


def _open(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    _descriptors.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    if descriptor in _descriptors:  # else a fork has closed it
        _descriptors.discard(descriptor)
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    if descriptor in _descriptors:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _signature() -> bytes:
    name = Path(sys.argv[0]).name if sys.argv else ""
    text = f"{os.getpid()} {name or 'python'}".encode("utf-8", "replace")
    return text[: _HOLDER_BYTES - 1].ljust(_HOLDER_BYTES - 1) + b"\n"


class WriteLock:
    """One writer at a time, among all threads and processes of this machine.

    Args:
        path: the lock's own file.
        shown: how messages call the storage.
        seconds: the longest wait.
    """

    def __init__(self, path: Path, shown: str, seconds: float = LOCK_SECONDS) -> None:
        self._path = path
        self._shown = shown
        self._seconds = seconds
        self._mutex = threading.RLock()
        self._descriptor = -1
        self._signature = _signature()
        _locks.add(self)

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds the lock."""
        return bool(self._mutex._is_owned())  # type: ignore[attr-defined]  # what threading.Condition asks, too

    def acquire(self) -> None:
        """Waits for the lock.

        A thread that was interrupted between ``acquire`` and ``release`` (Ctrl-C) may acquire it again.

        Raises:
            StorageLocked: nobody gave it back in time.
        """
        if not self._mutex.acquire(timeout=self._seconds):
            raise StorageLocked(self._message())
        try:
            if self._descriptor < 0:
                self._descriptor = self._opened()
            if not _try_lock(self._descriptor) and not self._poll():
                self._queue()
            self._sign()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Gives the lock back; does nothing in a thread that does not hold it."""
        while self.is_mine:
            try:
                _unlock(self._descriptor)
            finally:
                self._mutex.release()

    def close(self) -> None:
        """Closes the lock's file."""
        with self._mutex:
            if self._descriptor >= 0:
                _close(self._descriptor)
                self._descriptor = -1

    def forget(self) -> None:
        """Starts anew in a forked child, where other threads and descriptors are gone."""
        self._mutex = threading.RLock()
        self._descriptor = -1
        self._signature = _signature()

    def _opened(self) -> int:
        try:
            return _open(self._path, os.O_RDWR | os.O_CREAT)
        except PermissionError:  # made by another user: it can be locked, but not signed
            return _open(self._path, os.O_RDONLY)

    def _poll(self) -> bool:
        pause, until = _FIRST_PAUSE, SYSTEM_CLOCK.monotonic() + min(_POLL_SECONDS, self._seconds)
        while SYSTEM_CLOCK.monotonic() < until:
            SYSTEM_CLOCK.sleep(pause)
            if _try_lock(self._descriptor):
                return True
            pause = min(1.5 * pause, _LONGEST_PAUSE)
        return False

    def _queue(self) -> None:
        """Waits in the kernel's queue, in a thread, because ``flock`` knows no time limit."""
        waiter = _Waiter(self._opened())
        try:
            waiter.start()
            got = waiter.wait(self._seconds)
        except BaseException:
            waiter.give_up()
            raise
        if not got:
            raise StorageLocked(self._message())
        _close(self._descriptor)
        self._descriptor = waiter.descriptor

    def _sign(self) -> None:
        """Writes who holds the lock, for the messages of those who wait."""
        if os.pread(self._descriptor, _HOLDER_BYTES, 0) != self._signature:
            with contextlib.suppress(OSError):  # no space, or a file of another user
                os.pwrite(self._descriptor, self._signature, 0)

    def _message(self) -> str:
        try:
            pid, _, name = self._path.read_text(errors="replace").strip().partition(" ")
            holder = f"held by pid {pid} ({name})" if pid else "held by another process"
        except OSError:
            holder = "held by another process"
        return (
            f"No write lock on {self._shown} for {self._seconds:g} s; {holder}. Nothing was written. "
            "See whether that process is stopped or hangs; when it ends, the lock is free at once."
        )


class _Waiter(threading.Thread):
    """Waits for one lock; the descriptor, locked, belongs to whoever asked, or is given back if that one gave up."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="honed-lock", daemon=True)
        self.descriptor = descriptor
        self._error: OSError | None = None
        self._decided = threading.Lock()
        self._done = threading.Event()
        self._given_up = False

    def run(self) -> None:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._decided:
            if self._given_up:
                _close(self.descriptor)
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Whether the lock was got in time; if not, it is given back as soon as it comes."""
        if not self._done.wait(seconds):
            self.give_up()
            return False
        if self._error is not None:
            raise self._error
        return True

    def give_up(self) -> None:
        """Lets the thread close the descriptor when its wait is over."""
        with self._decided:
            self._given_up = True
            if self._done.is_set():
                _close(self.descriptor)


class Owners:
    """Which storage objects of this machine are alive: each that owns trials holds a lock on its own file.

    Args:
        folder: where those files are; it is made when the first one is.
        may_clean: whether files of dead owners are removed.
        name: of this owner, who then has no file: whoever speaks for it may be another process tomorrow.
    """

    def __init__(self, folder: Path, *, may_clean: bool = True, name: str | None = None) -> None:
        self._folder = folder
        self._may_clean = may_clean
        self._name = name
        self._mutex = threading.RLock()  # a signal handler may come in between, and call again
        self._mine: tuple[str, int] | None = None
        self._others: dict[str, int] = {}
        self._dead: set[str] = set()
        _locks.add(self)

    def token(self) -> str:
        """The name of this object's own file, made and locked by the first call."""
        if self._name is not None:
            return NAMED + self._name
        with self._mutex:
            if self._mine is None:
                self._mine = self._made()
            return self._mine[0]

    def is_alive(self, token: str) -> bool:
        """Whether the owner of that file lives; one with a name does, until its leases run out."""
        if token.startswith(NAMED):
            return True
        with self._mutex:
            if self._mine is not None and self._mine[0] == token:
                return True
            if token in self._dead:
                return False
            descriptor = self._others.get(token, -1)
            try:
                if descriptor < 0:
                    descriptor = self._others[token] = _open(self._folder / token, os.O_RDONLY)
                if not _try_lock(descriptor, fcntl.LOCK_SH):
                    return True
            except FileNotFoundError:
                pass
            self._dead.add(token)
            self._others.pop(token, None)
            if descriptor >= 0:
                _close(descriptor)
            if self._may_clean:
                with contextlib.suppress(OSError):
                    (self._folder / token).unlink()
            return False

    def forget_others(self, needed: set[str]) -> None:
        """Closes the files of owners that hold nothing any more."""
        with self._mutex:
            for token in self._others.keys() - needed:
                _close(self._others.pop(token))

    def close(self) -> None:
        """Removes this object's file: what it owns counts as lost from now on."""
        with self._mutex:
            if self._mine is not None:
                token, descriptor = self._mine
                with contextlib.suppress(OSError):
                    (self._folder / token).unlink()
                _close(descriptor)
                self._mine = None
            while self._others:
                _close(self._others.popitem()[1])

    def forget(self) -> None:
        """Starts anew in a forked child: it owns nothing, its parent lives on."""
        self._mutex = threading.RLock()
        self._mine = None
        self._others = {}

    def _made(self) -> tuple[str, int]:
        self._folder.mkdir(exist_ok=True)
        self._sweep()
        while True:
            path = self._folder / f"{os.getpid()}-{secrets.token_hex(8)}"
            descriptor = _open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            if _try_lock(descriptor) and os.fstat(descriptor).st_nlink:  # else it was swept before it was locked
                return path.name, descriptor
            _close(descriptor)

    def _sweep(self) -> None:
        """Removes what killed owners have left."""
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                descriptor = _open(path, os.O_RDONLY)
                try:
                    if _try_lock(descriptor, fcntl.LOCK_SH):
                        path.unlink()
                finally:
                    _close(descriptor)
