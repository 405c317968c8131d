"""The loop of one worker: ask, run the objective, tell; until nothing is left or somebody says stop.

Failures have a policy. With ``on_error="smart"`` the first trial of a study that fails ends the run with its own traceback (it
is a bug); later failures are recorded and the run goes on, until three in a row fail. ``"raise"`` ends at any exception,
``"continue"`` at none. Configurations that cannot work (NaN, ``honed.Infeasible``) are results, not errors.

Ctrl-C once lets the current trial finish, or gives it back after its current step; twice ends it now. SIGTERM and SIGUSR1,
which schedulers send before they take a machine away, do the same as Ctrl-C once and end the program, after ``grace``
seconds whatever the trial does.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from honed.clock import Clock
from honed.errors import BadValue, Fatal, StaleLease, TooManyFailures
from honed.events import Listener, Notice, RunEnded, RunStarted, TrialEnded, TrialStarted
from honed.history import UNLIMITED, Allowance, History
from honed.outcome import failure
from honed.records import Cause, State, StudyRecord, TrialRecord, Update, Wait
from honed.repeats import repeated
from honed.signals import interrupts, terminations
from honed.trial import Trial

Objective = Callable[[Trial], Any]
OnError = Literal["smart", "raise", "continue"]
Ending = Callable[[History], tuple[Mapping[str, Any], str | None]]
"""Whether a study should end: attributes to keep with it, and why it ends, None where it goes on."""

FAILURES_IN_A_ROW = 3
INFEASIBLE_IN_A_ROW = 30
POLL_SECONDS = 0.2
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a run ends; the first one reached counts, None is no limit.

    Attributes:
        n_trials: total of the study over all workers and runs.
        total_steps: steps (epochs) of all trials together, over all workers and runs; a training that has begun may go on.
        gpu_hours: of training, all trials together, over all workers and runs; a training that has begun may go on.
        gpus_per_trial: how many cards each training has; it counts ``gpu_hours`` so many times, or once where there are none.
        timeout: seconds of this run; a training is given back at its next step when the time is up.
        target: a value at least as good as this.
        patience: finished trials in a row without a better value.
        ending: asked before each training.
    """

    n_trials: int | None = None
    total_steps: int | None = None
    gpu_hours: float | None = None
    gpus_per_trial: float = 0.0
    timeout: float | None = None
    target: float | None = None
    patience: int | None = None
    ending: Ending | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_trials", 1), ("total_steps", 1), ("gpu_hours", 0), ("timeout", 0), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= least and value == value):
                raise ValueError(f"{name}={value!r} must be at least {least}, or None for no limit")
        for name in ("n_trials", "total_steps", "patience"):
            value = getattr(self, name)
            if value is not None and int(value) != value:
                raise ValueError(f"{name}={value!r} must be a whole number")
        if self.target is not None and not math.isfinite(self.target):
            raise ValueError(f"target={self.target!r} must be a finite number")

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training that ``gpu_hours`` are."""
        return None if self.gpu_hours is None else self.gpu_hours * 3600.0 / (self.gpus_per_trial or 1.0)

    def allowance(self, seconds_left: float) -> Allowance:
        """What policies should know of these limits.

        Args:
            seconds_left: of the run; infinite without a timeout.
        """
        return Allowance(
            trials=self.n_trials,
            steps=self.total_steps,
            train_seconds=self.train_seconds,
            run_seconds=self.timeout,
            seconds_left=max(seconds_left, 0.0) if math.isfinite(seconds_left) else None,
        )


class Flow(Protocol):
    """What the loop needs of ask/tell."""

    stop_requested: bool

    @property
    def study(self) -> StudyRecord: ...
    @property
    def history(self) -> History: ...
    def refresh(self) -> History: ...
    def ask(self, allowance: Allowance = UNLIMITED) -> Any: ...
    def tell(self, number: int, final: Update) -> TrialRecord: ...
    def outcome(self, number: int, returned: Any) -> Update: ...
    def keep(self, attributes: Mapping[str, Any]) -> None: ...
    def release_all(self) -> None: ...


def run(
    flow: Flow,
    objective: Objective,
    limits: Limits,
    *,
    on_error: OnError = "smart",
    clock: Clock,
    listen: Listener,
    grace: float = GRACE_SECONDS,
) -> str:
    """Runs trials until a limit is reached; returns the reason in words.

    Raises:
        Exception: that of the objective, as ``on_error`` says.
        TooManyFailures: trials keep failing.
        KeyboardInterrupt: Ctrl-C was pressed twice.
    """
    if not grace >= 0:
        raise ValueError(f"grace={grace!r} must be a number of seconds, 0 or more")
    history = flow.refresh()
    flow.stop_requested = False
    listen(RunStarted(study=flow.study, n_counted=history.n_counted, n_trials=limits.n_trials))
    deadline = math.inf if limits.timeout is None else clock.monotonic() + limits.timeout
    loop = _Loop(flow, repeated(flow.study, objective), limits, on_error, clock, listen, deadline)
    with interrupts(loop), _alarm(loop), terminations(loop, grace):
        try:
            reason = loop.run()
        finally:
            with loop.gate:
                flow.release_all()
            flow.stop_requested = False
    listen(RunEnded(reason=reason))
    if loop.terminated is not None:
        raise SystemExit(0)
    return reason


@dataclass(slots=True)
class _Loop:
    flow: Flow
    objective: Objective
    limits: Limits
    on_error: OnError
    clock: Clock
    listen: Listener
    deadline: float
    n_run: int = 0
    failures: int = 0
    infeasible: int = 0
    stop_reason: str | None = None
    n_interrupts: int = 0
    terminated: str | None = None
    gate: threading.Lock = field(default_factory=threading.Lock)  # whoever asks or tells has it

    def run(self) -> str:
        while True:
            reason = self.stop_reason or self.reached()
            if reason is not None:
                return reason
            with self.gate:
                asked = self.flow.ask(self.limits.allowance(self.deadline - self.clock.monotonic()))
            if self.stop_reason is not None:
                return self.stop_reason  # the trial is released with the others
            if isinstance(asked, Wait):
                self.clock.sleep(min(POLL_SECONDS, max(self.deadline - self.clock.monotonic(), 0.0)))
            elif isinstance(asked, Trial):
                self.run_trial(asked)
            else:
                return str(asked.reason)

    def reached(self) -> str | None:
        """Which limit is reached, in words."""
        history, limits = self.flow.history, self.limits
        if self.clock.monotonic() >= self.deadline:
            return f"the time is up ({limits.timeout:g} s)"
        best = history.best
        if best is not None and best.value is not None and not best.violation and limits.target is not None:
            is_minimised = history.study.directions[0] == "minimize"
            if best.value <= limits.target if is_minimised else best.value >= limits.target:
                return f"the target {limits.target:g} is reached: trial {best.number} has {best.value:g}"
        if best is not None and limits.patience is not None:
            since = history.n_since_best
            if since >= limits.patience:
                return f"no better value in {since} trials (patience {limits.patience})"
        return None if limits.ending is None else self.ended(limits.ending)

    def ended(self, ending: Ending) -> str | None:
        """Why the study should end, in words; what was found is kept for other workers and runs."""
        attributes, reason = ending(self.flow.history)
        if attributes:
            with self.gate:
                self.flow.keep(attributes)
        return reason

    def run_trial(self, trial: Trial) -> None:
        started = TrialRecord(number=trial.number, state=State.RUNNING, params=trial.params, attempt=trial.attempt)
        self.listen(TrialStarted(trial=started, position=trial.position))
        error: BaseException | None = None
        try:
            returned = self.objective(trial)
            final = self.outcome(trial, returned)
        except StaleLease:
            raise
        except Exception as raised:
            error, final = raised, failure(raised)
            if self.terminated is not None:  # the signal may have ended processes that the training needs
                error, final = None, Update(state=State.WAITING)
        except KeyboardInterrupt:
            self.end(trial, Update(state=State.FAILED, cause=Cause.CANCELLED, message="interrupted (Ctrl-C twice)"))
            raise
        except BaseException:  # SystemExit and the like: not the trial's fault
            self.end(trial, Update(state=State.WAITING))
            raise
        self.n_run += 1
        if self.end(trial, final):
            self.judge(final, error)

    def outcome(self, trial: Trial, returned: Any) -> Update:
        try:
            return self.flow.outcome(trial.number, returned)
        except BadValue as error:
            code = getattr(self.objective, "__code__", None)
            place = f" (objective at {os.path.basename(code.co_filename)}:{code.co_firstlineno})" if code else ""
            raise BadValue(f"{error}{place}") from None

    def end(self, trial: Trial, final: Update) -> bool:
        """Tells the storage and the listener; False when the trial was somebody else's by now."""
        try:
            with self.gate:
                record = self.flow.tell(trial.number, final)
        except StaleLease as error:
            self.listen(Notice(level="warning", text=str(error)))
            return False
        history = self.flow.history
        self.listen(
            TrialEnded(trial=record, best=history.best, n_counted=history.n_counted, n_trials=self.limits.n_trials)
        )
        return True

    def judge(self, final: Update, error: BaseException | None) -> None:
        """Whether the run may go on after this outcome."""
        is_infeasible = final.state is State.FAILED and final.cause is Cause.INFEASIBLE
        self.infeasible = self.infeasible + 1 if is_infeasible else 0
        self.failures = self.failures + 1 if error is not None and not is_infeasible else 0
        if isinstance(error, Fatal) or (error is not None and not is_infeasible and self.on_error == "raise"):
            raise error
        if self.infeasible >= INFEASIBLE_IN_A_ROW:
            raise TooManyFailures(
                f"{self.infeasible} trials in a row gave no finite value or were infeasible; the last: {final.message}. "
                "Narrow the space, or check the objective with honed.FixedTrial(params)."
            )
        if error is None or is_infeasible or self.on_error != "smart":
            return
        history = self.flow.history
        n_good = history.count(State.COMPLETE, State.STOPPED)
        if self.n_run == 1 and not n_good:
            error.add_note(
                "honed: the first trial failed, which is a bug as a rule, so the run ends here. Fix it and run again; "
                "on_error='continue' goes on in spite of failures."
            )
            raise error
        if self.failures >= FAILURES_IN_A_ROW:
            from honed.failures import failures_summary  # only here: a run that goes well never needs it

            recent = [record for record in history.finished if record.state is State.FAILED][-self.failures :]
            raise TooManyFailures(
                f"{self.failures} trials in a row failed, so the run ends here. {failures_summary(recent)} "
                f"Fix it and run again; {n_good} good trials are kept. on_error='continue' goes on in spite of failures."
            ) from error


@contextlib.contextmanager
def _alarm(loop: _Loop) -> Iterator[None]:
    """Asks the running trial to stop when the time is up."""
    if loop.limits.timeout is None:
        yield
        return

    def ring() -> None:
        loop.flow.stop_requested = True

    timer = threading.Timer(loop.limits.timeout, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
