"""What ``honed serve`` runs: a storage's verbs as an ASGI application, one POST route each.

Every client is an owner of its own, with a storage object of its own over the same data; it is known by a random id and
lives by its leases, so that the server may be stopped and started while its clients train. Calls bear numbers: one that
comes again, because its answer was lost, gets the same answer and is not done twice. The answers of calls that a client still
waits for are kept here; a file keeps, with each change, which call made it, for the server that comes after a killed one.

Guards: the token (compared in constant time); a header that no web page can send without being asked first; the Host header
where the server listens on this machine only, for a name of an evil page may point here too; a limit for what is sent.
"""

from __future__ import annotations

import contextlib
import hmac
import inspect
import logging
import socket
from collections.abc import Callable, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from honed.clock import SYSTEM_CLOCK, Clock
from honed.errors import StorageError
from honed.storage import rules
from honed.storage.desk import FAILED, VERBS, Call, Desk, Opener
from honed.storage.http import MOST_BYTES, PROTOCOL
from honed.storage.memory import MemoryStorage
from honed.storage.sqlite import SQLiteStorage
from honed.storage.url import open_storage

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOG = logging.getLogger("honed.serve")


def opener(target: str, *, read_only: bool = False) -> Opener:
    """Opens one storage for many owners: a file, a PostgreSQL database or ``"memory"``.

    Raises:
        StorageError: it cannot be opened, or is itself behind a server.
    """
    first = open_storage(target, read_only=read_only)
    if isinstance(first, MemoryStorage):
        return lambda owner: MemoryStorage(beside=first, owner=owner)
    if isinstance(first, SQLiteStorage):
        path = first.path
        first.close()
        return lambda owner: SQLiteStorage(path, read_only=read_only, owner=owner)
    kind: Any = type(first)
    first.close()
    if not hasattr(first, "restore"):
        raise StorageError(f"{target} is behind a server already; give its own address to the workers.")
    options: dict[str, Any] = {"read_only": read_only}
    takes_owner = "owner" in inspect.signature(kind).parameters
    return lambda owner: kind(target, **options, **({"owner": owner} if takes_owner else {}))


def make_app(
    open_for: Opener,
    *,
    token: str | None,
    hosts: Collection[str] | None = None,
    most_bytes: int = MOST_BYTES,
    clock: Clock = SYSTEM_CLOCK,
) -> Starlette:
    """The application.

    Args:
        open_for: opens the storage for one client.
        token: what clients must show; None lets everybody in.
        hosts: names that the Host header may have; None: any.
        most_bytes: the longest question.
        clock: for closing the storages of clients that are gone.
    """
    desk = Desk(open_for, clock)
    guards = _Guards(token, None if hosts is None else frozenset(hosts), most_bytes)

    def endpoint(verb: str) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            guards.check(request)
            client, call = _sender(request)
            question = await guards.body(request)
            status, content = await run_in_threadpool(desk.answer, verb, client, call, question)
            return _response(status, content)

        return answer

    async def hello(request: Request) -> Response:
        guards.check(request)
        return _response(200, rules.to_json({"answer": {"protocol": PROTOCOL}}))

    async def refused(request: Request, error: Exception) -> Response:
        status, text = 500, FAILED
        if isinstance(error, HTTPException):
            status, text = error.status_code, error.detail
        else:
            _LOG.error("a call failed", exc_info=error)
        return _response(status, rules.to_json({"error": {"kind": "StorageError", "message": text}}))

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    routes = [Route(f"/v1/{verb}", endpoint(verb), methods=["POST"]) for verb in VERBS]
    app = Starlette(
        routes=[*routes, Route("/v1", hello)],
        exception_handlers={HTTPException: refused, ClientDisconnect: gone, Exception: refused},
    )
    app.state.desk = desk
    return app


def listening(host: str, port: int) -> socket.socket:
    """A socket that clients can connect to from now on; port 0 takes a free one.

    Raises:
        StorageError: the port is taken, or the host is not this machine's.
    """
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        made = socket.socket(family, kind, socket.IPPROTO_TCP)  # named, or asyncio lets every answer wait 40 ms
    except OSError as error:
        raise StorageError(f"--host {host}: this is no address of this machine ({error.strerror}).") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(1024)
    except OSError as error:
        made.close()
        raise StorageError(
            f"Cannot listen at {host}, port {port}: {error.strerror}. Choose another --port, or end what uses it."
        ) from error
    return made


def _response(status: int, content: str) -> Response:
    return Response(content, status, {"Honed-Protocol": PROTOCOL, "Cache-Control": "no-store"}, "application/json")


def _sender(request: Request) -> tuple[str, Call]:
    client = request.headers.get("Honed-Client", "")
    try:
        number, oldest, n_tries = map(int, request.headers.get("Honed-Call", "").split())
    except ValueError:
        raise HTTPException(400, "The header Honed-Call must be three numbers.") from None
    if not (client.isascii() and client.isalnum() and 16 <= len(client) <= 64):
        raise HTTPException(400, "The header Honed-Client must be 16 to 64 letters and digits.")
    return client, Call(number, oldest, n_tries)


class _Guards:
    """Who may call, from where, and how much may be sent."""

    def __init__(self, token: str | None, hosts: frozenset[str] | None, most_bytes: int) -> None:
        self._token = None if token is None else f"Bearer {token}".encode()
        self._hosts = hosts
        self._most_bytes = most_bytes

    def check(self, request: Request) -> None:
        """Raises what the caller is refused with."""
        headers = request.headers
        if self._hosts is not None and _host(headers.get("Host", "")) not in self._hosts:
            raise HTTPException(400, "The Host header names another host; use the address that `honed serve` printed.")
        given = headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if self._token is not None and not hmac.compare_digest(given, self._token):
            raise HTTPException(401, "A token is needed: Authorization: Bearer TOKEN.")
        protocol = headers.get("Honed-Protocol")
        if protocol != PROTOCOL:
            raise HTTPException(400, f"The header Honed-Protocol must be {PROTOCOL}, it is {protocol}.")

    async def body(self, request: Request) -> bytes:
        """All that is sent."""
        too_long = HTTPException(413, f"More than {self._most_bytes} bytes in one call.")
        with contextlib.suppress(ValueError):
            if int(request.headers.get("Content-Length", "0")) > self._most_bytes:
                raise too_long
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self._most_bytes:
                raise too_long
            parts.append(part)
        return b"".join(parts)


def _host(header: str) -> str:
    """The name in ``name:port`` or ``[address]:port``."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
