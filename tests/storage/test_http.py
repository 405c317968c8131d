"""Behind `honed serve`: who may call, what comes back, and calls that are done once whatever is lost or killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import honed
from honed.errors import HonedError, StaleLease, StorageError, StorageReadOnly, StudyNotFound, TrialNotFound
from honed.records import EMPTY, Cause, Draft, State, StudyRecord, Update
from honed.storage import desk
from honed.storage.base import LEASE_SECONDS, Storage
from honed.storage.http import HTTPStorage
from honed.storage.memory import MemoryStorage
from honed.storage.server import listening, make_app, opener
from honed.storage.sqlite import SQLiteStorage
from honed.testing.storage_suite import ManualClock
from tests.storage.certificate import make_certificate
from tests.storage.served import TOKEN, Movable, Server, file_opener
from tests.storage.test_state_machine import plain as comparable

ROOT = Path(__file__).parents[2]
TOLD = Update(state=State.COMPLETE, values=(0.5,))


@pytest.fixture(scope="module")
def shared() -> Iterator[Movable]:
    with Movable() as served:
        yield served


@pytest.fixture
def server(shared: Movable, tmp_path: Path) -> Iterator[Movable]:
    shared.place = file_opener(tmp_path / "honed.db")
    yield shared
    shared.app.state.desk.close()


def raw(
    server: Server, method: str = "POST", path: str = "/v1/studies", body: Any = b"{}", headers: Any = EMPTY
) -> Any:
    """Status and JSON of one call with exactly these headers, and those that are right."""
    right: dict[str, str | None] = {
        "Authorization": f"Bearer {TOKEN}",
        "Honed-Protocol": "1",
        "Honed-Client": "a" * 32,
        "Honed-Call": "1 1 0",
    }
    given = right | {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request(method, path, body, {name: value for name, value in given.items() if value is not None})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


# ------------------------------------------------------------------------------------------------------- who may call


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({}, 200, ""),
        ({"Authorization": None}, 401, "A token is needed"),
        ({"Authorization": "Bearer wrong"}, 401, "A token is needed"),
        ({"Authorization": "Bearer \xff\xfe"}, 401, "A token is needed"),
        ({"Authorization": f"Basic {TOKEN}"}, 401, "A token is needed"),
        ({"Host": "evil.example:8484"}, 400, "names another host"),
        ({"Host": "localhost"}, 200, ""),
        ({"Host": "[::1]:8484"}, 200, ""),
        ({"Honed_Protocol": None}, 400, "Honed-Protocol must be 1"),
        ({"Honed_Protocol": "2"}, 400, "Honed-Protocol must be 1"),
        ({"Honed_Client": "../../etc"}, 400, "Honed-Client"),
        ({"Honed_Call": "one"}, 400, "Honed-Call"),
    ],
)
def test_callers_are_let_in_or_told_why_not(
    server: Server, headers: dict[str, str | None], status: int, said: str
) -> None:
    found, answer = raw(server, headers=headers)
    assert found == status
    assert said in json.dumps(answer)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/nothing", b"{}", 404),
        ("/", b"{}", 404),
        ("/v1/add", b"{", 400),
        ("/v1/add", b"[]", 400),
        ("/v1/add", b'{"study": 1}', 400),
        ("/v1/add", b'{"study": 1, "draft": {"state": "asleep"}, "worker": "w", "number": null, "limit": null}', 400),
        ("/v1/read", b'{"study": "1", "after": 0}', 400),
        ("/v1/read", b"[" * 100_000, 400),
    ],
)
def test_nonsense_is_refused_without_a_traceback(server: Server, path: str, body: bytes, status: int) -> None:
    found, answer = raw(server, path=path, body=body)
    assert found == status
    assert "Traceback" not in json.dumps(answer)
    assert raw(server)[0] == 200


def test_what_is_sent_has_a_limit(tmp_path: Path) -> None:
    with Server(file_opener(tmp_path / "honed.db"), most_bytes=1000) as server:
        status, answer = raw(server, body=b" " * 1001)
        assert (status, answer["error"]["message"]) == (413, "More than 1000 bytes in one call.")

        def pieces() -> Iterator[bytes]:
            yield from [b" " * 600] * 2

        status, _ = raw(server, body=pieces())  # sent in chunks, without a length
        assert status == 413
        assert raw(server)[0] == 200


def test_a_client_says_itself_what_is_too_long(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.storage.http.MOST_BYTES", 1 << 20)
    with closing(server.client()) as storage:
        study = new_study(storage)
        with pytest.raises(StorageError, match=r"this add has 2 MB, honed serve takes 1 MB at most"):
            storage.add(study, Draft(note={"x": "y" * (2 << 20)}), worker="w")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"token": "wrong"},
            "this token is not the one that the server was started with. Set the environment's HONED_TOKEN",
        ),
        ({"token": None}, "a token is needed that the server was started with"),
    ],
)
def test_a_wrong_token_is_an_error_that_names_the_variable(server: Server, options: Any, said: str) -> None:
    with closing(server.client(**options)) as storage, pytest.raises(StorageError, match=said):
        storage.studies()


def test_the_token_is_taken_from_the_argument_the_url_or_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"127.0.0.1:{server.port}"
    monkeypatch.setenv("HONED_TOKEN", "wrong")
    for storage in (HTTPStorage(server.url, token=TOKEN), HTTPStorage(f"http://:{TOKEN}@{place}/")):
        assert storage.studies() == ()
        assert (storage.shown, storage.url) == (f"http://{place}", f"http://:{TOKEN}@{place}")
        assert TOKEN not in repr(storage)
        storage.close()
    monkeypatch.setenv("HONED_TOKEN", TOKEN)
    storage = HTTPStorage(server.url)
    assert storage.studies() == ()
    storage.close()


@pytest.mark.parametrize("url", ["http://", "http://:secret@host:port", "http://host:99999", "https:///x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(StorageError, match="is no address") as caught:
        HTTPStorage(url)
    assert "secret" not in str(caught.value)


def test_a_token_that_no_header_can_bear(server: Server) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        server.client(token="to\nken")


# ------------------------------------------------------------------------------------------------------- other servers


def fake_server(answer: bytes) -> tuple[str, threading.Thread, socket.socket]:
    """Answers every connection with these bytes."""
    sock = listening("127.0.0.1", 0)

    def serve() -> None:
        while True:
            try:
                connection, _ = sock.accept()
            except OSError:
                return
            with connection:
                _message(connection)  # all of it: to hang up on what is unread resets the connection
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{sock.getsockname()[1]}", thread, sock


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is no `honed serve`: it answers with status 200"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "is no `honed serve`: it answers with status 404"),
        (
            b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\nHoned-Protocol: 7\r\n\r\n{}",
            "speaks protocol 7 of honed, this is protocol 1: install the same version",
        ),
        (b"HTTP/1.1 500 Being stopped\r\nContent-Length: 0\r\n\r\n", "cannot be reached .status 500., tried for 0.2 s"),
        (b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", "cannot be reached .status 503., tried for 0.2 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nHoned-Protocol: 1\r\n\r\n{}", "cannot be reached .IncompleteRead"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached"),
    ],
)
def test_what_is_no_honed_server_of_this_version_is_said(answer: bytes, said: str) -> None:
    url, thread, sock = fake_server(answer)
    with closing(HTTPStorage(url, retry_seconds=0.2)) as storage, pytest.raises(StorageError, match=said):
        storage.studies()
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    thread.join(10)


def test_a_server_that_is_away_is_waited_for_and_then_named(tmp_path: Path) -> None:
    server = Server(file_opener(tmp_path / "honed.db"))
    storage = server.client(retry_seconds=0.3)
    study = new_study(storage)
    server.stop()
    with pytest.raises(StorageError, match=r"went away \(.*refused.*\), tried for 0\.3 s.*start it again") as caught:
        storage.read(study)
    assert "\n" not in str(caught.value)
    with Server(file_opener(tmp_path / "honed.db"), port=server.port):
        assert storage.read(study).revision == 0
    storage.close()  # nobody is there to hear it, and nobody waits long


# --------------------------------------------------------------------------------------------------------------- errors


def test_errors_come_back_as_they_were_raised(server: Server, tmp_path: Path) -> None:
    local = SQLiteStorage(tmp_path / "honed.db")
    remote = server.client()
    study = new_study(remote)
    remote.add(study, Draft(state=State.COMPLETE, values=(1.0,)), worker="w")
    remote.add(study, Draft(), worker="w")
    calls: list[Callable[[Storage], object]] = [
        lambda each: each.read(study + 7),
        lambda each: each.claim(study, 99, worker="w"),
        lambda each: each.write(study, 0, 0, TOLD),
        lambda each: each.write(study, 1, 1, Update(state=State.RUNNING)),
        lambda each: each.write(study, 1, 1, Update(state=State.COMPLETE)),
        lambda each: each.add(study, Draft(note={"x": {1}}), worker="w"),
        lambda each: each.claim(study, 0, worker="\ud800"),
        lambda each: each.add(study, Draft(until=2**70), worker="w"),
    ]
    for call in calls:
        raised = []
        for each in (local, remote):
            with pytest.raises((HonedError, ValueError, TypeError, OverflowError)) as caught:
                call(each)
            raised.append(caught.value)
        assert type(raised[0]) is type(raised[1])
        assert str(raised[0]).replace(str(tmp_path) + "/", "") == str(raised[1]).replace(str(tmp_path) + "/", "")
    with pytest.raises(StaleLease) as stale:
        remote.renew(study, 1, 4)
    assert (stale.value.number, stale.value.attempt) == (1, 4)
    with pytest.raises(StudyNotFound):
        remote.delete_study(5)
    with pytest.raises(TrialNotFound):
        remote.renew(study, 3, 1)
    local.close()
    remote.close()


def test_the_servers_own_faults_are_told_there_and_not_here(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret path")

    storage = server.client()
    new_study(storage)
    monkeypatch.setitem(desk._ASKS, "studies", lambda client, sent: desk._Ask(broken))
    with pytest.raises(StorageError, match="failed at this call; what it printed says why") as caught:
        storage.studies()
    assert "secret" not in str(caught.value)
    assert "secret path" in caplog.text
    monkeypatch.undo()
    assert len(storage.studies()) == 1
    storage.close()


def test_for_looking_only(tmp_path: Path) -> None:
    SQLiteStorage(tmp_path / "honed.db").close()
    with Server(opener(str(tmp_path / "honed.db"), read_only=True)) as server, closing(server.client()) as storage:
        assert storage.studies() == ()
        with pytest.raises(StorageReadOnly, match="read_only=True"):
            storage.create_study(StudyRecord(name="x"))


def test_memory_can_be_served_and_a_served_storage_cannot(server: Server) -> None:
    with Server(opener("memory")) as memory, closing(memory.client()) as first, closing(memory.client()) as second:
        study = new_study(first)
        first.add(study, Draft(), worker="w")
        assert len(second.read(study).trials) == 1
    with pytest.raises(StorageError, match="behind a server already"):
        opener(server.url)


def test_a_database_can_be_served(wiped: str) -> None:
    with Server(opener(wiped)) as server, closing(server.client()) as first, closing(server.client()) as second:
        study = new_study(first)
        trial = first.add(study, Draft(steps={1: {"value": 1.0}}), worker="w")
        assert trial is not None
        assert (second.read(study).trials, second.read(study).lost) == ((trial,), ())
        first.write(study, 0, 1, TOLD)
        second.delete_study(study)
        with pytest.raises(StudyNotFound):
            first.read(study)


# ----------------------------------------------------------------------------------------------------- named owners


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_an_owner_with_a_name_is_the_same_whenever_it_is_opened(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()
    first = MemoryStorage(clock=clock)

    def open_for(owner: str | None) -> Any:
        if kind == "memory":
            return MemoryStorage(clock=clock, beside=first, owner=owner)
        return SQLiteStorage(tmp_path / "honed.db", clock=clock, owner=owner)

    storage, other = open_for("ada"), open_for(None)
    study = new_study(storage)
    for _ in range(2):
        storage.add(study, Draft(), worker="w")
    storage.detach()
    assert other.read(study).lost == ()
    storage = open_for("ada")
    clock.sleep(LEASE_SECONDS - 1)
    storage.renew(study, 0, 1)
    clock.sleep(1)
    assert other.read(study).lost == (1,)
    storage.close()
    assert other.read(study).lost == (0, 1)
    with pytest.raises(StorageError, match="closed"):
        storage.read(study)
    again = open_for("ada")
    assert again.claim(study, 0, worker="w").attempt == 2
    assert other.read(study).lost == (1,)
    again.close()
    other.close()


def test_after_a_restart_of_the_machine_the_owner_gets_a_new_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    storage = SQLiteStorage(tmp_path / "honed.db", clock=clock, owner="ada")
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")
    storage.detach()
    for module in ("sqlite", "named"):
        monkeypatch.setattr(f"honed.storage.{module}.boot_id", lambda: "another boot")
    clock.sleep(-900)
    other = SQLiteStorage(tmp_path / "honed.db", clock=clock)
    assert other.read(study).lost == (0,)
    storage = SQLiteStorage(tmp_path / "honed.db", clock=clock, owner="ada")
    other.close()
    other = SQLiteStorage(tmp_path / "honed.db", clock=clock)
    assert other.read(study).lost == ()
    clock.sleep(LEASE_SECONDS)
    assert other.read(study).lost == (0,)
    storage.close()
    other.close()


def test_clients_that_are_gone_for_long_are_closed(tmp_path: Path) -> None:
    clock = ManualClock()
    app = make_app(file_opener(tmp_path / "honed.db", clock), token=None, clock=clock)
    found: desk.Desk = app.state.desk
    for name in ("ada", "bob"):
        found.answer("studies", name, desk.Call(1, 1, 0), b"{}")
    clock.sleep(4 * LEASE_SECONDS)
    found.answer("studies", "bob", desk.Call(2, 2, 0), b"{}")
    assert found.names == {"ada", "bob"}
    clock.sleep(2 * LEASE_SECONDS)
    found.answer("studies", "bob", desk.Call(3, 3, 0), b"{}")
    assert found.names == {"bob"}
    found.close()


# ------------------------------------------------------------------------------------------------------- lost answers


class Cutter:
    """A way to the server that loses what it is told to.

    `lose` is "question": the next call never arrives; "answer": it is done, and nobody hears of it. `after` is called then.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.lose: str | None = None
        self.after: Callable[[], None] = lambda: None
        self.n_lost = 0
        self._socket = listening("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(connection,), daemon=True).start()

    def _relay(self, connection: socket.socket) -> None:
        with connection:
            while question := _message(connection):
                if self.lose == "question":
                    self._lost()
                    return
                with socket.create_connection(("127.0.0.1", self.target)) as server:
                    server.sendall(question)
                    answer = _message(server)
                if self.lose == "answer":
                    self._lost()
                    return
                connection.sendall(answer)

    def _lost(self) -> None:
        self.lose = None
        self.n_lost += 1
        self.after()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _message(connection: socket.socket) -> bytes:
    """One question or answer with its body; empty at the end."""
    text = b""
    while b"\r\n\r\n" not in text:
        part = connection.recv(65536)
        if not part:
            return b""
        text += part
    head, _, body = text.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


CHANGES: dict[str, Callable[[Storage], object]] = {
    "create_study": lambda each: each.create_study(StudyRecord(name="new", seed=7)),
    "delete_study": lambda each: each.delete_study(2),
    "add running": lambda each: each.add(1, Draft(steps={1: {"value": 1.0}}), worker="w", number=4, limit=9),
    "add queued": lambda each: each.add(1, Draft(state=State.WAITING, params={"x": 1}), worker="w"),
    "add told": lambda each: each.add(1, Draft(state=State.COMPLETE, values=(0.5,)), worker="w"),
    "add refused": lambda each: each.add(1, Draft(), worker="w", number=2),
    "claim": lambda each: each.claim(1, 1, worker="heir", until=9),
    "claim refused": lambda each: each.claim(1, 0, worker="heir"),
    "renew": lambda each: each.renew(1, 0, 1),
    "reports": lambda each: each.write(1, 0, 1, Update(steps={2: {"value": 0.1}}, attributes={"a": 1})),
    "tell": lambda each: each.write(1, 0, 1, TOLD),
    "fail": lambda each: each.write(1, 0, 1, Update(state=State.FAILED, cause=Cause.OOM, message="no memory")),
    "pause": lambda each: each.write(1, 0, 1, Update(state=State.PAUSED, checkpoint="c")),
    "release": lambda each: each.write(1, 0, 1, Update(state=State.WAITING)),
    "study": lambda each: each.write(1, None, 0, Update(attributes={"a": {"b": 1}})),
    "close": lambda each: each.close(),
}


def prepare(storage: Storage) -> None:
    """Trial 0 runs, 1 waits, 2 is done, 3 is paused; a second study is there to be deleted."""
    study = new_study(storage)
    for draft in (Draft(), Draft(state=State.WAITING), Draft(state=State.COMPLETE, values=(1.0,)), Draft()):
        storage.add(study, draft, worker="w")
    storage.write(study, 3, 1, Update(state=State.PAUSED))
    storage.create_study(StudyRecord(name="second"))


@pytest.fixture(scope="module")
def two_servers() -> Iterator[tuple[Movable, Movable]]:
    with Movable() as first, Movable() as second:
        yield first, second


@pytest.mark.parametrize("lose", ["question", "answer", "answer of memory", "answer and server"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_made_once_whatever_is_lost(
    change: str, lose: str, two_servers: tuple[Movable, Movable], tmp_path: Path
) -> None:
    clock = ManualClock()
    memory = MemoryStorage(clock=clock)
    prepare(memory)
    watching = MemoryStorage(clock=clock, beside=memory)
    wanted = CHANGES[change](memory)
    behind = MemoryStorage(clock=clock)
    for server in two_servers:
        if lose == "answer of memory":
            server.place = lambda owner: MemoryStorage(clock=clock, beside=behind, owner=owner)
        else:
            server.place = file_opener(tmp_path / "honed.db", clock)
    cutter = Cutter(two_servers[0].port)
    storage = HTTPStorage(f"http://127.0.0.1:{cutter.port}", token=TOKEN, retry_seconds=30)
    prepare(storage)
    if lose == "answer and server":  # the next one knows nothing but the file

        def replace_server() -> None:
            two_servers[0].app.state.desk.close()
            cutter.target = two_servers[1].port

        cutter.after = replace_server
    cutter.lose = lose.partition(" ")[0]
    found = CHANGES[change](storage)
    assert cutter.n_lost == 1
    assert comparable(found) == comparable(wanted)
    seen: Any = behind if lose == "answer of memory" else SQLiteStorage(tmp_path / "honed.db", clock=clock)
    assert comparable(seen.studies()) == comparable(watching.studies())
    for study in watching.studies():
        assert comparable(seen.read(study.id)) == comparable(watching.read(study.id))
    if seen is not behind:
        assert seen.check() == []
    seen.close()
    storage.close()
    cutter.close()


def test_calls_that_were_answered_are_forgotten(server: Server, tmp_path: Path) -> None:
    storage = server.client()
    study = new_study(storage)
    for number in range(30):
        storage.add(study, Draft(), worker="w")
        storage.write(study, number, 1, TOLD)
    with closing(sqlite3.connect(tmp_path / "honed.db")) as file:
        sql = "SELECT value FROM meta WHERE key LIKE 'calls of %'"
        assert [len(json.loads(value)) for (value,) in file.execute(sql)] == [1]
        storage.close()
        assert file.execute(sql).fetchall() == []


# -------------------------------------------------------------------------------------------------- real processes


def serve(path: Path, port: int) -> subprocess.Popen[str]:
    """A server of its own; it listens when its first words are read."""
    command = [sys.executable, "-m", "honed", "serve", "-s", str(path), "--port", str(port), "--token", TOKEN]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("honed serves"), line
    return process


def free_port() -> int:
    with closing(listening("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def test_a_server_is_killed_again_and_again_while_clients_write(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "honed.db"
    process = serve(path, port)
    done = threading.Semaphore(0)
    holder = HTTPStorage(f"http://127.0.0.1:{port}", token=TOKEN)
    study = new_study(holder)
    held = holder.add(study, Draft(), worker="holder")
    assert held is not None

    def work(client: int) -> list[int]:
        numbers = []
        with closing(HTTPStorage(f"http://127.0.0.1:{port}", token=TOKEN, retry_seconds=60)) as storage:
            for i in range(25):
                trial = storage.add(study, Draft(params={"i": i, "client": client}), worker=f"w{client}")
                assert trial is not None
                for step in range(3):
                    storage.write(study, trial.number, 1, Update(steps={step: {"value": float(step)}}))
                storage.write(study, trial.number, 1, Update(state=State.COMPLETE, values=(float(i),)))
                numbers.append(trial.number)
                done.release()
        return numbers

    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(work, client) for client in range(4)]
        for _ in range(3):
            for _ in range(20):
                assert done.acquire(timeout=60)
            process.kill()
            process.communicate(timeout=30)
            process = serve(path, port)
        numbers = [result.result(timeout=100) for result in results]
    assert holder.read(study).lost == ()
    holder.write(study, held.number, 1, TOLD)
    holder.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    with closing(SQLiteStorage(path)) as file:
        delta = file.read(study)
        assert sorted(trial.number for trial in delta.trials) == list(range(101))
        assert {trial.state for trial in delta.trials} == {State.COMPLETE}
        params = {trial.number: (trial.params.get("client"), trial.params.get("i")) for trial in delta.trials}
        for client, mine in enumerate(numbers):
            assert [params[number] for number in mine] == [(client, i) for i in range(25)]
        assert len(delta.reports) == 300
        assert delta.revision == 101 + 300 + 101
        assert file.check() == []


BEGIN = """
import os, sys, threading
sys.path.insert(0, "src")
from honed.records import *
from honed.storage.http import HTTPStorage
storage = HTTPStorage(sys.argv[1])
study = storage.create_study(StudyRecord(name="x"))[0].id
def cycle(n_reports):
    trial = storage.add(study, Draft(), worker=str(os.getpid()))
    for step in range(n_reports):
        storage.write(study, trial.number, 1, Update(steps={step: {"value": 1.0}}))
    storage.write(study, trial.number, 1, Update(state=State.COMPLETE, values=(1.0,)))
def fork(n_children, n_trials, n_reports):
    pids = []
    for _ in range(n_children):
        pid = os.fork()
        if pid == 0:
            for _ in range(n_trials):
                cycle(n_reports)
            storage.close()
            os._exit(0)
        pids.append(pid)
    return pids
def join(pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
"""

PARENT_AND_CHILDREN = """
held = storage.add(study, Draft(), worker="parent")
pids = fork(3, 5, 1)
for _ in range(5):
    cycle(1)
join(pids)
assert storage.read(study).lost == ()  # children that have closed it took nothing from their parent
storage.write(study, held.number, 1, Update(state=State.COMPLETE, values=(1.0,)))
storage.close()
"""

FORKS_AMONG_THREADS = """
stop = threading.Event()
def work():
    while not stop.is_set():
        storage.read(study)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(10):
    join(fork(1, 1, 0))
stop.set()
for thread in threads:
    thread.join()
storage.close()
"""


@pytest.mark.parametrize(
    ("code", "n_trials", "n_reports"),
    [
        pytest.param(PARENT_AND_CHILDREN, 21, 20, id="parent and children"),
        pytest.param(FORKS_AMONG_THREADS, 10, 0, id="forks among threads"),
        pytest.param("join(fork(8, 20, 5))\nstorage.close()", 160, 800, id="8 processes"),
    ],
)
def test_forked_clients_share_nothing(server: Server, tmp_path: Path, code: str, n_trials: int, n_reports: int) -> None:
    environment = os.environ | {"HONED_TOKEN": TOKEN}
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + code, server.url]
    subprocess.run(arguments, cwd=ROOT, env=environment, timeout=100, check=True)
    with closing(SQLiteStorage(tmp_path / "honed.db")) as file:
        delta = file.read(1)
        assert sorted(trial.number for trial in delta.trials) == list(range(n_trials))
        assert {trial.state for trial in delta.trials} == {State.COMPLETE}
        assert len(delta.reports) == n_reports
        assert delta.lost == ()


def test_a_study_is_optimized_over_http(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        for step in trial.steps(3):
            trial.report(x**2 + 1 / (step + 1))
        return x**2

    study = honed.create_study("far", storage=f"http://:{TOKEN}@127.0.0.1:{server.port}", seed=1)
    study.optimize(objective, n_trials=12)
    near = honed.create_study("near", storage="memory", seed=1)
    near.optimize(objective, n_trials=12)
    assert [trial.params for trial in study.history] == [trial.params for trial in near.history]
    assert [trial.reports for trial in study.history] == [trial.reports for trial in near.history]
    study.storage.close()


def test_https_with_a_certificate_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_certificate(tmp_path)
    options = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    with Server(file_opener(tmp_path / "honed.db"), config=options) as server:
        url = f"https://localhost:{server.port}"
        with (
            closing(HTTPStorage(url, token=TOKEN)) as storage,
            pytest.raises(StorageError, match=r"is not trusted .*self.signed.*HONED_CA"),
        ):
            storage.studies()
        monkeypatch.setenv("HONED_CA", str(certificate))
        with closing(HTTPStorage(url, token=TOKEN)) as storage:
            assert storage.studies() == ()
            assert storage.url == f"https://:{TOKEN}@localhost:{server.port}"
    monkeypatch.setenv("HONED_CA", str(tmp_path / "missing.pem"))
    with pytest.raises(StorageError, match=r"HONED_CA=.* cannot be read"):
        HTTPStorage(url)


def new_study(storage: Any) -> int:
    number: int = storage.create_study(StudyRecord(name="x"))[0].id
    return number
