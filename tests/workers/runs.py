"""Scripts that tests start as programs of their own, and what they ask of a study afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import honed
from honed.storage.sqlite import SQLiteStorage

PATIENCE = 60.0

started: list[subprocess.Popen[str]] = []  # scripts that the present test has started


def start(folder: Path, script: str, **environment: str) -> subprocess.Popen[str]:
    """Runs a script in a folder, as a user would.

    Several starts in one folder share the file, so it changes at once or not at all: an interpreter
    that reads it while it is written anew would find half a program, or none.
    """
    written = folder / f"script.{uuid.uuid4().hex}.tmp"
    written.write_text(textwrap.dedent(script))
    written.replace(folder / "script.py")
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "HONED_PROGRESS": "plain", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
        started.remove(process)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the script did not end:\n{out}\n{err}") from None
    return process.returncode, out, err


def run(folder: Path, script: str, **environment: str) -> tuple[int, str, str]:
    """Runs a script to its end."""
    return finish(start(folder, script, **environment))


def until(what: Callable[[], object], message: str = "it never happened") -> None:
    """Waits until something is true."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, message
        time.sleep(0.02)


def study(folder: Path, name: str = "s") -> honed.Study:
    """The study that a script has made."""
    return honed.load_study(name, storage=SQLiteStorage(folder / "honed.db"))


def lines(path: Path) -> list[str]:
    """The lines of a file that may not be there yet."""
    return path.read_text().split() if path.exists() else []


def is_running(pid: int) -> bool:
    """Whether a process that is no child of ours lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Ends a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
