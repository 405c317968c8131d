"""A real PostgreSQL server for tests, in a temporary folder, with passwords and with syncs."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

INSTALL = "PostgreSQL is not installed, and these tests need it: apt-get install postgresql"
PASSWORD = "s3cret"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "wal_writer_delay": "200ms",
    "fsync": "on",
}


def program(name: str) -> str:
    """The path of one of the server's programs."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep)]
    config = shutil.which("pg_config")
    if config:
        folders.append(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    folders += sorted(
        map(str, Path("/usr/lib/postgresql").glob("*/bin")), key=lambda path: path.split("/")[4], reverse=True
    )
    found = shutil.which(name, path=os.pathsep.join(folders))
    assert found is not None, INSTALL
    return os.path.realpath(found)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}


@dataclass
class Server:
    """One server; ``url`` names its superuser and first database."""

    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str, user: str = "ada", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Makes the database files."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if _user():
            for path in (self.folder, secret):
                shutil.chown(path, "postgres", "postgres")
        command = [
            program("initdb"),
            "-D",
            self.data,
            "-U",
            "ada",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
        self._run([*command, "--no-sync", f"--pwfile={secret}"])

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def start(self, **settings: str) -> None:
        options = [f"-c {name}={value}" for name, value in {**SETTINGS, **settings}.items()]
        options += [f"-p {self.port}", "-k ''"]
        log = str(self.folder / "log")
        self._run([program("pg_ctl"), "start", "-w", "-t", "60", "-D", self.data, "-l", log, "-o", " ".join(options)])

    def stop(self, mode: str = "fast") -> None:
        """``fast`` ends all connections and writes everything; ``immediate`` is a crash."""
        self._run([program("pg_ctl"), "stop", "-w", "-t", "60", "-D", self.data, "-m", mode])

    def kill(self) -> None:
        """kill -9 of the server and all that it has started, as at a crash of the machine."""
        master = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        os.kill(master, signal.SIGSTOP)
        for child in [*map(int, children), master]:
            os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while any(map(_is_alive, [*map(int, children), master])):
            assert time.monotonic() < deadline, "a killed server lives on"
        (self.folder / "data" / "postmaster.pid").unlink()  # a zombie that nobody buries looks like a running server

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **_user(),
        )
        assert done.returncode == 0, done.stdout + (
            Path(self.folder / "log").read_text() if (self.folder / "log").exists() else ""
        )


@contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A server of one's own."""
    server = Server(Path(tempfile.mkdtemp(prefix="honed-pg-")))
    try:
        server.make()
        server.start(**settings)
        yield server
    finally:
        if (server.folder / "data" / "postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(server.folder)


def execute(url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """What one statement answers with."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode(), values or None)
        return cursor.fetchall() if cursor.description is not None else []


@contextmanager
def new_database(server: Server) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"t{secrets.token_hex(6)}"
    execute(server.url, f"CREATE DATABASE {name} STRATEGY file_copy")
    yield server.url_of(name)
    execute(server.url, f"DROP DATABASE {name} WITH (FORCE)")


def wipe(url: str) -> None:
    """Makes a database that has been used by honed as good as new."""
    tables = ("studies", "counters", "domains", "trials", "reports", "owners", "leases")
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regnamespace('honed')").fetchone() != (None,):
            connection.execute("".join(f"DELETE FROM honed.{table};" for table in tables).encode())
            connection.execute("ALTER TABLE honed.studies ALTER COLUMN id RESTART")
