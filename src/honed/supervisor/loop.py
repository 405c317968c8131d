"""The loop that keeps worker processes alive: starts them, listens, restarts the dead, ends what goes beyond its limits.

Workers need no supervisor to share a study: each asks the storage by itself, and what a dead one leaves is taken over by the
next. The supervisor adds what a process cannot do for itself: come back after a crash, be ended when it hangs, be counted.

A training that goes beyond its limits is first told to the storage as FAILED, then its process is ended: asked first
(SIGTERM), and killed with all its children when it does not leave in time.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import wait

from honed.clock import Clock
from honed.durations import shown
from honed.errors import StaleLease, TooManyFailures
from honed.events import Listener, Notice, RunEnded, RunStarted, TrialEnded
from honed.history import History
from honed.outcome import judge
from honed.records import Cause, State, StudyRecord, TrialRecord, Update
from honed.storage.base import Storage
from honed.supervisor.crew import Crew, Member
from honed.supervisor.ends import error_of, how_it_ended, kernel_kills
from honed.supervisor.messages import RECYCLED, Message, decode, move
from honed.supervisor.settings import TrialLimits

MOST_DEATHS = 9
"""So many deaths of workers in a row, without a training that got on, end the run: three trials that were lost three times."""

TICK_SECONDS = 0.1
MEMORY_SECONDS = 0.5
KILL_SECONDS = 3.0
"""What a process has, to leave by itself, whose trial is over anyway."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0


class Site:
    """Where a supervisor works.

    Args:
        storage, study: of the search.
        clock: for all waiting.
        listen: receives everything that happens.
    """

    def __init__(self, storage: Storage, study: StudyRecord, clock: Clock, listen: Listener) -> None:
        self.storage = storage
        self.study = study
        self.clock = clock
        self.listen = listen
        self._history = History.empty(study)

    def history(self) -> History:
        """The study as it is now."""
        self._history = self._history.extend(self.storage.read(self.study.id, self._history.revision))
        return self._history

    def end(self, trial: TrialRecord, update: Update) -> bool:
        """Writes the end of a trial for its worker; False when it was too late."""
        present = self.history()[trial.number]
        if present.state is not State.RUNNING or present.attempt != trial.attempt:
            return False
        try:
            self.storage.write(self.study.id, trial.number, trial.attempt, update)
        except StaleLease:
            return False
        return True


class Supervisor:
    """One run of several workers.

    Args:
        site: where it works.
        crew: the workers.
        limits: of each training.
        deadline: monotonic time at which the run ends.
        grace: seconds that a training has to end its step.
        n_trials: the study's total.
    """

    def __init__(
        self, site: Site, crew: Crew, limits: TrialLimits, *, deadline: float, grace: float, n_trials: int | None
    ) -> None:
        self._site = site
        self._crew = crew
        self._limits = limits
        self._deadline = deadline
        self._grace = grace
        self._n_trials = n_trials
        self._reason: str | None = None
        self._stopping: str | None = None
        self._kill_at = math.inf
        self._error: BaseException | None = None
        self._deaths = 0
        self._overruns = 0
        self._memory_at = 0.0
        self._said: set[str] = set()
        self._kernel_kills = kernel_kills()

    def run(self) -> str:
        """Runs until the study is done or the run is stopped; returns the reason in words.

        Raises:
            Exception: that of the objective, or of the workers.
            TooManyFailures: workers keep dying, or trainings keep going beyond their limits.
        """
        site, history = self._site, self._site.history()
        site.listen(RunStarted(study=site.study, n_counted=history.n_counted, n_trials=self._n_trials))
        try:
            for member in self._crew.members:
                self._start(member)
            while any(not member.is_done for member in self._crew.members):
                self._listen()
                self._tick()
        finally:
            self._crew.kill()
            self._release()
        if self._error is not None:
            raise self._error
        reason = self._stopping or self._reason or "all workers have ended"
        site.listen(RunEnded(reason=reason))
        return reason

    # ------------------------------------------------------------------------------------------------- stopping

    def interrupt(self) -> None:
        """Ctrl-C: once, workers finish their step or trial; twice, they end now."""
        if self._stopping is None:
            text = "Ctrl-C: the workers finish their current step or trial; press it again to stop at once."
            self._notice(text)
            self._stop("interrupted", signal.SIGINT)
        else:
            self._crew.signal(signal.SIGINT)
            self._kill_at = min(self._kill_at, self._now() + KILL_SECONDS)

    def terminate(self, name: str) -> None:
        """Another program ends the run: workers save their trainings and give them back."""
        if self._stopping is None:
            self._stop(f"terminated ({name})", signal.SIGTERM)

    def _stop(self, reason: str, number: signal.Signals) -> None:
        self._stopping = reason
        self._crew.signal(number)
        if number is not signal.SIGINT:  # who asks politely waits as long as it takes, and may ask again
            self._kill_at = self._now() + self._grace + KILL_SECONDS
        for member in self._crew.members:
            member.start_at = math.inf
            member.is_done = member.is_done or member.process is None

    def _fail(self, error: BaseException) -> None:
        """Ends the run with an error."""
        if self._error is None:
            self._error = error
            self._stop("failed", signal.SIGTERM)

    # ------------------------------------------------------------------------------------------------ listening

    def _listen(self) -> None:
        channels = {member.process.connection: member for member in self._crew.members if member.process is not None}
        ready = wait(list(channels), timeout=TICK_SECONDS) if channels else []
        if not channels:
            self._site.clock.sleep(TICK_SECONDS)
        for channel in ready:
            member = channels[channel]  # type: ignore[index]
            try:
                self._hear(member, decode(channel.recv_bytes()))  # type: ignore[union-attr]
            except (EOFError, OSError):  # it has closed its side, and is about to end
                member.kill_at = min(member.kill_at, self._now() + self._grace)
                self._site.clock.sleep(TICK_SECONDS / 10)

    def _hear(self, member: Member, message: Message) -> None:
        site = self._site
        match message["kind"]:
            case "started":
                event = member.reader.started(message)
                member.begin(event.trial, event.position, self._now())
                site.listen(event)
            case "position" if member.position is not None and member.trial is not None:
                if message["number"] == member.trial.number:
                    move(member.position, message["position"])
            case "ended":
                ended = member.reader.ended(message)
                if ended.trial.state is not State.FAILED and ended.trial.state is not State.WAITING:
                    self._deaths = self._overruns = 0
                member.rest()
                site.listen(ended)
            case "notice" if message["text"] not in self._said:  # every worker says it, people need it once
                self._said.add(message["text"])
                site.listen(Notice(level=message["level"], text=message["text"]))
            case "run ended":
                member.reason = message["reason"]
            case "broken":
                text = f"A worker process could not start with this objective: {message['text']}"
                error = RuntimeError(text)
                error.add_note(message["traceback"])
                self._fail(error)
            case "raised":
                self._fail(error_of(message))

    # --------------------------------------------------------------------------------------------------- ticking

    def _tick(self) -> None:
        now = self._now()
        for member in self._crew.members:
            if member.process is None:
                if not member.is_done and now >= member.start_at:
                    self._start(member)
            elif member.process.has_ended:
                self._ended(member)
            else:
                self._check_trial(member, now)
                if now >= member.kill_at:
                    member.process.kill()
        if self._limits.bytes is not None and now >= self._memory_at:
            self._memory_at = now + MEMORY_SECONDS
            self._check_memory(self._limits.bytes)
        if now >= self._deadline + self._grace and self._stopping is None:
            self._stop("the time is up", signal.SIGTERM)
            self._kill_at = now + KILL_SECONDS
        if now >= self._kill_at:
            self._crew.kill()

    def _start(self, member: Member) -> None:
        now = self._now()
        timeout = None if math.isinf(self._deadline) else max(self._deadline - now, 0.0)
        self._crew.start(member, timeout)

    def _check_trial(self, member: Member, now: float) -> None:
        trial, limits = member.trial, self._limits
        if trial is None or member.position is None:
            return
        member.notice_progress(now)
        if limits.seconds is not None and now - member.since > limits.seconds:
            self._overrun(member, Cause.TIMEOUT, f"it ran longer than trial_timeout={shown(limits.seconds)}")
        elif limits.silent_seconds is not None and now - member.progress_at > limits.silent_seconds:
            limit = f"no_report_timeout={shown(limits.silent_seconds)}"
            self._overrun(
                member, Cause.TIMEOUT, f"it reported nothing for {limit}: it hangs, or the limit is too short"
            )

    def _check_memory(self, most: int) -> None:
        from honed.checkpoints.sizes import format_size

        for member in self._crew.members:
            if member.trial is None or member.process is None:
                continue
            used = member.process.memory()
            if used > most:
                text = f"its processes used {format_size(used)} of memory; trial_memory={format_size(most)}"
                self._overrun(member, Cause.OOM, text)

    def _overrun(self, member: Member, cause: Cause, text: str) -> None:
        """Ends a training that goes beyond its limits: first its record, then its process."""
        trial = member.trial
        assert trial is not None
        assert member.process is not None
        self._tell_failed(trial, cause, text)
        member.rest()
        member.was_overrun = True
        member.process.signal(signal.SIGTERM)
        member.kill_at = self._now() + KILL_SECONDS
        self._overruns += 1
        if self._overruns >= max(MOST_DEATHS, 3 * len(self._crew.members)):
            message = f"{self._overruns} trainings in a row went beyond their limits, the last one, trial {trial.number}: {text}."
            self._fail(TooManyFailures(f"{message} Raise the limit, or narrow the space."))

    def _tell_failed(self, trial: TrialRecord, cause: Cause, text: str) -> None:
        """Writes a failure with the best value so far, and tells the listener."""
        site, history = self._site, self._site.history()
        reports = {report.step: report.values for report in history[trial.number].reports}
        values = judge(site.study, reports, None).values if reports else None
        if not site.end(trial, Update(state=State.FAILED, cause=cause, values=values, message=text)):
            return
        history = site.history()
        record, counted = history[trial.number], history.n_counted
        site.listen(TrialEnded(trial=record, best=history.best, n_counted=counted, n_trials=self._n_trials))

    # ---------------------------------------------------------------------------------------------------- deaths

    def _ended(self, member: Member) -> None:
        """A worker process is gone: done, recycled, told to leave, or dead."""
        process = member.process
        assert process is not None
        for sent in process.last_words():
            self._hear(member, decode(sent))
        trial, code = member.trial, process.returncode or 0
        member.process = None
        if self._stopping is not None:
            member.is_done = True
        elif member.reason == RECYCLED or member.was_overrun:
            member.start_at = self._now()
        elif member.reason is not None and not member.reason.startswith(("terminated", "interrupted")):
            self._reason, member.is_done = self._reason or member.reason, True
        elif code == 0 and trial is None:  # somebody has told it to leave, and it gave its trial back
            member.start_at = self._now() + _FIRST_PAUSE
        else:
            self._died(member, code, process.lines)
        if member.trial is not None and self._stopping is None:
            self._lost(member.trial)
            member.rest()

    def _died(self, member: Member, code: int, lines: Sequence[str]) -> None:
        trial = member.trial
        self._deaths += 1
        how = how_it_ended(code)
        kills, self._kernel_kills = self._kernel_kills, kernel_kills()
        if trial is not None and code == -signal.SIGKILL and self._kernel_kills > kills:
            self._tell_failed(trial, Cause.OOM, "the kernel killed it because the machine ran out of memory")
            member.rest()
        if self._deaths >= max(MOST_DEATHS, 2 * len(self._crew.members)):
            last = "\n".join(lines) or "(nothing)"
            where = f" in trial {trial.number}" if trial is not None else ""
            text = f"Workers died {self._deaths} times in a row, the last one {how}{where}. Its last lines:\n{last}"
            self._fail(TooManyFailures(text))
            return
        pause = min(_FIRST_PAUSE * 2.0 ** (self._deaths - 2), _LONGEST_PAUSE) if self._deaths > 1 else 0.0
        member.start_at = self._now() + pause
        where = f" in trial {trial.number}" if trial is not None else ""
        last_line = f" Its last line: {lines[-1]}" if lines else ""
        self._notice(f"Worker {member.index} (pid {member.pid}) {how}{where}; a new one goes on.{last_line}")

    def _lost(self, trial: TrialRecord) -> None:
        """Tells the display that nobody runs a trial any more; whoever asks next takes it over."""
        history = self._site.history()
        record = history[trial.number]
        if record.state is State.RUNNING and record.attempt == trial.attempt:
            record = replace(record, state=State.WAITING)
            counted = history.n_counted
            self._site.listen(TrialEnded(trial=record, best=history.best, n_counted=counted, n_trials=self._n_trials))

    def _release(self) -> None:
        """Gives back the trials of workers that had to be killed because the run ended: nobody is to blame."""
        for member in self._crew.members:
            if member.trial is not None:
                is_cancelled = self._stopping == "interrupted"
                cancelled = Update(state=State.FAILED, cause=Cause.CANCELLED, message="interrupted (Ctrl-C twice)")
                self._site.end(member.trial, cancelled if is_cancelled else Update(state=State.WAITING))
                member.rest()

    def _now(self) -> float:
        return self._site.clock.monotonic()

    def _notice(self, text: str) -> None:
        self._site.listen(Notice(level="warning", text=text))
