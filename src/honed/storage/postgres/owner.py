"""Who holds running trials: this storage object, and which of the others live.

Each storage object that owns trials holds a lock on its own file, in a folder of this machine, as beside an SQLite file. The
table of owners names the file and the folder; whoever sees the same folder on the same boot of the machine asks the lock.
Owners elsewhere live as long as their leases. A connection says nothing: it may break while its worker trains on.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from honed.clock import SYSTEM_CLOCK, boot_id
from honed.errors import StorageError
from honed.storage.locks import Owners
from honed.storage.postgres.connection import Connection

_TOUCH_SECONDS = 3600.0  # programs that clean /tmp remove files that nobody has touched for days


class Owner:
    """This storage object among the owners.

    Args:
        connection: where the table of owners is.
        read_only: it will never own a trial.
    """

    def __init__(self, connection: Connection, *, read_only: bool) -> None:
        self._connection = connection
        self._folder = Path(tempfile.gettempdir()) / f"honed-workers-{os.getuid()}"
        self._owners = Owners(self._folder, may_clean=not read_only)
        self._read_only = read_only
        self._mine: tuple[str, int] = ("", 0)  # token and id
        self._pid = 0  # of the process that they belong to: a fork copies this object
        self._touched = 0.0
        self._host = ""
        self._dead: set[int] = set()

    @property
    def host(self) -> str:
        """Names the folder of workers and the boot of its machine."""
        if not self._host:
            self._host = self._identity()
        return self._host

    def id(self) -> int:
        """This object's id; the first call, and the first after a fork, makes its file and its row."""
        self._check_folder()
        token = self._owners.token()
        if self._mine[0] != token:
            sql = "SELECT honed.enter(%(token)s, %(host)s)"
            number = self._connection.ask(sql, {"token": token, "host": self.host})[0][0]
            self._mine, self._touched, self._pid = (token, number), SYSTEM_CLOCK.monotonic(), os.getpid()
        return self._mine[1]

    def forget(self) -> None:
        """Makes the next call of ``id`` write the row again: the server may have lost it."""
        self._mine = ("", 0)

    def touch(self) -> None:
        """Keeps this object's file from those who clean up, once an hour."""
        token, number = self._mine
        if number and SYSTEM_CLOCK.monotonic() - self._touched > _TOUCH_SECONDS:
            self._touched = SYSTEM_CLOCK.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self._folder / token)

    def is_dead(self, owner: int, token: str, host: str) -> bool:
        """Whether that owner is known to be dead, whatever its lease says."""
        if owner in self._dead:
            return True
        if host != self.host or self._owners.is_alive(token):
            return False
        self._dead.add(owner)
        return True

    def forget_others(self, needed: set[str]) -> None:
        """Closes the files of owners that hold nothing any more."""
        self._owners.forget_others(needed)

    def close(self) -> None:
        """Gives up all trials: they are lost from now on, for everybody."""
        number = self._mine[1]
        if number and self._pid == os.getpid():
            self._connection.try_once("DELETE FROM honed.owners WHERE id = %(owner)s", {"owner": number})
        self._mine = ("", 0)
        self._owners.close()

    def _check_folder(self) -> None:
        """Makes the folder of workers, if this object has no file in it yet."""
        if self._mine[1] and self._pid == os.getpid():
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._host = self._identity()

    def _identity(self) -> str:
        try:
            found = os.stat(self._folder, follow_symlinks=False)
        except FileNotFoundError:  # nobody here owns anything
            return ""
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise StorageError(
                f"{self._folder} belongs to somebody else; it is where workers show that they live. Remove it, or set TMPDIR."
            )
        return f"{boot_id()}:{found.st_dev}:{found.st_ino}"
