"""A trial that is running here: a plan, a buffer of what was not written yet, and where its training may go.

Params and reports are written together, at the latest after ``FLUSH_SECONDS``. A checkpoint is written first, then one
write makes it and the reports before it visible: files that no row names do not exist.

A storage that is away for a while does not end a training: what cannot be written is kept and written with the next flush. A
result that cannot be told is kept in a file (``honed.pending``).
"""

from __future__ import annotations

import contextlib
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from honed.algorithms.schedules import Kept
from honed.backend import Resumed
from honed.checkpoints.base import CheckpointStore, checkpoint_key, parse_key
from honed.checkpoints.pace import Pace, Saved
from honed.clock import Clock
from honed.costs import TRACKS, Stopwatch
from honed.domains import Domain, Scalar
from honed.errors import (
    CheckpointDamaged,
    CheckpointNotFound,
    CheckpointNotSaved,
    NoFeasiblePoint,
    StaleLease,
    StorageError,
)
from honed.events import Listener, Notice
from honed.history import History
from honed.lint import changed_length
from honed.outcome import judge, returned_values, stopped
from honed.pending import keep
from honed.records import LENGTH, Decision, Report, State, StudyRecord, Suggestion, TrialRecord, Update, length_note
from honed.samplers.base import Sampler, Stream
from honed.schedulers.base import Scheduler
from honed.space import Space
from honed.storage.base import Storage

FLUSH_SECONDS = 0.5
FLUSH_REPORTS = 64
MOST_DRAWS = 100
PACE = Pace()

Policy = Callable[[History], tuple[Sampler, Scheduler]]
"""Who decides, given what is known: the same two objects always, or a choice that may change during the study."""


class Link(Protocol):
    """What a running trial needs of the connection it belongs to."""

    storage: Storage
    checkpoints: CheckpointStore
    study: StudyRecord
    history: History
    policy: Policy
    clock: Clock
    listen: Listener
    stop_requested: bool

    def refresh(self) -> History:
        """The study as it is now."""
        ...

    def is_same(self, asked: Domain, known: Domain) -> bool:
        """Whether a domain is the one that the study knows."""
        ...

    def shared(self, domains: Mapping[str, Domain]) -> Mapping[str, Domain]:
        """One mapping for all trials that asked with the same domains."""
        ...

    def advise(self, name: str, domain: Domain) -> None:
        """Tells the user once about a domain that is probably not what was meant."""
        ...


class LiveTrial:
    """The backend of a running trial.

    Args:
        link: the connection it belongs to.
        record: as it was added or claimed, with its reports so far.
        plan: values that a sampler has proposed.
        fixed: values that a person, or a former attempt, has set.
    """

    def __init__(
        self, link: Link, record: TrialRecord, plan: Mapping[str, Scalar], fixed: Mapping[str, Scalar]
    ) -> None:
        self.number = record.number
        self.decision = Decision.CONTINUE
        self.is_stale = False
        self._link = link
        self._record = record
        self._plan = plan
        self._fixed = fixed
        self._space = link.history.space
        self._params: dict[str, Scalar] = {}
        self._domains: dict[str, Domain] = {}
        self._has_new_params = False
        self._steps: dict[int, Mapping[str, float]] = {}
        self._reports = list(record.reports)
        self._attributes: dict[str, Any] = {}
        self._note: dict[str, Any] = {}
        self._noted: dict[str, Any] = dict(record.note)  # all of it, written or not
        self._watch = Stopwatch(link.clock.monotonic(), record.note, is_again=record.attempt > 1)
        self._new_checkpoint: str | None = None  # saved, and not yet named by the row
        self._next_flush = link.clock.monotonic() + FLUSH_SECONDS
        self._is_cut_off = False  # the storage is away
        self._lock = threading.RLock()
        self._n_steps: int | None = None
        self._step = 0  # of trial.steps; a loop of one's own leaves it at 0
        self._reported = 0  # the last step reported in this attempt; others may have reported more
        self._was_told_to_stop = False
        self._resumed: Resumed | None = None
        self._checkpoint = record.checkpoint
        self._saved: Saved | None = None

    # -------------------------------------------------------------------------------------------------- values

    def declared(self) -> dict[str, tuple[Domain, Scalar]]:
        """What the trial has before it asks: the planned values of a declared space, or the given ones."""
        space, plan = self._space, self._plan
        values = {name: plan[name] for name in space.declared if name in plan and space[name].contains(plan[name])}
        if values:
            self._params = space.active(values)
            self._domains = {name: space[name] for name in self._params}
            self._has_new_params = True
        return {name: (space[name], value) for name, value in self._params.items()}

    def suggest(self, name: str, domain: Domain) -> Scalar:
        known = self._space.domains.get(name)
        if known is not None and self._link.is_same(domain, known):
            is_planned = name in self._plan
            domain = known
        else:
            is_planned = False
            self._link.advise(name, domain)
        value = self._plan[name] if is_planned else None
        if name in self._fixed:
            value, is_planned = self._given(name, domain)
        if not is_planned:
            value = self._draw(name, domain)
        self._params[name] = value
        self._domains[name] = domain
        self._has_new_params = True
        return value

    def _given(self, name: str, domain: Domain) -> tuple[Scalar, bool]:
        """A value that a person, or a former attempt, has set: kept if the domain has it."""
        try:
            return domain.to_stored(self._fixed[name]), True
        except ValueError:
            text = f"Trial {self.number}: the given {name}={self._fixed[name]!r} is not in {domain}; another value is drawn."
            self._link.listen(Notice(level="warning", text=text))
            return None, False

    def _draw(self, name: str, domain: Domain) -> Scalar:
        """One value for a parameter that no plan has: the sampler sees the trial's params so far."""
        history = self._link.history
        sampler, _ = self._link.policy(history)
        alone, own = Space({name: domain}), self._space.with_domains({**self._domains, name: domain})
        given, rng = dict(self._params), Stream(self._link.study.seed, self.number)
        for _ in range(MOST_DRAWS):
            proposal = sampler.suggest(history, alone, rng, given)
            value = domain.decode(rng.uniform(name))
            if isinstance(proposal, Suggestion) and name in proposal.params:
                value = proposal.params[name]
            if own.is_allowed({**given, name: value}):
                return value
            rng = rng.again()
        raise NoFeasiblePoint(
            f"Trial {self.number}: none of {MOST_DRAWS} draws of {name!r} from {domain} is allowed beside {given}; "
            "widen the range, or ask in another order so that the rule can steer an earlier parameter."
        )

    # ------------------------------------------------------------------------------------------------ training

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        link = self._link
        with self._lock:
            self._steps[step] = values
            self._keep(Report(self.number, step, values))
        now = link.clock.monotonic()
        self._watch.mark(step, now)
        self._reported = max(self._reported, step)
        is_full = self._n_steps is not None and step >= self._n_steps
        if not all(math.isfinite(values[name]) for name in link.study.metrics):
            self.decision = Decision.STOP
        elif not is_full:  # whoever has reached the last step is complete, whatever a rule says
            _, scheduler = link.policy(link.history)
            self.decision = scheduler.decide(link.history, self._as_record())
        due = now >= self._next_flush or (len(self._steps) >= FLUSH_REPORTS and not self._is_cut_off)
        if due or self.decision is not Decision.CONTINUE:
            self.flush()
        return self.should_stop()

    def annotate(self, key: str, value: Any) -> None:
        with self._lock:
            self._attributes[key] = value

    def tracks(self) -> None:
        self._keep_note(TRACKS, True)

    def should_stop(self) -> bool:
        is_at_grant = self._is_granted(self._reported)
        answer = self.is_stale or self.decision is not Decision.CONTINUE or self._link.stop_requested or is_at_grant
        self._was_told_to_stop |= answer
        return answer

    def begin(self, n_steps: int, schedule: Kept | None = None) -> None:
        before = self._noted.get(LENGTH, n_steps)
        if before != n_steps:
            step = 0 if self._resumed is None or schedule is None else self._resumed.step
            level: Literal["info", "warning"] = "warning" if step else "info"
            self._link.listen(Notice(level=level, text=changed_length(self.number, before, n_steps, step)))
        self._n_steps = n_steps
        for key, value in length_note(self._noted, n_steps, schedule).items():
            self._keep_note(key, value)
        self._be_ready()

    def end_step(self, step: int) -> bool:
        now = self._link.clock.monotonic()
        self._watch.mark(step, now)
        self._step = step
        if self.is_stale or self.decision is Decision.STOP or step >= (self._n_steps or math.inf):
            return False
        must = self.decision is Decision.PAUSE or self._is_granted(step) or self._link.stop_requested
        return must or (not self._is_near_grant(step) and PACE.is_due(step, self._saved, now))

    def resume(self) -> Resumed:
        if self._resumed is None:
            self._resumed = self._find_checkpoint()
        self._be_ready()
        return self._resumed

    def _be_ready(self) -> None:
        """The training begins now, as far as can be told; loops of one's own ask only where to go on."""
        step, is_restored = 0, False
        if self._resumed is not None:
            step, is_restored = self._resumed.step, self._resumed.directory is not None
        self._watch.ready(step, self._link.clock.monotonic(), is_restored)

    def _find_checkpoint(self) -> Resumed:
        key, until = self._checkpoint, self._record.until
        if key is None:  # folds and repeats do not build on each other: those that are reported are done
            return Resumed(self._last_step() if self._link.study.summary == "mean" else 0, None, until)
        try:
            return Resumed(parse_key(key).step, self._link.checkpoints.load(key), until)
        except (CheckpointNotFound, CheckpointDamaged) as error:
            self._keep_note("n_restarts", self._noted.get("n_restarts", 0) + 1)
            text = f"Trial {self.number} starts again from step 0: {error}"
            self._link.listen(Notice(level="warning", text=text))
            return Resumed(until=until)

    @contextlib.contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        store, begun = self._link.checkpoints, self._link.clock.monotonic()
        key = checkpoint_key(self._link.study.id, self.number, step, self._record.attempt)
        directory = store.new_directory()
        try:
            yield directory
            if key == self._checkpoint:
                return  # this step is safe already
            store.save(key, directory)
        except CheckpointNotSaved as error:  # a full disk must not end a training
            text = f"Trial {self.number} goes on without a checkpoint of step {step}: {error}"
            self._link.listen(Notice(level="warning", text=text))
            return
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        seconds = self._link.clock.monotonic() - begun
        before, self._checkpoint = self._checkpoint, key
        self._keep_note(TRACKS, True)
        with self._lock:
            self._new_checkpoint = key
            may_try = not self._is_cut_off or self._link.clock.monotonic() >= self._next_flush
            is_named = may_try and self.flush()
        if is_named and before is not None and self._is_own(before) and not self._is_needed(before):
            store.delete(before)
        now = self._link.clock.monotonic()
        self._saved = Saved(step, now, seconds)
        self._watch.saved(seconds, now - begun)

    def _is_own(self, key: str) -> bool:
        """Whether a checkpoint was written by this trial, not taken over from its parent."""
        return parse_key(key).number == self.number

    def _is_granted(self, step: int) -> bool:
        """Whether the training has used up its grant."""
        return self._record.until is not None and step >= self._record.until

    def _is_near_grant(self, step: int) -> bool:
        """Whether it will be saved a step or two later anyway."""
        return self._record.until is not None and step + 2 >= self._record.until

    def _last_step(self) -> int:
        return self._reports[-1].step if self._reports else 0

    # ------------------------------------------------------------------------------------------------- its end

    def outcome(self, returned: Any) -> Update:
        """What a training that ended without an exception amounts to: told, paused, or given back."""
        self._count_returned(returned)
        study, reports = self._link.study, {report.step: report.values for report in self._reports}
        last = max(self._step, self._last_step())
        if self._is_cut_short(last):
            if self.decision is Decision.STOP:
                return stopped(study, reports)
            if self.decision is Decision.PAUSE or self._is_granted(last):
                return Update(state=State.PAUSED, until=last)
            return Update(state=State.WAITING)
        return judge(study, reports, returned)

    def _count_returned(self, returned: Any) -> None:
        """What a training returns that reports nothing is its value at the step up to which it was granted."""
        study, until = self._link.study, self._record.until
        if returned is None or until is None or self._reported or self._n_steps is None or until >= self._n_steps:
            return
        values = returned_values(study, returned)
        self.report(self._step or until, dict(zip(study.metrics, values, strict=True)))

    def _is_cut_short(self, last: int) -> bool:
        """Whether the training ended because it was told to, before its last step."""
        if self._n_steps is not None and last >= self._n_steps:
            return False
        if self._n_steps is not None and self._is_granted(last):
            return True
        return self._was_told_to_stop

    def finish(self, final: Update) -> None:
        """The last write of this owner.

        Raises:
            StaleLease: it comes too late.
            StorageError: it could not be written; its message says in which file a result is kept.
        """
        with self._lock:
            whole = self._whole(final)
            try:
                self._send(whole)
            except StorageError as error:
                if final.state is not State.WAITING:
                    where = keep(self._link, self.number, self._record.attempt, whole)
                    error.args = (f"{error} {where}",)
                raise
        if self.is_stale:
            raise StaleLease(self.number, self._record.attempt)
        own = self._checkpoint if self._checkpoint is not None and self._is_own(self._checkpoint) else None
        if own is not None and final.state is not None and final.state.is_finished and not self._is_needed(own):
            self._link.checkpoints.delete(own)

    def _is_needed(self, key: str) -> bool:
        """Whether another trial may be about to start from this checkpoint; then housekeeping removes it later."""
        _, scheduler = self._link.policy(self._link.history)
        return bool(getattr(scheduler, "starts_from_parents", False)) and parse_key(key).number == self.number

    @property
    def has_checkpoint(self) -> bool:
        """Whether this trial has saved, or started from, a checkpoint."""
        return self._checkpoint is not None

    def renew(self) -> None:
        """Called by the thread: writes what is buffered, or just extends the lease."""
        with self._lock:
            is_due = self._watch.is_needed and self._watch.is_due(self._link.clock.monotonic())
            if is_due or self._has_new_params or self._steps or self._attributes or self._note or self._new_checkpoint:
                self.flush()
                return
        try:
            self._link.storage.renew(self._link.study.id, self.number, self._record.attempt)
        except StaleLease:
            self.is_stale = True

    def flush(self) -> bool:
        """Writes what is buffered; a storage that is away gets it later, and a stale lease is noted.

        Returns:
            Whether it was written.
        """
        link = self._link
        with self._lock:
            begun = link.clock.monotonic()
            try:
                self._send(self._whole(Update()))
            except StorageError as error:
                now = link.clock.monotonic()  # half of the time at most is spent on waiting for it
                self._next_flush = now + max(FLUSH_SECONDS, now - begun)
                self._tell_outage(f"Trial {self.number} goes on, its reports are written later: {error}", True)
                return False
            self._tell_outage(f"The storage is back; the reports of trial {self.number} are written.", False)
            return not self.is_stale

    def _tell_outage(self, text: str, is_cut_off: bool) -> None:
        """Tells the user once that the storage is away, and once that it is back."""
        if self._is_cut_off is not is_cut_off:
            self._is_cut_off = is_cut_off
            self._link.listen(Notice(level="warning" if is_cut_off else "info", text=text))

    def _whole(self, update: Update) -> Update:
        """An update together with what is buffered, and the times where the row changes anyway, or it is time."""
        changes: dict[str, Any] = {"steps": self._steps, "attributes": self._attributes, "note": self._note}
        now = self._link.clock.monotonic()
        changes_row = update.state is not None or bool(self._new_checkpoint or self._note or self._attributes)
        if self._watch.is_needed and (changes_row or self._watch.is_due(now)):
            changes["note"] = {**self._note, **self._watch.note(now)}
            self._watch.written(now)
        if self._has_new_params:
            changes |= {"params": dict(self._params), "domains": self._link.shared(dict(self._domains))}
        if self._new_checkpoint is not None:
            changes["checkpoint"] = self._new_checkpoint
        return replace(update, **changes)

    def _send(self, whole: Update) -> None:
        """Writes, and empties the buffer when that went well."""
        try:
            self._link.storage.write(self._link.study.id, self.number, self._record.attempt, whole)
        except StaleLease:
            self.is_stale = True
        self._has_new_params, self._new_checkpoint = False, None
        self._steps, self._attributes, self._note = {}, {}, {}
        self._next_flush = self._link.clock.monotonic() + FLUSH_SECONDS

    def _keep(self, report: Report) -> None:
        """Puts a report into the curve, in order of steps."""
        if not self._reports or report.step > self._reports[-1].step:
            self._reports.append(report)
            return
        by_step = {known.step: known for known in self._reports} | {report.step: report}
        self._reports = [by_step[step] for step in sorted(by_step)]

    def _keep_note(self, key: str, value: Any) -> None:
        with self._lock:
            if self._noted.get(key) != value:
                self._noted[key] = self._note[key] = value

    def _as_record(self) -> TrialRecord:
        reports = tuple(self._reports)
        return replace(self._record, params=self._params, domains=self._domains, reports=reports, note=self._noted)
