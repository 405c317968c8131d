"""The program of one worker process: receives its job, runs the loop, tells its supervisor what happens.

The same loop as in a single process, on the same storage. It leaves by itself when the study is done, after its share of
trials (``recycle_after``), or after running out of memory, so that the next training finds all of it free. When the
supervisor is gone it gives its trial back and leaves, too.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from typing import Any

from honed.ask_tell import AskTell, Done
from honed.clock import SYSTEM_CLOCK
from honed.events import Event, TrialEnded, TrialStarted
from honed.history import UNLIMITED, Allowance, History
from honed.outcome import user_traceback
from honed.progress import Position
from honed.records import Cause, StudyRecord, TrialRecord, Update, Wait
from honed.search import connect
from honed.storage.url import open_storage
from honed.supervisor.job import Job, unpack
from honed.supervisor.messages import RECYCLED, decode, encode, event_message, position_message
from honed.supervisor.parcel import error_text
from honed.trial import Trial
from honed.worker import run

_POSITIONS_SECONDS = 0.2


def main(descriptor: int) -> None:
    """Runs one worker on an inherited connection; ends the process."""
    channel = _Channel(Connection(descriptor))
    header = channel.receive()
    if header is None:
        sys.exit(1)
    sys.path[:] = header["path"]
    with contextlib.suppress(OSError):
        os.chdir(header["folder"])
    try:
        job = unpack(header, channel.receive_bytes())
        if job.setup is not None:
            job.setup()
    except BaseException as error:
        channel.send(
            {"kind": "broken", "text": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        )
        sys.exit(1)
    channel.watch()
    try:
        code = _work(job, header, channel)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except Exception as error:
        channel.send({"kind": "raised", "error": error_text(error), "text": user_traceback(error)})
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def _work(job: Job, header: Mapping[str, Any], channel: _Channel) -> int:
    storage = open_storage(job.address, durability="fast" if job.durability == "fast" else "full")
    record = next(record for record in storage.studies() if record.name == job.study)
    flow = connect(
        storage,
        record,
        listen=channel.hear,
        space=job.space,
        checkpoints=job.checkpoints,
        checkpoint_budget=job.checkpoint_budget,
    )
    flow.policy = job.search.policy(channel.hear)
    limits = replace(job.search.limits, timeout=header["timeout"])
    try:
        run(
            Recycled(flow, job.recycle_after),
            job.objective,
            limits,
            on_error=job.search.on_error,
            clock=SYSTEM_CLOCK,
            listen=channel.hear,
            grace=job.search.grace,
        )
    finally:
        channel.close()
        flow.close()
        storage.close()
    return 0


class Recycled:
    """A flow that ends after some trials, or after one that ran out of memory, to make place for a fresh process.

    Args:
        flow: the connection.
        n_trials: after how many; None for no such end.
    """

    def __init__(self, flow: AskTell, n_trials: int | None) -> None:
        self._flow = flow
        self._left = math.inf if n_trials is None else n_trials

    @property
    def study(self) -> StudyRecord:
        """The study's record."""
        return self._flow.study

    @property
    def history(self) -> History:
        """What is known."""
        return self._flow.history

    @property
    def stop_requested(self) -> bool:
        """Whether the running training should end."""
        return self._flow.stop_requested

    @stop_requested.setter
    def stop_requested(self, value: bool) -> None:
        self._flow.stop_requested = value

    def refresh(self) -> History:
        """The study as it is now."""
        return self._flow.refresh()

    def ask(self, allowance: Allowance = UNLIMITED) -> Trial | Wait | Done:
        """The next trial, or the end of this process."""
        if self._left <= 0:
            return Done(RECYCLED)
        asked = self._flow.ask(allowance)
        if isinstance(asked, Trial):
            self._left -= 1
        return asked

    def tell(self, number: int, final: Update) -> TrialRecord:
        """Ends a trial."""
        if final.cause is Cause.OOM:
            self._left = 0
        return self._flow.tell(number, final)

    def outcome(self, number: int, returned: Any) -> Update:
        """What a training amounts to."""
        return self._flow.outcome(number, returned)

    def keep(self, attributes: Mapping[str, Any]) -> None:
        """Keeps attributes with the study."""
        self._flow.keep(attributes)

    def release_all(self) -> None:
        """Gives back what is held."""
        self._flow.release_all()


class _Channel:
    """The connection to the supervisor; threads may send at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._running: dict[int, Position] = {}
        self._is_over = threading.Event()

    def receive(self) -> dict[str, Any] | None:
        try:
            return decode(self.receive_bytes())
        except EOFError:
            return None

    def receive_bytes(self) -> bytes:
        return self._connection.recv_bytes()

    def send(self, message: Mapping[str, Any]) -> None:
        with self._lock, contextlib.suppress(OSError):  # the supervisor is gone: the thread below sees it
            self._connection.send_bytes(encode(message))

    def hear(self, event: Event) -> None:
        """The listener of the run."""
        if isinstance(event, TrialStarted):
            self._running = self._running | {event.trial.number: event.position}
        elif isinstance(event, TrialEnded):
            self._running = {number: each for number, each in self._running.items() if number != event.trial.number}
        message = event_message(event)
        if message is not None:
            self.send(message)

    def watch(self) -> None:
        """Starts to tell how far trainings are, and to listen whether the supervisor lives."""
        threading.Thread(target=self._tell_positions, daemon=True).start()
        threading.Thread(target=self._await_end, daemon=True).start()

    def close(self) -> None:
        """Ends both threads' business."""
        self._is_over.set()

    def _tell_positions(self) -> None:
        told: dict[int, Any] = {}
        while not self._is_over.wait(_POSITIONS_SECONDS):
            for number, position in self._running.items():
                now = asdict(position)
                if told.get(number) != now:
                    told = {number: now}
                    self.send(position_message(number, position))

    def _await_end(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            self._connection.recv_bytes()  # nothing more is ever sent: this ends when the other side does
        if not self._is_over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)  # checkpoint, give the trial back, leave
