"""The workers of one run: a place for each, in which processes come and go."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from honed.progress import Position
from honed.records import TrialRecord
from honed.supervisor.job import Packed
from honed.supervisor.messages import EventReader
from honed.supervisor.process import WorkerProcess


@dataclass(slots=True)
class Member:
    """One place.

    Attributes:
        index: which one, from 0.
        environment: variables of its processes: GPUs, threads.
        process: the present one.
        pid: of the present process, or the last one.
        trial, position: what it runs, and how far that is.
        since: when the training began, and ``progress_at``, when it last reported or ended a step (monotonic seconds).
        start_at: when the next process is started, ``kill_at``, when the present one is killed.
        reason: why the process said that its run has ended.
        was_overrun: whether its training went beyond its limits, so that it had to go.
        is_done: nothing is left to do here.
    """

    index: int
    environment: Mapping[str, str]
    process: WorkerProcess | None = None
    pid: int = 0
    trial: TrialRecord | None = None
    position: Position | None = None
    since: float = 0.0
    progress_at: float = 0.0
    start_at: float = math.inf
    kill_at: float = math.inf
    reason: str | None = None
    was_overrun: bool = False
    is_done: bool = False
    reader: EventReader = field(default_factory=EventReader)
    _seen: tuple[float, int] = (0.0, 0)

    def begin(self, trial: TrialRecord, position: Position, now: float) -> None:
        """A training begins or goes on."""
        self.trial, self.position = trial, position
        self.since = self.progress_at = now
        self._seen = (position.step, position.n_reports)

    def notice_progress(self, now: float) -> None:
        """Remembers when the training last got on."""
        if self.position is not None and (self.position.step, self.position.n_reports) != self._seen:
            self._seen, self.progress_at = (self.position.step, self.position.n_reports), now

    def rest(self) -> None:
        """The training is over."""
        self.trial = self.position = None


class Crew:
    """All workers of a run.

    Args:
        environments: one for each place.
        packed: the job.
        write: takes what workers print: the worker's index, the line, whether it is an error line.
    """

    def __init__(
        self, environments: Sequence[Mapping[str, str]], packed: Packed, write: Callable[[int, str, bool], None]
    ) -> None:
        self.members = [Member(index, environment) for index, environment in enumerate(environments)]
        self._packed = packed
        self._write = write

    def start(self, member: Member, timeout: float | None) -> None:
        """A fresh process in a place.

        Args:
            member: the place.
            timeout: seconds that are left of the run.
        """

        def write(line: str, is_error: bool) -> None:
            self._write(member.index, line, is_error)

        header = {**self._packed.header, "timeout": timeout}
        member.reason, member.was_overrun = None, False
        member.start_at = member.kill_at = math.inf
        member.process = WorkerProcess(member.index, member.environment, header, self._packed.body, write)
        member.pid = member.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to every worker."""
        for member in self.members:
            if member.process is not None:
                member.process.signal(number)

    def kill(self) -> None:
        """Ends every worker, and all that they have started, now."""
        for member in self.members:
            if member.process is not None:
                member.process.kill()
