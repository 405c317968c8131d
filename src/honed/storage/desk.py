"""What a server does with the calls of its clients: each has a storage object of its own, each call is done once.

A call that comes again, because its answer was lost, gets the same answer: the answers that a client still waits for are
kept here. A file keeps, with each change, which call made it, for the server that comes after a killed one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import index
from typing import Any

from honed.clock import Clock
from honed.errors import StorageError
from honed.records import Draft, State, TrialRecord, Update
from honed.storage import rules, wire
from honed.storage.base import LEASE_SECONDS, Storage
from honed.storage.http import PROTOCOL, error_to_json

FAILED = "honed serve failed at this call; what it printed says why."
_CHANGING = frozenset({"create_study", "delete_study", "add", "claim", "write"})  # the others may be done twice
_IDLE_SECONDS = 5 * LEASE_SECONDS
_STATUS = {"StudyNotFound": 404, "TrialNotFound": 404, "StaleLease": 409, "ValueError": 400, "TypeError": 400}
_LOG = logging.getLogger("honed.serve")

Opener = Callable[[str], Storage]
"""Opens the storage for the owner of that name."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call's number among those of its client, the oldest one still open, and how often it was sent before."""

    number: int
    oldest: int
    n_tries: int


@dataclass(slots=True)
class _Answer:
    """One call of a client: done by whoever holds the lock first, repeated for the others."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    content: tuple[int, str] | None = None


class _Client:
    """One client: its storage, opened by its first call, and the answers that it may ask for again."""

    def __init__(self, now: float) -> None:
        self.used = now
        self.n_running = 0
        self.answers: dict[int, _Answer] = {}
        self.storage: Storage | None = None
        self._opening = threading.Lock()
        self._reading = threading.Lock()
        self._reader = wire.Reader()

    def opened(self, open_for: Opener, name: str) -> Storage:
        with self._opening:
            if self.storage is None:
                self.storage = open_for(name)
            return self.storage

    def draft(self, sent: wire.Json) -> Draft:
        with self._reading:
            return self._reader.draft(sent)

    def update(self, sent: wire.Json) -> Update:
        with self._reading:
            return self._reader.update(sent)


class Desk:
    """Does the calls of all clients, each once.

    Args:
        open_for: opens the storage for one client.
        clock: for noticing who is gone.
    """

    def __init__(self, open_for: Opener, clock: Clock) -> None:
        self._open_for = open_for
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: dict[str, _Client] = {}
        self._swept = clock.monotonic()

    def answer(self, verb: str, name: str, call: Call, question: bytes) -> tuple[int, str]:
        """Status and JSON of the answer."""
        client = self._enter(name)
        try:
            storage = client.opened(self._open_for, name)
            return self._once(client, verb, call, lambda: _do(client, storage, verb, call, question))
        except StorageError as error:
            return _error(error)
        finally:
            self._leave(name, client, verb)

    @property
    def names(self) -> set[str]:
        """Which clients are known."""
        with self._lock:
            return set(self._clients)

    @property
    def is_busy(self) -> bool:
        """Whether a call is being done."""
        with self._lock:
            return any(client.n_running for client in self._clients.values())

    def close(self) -> None:
        """Gives all connections back; what clients hold stays theirs, for the server that comes next."""
        with self._lock:
            while self._clients:
                _detach(self._clients.popitem()[1].storage)

    def _enter(self, name: str) -> _Client:
        now = self._clock.monotonic()
        with self._lock:
            client = self._clients.get(name)
            if client is None:
                client = self._clients[name] = _Client(now)
            client.used = now
            client.n_running += 1
            gone = self._gone(now)
        for each in gone:
            _detach(each.storage, is_over=True)
        return client

    def _gone(self, now: float) -> list[_Client]:
        """Clients that have not called for so long that their leases are over."""
        if now < self._swept + LEASE_SECONDS:
            return []
        self._swept = now
        names = [n for n, each in self._clients.items() if not each.n_running and each.used + _IDLE_SECONDS < now]
        return [self._clients.pop(name) for name in names]

    def _leave(self, name: str, client: _Client, verb: str) -> None:
        with self._lock:
            client.n_running -= 1
            if verb == "close" and self._clients.get(name) is client:
                del self._clients[name]

    def _once(self, client: _Client, verb: str, call: Call, do: Callable[[], tuple[int, str]]) -> tuple[int, str]:
        if verb not in _CHANGING:
            return do()
        with self._lock:
            for number in [number for number in client.answers if number < call.oldest]:
                del client.answers[number]
            answer = client.answers.setdefault(call.number, _Answer())
        with answer.lock:
            if answer.content is None:
                answer.content = do()
            return answer.content


def _do(client: _Client, storage: Any, verb: str, call: Call, question: bytes) -> tuple[int, str]:
    """Does one call; what goes wrong is part of the answer."""
    try:
        ask = _ASKS[verb](client, rules.from_json(question))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        _LOG.debug("unreadable call of %s", verb, exc_info=error)
        return _error(StorageError(f"This {verb} cannot be read: it is no call of protocol {PROTOCOL}."), 400)
    try:
        if verb in _CHANGING and hasattr(storage, "calling"):
            done = storage.outcome(call.number) if call.n_tries else None
            if done is not None:
                return 200, rules.to_json({"answer": ask.again(storage, done)})
            with storage.calling(call.number, call.oldest):
                return 200, rules.to_json({"answer": ask.do(storage)})
        return 200, rules.to_json({"answer": ask.do(storage)})
    except Exception as error:
        if error_to_json(error) is None:
            _LOG.exception("%s failed", verb)
        return _error(error)


def _error(error: Exception, status: int | None = None) -> tuple[int, str]:
    sent = error_to_json(error)
    if sent is None:
        sent = {"kind": "StorageError", "message": FAILED}
        return 500, rules.to_json({"error": sent})
    return status or _STATUS.get(sent["kind"], 422), rules.to_json({"error": sent})


def _detach(storage: Storage | None, *, is_over: bool = False) -> None:
    """Closes a storage, but leaves its owner the leases, unless they are over."""
    close = getattr(storage, "detach", storage.close if storage is not None and is_over else None)
    with contextlib.suppress(StorageError, OSError):
        if close is not None:
            close()


# -------------------------------------------------------------------------------------------------- one for each verb


@dataclass(frozen=True, slots=True)
class _Ask:
    """What to do with a storage, and what to answer where it was done before: the second gets what it has done."""

    do: Callable[[Any], Any]
    again: Callable[[Any, Any], Any] = lambda storage, outcome: None


def _create_study(client: _Client, sent: wire.Json) -> _Ask:
    draft = wire.study_from_json(sent["draft"])

    def do(storage: Storage) -> Any:
        record, is_new = storage.create_study(draft)
        return [wire.study_to_json(record), is_new]

    return _Ask(do, lambda storage, _: [do(storage)[0], True])


def _studies(client: _Client, sent: wire.Json) -> _Ask:
    return _Ask(lambda storage: [wire.study_to_json(record) for record in storage.studies()])


def _delete_study(client: _Client, sent: wire.Json) -> _Ask:
    study = index(sent["study"])
    return _Ask(lambda storage: storage.delete_study(study))


def _add(client: _Client, sent: wire.Json) -> _Ask:
    study, worker = index(sent["study"]), str(sent["worker"])
    number, limit = rules.whole(sent["number"]), rules.whole(sent["limit"])
    draft = client.draft(sent["draft"])
    attempt = 1 if draft.state is State.RUNNING else 0

    def again(storage: Storage, number: int) -> Any:
        record = _trial(storage, study, number)
        return wire.trial_to_json(replace(record, state=draft.state, attempt=attempt, values=draft.values))

    return _Ask(lambda storage: _sent(storage.add(study, draft, worker=worker, number=number, limit=limit)), again)


def _claim(client: _Client, sent: wire.Json) -> _Ask:
    study, number, worker = index(sent["study"]), index(sent["number"]), str(sent["worker"])
    until, limit = rules.whole(sent["until"]), rules.whole(sent["limit"])

    def again(storage: Storage, attempt: int) -> Any:
        return wire.trial_to_json(replace(_trial(storage, study, number), state=State.RUNNING, attempt=attempt))

    return _Ask(lambda storage: _sent(storage.claim(study, number, worker=worker, until=until, limit=limit)), again)


def _renew(client: _Client, sent: wire.Json) -> _Ask:
    study, number, attempt = index(sent["study"]), index(sent["number"]), index(sent["attempt"])
    return _Ask(lambda storage: storage.renew(study, number, attempt))


def _write(client: _Client, sent: wire.Json) -> _Ask:
    study, number, attempt = index(sent["study"]), rules.whole(sent["number"]), index(sent["attempt"])
    update = client.update(sent["update"])
    return _Ask(lambda storage: storage.write(study, number, attempt, update))


def _read(client: _Client, sent: wire.Json) -> _Ask:
    study, after = index(sent["study"]), index(sent["after"])
    return _Ask(lambda storage: wire.delta_to_json(storage.read(study, after)))


def _close(client: _Client, sent: wire.Json) -> _Ask:
    return _Ask(lambda storage: storage.close())


_ASKS: Mapping[str, Callable[[_Client, wire.Json], _Ask]] = {
    "create_study": _create_study,
    "studies": _studies,
    "delete_study": _delete_study,
    "add": _add,
    "claim": _claim,
    "renew": _renew,
    "write": _write,
    "read": _read,
    "close": _close,
}


def _sent(record: TrialRecord | None) -> wire.Json | None:
    return None if record is None else wire.trial_to_json(record)


def _trial(storage: Storage, study: int, number: int) -> TrialRecord:
    """The trial as it is now; reads the whole study, which only a lost answer and a killed server together ask for."""
    return next(record for record in storage.read(study).trials if record.number == number)


VERBS = tuple(_ASKS)
"""The names of all calls: those of the storage port."""
