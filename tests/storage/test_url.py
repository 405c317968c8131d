"""What a user may write where a storage is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.errors import StorageError
from honed.storage.memory import MemoryStorage
from honed.storage.sqlite import SQLiteStorage
from honed.storage.url import describe, open_storage


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


@pytest.mark.parametrize(
    "url", ["postgresql://ada:secret@db/x", "postgres://ada:secret@db/x", "postgresql+psycopg://db/x"]
)
def test_postgresql_is_not_there_yet(url: str) -> None:
    with pytest.raises(StorageError, match=r"no PostgreSQL storage yet. What works: .*honed\.db") as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://my.db", "sqlite:///", "http://x/y", "s3://bucket/x.db"])
def test_unknown_urls(url: str) -> None:
    with pytest.raises(StorageError, match=r"is no storage that honed knows. Write a path"):
        open_storage(url)
