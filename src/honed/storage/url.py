"""From what a user writes to a storage: a path, a URL, ``"memory"``, nothing, or a storage itself."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote

from honed.errors import StorageError
from honed.storage.base import Storage
from honed.storage.hiding import hidden
from honed.storage.memory import MemoryStorage
from honed.storage.sqlite import Durability, SQLiteStorage

DEFAULT_PATH = "honed.db"
_MEMORY = ("memory", ":memory:")
_SQLITE = "sqlite://"
_POSTGRES = ("postgresql", "postgres")
_HTTP = ("http", "https")

Target = str | os.PathLike[str] | Storage | None


def open_storage(target: Target = None, *, durability: Durability = "full", read_only: bool = False) -> Storage:
    """The storage that ``target`` names; a storage object is passed through.

    Args:
        target: a path or ``sqlite:///path``: a file, made when it does not exist; ``postgresql://user@host/database`` for many
            machines; ``http://host:port`` of ``honed serve``; ``"memory"``; None: ``./honed.db``.
        durability: ``"full"`` or ``"fast"``, see ``SQLiteStorage``.
        read_only: for looking only.

    Raises:
        StorageError: this version has no such storage, or it cannot be opened there.
    """
    if target is None:
        target = DEFAULT_PATH
    if not isinstance(target, str | os.PathLike):
        return target
    place = os.fspath(target)
    if place in _MEMORY:
        return MemoryStorage()
    kind = place.partition("://")[0].partition("+")[0] if "://" in place else ""
    if kind in _POSTGRES:
        from honed.storage.postgres import PostgresStorage  # brings psycopg

        return PostgresStorage(place, durability=durability, read_only=read_only)
    if kind in _HTTP:
        from honed.storage.http import HTTPStorage

        return HTTPStorage(place)
    if kind:
        place = _path_of(place)
    return SQLiteStorage(place, durability=durability, read_only=read_only)


def file_of(target: str) -> Path | None:
    """The file that a target names; None where it is a server's URL."""
    if "://" not in target:
        return Path(target)
    return Path(_path_of(target)) if target.startswith("sqlite") else None


def describe(storage: Storage) -> str:
    """How messages call a storage: ``honed.db``, ``memory``."""
    if isinstance(storage, SQLiteStorage):
        return storage.shown
    if isinstance(storage, MemoryStorage):
        return "memory"
    return getattr(storage, "shown", type(storage).__name__)


def address(storage: Storage) -> str | None:
    """What another process opens the same storage with; None where it cannot (memory).

    Passwords and tokens are in it: it is handed to own processes, not shown.
    """
    if isinstance(storage, SQLiteStorage):
        return str(storage.path)
    return getattr(storage, "url", None)


def beside(storage: Storage) -> Path:
    """The folder for the checkpoints of a storage's studies: ``honed.db-checkpoints`` beside a file.

    For a database or a server it is ``honed-checkpoints`` in the current folder, which several machines share only where they
    share that folder. What lives in memory has one that goes when the process ends.
    """
    if isinstance(storage, SQLiteStorage):
        return storage.path.with_name(storage.path.name + "-checkpoints")
    where = address(storage)
    if where is not None:  # without login and token, which may be others elsewhere
        place = where.partition("://")[2].rpartition("@")[2].partition("?")[0].strip("/")
        return Path("honed-checkpoints").absolute() / (re.sub(r"[^\w.-]+", "-", place) or "local")
    folder = Path(tempfile.gettempdir()) / f"honed-{os.getpid()}-{secrets.token_hex(4)}-checkpoints"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _path_of(url: str) -> str:
    """The path in ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    kind = url.partition("://")[0]
    rest = url.removeprefix(_SQLITE)
    if kind != "sqlite" or not rest.startswith("/") or not rest.strip("/"):
        raise StorageError(
            f'storage={hidden(url)!r} is no storage that honed knows. Write a path, such as "honed.db" or '
            '"/data/honed.db", a URL ("sqlite:///honed.db", "postgresql://user@host/database", "http://host:port"), or "memory".'
        )
    return str(Path(unquote(rest[1:])))
