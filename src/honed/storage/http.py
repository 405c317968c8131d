"""A storage behind ``honed serve``: each verb is one POST with JSON, over connections that stay open.

A lost connection is no error: the call is sent again until the server answers, with the same number, so that the server
does it once whatever was lost, the question or the answer. The server may be stopped and started meanwhile.

Each storage object (and each forked copy of it) is an owner of its own by a random id. Domains that are equal become one object.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import secrets
import ssl
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import index
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from honed import errors
from honed.clock import SYSTEM_CLOCK, Clock
from honed.errors import StorageError
from honed.records import Delta, Draft, StudyRecord, TrialRecord, Update
from honed.storage import rules, wire

PROTOCOL = "1"
MOST_BYTES = 64 << 20
"""No question is longer than this."""

TOKEN_VARIABLE = "HONED_TOKEN"
_CA_VARIABLE = "HONED_CA"
RETRY_SECONDS = 300.0
_FIRST_SECONDS = 30.0  # a server that never answered is a wrong address rather than one that starts again
_CLOSE_SECONDS = 2.0
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 90.0  # longer than the server may wait for its own storage's lock
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_AWAY = frozenset({500, 502, 503, 504})  # without our header: a server that is being stopped, or a proxy without one

_Change = TypeVar("_Change", Draft, Update)

_KINDS: Mapping[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        *(StorageError, errors.StorageLocked, errors.StorageReadOnly, errors.StorageTooNew, errors.StorageDamaged),
        *(errors.NetworkFileSystem, errors.StudyNotFound, errors.TrialNotFound, errors.StaleLease),
        *(ValueError, TypeError, OverflowError),
    )
}


def error_to_json(error: Exception) -> wire.Json | None:
    """An error that a caller may get from any storage; None for all others, which tell of the server's inside."""
    kind = next((each.__name__ for each in type(error).__mro__ if each.__name__ in _KINDS), None)
    if kind is None:
        return None
    sent: wire.Json = {"kind": kind, "message": str(error)}
    if isinstance(error, errors.StaleLease):
        sent |= {"number": error.number, "attempt": error.attempt}
    return sent


def error_from_json(sent: Mapping[str, Any]) -> Exception:
    """The equal error: same class, same message, same attributes."""
    kind = _KINDS.get(sent["kind"], StorageError)
    if kind is errors.StaleLease:
        return errors.StaleLease(sent["number"], sent["attempt"])
    error = kind.__new__(kind, sent["message"])  # StudyNotFound makes its message of other arguments
    error.args = (sent["message"],)
    return error


class HTTPStorage:
    """The studies that a ``honed serve`` keeps, on this machine or another.

    Args:
        url: ``http://host:port`` or ``https://host:port``; a path is put before all calls, for servers behind a proxy. The token
            may stand in it: ``http://:TOKEN@host:port``.
        token: what the server printed; by default that of the URL, else of the environment's ``HONED_TOKEN``.
        retry_seconds: how long a call waits for a server that is away; one that never answered gets 30 seconds at most.
        clock: for waiting.

    Certificates are checked against the system's authorities and the file that ``HONED_CA`` or ``SSL_CERT_FILE`` names.
    """

    def __init__(
        self, url: str, *, token: str | None = None, retry_seconds: float = RETRY_SECONDS, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        if not retry_seconds >= 0:
            raise ValueError(f"retry_seconds={retry_seconds!r} must be a number of seconds, 0 or more")
        self._address = _Address(url, token)
        self.shown = self._address.shown
        self.url = self._address.url
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._is_closed = False
        self._has_answered = False
        self._start()
        _all.add(self)

    def __repr__(self) -> str:
        return f"HTTPStorage({self.shown!r})"

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # half made, or at the end of the interpreter
            self._drop_connections()

    def _start(self) -> None:
        """A new owner, without connections."""
        self._client = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._reader = wire.Reader()
        self._idle: list[http.client.HTTPConnection] = []
        self._next = 1
        self._open_calls: set[int] = set()
        self._is_known = False  # to the server, under this client id

    def start_anew(self) -> None:
        """In a forked child: the parent's connections and trials stay the parent's."""
        self._drop_connections()
        self._start()

    # -------------------------------------------------------------------------------------------------------- verbs

    def create_study(self, draft: StudyRecord) -> tuple[StudyRecord, bool]:
        draft = rules.checked_study(draft)
        record, is_new = self._call("create_study", {"draft": wire.study_to_json(draft)})
        return wire.study_from_json(record), is_new

    def studies(self) -> tuple[StudyRecord, ...]:
        return tuple(map(wire.study_from_json, self._call("studies", {})))

    def delete_study(self, study: int) -> None:
        self._call("delete_study", {"study": index(study)})

    def add(
        self, study: int, draft: Draft, *, worker: str, number: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        rules.check_draft(draft, worker)
        question = {
            "study": index(study),
            "draft": wire.draft_to_json(replace(_plain(draft), parent=rules.whole(draft.parent))),
            "worker": worker,
            "number": rules.whole(number),
            "limit": rules.whole(limit),
        }
        return self._trial(self._call("add", question))

    def claim(
        self, study: int, number: int, *, worker: str, until: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        question = {
            "study": index(study),
            "number": index(number),
            "worker": rules.text("worker", worker),
            "until": rules.whole(until),
            "limit": rules.whole(limit),
        }
        return self._trial(self._call("claim", question))

    def renew(self, study: int, number: int, attempt: int) -> None:
        self._call("renew", {"study": index(study), "number": index(number), "attempt": index(attempt)})

    def write(self, study: int, number: int | None, attempt: int, update: Update) -> None:
        rules.check_update(update)
        question = {
            "study": index(study),
            "number": rules.whole(number),
            "attempt": index(attempt),
            "update": wire.update_to_json(_plain(update)),
        }
        self._call("write", question)

    def read(self, study: int, after: int = 0) -> Delta:
        answer = self._call("read", {"study": index(study), "after": index(after)})
        with self._reading:
            return self._reader.delta(answer)

    def close(self) -> None:
        if not self._is_closed and self._is_known:
            with contextlib.suppress(StorageError):  # without a server the leases run out by themselves
                self._call("close", {}, seconds=min(self._retry_seconds, _CLOSE_SECONDS))
        self._is_closed = True
        self._drop_connections()

    def _trial(self, answer: Any) -> TrialRecord | None:
        if answer is None:
            return None
        with self._reading:
            return self._reader.trial(answer)

    # -------------------------------------------------------------------------------------------------------- calls

    def _call(self, verb: str, question: wire.Json, seconds: float | None = None) -> Any:
        """The server's answer.

        Raises:
            StorageError: it is away for too long, wants another token, or speaks another protocol.
        """
        if self._is_closed:
            raise StorageError("This storage is closed; open it again to use it.")
        body = rules.to_json(question).encode()
        if len(body) > MOST_BYTES:
            raise StorageError(
                f"{self.shown}: this {verb} has {len(body) >> 20} MB, honed serve takes {MOST_BYTES >> 20} MB at most. Nothing "
                "was written; keep large things in files or checkpoints and write their names."
            )
        with self._numbered() as (number, oldest):
            status, answer = self._until_answered(verb, body, (number, oldest), seconds)
        return self._judged(status, answer)

    @contextlib.contextmanager
    def _numbered(self) -> Iterator[tuple[int, int]]:
        """A new number for a call, and the oldest one of those that still wait for an answer."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._open_calls.add(number)
            oldest = min(self._open_calls)
        try:
            yield number, oldest
        finally:
            with self._lock:
                self._open_calls.discard(number)

    def _until_answered(
        self, verb: str, body: bytes, call: tuple[int, int], seconds: float | None
    ) -> tuple[int, wire.Json]:
        if seconds is None:
            seconds = self._retry_seconds if self._has_answered else min(self._retry_seconds, _FIRST_SECONDS)
        deadline = None
        pause, n_tries = _FIRST_PAUSE, 0
        while True:
            headers = self._headers(f"{call[0]} {call[1]} {n_tries}")
            n_tries += 1
            try:
                status, answer, is_honed = self._exchange(verb, body, headers)
                if status not in _AWAY or is_honed:
                    break
                reason = f"status {status}"
            except ssl.SSLCertVerificationError as error:
                raise self._untrusted(error) from error
            except _Stale:
                continue
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            now = self._clock.monotonic()
            deadline = deadline or now + seconds
            if now >= deadline:
                raise self._away(reason, seconds)
            self._clock.sleep(min(pause * random.uniform(0.5, 1.0), max(deadline - now, 0.0)))
            pause = min(2 * pause, _LONGEST_PAUSE)
        if not is_honed:
            raise StorageError(
                f"{self.shown} is no `honed serve`: it answers with status {status}. Look at host, port and path."
            )
        self._has_answered = self._is_known = True
        return status, answer

    def _headers(self, call: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Honed-Protocol": PROTOCOL,
            "Honed-Client": self._client,
            "Honed-Call": call,
        }
        if self._address.token:
            headers["Authorization"] = f"Bearer {self._address.token}"
        return headers

    def _exchange(self, verb: str, body: bytes, headers: dict[str, str]) -> tuple[int, wire.Json, bool]:
        """One question and its answer; the last part is whether a server of honed gave it."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        is_fresh = connection is None
        if connection is None:
            connection = self._address.connect()
        try:
            connection.request("POST", f"{self._address.path}/v1/{verb}", body, headers)
            response = connection.getresponse()
            text = response.read()
        except (ConnectionError, http.client.BadStatusLine) as error:
            connection.close()
            if not is_fresh:
                raise _Stale from error
            raise
        except BaseException:
            connection.close()
            raise
        protocol = response.getheader("Honed-Protocol")
        if response.will_close or self._is_closed:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        if protocol is None:
            return response.status, {}, False
        if protocol != PROTOCOL:
            raise self._other_protocol(protocol)
        return response.status, rules.from_json(text), True

    def _judged(self, status: int, answer: wire.Json) -> Any:
        if status == 200:
            return answer["answer"]
        if status == 401:
            has = "this token is not the one" if self._address.token else "a token is needed"
            raise StorageError(
                f"{self.shown}: {has} that the server was started with. Set the environment's {TOKEN_VARIABLE} to what "
                "`honed serve` printed, or write it into the URL: http://:TOKEN@host:port."
            )
        raise error_from_json(answer["error"])

    def _drop_connections(self) -> None:
        while self._idle:
            self._idle.pop().close()

    # ------------------------------------------------------------------------------------------------------- errors

    def _away(self, reason: str, seconds: float) -> StorageError:
        what = "went away" if self._has_answered else "cannot be reached"
        return StorageError(
            f"{self.shown} {what} ({reason}), tried for {seconds:g} s. See whether `honed serve` runs there and the port is "
            "open; start it again with the same storage and token, then run this again: what was told is kept."
        )

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> StorageError:
        return StorageError(
            f"{self.shown}: its certificate is not trusted ({error.verify_message}). If it is your own one, copy it here and "
            f"set the environment's {_CA_VARIABLE} to that file."
        )

    def _other_protocol(self, protocol: str) -> StorageError:
        return StorageError(
            f"{self.shown} speaks protocol {protocol} of honed, this is protocol {PROTOCOL}: install the same version of "
            "honed on both sides (pip install -U honed)."
        )


class _Stale(Exception):
    """A kept connection turned out to be closed, as servers do with idle ones: that does not say that the server is away."""


class _Address:
    """Where the server is, and what it wants to see.

    Args:
        url: as the user wrote it.
        token: stands before that in the URL and in the environment.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = None
            parts = parts._replace(netloc="")
        place = parts.netloc.rpartition("@")[2]
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StorageError(
                f"storage={parts.scheme}://{place} is no address. Write http://host:port or https://host:port."
            )
        self.path = parts.path.rstrip("/")
        self.shown = f"{parts.scheme}://{place}{self.path}"
        self.token = token or unquote(parts.password or "") or os.environ.get(TOKEN_VARIABLE, "")
        if not (self.token.isascii() and self.token.isprintable()):
            raise ValueError("token must be of printable ASCII characters; take the one that `honed serve` prints")
        login = f":{quote(self.token, safe='')}@" if self.token else ""
        self.url = f"{parts.scheme}://{login}{place}{self.path}"
        self._host, self._port = parts.hostname, port
        self._tls = _tls() if parts.scheme == "https" else None

    def connect(self) -> http.client.HTTPConnection:
        """A new connection."""
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=_CONNECT_SECONDS)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=_CONNECT_SECONDS, context=self._tls
            )
        connection.connect()
        connection.sock.settimeout(_ANSWER_SECONDS)
        return connection


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()  # takes SSL_CERT_FILE itself
    authorities = os.environ.get(_CA_VARIABLE)
    if authorities:
        try:
            context.load_verify_locations(authorities)
        except (OSError, ssl.SSLError) as error:
            raise StorageError(f"{_CA_VARIABLE}={authorities} cannot be read as certificates: {error}") from error
    return context


def _plain(change: _Change) -> _Change:
    """The change as storages keep it, so that what is wrong with it is said here, and NumPy's numbers are sent as ours."""
    return replace(
        change,
        params=None if change.params is None else rules.plain(change.params),
        steps=rules.plain_steps(change.steps),
        values=rules.floats(change.values),
        until=rules.whole(change.until),
        note=rules.plain(change.note),
        attributes=rules.plain(change.attributes),
        message=rules.readable(change.message),
    )


def _start_anew() -> None:
    for storage in list(_all):
        storage.start_anew()


_all: weakref.WeakSet[HTTPStorage] = weakref.WeakSet()
os.register_at_fork(after_in_child=_start_anew)
