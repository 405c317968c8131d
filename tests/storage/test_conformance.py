"""Every storage runs the whole public suite; there is no list of exceptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from honed.clock import Clock
from honed.storage.http import HTTPStorage
from honed.storage.memory import MemoryStorage
from honed.storage.postgres import PostgresStorage
from honed.storage.sqlite import Durability, SQLiteStorage
from honed.testing.storage_suite import Opener, StorageSuite
from tests.storage.served import Movable, file_opener


def memory(_: Path) -> Opener:
    opened: list[MemoryStorage] = []

    def open_one(clock: Clock) -> MemoryStorage:
        opened.append(MemoryStorage(clock=clock, beside=opened[0] if opened else None))
        return opened[-1]

    return open_one


def sqlite(durability: Durability) -> Callable[[Path], Opener]:
    return lambda folder: lambda clock: SQLiteStorage(folder / "honed.db", durability=durability, clock=clock)


@pytest.fixture(scope="module")
def http() -> Iterator[Callable[[Path], Opener]]:
    """One server for all tests; each test has a file of its own behind it, and every call of its opener another client."""
    with Movable() as server:

        def opener(folder: Path) -> Opener:
            def open_one(clock: Clock) -> HTTPStorage:
                server.place = file_opener(folder / "honed.db", clock)
                return server.client()

            return open_one

        yield opener


def postgres(durability: Durability, url: str) -> Callable[[Path], Opener]:
    return lambda folder: lambda clock: PostgresStorage(url, durability=durability, clock=clock)


@pytest.fixture(name="postgres-full")
def postgres_full(wiped: str) -> Callable[[Path], Opener]:
    return postgres("full", wiped)


@pytest.fixture(name="postgres-fast")
def postgres_fast(wiped: str) -> Callable[[Path], Opener]:
    return postgres("fast", wiped)


IMPLEMENTATIONS: dict[str, Callable[[Path], Opener]] = {
    "memory": memory,
    "sqlite-full": sqlite("full"),
    "sqlite-fast": sqlite("fast"),
}
SERVED = ("http", "postgres-full", "postgres-fast")  # fixtures of this module that make openers


class TestConformance(StorageSuite):
    @pytest.fixture(params=[*IMPLEMENTATIONS, *SERVED])
    def opener(self, request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
        if request.param in SERVED:
            opener: Opener = request.getfixturevalue(request.param)(tmp_path)
            return opener
        return IMPLEMENTATIONS[request.param](tmp_path)
