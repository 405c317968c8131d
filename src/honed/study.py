"""The face of one study: optimize, ask and tell, look at what was found. ``honed.opening`` creates and reopens it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from honed.ask_tell import Done
from honed.clock import SYSTEM_CLOCK
from honed.confirm.runs import Queued, confirming, planned, train_again
from honed.confirm.verdict import Confirmation
from honed.display import make_display
from honed.domains import Scalar
from honed.durations import seconds
from honed.errors import SpaceExhausted
from honed.events import Event, Listener, Notice
from honed.forecast import Forecaster
from honed.history import History
from honed.outcome import judge
from honed.pending import merge
from honed.records import Cause, Draft, State, StudyRecord, TrialRecord, Update
from honed.report import welcome
from honed.results import Results
from honed.samplers.base import Sampler
from honed.samplers.combine import FIXED
from honed.schedulers.base import Scheduler
from honed.search import Search, batch_size, connect, remember
from honed.space import Space
from honed.storage.base import Storage
from honed.storage.url import describe
from honed.supervisor.settings import Workers, plan, trial_limits
from honed.transfer import checked_values, warm_start_text
from honed.trial import Trial
from honed.worker import GRACE_SECONDS, POLL_SECONDS, Ending, Limits, Objective, OnError, run

if TYPE_CHECKING:
    pass


class Study(Results):
    """One optimization and all it knows; made by ``create_study`` or ``load_study``."""

    def __init__(
        self,
        storage: Storage,
        record: StudyRecord,
        space: Space | None = None,
        checkpoints: str | os.PathLike[str] | None = None,
        checkpoint_budget: str | int | None = None,
    ) -> None:
        self.storage = storage
        self.record = record
        self._checkpoints = checkpoints
        self._listeners: list[Listener] = []
        self._flow = connect(
            storage,
            record,
            listen=self._hear,
            space=space,
            checkpoints=checkpoints,
            checkpoint_budget=checkpoint_budget,
        )

    def __repr__(self) -> str:
        return f"Study({self.record.name!r} in {describe(self.storage)}, {len(self.history)} trials)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ searching

    def optimize(
        self,
        objective: Objective,
        sampler: str | Sampler = "auto",
        n_trials: int | None = None,
        *,
        scheduler: str | Scheduler = "auto",
        workers: int | Literal["auto"] | Workers = 1,
        gpus_per_trial: float = 0,
        timeout: float | str | None = None,
        total_steps: int | None = None,
        gpu_hours: float | None = None,
        target: float | None = None,
        patience: int | None = None,
        until_converged: bool | float = False,
        trial_timeout: float | str | None = None,
        no_report_timeout: float | str | None = None,
        trial_memory: int | str | None = None,
        grace: float | str = GRACE_SECONDS,
        on_error: OnError = "smart",
        deterministic: bool | int = False,
        progress: str = "auto",
        report: bool = True,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Runs ``objective(trial)`` until a limit is reached; run the same script again and it continues.

        With one worker everything happens in this process. With more of them, with GPUs, or with limits for single trials,
        worker processes do the work; this process watches them, restarts what dies, and shows all of them.

        Args:
            objective: trains one configuration; returns its value, or reports it step by step.
            sampler: "auto", "freeze-thaw", "gp", "tpe", "random", ..., or a Sampler.
            n_trials: total of the study, over all workers and runs; failed trials do not count.
            scheduler: "auto", "asha", "hyperband", "median", ..., or a Scheduler. With sampler="auto", "auto" pauses weak
                trainings, or stops them where they cannot be resumed (docs/auto.md); with a named sampler all run to their end.
            workers: how many processes; "auto": one for each GPU slot, or core; ``honed.Workers`` says more.
            gpus_per_trial: 0.5 puts two trainings on a card, 2 gives a training two cards; CUDA_VISIBLE_DEVICES is set.
            timeout: seconds for this run, or "8h"; a training is given back at its next step when the time is up.
            total_steps: of all trials together, over all workers and runs; a training that has begun may go on.
            gpu_hours: of training, all trials together, over all workers and runs, times ``gpus_per_trial``; without cards hours
                of training. A training that has begun may go on.
            target: end when a value at least as good is found.
            patience: end after so many finished trials without a better value.
            until_converged: end when a better value is hardly to be expected (``explain().advice``), said three times in a row; a
                number is a difference that does not matter, True counts noise only. Never with fewer than 20 trials.
            trial_timeout: seconds, or "2h", of one training; one that takes longer is killed and has failed.
            no_report_timeout: seconds, or "20m", without a report or a step: then it hangs, and is killed.
            trial_memory: bytes, or "8GB", of a worker process and its children; beyond that it is killed and has failed (oom).
            grace: seconds that a training has to end its step when the run is ended by SIGTERM, SIGUSR1 or its timeout.
            on_error: "smart" (the first failing trial, or three in a row, end the run), "raise" or "continue".
            deterministic: the same suggestions for any number of workers: trials are proposed in batches (of 8, or of so many),
                and a batch begins when the one before is finished.
            progress: "live" display, "plain" lines, "quiet", or "auto": live on a terminal.
            report: print the end-of-run report on stdout (never when quiet).
            on_event: also receives everything that happens (``honed.events``).

        Raises:
            TooManyFailures: trials, or workers, keep failing.
            GpusTaken: other runs hold the cards.
            SystemExit: SIGTERM or SIGUSR1 came; trainings were saved and given back, and the program should end.
        """
        if not callable(objective):
            raise TypeError(f"optimize: objective={objective!r} must be a function of one trial")
        if on_error not in ("smart", "raise", "continue"):
            raise ValueError(f"optimize: on_error={on_error!r} is unknown; use 'smart', 'raise' or 'continue'")
        search = Search(
            sampler=sampler,
            scheduler=scheduler,
            limits=Limits(
                n_trials=n_trials,
                total_steps=total_steps,
                gpu_hours=gpu_hours,
                gpus_per_trial=gpus_per_trial,
                timeout=seconds(timeout, "timeout"),
                target=target,
                patience=patience,
                ending=self._ending(until_converged),
            ),
            on_error=on_error,
            batch=batch_size(deterministic),
            grace=seconds(grace, "grace") or 0.0,
        )
        search.refuse_misfits(self.record)
        self._flow.policy = search.policy(self._hear)
        crew = plan(workers, gpus_per_trial, trial_limits(trial_timeout, no_report_timeout, trial_memory))
        with make_display(progress) as display:
            self._listeners = [display] + ([on_event] if on_event is not None else [])
            self._listeners.append(self._forecaster(search.limits, is_alone=crew is None))
            try:
                merge(self._flow)
                history = self.history
                said = (warm_start_text(history), welcome(history, describe(self.storage), n_trials))
                for text in (*said, search.explained(self.record)):
                    if text is not None:
                        self._hear(Notice(level="info", text=text))
                if crew is None:
                    remember(self._flow, search)
                    flow, listen, clock = self._flow, self._hear, SYSTEM_CLOCK
                    limits, grace = search.limits, search.grace
                    run(flow, objective, limits, on_error=on_error, clock=clock, listen=listen, grace=grace)
                else:
                    from honed.supervisor.start import supervise  # a run in this process needs none of it

                    supervise(self._flow, objective, search, crew, self._hear)
            finally:
                self._listeners = []
                alone = replace(search, batch=None)  # one that asks alone cannot wait for others
                self._flow.policy = alone.policy(self._hear)
        if report and progress != "quiet" and os.environ.get("HONED_PROGRESS") != "quiet":
            print(self.report())  # noqa: T201  (the one thing a run prints: its result)

    def ask(self, sampler: str | Sampler | None = None) -> Trial:
        """A trial to run in a loop of one's own; end it with ``tell``.

        Args:
            sampler: as for ``optimize``; by default the one used before.

        Raises:
            SpaceExhausted: every configuration has been tried.
        """
        if sampler is not None:
            search = Search(sampler=sampler, scheduler="full")
            search.refuse_misfits(self.record)
            self._flow.policy = search.policy(self._hear)
        while True:
            asked = self._flow.ask()
            if isinstance(asked, Trial):
                return asked
            if isinstance(asked, Done):
                raise SpaceExhausted(asked.reason)
            SYSTEM_CLOCK.sleep(POLL_SECONDS)

    def tell(self, trial: Trial | int, value: Any = None, *, state: str | State | None = None) -> TrialRecord:
        """Ends a trial from ``ask``: with its value, with what it has reported, or as failed.

        Args:
            trial: the trial or its number.
            value: a number (a tuple for several objectives); None takes the reported values.
            state: "failed", "stopped", or "waiting" to give it back; by default complete, and failed for NaN.

        Raises:
            BadValue: the value is no number; the trial stays open.
            StaleLease: another worker has taken the trial over.
        """
        number = trial if isinstance(trial, int) else trial.number
        if number not in self._flow.held:
            raise ValueError(f"tell: trial {number} was not asked here, or is told already")
        if state in (State.FAILED, State.WAITING):
            failed = Update(state=State.FAILED, cause=Cause.ERROR, message="told as failed")
            return self._flow.tell(number, failed if state == State.FAILED else Update(state=State.WAITING))
        final = self._flow.outcome(number, value)
        if state == State.STOPPED and final.state is State.COMPLETE:
            final = Update(state=State.STOPPED, values=final.values)
        return self._flow.tell(number, final)

    def enqueue(self, params: Mapping[str, Any], *, attributes: Mapping[str, Any] | None = None) -> int:
        """Queues params to be tried before anything else; a sampler fills in what they leave open.

        Queueing the same params again, in another worker or another run, changes nothing.

        Returns:
            The number of the trial.
        """
        stored = self._stored(params, "enqueue")
        note = {"given": dict(stored)}
        return self._flow.add_once(
            Draft(state=State.WAITING, params=stored, attributes=attributes or {}, note=note),
            lambda record: record.note.get("given") == note["given"],
        )

    def try_first(self, configurations: Sequence[Mapping[str, Any]]) -> list[int]:
        """Queues several params (``enqueue``), each once however many workers and runs say so; returns their numbers."""
        return [self.enqueue(params) for params in configurations]

    def fix(self, **params: Any) -> None:
        """Holds parameters at these values from now on, in all workers and runs, and tunes the rest.

        Each call says all that is fixed; ``study.fix()`` frees everything. Trials with other values still inform samplers, and
        queued ones keep theirs.

        Raises:
            ValueError: a value outside its domain, or a name that a declared space lacks.
        """
        self.set_attribute(FIXED, checked_values("fix", params, self.history) or None)

    def add_trial(
        self,
        params: Mapping[str, Any],
        value: Any = None,
        *,
        reports: Mapping[int, Mapping[str, float]] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> int:
        """Enters a finished experiment from elsewhere: samplers learn from it, and it may be the best.

        Adding the same experiment again, for example by running the script again, changes nothing.

        Args:
            params: name -> value.
            value: what it reached; None takes it from ``reports``.
            reports: step -> metric -> value.

        Returns:
            The number of the trial.
        """
        final = judge(self.record, reports or {}, value)
        stored = self._stored(params, "add_trial")
        draft = Draft(
            state=final.state or State.COMPLETE,
            params=stored,
            values=final.values,
            cause=final.cause,
            message=final.message,
            steps=reports or {},
            attributes=attributes or {},
            note={"added": True},
        )
        return self._flow.add_once(
            draft,
            lambda record: (
                record.note.get("added") is True and record.params == stored and record.values == final.values
            ),
        )

    def confirm(
        self,
        objective: Objective,
        *,
        top: int | Sequence[int] = 3,
        repeats: int = 5,
        budget: int | None = None,
        **settings: Any,
    ) -> Confirmation:
        """Trains the best trials again with new seeds, which tells what to expect of them, and which is really the best.

        Trial 0 is among the candidates, to tell the gain over it. Each training is a trial of the study ``NAME/confirm`` in the
        same storage: run the same line again and it continues.

        Args:
            objective: as for ``optimize``; seeded by ``trial.seed``, or by nothing.
            top: how many trials, or their numbers.
            repeats: trainings of each.
            budget: trainings in all; those beyond ``repeats`` for each go where they tell most.
            **settings: ``workers``, ``gpus_per_trial``, ``timeout``, ``on_error``, ``progress``, ... of ``optimize``.

        Raises:
            ValueError: several objectives, or a budget too small, with what it needs.
            LookupError: no trial is complete, or no training gave a value.
        """
        plan = planned(self.history, top, repeats, budget)
        record, _ = self.storage.create_study(confirming(self.history))
        again = Study(self.storage, record, self.history.declared or None, self._checkpoints)
        run_again = partial(again.optimize, objective, Queued(), scheduler="full", report=False, **settings)
        try:
            train_again(plan, again._flow.refresh, again._flow.add_once, run_again)
        finally:
            again._flow.close()
        told = self.confirmation
        if told is None:
            raise LookupError(f"confirm: no training of study {self.name!r} with a new seed gave a value")
        return told

    # -------------------------------------------------------------------------------------------------- looking

    @property
    def history(self) -> History:
        """Everything known now: records, arrays, the joint space."""
        return self._flow.refresh()

    def set_attribute(self, key: str, value: Any) -> None:
        """Keeps a JSON value with the study; None removes it."""
        self.storage.write(self.record.id, None, 0, Update(attributes={key: value}))

    def say(self, text: str) -> None:
        """Tells the user one sentence, as the progress display does."""
        with make_display("plain") as display:
            display(Notice(level="info", text=text))

    def close(self) -> None:
        """Gives back open trials and the storage's connections."""
        self._flow.release_all()
        self._flow.close()
        self.storage.close()

    # -------------------------------------------------------------------------------------------------- helpers

    def _hear(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _forecaster(self, limits: Limits, *, is_alone: bool) -> Listener:
        """What says how long a run will take; where other processes do the work, it reads what they have told."""
        flow = self._flow
        return Forecaster(
            (lambda: flow.history) if is_alone else flow.refresh,
            limits,
            flow.checkpoints.keys,
            flow.checkpoint_budget,
            flow.clock,
            self._hear,
        )

    def _ending(self, until_converged: bool | float) -> Ending | None:
        if until_converged is False:
            return None
        from honed.explain.ending import ending  # few ask

        return ending(until_converged, self.record)

    def _stored(self, params: Mapping[str, Any], what: str) -> dict[str, Scalar]:
        """Params as they are kept: by the known domains, else as plain scalars."""
        space, stored = self.history.space, {}
        for name, value in params.items():
            if name in space:
                try:
                    stored[name] = space[name].to_stored(value)
                    continue
                except ValueError:
                    self.say(f"{what}: {name}={value!r} is outside {space[name]}; it is kept as information.")
            plain = value.item() if hasattr(value, "item") else value
            if plain is not None and not isinstance(plain, str | bool | int | float):
                raise TypeError(f"{what}: {name}={value!r} must be a number, a text, a bool, None, or a choice's label")
            stored[name] = plain
        return stored
