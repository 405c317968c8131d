"""What a user may write where a storage is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.errors import StorageError
from honed.records import StudyRecord
from honed.storage.hiding import hidden
from honed.storage.http import HTTPStorage
from honed.storage.memory import MemoryStorage
from honed.storage.postgres import PostgresStorage
from honed.storage.sqlite import SQLiteStorage
from honed.storage.url import address, describe, open_storage
from tests.storage.postgres_server import PASSWORD


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (None, "honed.db"),
        ("my.db", "my.db"),
        ("./my.db", "my.db"),
        (Path("my.db"), "my.db"),
        ("sqlite:///my.db", "my.db"),
        ("sqlite:///a%20b.db", "a b.db"),
        ("memory.db", "memory.db"),
    ],
)
def test_paths(target: str | Path | None, name: str, tmp_path: Path) -> None:
    storage = open_storage(target)
    assert isinstance(storage, SQLiteStorage)
    assert storage.path == tmp_path / name
    assert Path(describe(storage)) == Path(name)
    storage.close()
    assert (tmp_path / name).exists()


def test_an_absolute_url(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/my.db", durability="fast")
    assert describe(storage) == f"{tmp_path}/my.db"
    storage.close()
    reader = open_storage(f"sqlite:///{tmp_path}/my.db", read_only=True)
    assert reader.studies() == ()
    reader.close()


@pytest.mark.parametrize("target", ["memory", ":memory:"])
def test_memory(target: str, tmp_path: Path) -> None:
    storage = open_storage(target)
    assert isinstance(storage, MemoryStorage)
    assert describe(storage) == "memory"
    assert list(tmp_path.iterdir()) == []


def test_a_storage_is_passed_through() -> None:
    storage = MemoryStorage()
    assert open_storage(storage) is storage


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"runs/my\.db: the folder .*runs does not exist"):
        open_storage("runs/my.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql(kind: str, wiped: str, tmp_path: Path) -> None:
    url = wiped.replace("postgresql", kind)
    storage = open_storage(url, durability="fast")
    assert isinstance(storage, PostgresStorage)
    assert address(storage) == url
    assert describe(storage) == url.replace(PASSWORD, "***")
    storage.create_study(StudyRecord(name="x"))
    storage.close()
    reader = open_storage(url, read_only=True)
    assert [record.name for record in reader.studies()] == ["x"]
    reader.close()
    assert list(tmp_path.iterdir()) == []


def test_no_message_shows_a_password() -> None:
    assert hidden("postgresql://ada:s@c:r/t@db/x") == "postgresql://ada:***@db/x"
    assert hidden("postgresql://db/x?password=secret&user=ada") == "postgresql://db/x?password=***&user=ada"
    with pytest.raises(StorageError, match=r"cannot be read as the URL of a PostgreSQL database") as caught:
        open_storage("postgresql://ada:sec/ret@db/x")
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://:s3cret@far:8484", "http://far:8484"),
        ("https://far", "https://far"),
        ("http://proxy/behind/it/", "http://proxy/behind/it"),
        ("http://[::1]:8484", "http://[::1]:8484"),
    ],
)
def test_http_is_not_called_before_it_is_needed(url: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HONED_TOKEN", raising=False)
    storage = open_storage(url)
    assert isinstance(storage, HTTPStorage)
    assert describe(storage) == shown
    assert address(storage) == url.rstrip("/")
    storage.close()


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://my.db", "sqlite:///", "s3://bucket/x.db"])
def test_unknown_urls(url: str) -> None:
    with pytest.raises(StorageError, match=r"is no storage that honed knows. Write a path"):
        open_storage(url)
