"""`honed serve` as a user meets it: what it prints, who may not be let in, how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from honed.records import StudyRecord
from honed.storage.http import HTTPStorage
from honed.storage.server import listening
from tests.storage.certificate import make_certificate


class Process:
    """A server and the lines that it has printed so far."""

    def __init__(self, folder: Path, *arguments: str, n_lines: int = 4) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith("HONED_")}
        command = [sys.executable, "-m", "honed", "serve", "--port", "0", *arguments]
        self.popen = subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.popen.stderr is not None
        self.lines = [self.popen.stderr.readline() for _ in range(n_lines)]

    def exported(self, name: str) -> str:
        (found,) = re.findall(rf"export {name}=(\S+)", "".join(self.lines))
        return str(found)

    def end(self, signum: int = signal.SIGTERM) -> tuple[str, str]:
        """What else it prints."""
        self.popen.send_signal(signum)
        out, err = self.popen.communicate(timeout=30)
        assert self.popen.returncode == 0, err
        return out, err


@contextmanager
def serving(folder: Path, *arguments: str, n_lines: int = 4) -> Iterator[Process]:
    process = Process(folder, *arguments, n_lines=n_lines)
    try:
        yield process
    finally:
        process.popen.kill()
        process.popen.communicate()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_once_what_workers_need_and_ends_quietly(signum: int, tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        url, token = process.exported("HONED_STORAGE"), process.exported("HONED_TOKEN")
        assert process.lines[0] == f"honed serves honed.db at {url} until Ctrl-C. Workers need:\n"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        with closing(HTTPStorage(url, token=token)) as storage:
            storage.create_study(StudyRecord(name="x"))
            out, err = process.end(signum)
            assert out + err.strip() == ""
    with serving(tmp_path) as again:  # the token is the same, so that workers go on
        assert again.exported("HONED_TOKEN") == token
    assert (tmp_path / "honed.db-token").stat().st_mode & 0o777 == 0o600


def test_for_looking_and_without_a_token(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--no-token", n_lines=3) as process,
        closing(HTTPStorage(process.exported("HONED_STORAGE"))) as storage,
    ):
        assert storage.create_study(StudyRecord(name="x"))[1]
        process.end()
    with (
        serving(tmp_path, "--read-only", "--token", "abc") as process,
        closing(HTTPStorage(process.exported("HONED_STORAGE"), token="abc")) as storage,
    ):
        assert [study.name for study in storage.studies()] == ["x"]


def test_other_machines_are_warned_about(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0", n_lines=6) as process:
        assert process.lines[5].startswith("Warning: without --certificate and --key the token and all results cross")
        assert "ssh -N -L " in process.lines[5]
    pem, key = make_certificate(tmp_path)
    files = ("--certificate", str(pem), "--key", str(key))
    with serving(tmp_path, "--host", "0.0.0.0", *files, n_lines=5) as process:
        assert process.exported("HONED_STORAGE").startswith("https://")
        assert process.exported("HONED_CA") == "localhost.pem"
        _, err = process.end()
        assert "Warning" not in err


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with closing(listening("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = refused(tmp_path, "--port", port)
    assert done.returncode == 3
    assert re.fullmatch(rf"honed: Cannot listen at 127\.0\.0\.1, port {port}: .*Choose another --port.*\n", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--no-token", "--host", "0.0.0.0"], 2, "--no-token with --host 0.0.0.0 would let everybody in"),
        (["--certificate", "localhost.pem"], 2, "--certificate and --key belong together"),
        (["--certificate", "localhost.key", "--key", "localhost.key"], 3, "do not work"),
        (["--token", "two words"], 2, "printable ASCII characters without spaces"),
        (["--storage", "http://127.0.0.1:9"], 3, "is behind a server already"),
        (["--storage", "none/x.db"], 3, "the folder"),
        (["--read-only"], 3, "honed.db does not exist"),
        (["--host", "no.such.host.invalid"], 3, "no address of this machine"),
    ],
)
def test_mistakes_get_one_line(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    make_certificate(tmp_path)
    done = refused(tmp_path, *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert "export" not in done.stderr


def refused(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HONED_")}
    command = [sys.executable, "-m", "honed", "serve", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
