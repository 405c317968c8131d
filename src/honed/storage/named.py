"""An owner with a name: a client of ``honed serve``, in whose name one server process after the other speaks.

It has no lock on a file that would tell of its death, so its trials are held until their leases run out. And it knows which
of its calls were done: a client that lost the connection, or whose server was killed, asks again with the same number of
the call, and what the call did stands in the same transaction as the deed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

from honed.clock import boot_id

_LONG_AGO = -1.0  # a deadline before any boot


class NamedOwner:
    """One owner's row, leases and calls in an SQLite file.

    Args:
        token: what stands for it in the table of owners.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self._key = f"calls of {token}"
        self._current = threading.local()

    def find(self, connection: sqlite3.Connection) -> tuple[int | None, str]:
        """Its id, None when it has never held a trial, and the boot of the machine that its deadlines belong to."""
        sql = "SELECT id, boot FROM owners WHERE token = ? ORDER BY id DESC LIMIT 1"
        found: tuple[int, str] | None = connection.execute(sql, (self.token,)).fetchone()
        return (None, "") if found is None else found

    def go_on(self, connection: sqlite3.Connection, number: int, deadline: float) -> None:
        """Gives it new deadlines: the old ones are times before the machine was started again."""
        connection.execute("UPDATE owners SET boot = ? WHERE id = ?", (boot_id(), number))
        connection.execute("UPDATE leases SET deadline = ? WHERE owner = ?", (deadline, number))

    def give_up(self, connection: sqlite3.Connection) -> None:
        """Ends all its leases and forgets its calls."""
        sql = "UPDATE leases SET deadline = ? WHERE owner IN (SELECT id FROM owners WHERE token = ?)"
        connection.execute(sql, (_LONG_AGO, self.token))
        connection.execute("DELETE FROM meta WHERE key = ?", (self._key,))

    @contextlib.contextmanager
    def calling(self, number: int, oldest: int) -> Iterator[None]:
        """What this thread does inside is call ``number``; calls before ``oldest`` are not asked for again."""
        self._current.call = (number, oldest)
        try:
            yield
        finally:
            self._current.call = None

    def keep(self, connection: sqlite3.Connection, outcome: Any) -> None:
        """Notes what the current call has done."""
        call = getattr(self._current, "call", None)
        if call is None:
            return
        number, oldest = call
        known = {key: value for key, value in self._known(connection).items() if int(key) >= oldest}
        known[str(number)] = outcome
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (self._key, json.dumps(known)))

    def outcome(self, connection: sqlite3.Connection, number: int) -> Any:
        """What that call has done; None: nothing."""
        return self._known(connection).get(str(number))

    def _known(self, connection: sqlite3.Connection) -> dict[str, Any]:
        found = connection.execute("SELECT value FROM meta WHERE key = ?", (self._key,)).fetchone()
        known: dict[str, Any] = {} if found is None else json.loads(found[0])
        return known
