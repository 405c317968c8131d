"""Temporary directories in one folder, and who still needs them.

A slot is a directory in which a checkpoint is made, or to which one is moved before it is removed, beside a file that its
process keeps locked with ``flock``. The kernel gives the lock back when the process ends, however it ends, so what a
crashed process has left is known and removed by the next one:

* written under this boot of this machine: whoever gets the lock knows that the owner is dead;
* on a shared disk, from elsewhere, or where the file system has no locks: the lock may be free though the owner lives.
  Then it must also be a day old by the clock of the file system itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from honed.clock import boot_id

STALE_SECONDS = 24 * 3600.0
_LOCK = ".lock"
_TRIES = 100

_held: dict[str, int] = {}  # slot -> descriptor of its locked file, for all stores of this process


def make_folder(folder: Path) -> None:
    """A folder and those above it, while others remove them when they are empty.

    ``Path.mkdir(exist_ok=True)`` alone is not enough: what was there at its first look may be gone at its second.
    """
    for _ in range(_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:  # the folder above was removed in between
            continue
        except FileExistsError:
            if folder.exists():
                if folder.is_dir():
                    return
                raise  # a file bears this name
    folder.mkdir(parents=True, exist_ok=True)


def make_slot(folder: Path) -> Path:
    """A new empty directory in ``folder`` that is this process's own until it is released, or the process ends."""
    slot = reserve_slot(folder)
    try:
        slot.mkdir()
    except BaseException:
        release(slot)
        raise
    return slot


def reserve_slot(folder: Path) -> Path:
    """The name of a slot of this process, to which a directory will be moved."""
    make_folder(folder)
    for _ in range(_TRIES):
        slot = unowned_slot(folder)
        descriptor = os.open(_lock_of(slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if _lock(descriptor) is not False and _is_still(descriptor, _lock_of(slot)):
            _held[str(slot)] = descriptor
            return slot
        os.close(descriptor)  # a sweeper was at it in this very moment
    raise OSError(errno.ENOLCK, "new files cannot be locked", str(folder))


def unowned_slot(folder: Path) -> Path:
    """A name in ``folder`` for what is to be removed: whoever sweeps may do so."""
    return folder / f"{boot_id()}.{os.getpid()}.{secrets.token_hex(6)}"


def is_own(path: Path) -> bool:
    """Whether a path is a slot of this process."""
    return str(path) in _held


def release(slot: Path) -> None:
    """Gives a slot up and removes what is still in it."""
    shutil.rmtree(slot, ignore_errors=True)
    with contextlib.suppress(OSError):
        _lock_of(slot).unlink()
    descriptor = _held.pop(str(slot), None)
    if descriptor is not None:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes what dead processes have left in ``folder``."""
    for name in _names(folder):
        slot = folder / name
        if not is_own(slot):
            with contextlib.suppress(OSError):  # somebody else is sweeping too, or it is not ours to remove
                _sweep_one(folder, slot)


def _sweep_one(folder: Path, slot: Path) -> None:
    descriptor = os.open(_lock_of(slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        is_free = _lock(descriptor)
        if is_free is False:
            return
        is_certain = is_free and slot.name.startswith(f"{boot_id()}.")
        if is_certain or _seconds_since_change(folder, slot) > STALE_SECONDS:
            shutil.rmtree(slot, ignore_errors=True)
            if not slot.exists():
                _lock_of(slot).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _names(folder: Path) -> set[str]:
    try:
        return {name.removesuffix(_LOCK) for name in os.listdir(folder) if not name.startswith(".")}
    except FileNotFoundError:
        return set()


def _lock_of(slot: Path) -> Path:
    return slot.with_name(slot.name + _LOCK)


def _lock(descriptor: int) -> bool | None:
    """True when it is ours now, False when somebody has it, None on file systems without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno == errno.EACCES:  # so some network file systems say that somebody has it
            return False
        return None
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether that open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _seconds_since_change(folder: Path, slot: Path) -> float:
    """By the file system's own clock: machines that share a disk need not agree on the time."""
    probe = folder / f".now-{secrets.token_hex(6)}"
    probe.touch()
    try:
        now = probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
    return now - max(_times(slot), default=now)


def _times(slot: Path) -> Iterator[float]:
    for path in (_lock_of(slot), slot, *slot.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            yield path.lstat().st_mtime
