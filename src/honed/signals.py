"""Signals to a run in this process: Ctrl-C, and the SIGTERM or SIGUSR1 of a scheduler that takes the machine away.

Ctrl-C once ends the run after the current step or trial, twice now. The others end it after the current step, and the
program with it; when the step takes longer than the grace, a thread gives the trial back and ends the process.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn, Protocol

from honed.clock import Clock
from honed.durations import shown
from honed.events import Listener, Notice, RunEnded

_FAREWELL_SECONDS = 5.0  # what a storage gets to take the trials back, when the grace is over


class Flow(Protocol):
    """What a signal does to a worker's connection."""

    stop_requested: bool

    def release_all(self) -> None:
        """Gives back what is held."""
        ...


class Loop(Protocol):
    """What a signal does to a worker's loop.

    Attributes:
        stop_reason: why it should end, in words.
        n_interrupts: how often Ctrl-C was pressed.
        terminated: the signal that ends the program.
        gate: whoever asks or tells has it.
    """

    clock: Clock
    stop_reason: str | None
    n_interrupts: int
    terminated: str | None
    gate: threading.Lock

    @property
    def listen(self) -> Listener:
        """Who hears what happens."""
        ...

    @property
    def flow(self) -> Flow:
        """The connection."""
        ...


@contextlib.contextmanager
def interrupts(loop: Loop) -> Iterator[None]:
    """Ctrl-C once: stop after the current step or trial; twice: KeyboardInterrupt where it happens."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        loop.n_interrupts += 1
        if loop.n_interrupts > 1:
            raise KeyboardInterrupt
        loop.stop_reason = loop.stop_reason or "interrupted"
        loop.flow.stop_requested = True
        loop.listen(
            Notice(level="warning", text="Ctrl-C: finishing the current step or trial; press it again to stop at once.")
        )

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Watch:
    """A thread that hears SIGTERM and SIGUSR1 and ends the run, or at last the process.

    Python runs handlers in the main thread, between two of its own instructions: never, while a training hangs in a library.
    So the interpreter writes the numbers of signals into a socket (``set_wakeup_fd``), and this thread reads them.
    """

    def __init__(self, loop: Loop, grace: float) -> None:
        self.loop = loop
        self.grace = grace
        self.reader, self.writer = socket.socketpair()
        self.writer.setblocking(False)
        self.former = -1  # the descriptor that somebody else wants to be woken by
        self.deadline = math.inf
        self.thread = threading.Thread(target=self.watch, name="honed signals", daemon=True)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """The handler, which the main thread runs: somebody may have taken the wakeup descriptor meanwhile."""
        with contextlib.suppress(OSError):
            self.writer.send(bytes([signum]))

    def watch(self) -> None:
        clock = self.loop.clock
        while True:
            left = self.deadline - clock.monotonic()
            self.reader.settimeout(None if left == math.inf else min(max(left, 0.001), 3600.0))
            try:
                numbers = self.reader.recv(512)
            except TimeoutError:
                if clock.monotonic() >= self.deadline:
                    self.end_process()
                continue
            if not numbers:
                return
            if self.former >= 0:
                with contextlib.suppress(OSError):
                    os.write(self.former, numbers)
            name = next((_NAMES[number] for number in numbers if number in _former), None)
            if name is not None and self.loop.terminated is None:
                self.deadline = clock.monotonic() + self.grace
                self.end_run(name)

    def end_run(self, name: str) -> None:
        """The running trial ends after its step; it is given back, and with it the run ends."""
        loop = self.loop
        loop.terminated, loop.stop_reason = name, f"terminated ({name})"
        loop.flow.stop_requested = True
        after = f"; after {shown(self.grace)} at the latest this process ends" if self.grace < math.inf else ""
        text = f"{name}: the current trial is given back after its current step{after}."
        loop.listen(Notice(level="warning", text=text))

    def end_process(self) -> NoReturn:
        """The step takes too long: gives back what is held, from here, and ends the process."""
        farewell = threading.Thread(target=self.say_farewell, daemon=True)
        farewell.start()
        farewell.join(_FAREWELL_SECONDS)  # the storage may hang, too
        os._exit(0)

    def say_farewell(self) -> None:
        loop = self.loop
        loop.gate.acquire()  # for ever: the main thread asks and tells nothing any more
        with contextlib.suppress(Exception):
            loop.flow.release_all()
        with contextlib.suppress(Exception):
            text = f"The step did not end in {shown(self.grace)}; the trial goes on from its last checkpoint."
            loop.listen(Notice(level="warning", text=text))
            loop.listen(RunEnded(reason=str(loop.stop_reason)))
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()


_NAMES = {int(getattr(signal, name)): name for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)}
_former: dict[int, Any] = {}  # signal -> its handler before; while a run listens


def _restore_handlers(wakeup: int) -> None:
    if _former:
        signal.set_wakeup_fd(wakeup)
    for number, handler in _former.items():
        signal.signal(number, handler)
    _former.clear()


# A data loader's worker is ended by SIGTERM: a forked child must not take it for the end of the run, not even before it
# has restored its handlers, when it still shares the socket. So these signals wait while a process forks.
_masks = threading.local()


def _before_fork() -> None:
    _masks.former = signal.pthread_sigmask(signal.SIG_BLOCK, list(_former)) if _former else None


def _after_fork() -> None:
    if _masks.former is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _masks.former)


def _after_fork_in_child() -> None:
    _restore_handlers(-1)
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


@contextlib.contextmanager
def terminations(loop: Loop, grace: float) -> Iterator[None]:
    """SIGTERM and SIGUSR1, unless somebody else listens to SIGUSR1 or they are ignored: end the run, and the program."""
    heard = {number: signal.getsignal(number) for number in _NAMES}
    heard = {
        number: handler
        for number, handler in heard.items()
        if handler is signal.SIG_DFL or (number == signal.SIGTERM and handler not in (None, signal.SIG_IGN))
    }
    if threading.current_thread() is not threading.main_thread() or not heard or _former:
        yield
        return
    watch = _Watch(loop, grace)
    _former.update(heard)
    watch.former = signal.set_wakeup_fd(watch.writer.fileno(), warn_on_full_buffer=False)
    for number in heard:
        signal.signal(number, watch.handle)
    watch.thread.start()
    try:
        yield
    finally:
        _restore_handlers(watch.former)
        watch.writer.close()
        watch.thread.join()  # one that ends the process ends it here
        watch.reader.close()
