"""One PostgreSQL server for all tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.storage.postgres_server import Server, execute, new_database, running, wipe


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The server, started by the first test that asks for it."""
    with running() as server:
        yield server


@pytest.fixture
def database(postgres_server: Server) -> Iterator[str]:
    """The URL of an empty database."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def _shared_database(postgres_server: Server) -> str:
    execute(postgres_server.url, "CREATE DATABASE shared")
    return postgres_server.url_of("shared")


@pytest.fixture
def wiped(_shared_database: str) -> str:
    """The URL of a database without studies: quicker than an empty one."""
    wipe(_shared_database)
    return _shared_database
