"""Keeps one worker alive: a child process that is started again after a crash, and ended gently when it is asked to.

What an end means is read from three things: its exit code, whether it was asked to end, and the last line of
``honed run --json``, which only a run that ended by itself prints. A worker that was ended from outside exits with 0 as
well, but without that line.

========================  =====================================================================
exit 0 with a reason      finished: all trials are done, the target is reached, the time is up
asked to end              stopped: its trial went back to the storage with a checkpoint
exit 1, 2                 failed: a bug in the script or a wrong option; again would be the same
exit 3 in the first life  failed: the storage cannot be used
anything else             a crash: started again, after a pause that grows while crashes follow
========================  =====================================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from honed.clock import SYSTEM_CLOCK, Clock
from honed.errors import StorageError
from honed.launchers.command import Standing, Work, standing
from honed.storage.base import LEASE_SECONDS

EXIT_STORAGE = 3
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
MOST_CRASHES = 10
"""So many crashes in a row, each soon after the start, are a fault that starting again does not mend."""
QUICK_SECONDS = 30.0
MARGIN_SECONDS = 10.0
"""A worker ends itself when its grace is over; so much later it is killed. (It may spend 5 s on its farewell.)."""
_POLL_SECONDS = 1.0
_LINES_KEPT = 40

# Linux sends the child SIGTERM when the thread that started it is gone, however it went: no worker outlives its keeper
# and holds a card. It runs in an interpreter of its own, because Python code between fork and exec may hang in a process
# that has threads.
_TETHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(143)
os.execvp(sys.argv[2], sys.argv[2:])
"""

_CUT_SHORT = ("terminated", "interrupted")  # reasons of a run that somebody ended

State = Literal["starting", "running", "pausing", "finished", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Status:
    """Where a worker is in its life.

    Attributes:
        lives: how often it was started.
        reason: why it ended, in words; in a pause: why it crashed.
    """

    state: State
    lives: int = 0
    pid: int | None = None
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it will not be started again."""
        return self.state in ("finished", "stopped", "failed")


class Keeper:
    """One worker that is kept alive; ``run`` in one thread, the rest from any other.

    Args:
        work: what it runs.
        environment: of the worker, without what ``work`` adds.
        output: receives each line that the worker prints.
        grace: seconds that a worker has for its checkpoint when it is asked to end.
        folder: where the worker starts; None: here.
        timeout: seconds after which it is to end by itself.
        saw_death: whether a worker before this one died with its machine, so that a trial may have to be taken over.
    """

    def __init__(
        self,
        work: Work,
        *,
        environment: Mapping[str, str],
        output: Callable[[bytes], object],
        grace: float,
        folder: str | None = None,
        timeout: float | None = None,
        saw_death: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.work = work
        self.status = Status("starting")
        self._environment = {**environment, **work.environment, "PYTHONUNBUFFERED": "1"}
        self._output = output
        self._folder = folder
        self._grace = grace
        self._clock = clock
        self._deadline = None if timeout is None else clock.monotonic() + timeout
        self._died_at = clock.monotonic() if saw_death else None
        self._crashes = 0
        self._lives = 0
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._last_lines: deque[bytes] = deque(maxlen=_LINES_KEPT)

    def run(self) -> Status:
        """Keeps the worker alive to its end."""
        while not self.status.has_ended:
            if self._stopping.is_set():
                self._become("stopped", "asked to end")
            elif self._is_late():
                self._become("stopped", "the time is up")
            else:
                begun = self._clock.monotonic()
                try:
                    self._judge(self._live(), self._clock.monotonic() - begun)
                except OSError as error:  # no such folder or program, no memory for a process
                    self._become("failed", f"it cannot be started: {error}")
        return self.status

    def stop(self) -> None:
        """Asks the worker to end: SIGTERM, and SIGKILL when its grace is over. Safe in signal handlers."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._ask_to_end()

    def kill(self) -> None:
        """Ends the worker at once, with every process that it started."""
        self._stopping.set()
        if self._child is not None:
            _kill_living(self._child)

    @property
    def last_words(self) -> str:
        """The last lines that the worker printed."""
        return b"".join(self._last_lines).decode(errors="replace").strip()

    # --------------------------------------------------------------------------------------------------- one life

    def _live(self) -> int:
        """One life of the worker: its exit code, negative for a signal."""
        self._last_lines.clear()
        child = self._child = subprocess.Popen(
            self._argv(),
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._lives += 1
        self._become("running", pid=child.pid)
        if self._stopping.is_set():  # in between
            self._ask_to_end()
        relay = threading.Thread(target=self._relay, args=(child,), daemon=True)
        relay.start()
        code = child.wait()
        _kill_group(child)  # loaders of data and the like that a crash has left
        relay.join(timeout=MARGIN_SECONDS)
        return code

    def _argv(self) -> list[str]:
        more = ["--json", f"--grace={self._grace:g}"]
        if self._deadline is not None:
            more.append(f"--timeout={max(self._deadline - self._clock.monotonic(), 0):.0f}")
        argv = self.work.argv(*more)
        tethered = [sys.executable, "-I", "-c", _TETHER, str(os.getpid()), *argv]
        return tethered if sys.platform == "linux" else argv

    def _relay(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                self._last_lines.append(line)
                self._output(line)

    def _ask_to_end(self) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            return
        child.send_signal(signal.SIGTERM)
        killer = threading.Timer(self._grace + MARGIN_SECONDS, _kill_living, (child,))
        killer.daemon = True
        killer.start()

    # ----------------------------------------------------------------------------------------------- after a life

    def _judge(self, code: int, seconds: float) -> None:
        reason = self._reason_told() if code == 0 else None
        if self._stopping.is_set():
            self._become("stopped", "asked to end")
        elif reason is not None and self._is_late():
            self._become("stopped", "the time is up")
        elif reason is not None:
            if self._may_finish():
                self._become("finished", reason)
        elif code in (1, 2) or (code == EXIT_STORAGE and self._lives == 1):
            self._become("failed", f"it ended with exit code {code}")
        else:
            self._after_crash(code, seconds)

    def _after_crash(self, code: int, seconds: float) -> None:
        self._died_at = self._clock.monotonic()
        what = _in_words(code)
        self._crashes = self._crashes + 1 if seconds < QUICK_SECONDS else 1
        if self._crashes >= MOST_CRASHES:
            self._become("failed", f"{self._crashes} times in a row {what} within {QUICK_SECONDS:g} s")
            return
        self._become("pausing", what)
        self._stopping.wait(min(FIRST_PAUSE * 2 ** (self._crashes - 1), LONGEST_PAUSE))

    def _may_finish(self) -> bool:
        """False when a trial of a worker that died is free to be taken over, which takes a lease on some storages."""
        while self._died_at is not None and not self._stopping.is_set():
            found = self._standing()
            if found is not None and not found.n_open:
                return True
            if found is not None and found.n_lost:
                return False
            if self._clock.monotonic() > self._died_at + 2 * LEASE_SECONDS:
                self._died_at = None
            self._stopping.wait(_POLL_SECONDS)
        return True

    def _standing(self) -> Standing | None:
        try:
            return standing(self.work)
        except StorageError:
            return None

    def _is_late(self) -> bool:
        return self._deadline is not None and self._clock.monotonic() >= self._deadline

    def _reason_told(self) -> str | None:
        for line in reversed(self._last_lines):
            if line.startswith(b"{") and b'"reason"' in line:
                try:
                    told = json.loads(line)
                except ValueError:
                    continue
                reason = str(told.get("reason")) if told.get("study") == self.work.study else _CUT_SHORT[0]
                return None if reason.startswith(_CUT_SHORT) else reason
        return None

    def _become(self, state: State, reason: str = "", pid: int | None = None) -> None:
        self.status = Status(state, self._lives, pid, reason)


def _in_words(code: int) -> str:
    if code == 0:
        return "it was ended from outside"
    return f"it died of {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"


def _kill_living(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:  # else its number may be another's by now
        _kill_group(child)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it is gone; macOS says it the second way
        os.killpg(child.pid, signal.SIGKILL)
