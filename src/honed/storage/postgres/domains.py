"""The table of domains in PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from honed.optional import require
from honed.storage.rules import from_json, to_json

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", "postgres")


class PostgresDomains:
    """The table of domains of a database; each new one is a transaction of its own, so that its id is known for good."""

    def stored(self, connection: psycopg.Connection, study: int, name: str, domain: str) -> tuple[int, bool]:
        """The id of a domain; 0 where the study is gone."""
        shown = to_json(name)
        digest = hashlib.sha256(f"{shown} {domain}".encode()).hexdigest()
        found = connection.execute("SELECT honed.domain(%s, %s, %s, %s)", (study, digest, shown, domain)).fetchone()
        number = None if found is None else found[0]
        return (0, False) if number is None else (number, True)

    def listed(self, connection: psycopg.Connection, study: int, least: int) -> Iterable[tuple[int, str, str]]:
        """Id, name and domain of all with at least that id."""
        sql = "SELECT id, name, domain FROM honed.domains WHERE study = %s AND id >= %s"
        for number, name, domain in connection.execute(sql, (study, least)).fetchall():
            yield number, from_json(name), domain
