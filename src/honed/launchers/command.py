"""What every engine runs: one worker's command, checked so that it works on the machines where it will run.

The storage's address goes through the environment (``HONED_STORAGE``), so that no list of processes, script or manifest
shows a password.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from honed.errors import StudyNotFound
from honed.history import History
from honed.records import State
from honed.storage.hiding import hidden
from honed.storage.url import open_storage

Reach = Literal["one machine", "many machines"]
STORAGE_VARIABLE = "HONED_STORAGE"
TOKEN_VARIABLE = "HONED_TOKEN"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
WAYS_OUT = (
    "Ways out: a PostgreSQL storage (--storage postgresql://user@host/database), or `honed serve` beside the file "
    "(--storage http://host:8484)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One worker: ``honed run TARGET --study STUDY --trials N OPTIONS``, with its storage.

    Attributes:
        target: ``FILE[:OBJECTIVE]``, as the machines of the engine find it.
        storage: address of the storage, see ``reachable``.
        options: more options of ``honed run``.
        python: the program that has honed installed, on those machines.
    """

    target: str
    storage: str
    study: str
    trials: int
    options: tuple[str, ...] = ()
    python: str = field(default_factory=lambda: sys.executable)

    def __post_init__(self) -> None:
        """Checks what can be checked here."""
        for name in ("target", "storage", "study", "python"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text or "\0" in text:
                raise ValueError(f"{name}={text!r} must be a text of at least one letter, without NUL")
        if self.target.startswith("-"):
            raise ValueError(f"target={self.target!r} looks like an option; write ./{self.target}")
        if isinstance(self.trials, bool) or not isinstance(self.trials, int) or self.trials < 1:
            raise ValueError(
                f"trials={self.trials!r} must be a whole number of at least 1: the total over all workers, at which they end"
            )
        for option in self.options:
            if not isinstance(option, str) or "\0" in option:
                raise ValueError(f"options: {option!r} must be a text without NUL")

    def argv(self, *more: str) -> list[str]:
        """The command of one worker; the storage is in ``environment``."""
        named = [f"--study={self.study}", f"--trials={self.trials}"]
        return [self.python, "-m", "honed", "run", self.target, *named, *self.options, *more]

    def kept(self, *more: str) -> list[str]:
        """The command that keeps one worker alive, what a batch system starts; ``tail`` comes after it."""
        named = [f"--study={self.study}", f"--trials={self.trials}"]
        return [self.python, "-m", "honed", "launch", "worker", self.target, *named, *more]

    @property
    def tail(self) -> list[str]:
        """The options of ``honed run`` as they follow ``kept``."""
        return ["--", *self.options] if self.options else []

    @property
    def environment(self) -> dict[str, str]:
        """What the worker's environment must hold."""
        return {STORAGE_VARIABLE: self.storage}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many workers, and what each of them gets.

    Attributes:
        memory: of one worker, as the engine spells it ("16G", "16Gi"); None leaves it to the engine.
    """

    workers: int
    gpus: float = 0
    cpus: float = 1
    memory: str | None = None

    def __post_init__(self) -> None:
        """Checks the amounts."""
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise ValueError(f"workers={self.workers!r} must be a whole number of at least 1")
        if not 0 <= self.gpus < float("inf") or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ValueError(
                f"gpus={self.gpus!r} must be 0, a share of one card such as 0.5, or a whole number of cards"
            )
        if not 0 < self.cpus < float("inf"):
            raise ValueError(f"cpus={self.cpus!r} must be more than 0")

    def whole(self, engine: str) -> tuple[int, int]:
        """GPUs and CPUs of a worker for an engine that knows no parts of them."""
        if self.gpus != int(self.gpus):
            raise ValueError(
                f"gpus={self.gpus:g}: {engine} hands out whole cards. Use --gpus-per-worker 1 and let one worker run several "
                f"trainings on its card: -- --workers {max(int(1 / self.gpus), 1)} --gpus-per-trial {self.gpus:g}"
            )
        return int(self.gpus), max(int(-(-self.cpus // 1)), 1)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a study is, for one who waits for its end.

    Attributes:
        n_open: trials that some worker runs, or was interrupted in.
        n_lost: open trials that nobody holds: a worker that is started now takes them over.
    """

    n_counted: int = 0
    n_open: int = 0
    n_lost: int = 0

    def is_done(self, trials: int) -> bool:
        """Whether nothing is left to do, now or later."""
        return self.n_counted >= trials and not self.n_open


def standing(work: Work) -> Standing:
    """How far the study is; a study that does not exist yet is at its beginning.

    Raises:
        StorageError: the storage cannot be read now.
    """
    path = _file(work.storage)
    if path is not None and not path.exists():
        return Standing()
    storage = open_storage(work.storage, read_only=True)
    try:
        record = next((record for record in storage.studies() if record.name == work.study), None)
        if record is None:
            return Standing()
        history = History.empty(record).extend(storage.read(record.id))
    except StudyNotFound:
        return Standing()
    finally:
        storage.close()
    given_back = [each for each in history.unfinished if each.state is State.WAITING and each.attempt]
    n_lost = len(history.lost) + len(given_back)
    return Standing(history.n_counted, history.count(State.RUNNING) + len(given_back), n_lost)


def reachable(storage: str, reach: Reach) -> str:
    """The address under which workers elsewhere open the storage; paths become absolute.

    Raises:
        ValueError: they cannot; the message names the ways out.
    """
    if storage in ("memory", ":memory:"):
        raise ValueError(
            f"storage={storage!r} ends with its process, and workers are processes of their own. {WAYS_OUT}"
        )
    path = _file(storage)
    if path is not None:
        if reach == "many machines":
            raise ValueError(
                f"storage={storage!r} is an SQLite file, which only the processes of one machine may share. {WAYS_OUT}"
            )
        return str(path.absolute())
    if reach == "many machines":
        parts = urlsplit(storage)
        host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
        if not host or host.startswith("/") or host in _LOOPBACK:
            raise ValueError(
                f"storage={hidden(storage)!r} names this machine only; other machines need its name or address in place of "
                f"{host or 'no host'}, and a server that listens there (honed serve --host 0.0.0.0)."
            )
    return storage


def has_secret(storage: str) -> bool:
    """Whether an address holds a password or a token."""
    if "://" not in storage:
        return False
    parts = urlsplit(storage)
    return bool(parts.password) or "password" in parse_qs(parts.query)


def handed_on(environment: Mapping[str, str], work: Work) -> dict[str, str]:
    """What of the caller's environment a worker elsewhere needs besides its own: the token of a served storage."""
    token = environment.get(TOKEN_VARIABLE)
    return work.environment | ({TOKEN_VARIABLE: token} if token else {})


def _file(storage: str) -> Path | None:
    """The SQLite file that an address names; None for servers.

    Raises:
        ValueError: the address is none that honed knows.
    """
    if "://" not in storage:
        return Path(storage)
    kind = storage.partition("://")[0].partition("+")[0]
    if kind in ("postgresql", "postgres", "http", "https"):
        return None
    rest = storage.removeprefix("sqlite://")
    if kind != "sqlite" or not rest.startswith("/") or not rest.strip("/"):
        raise ValueError(
            f"storage={hidden(storage)!r} is no storage that honed knows; write a path, postgresql://user@host/database or "
            "http://host:port"
        )
    return Path(unquote(rest[1:]))
