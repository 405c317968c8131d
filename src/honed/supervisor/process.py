"""One worker process: started in a session of its own, heard over a connection, ended gently or at once.

It is started as a fresh interpreter (nothing is forked, so CUDA, threads and locks of the caller do not matter). What it
prints comes back line by line. When the supervisor dies, however it dies, the connection ends, and the worker gives its
trial back and leaves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import IO, TYPE_CHECKING

from honed.supervisor.messages import encode

if TYPE_CHECKING:
    import psutil

LINES_KEPT = 20
WORKER_VARIABLE = "HONED_WORKER"
"""Set in worker processes; ``optimize`` refuses to start workers of workers."""

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from honed.child import main; main(int(sys.argv[2]))"
_ROOT = str(Path(__file__).resolve().parents[2])


class WorkerProcess:
    """A running worker.

    Args:
        index: which of the workers, from 0.
        environment: variables beyond those of this process.
        header: see ``Packed``; with what only this process is told.
        body: the job.
        write: takes each line that the process prints, and whether it was an error line.
    """

    def __init__(
        self,
        index: int,
        environment: Mapping[str, str],
        header: Mapping[str, object],
        body: bytes,
        write: Callable[[str, bool], None],
    ) -> None:
        self.index = index
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._write = write
        self._returncode: int | None = None
        self.connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, _ROOT, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, **environment, WORKER_VARIABLE: str(index), "PYTHONUNBUFFERED": "1"},
            )
        self.pid = self._process.pid
        self._readers = [self._reader(self._process.stdout, False), self._reader(self._process.stderr, True)]
        # A thread sends the job: a large one waits until the process has started, and others should start meanwhile.
        self._sender = threading.Thread(target=self._send, args=(encode(header), body), daemon=True)
        self._sender.start()

    def _send(self, *parts: bytes) -> None:
        with contextlib.suppress(OSError):  # it has died; whoever listens will see
            for part in parts:
                self.connection.send_bytes(part)

    def _reader(self, stream: IO[bytes] | None, is_error: bool) -> threading.Thread:
        def read() -> None:
            assert stream is not None
            with stream:
                for raw in stream:
                    line = raw.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]
                    self.lines.append(line)
                    self._write(line, is_error)

        thread = threading.Thread(target=read, daemon=True, name=f"honed worker {self.index} output")
        thread.start()
        return thread

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone; its children are killed and its output is read to the end then."""
        if self._returncode is None and _is_over(self.pid):
            _kill_group(self.pid)  # before it is reaped: until then no other process can bear its number
            self._returncode = self._process.wait()
            for reader in self._readers:
                reader.join(timeout=2)  # a grandchild that has left the group may hold the pipe
        return self._returncode is not None

    def last_words(self) -> list[bytes]:
        """Messages that were not received when the process ended; closes the connection."""
        words: list[bytes] = []
        with self.connection, contextlib.suppress(EOFError, OSError):
            while self.connection.poll():
                words.append(self.connection.recv_bytes())
        return words

    @property
    def returncode(self) -> int | None:
        """As of ``subprocess``: negative for the signal that ended it."""
        return self._returncode

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process itself, not to its children: data loaders must not die before a checkpoint."""
        if not self.has_ended:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends the process and all its children now."""
        if self._returncode is not None:
            return
        strays = _descendants(self.pid)
        _kill_group(self.pid)
        for stray in strays:
            with contextlib.suppress(Exception):  # gone already
                stray.kill()

    def memory(self) -> int:
        """Bytes that the process and its children use; pages that they share count once where the system tells."""
        import psutil

        with contextlib.suppress(psutil.Error):
            family = [psutil.Process(self.pid), *_descendants(self.pid)]
            if len(family) == 1:
                return int(family[0].memory_info().rss)
            return sum(_proportional(member) for member in family)
        return 0


def _is_over(pid: int) -> bool:
    """Whether a child process has ended; it is not reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, nobody left in it
        os.killpg(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[psutil.Process]:
    import psutil

    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _proportional(process: psutil.Process) -> int:
    """Resident bytes, of shared pages the process's part."""
    import psutil

    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):  # not on this system, or not allowed
        with contextlib.suppress(psutil.Error):
            return int(process.memory_info().rss)
        return 0
