"""Every storage runs the whole public suite; there is no list of exceptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from honed.clock import Clock
from honed.storage.memory import MemoryStorage
from honed.storage.sqlite import Durability, SQLiteStorage
from honed.testing.storage_suite import Opener, StorageSuite


def memory(_: Path) -> Opener:
    opened: list[MemoryStorage] = []

    def open_one(clock: Clock) -> MemoryStorage:
        opened.append(MemoryStorage(clock=clock, beside=opened[0] if opened else None))
        return opened[-1]

    return open_one


def sqlite(durability: Durability) -> Callable[[Path], Opener]:
    return lambda folder: lambda clock: SQLiteStorage(folder / "honed.db", durability=durability, clock=clock)


IMPLEMENTATIONS: dict[str, Callable[[Path], Opener]] = {
    "memory": memory,
    "sqlite-full": sqlite("full"),
    "sqlite-fast": sqlite("fast"),
}


class TestConformance(StorageSuite):
    @pytest.fixture(params=IMPLEMENTATIONS)
    def opener(self, request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
        return IMPLEMENTATIONS[request.param](tmp_path)
