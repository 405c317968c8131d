"""``honed serve``: a storage for workers on other machines, over HTTP."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from honed.cli.app import plain_errors, storage_option
from honed.errors import StorageError
from honed.storage.hiding import hidden

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_IN_THE_CLEAR = (
    "without --certificate and --key the token and all results cross the network in the clear. Another way is the default "
    "--host, with a tunnel from each worker"
)
_GRACE_SECONDS = 1
_IDLE_SECONDS = 75  # so long a quiet connection stays open; a worker's lease is renewed every 15


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the server listens, and with which certificate."""

    host: str
    port: int
    certificate: str | None
    key: str | None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"

    def url(self, port: int) -> str:
        """What workers call it."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"{'https' if self.certificate else 'http'}://{f'[{name}]' if ':' in name else name}:{port}"


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for other machines."
)
@click.option("--port", default=8484, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--token", envvar="HONED_TOKEN", help="What workers must show (environment: HONED_TOKEN); drawn by default."
)
@click.option("--no-token", is_flag=True, help="Let every program of this machine in.")
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), help="For https: a PEM file.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="The certificate's private key.")
@click.option("--read-only", is_flag=True, help="For looking only.")
@storage_option
@plain_errors
def serve(storage: str, token: str | None, no_token: bool, read_only: bool, **place: Any) -> None:
    """Serve a storage to workers on other machines.

    They wait while it is stopped, and go on when it is started again with the same storage and token.
    """
    from honed.storage.server import LOOPBACK, listening, make_app, opener  # brings starlette

    where = _Place(**place)
    _check(where, token, no_token)
    shown = None if no_token else _token(storage, token)
    app = make_app(
        opener(storage, read_only=read_only),
        token=shown,
        hosts={*LOOPBACK, where.host.lower()} if where.is_loopback else None,
    )
    server = _server(app, where)
    with contextlib.closing(listening(where.host, where.port)) as sock, _quiet_signals(server):
        _announce(storage, where, where.url(sock.getsockname()[1]), shown)
        server.run([sock])
    if app.state.desk.is_busy:  # a call that waits for a lock; what it would have done is asked for again
        sys.stderr.flush()
        os._exit(0)
    app.state.desk.close()


def _check(where: _Place, token: str | None, no_token: bool) -> None:
    if bool(where.certificate) != bool(where.key):
        raise click.UsageError("--certificate and --key belong together: give both, or neither")
    if no_token and not where.is_loopback:
        raise click.UsageError(f"--no-token with --host {where.host} would let everybody in; leave one of them out")
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise click.UsageError("--token must be of printable ASCII characters without spaces")
    if where.certificate and where.key:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(where.certificate, where.key)
        except (OSError, ssl.SSLError) as error:
            raise StorageError(
                f"--certificate {where.certificate} and --key {where.key} do not work: {error}"
            ) from error


def _token(storage: str, given: str | None) -> str:
    """The token; one that was drawn is kept beside a file, so that workers live through a restart of the server."""
    if given is not None:
        return given
    drawn = secrets.token_urlsafe(24)
    if "://" in storage or storage in ("memory", ":memory:"):
        return drawn
    path = Path(storage + "-token")
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(drawn + "\n")
        return drawn
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip() or drawn
    return drawn


def _announce(storage: str, where: _Place, url: str, token: str | None) -> None:
    lines = [
        f"honed serves {hidden(storage) if '://' in storage else storage} at {url} until Ctrl-C. Workers need:",
        "",
        f"  export HONED_STORAGE={url}",
    ]
    if token is not None:
        lines.append(f"  export HONED_TOKEN={token}")
    if where.certificate:
        lines.append(
            f"  export HONED_CA={Path(where.certificate).name}   # a copy of it, if no authority has signed it"
        )
    elif not where.is_loopback:
        port = url.rpartition(":")[2]
        lines += ["", f"Warning: {_IN_THE_CLEAR}: ssh -N -L {port}:127.0.0.1:{port} {socket.gethostname()}"]
    click.echo("\n".join([*lines, ""]), err=True)


def _server(app: Starlette, where: _Place) -> uvicorn.Server:
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ssl_certfile=where.certificate,
        ssl_keyfile=where.key,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _allow_many_files()
    return uvicorn.Server(config)


@contextlib.contextmanager
def _quiet_signals(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM are good ends, before uvicorn listens to them and when it raises them again at its own end."""

    def end(*_: object) -> None:
        server.should_exit = True

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _allow_many_files() -> None:
    """Each client takes a handful of files, and the usual limit is 1024."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
