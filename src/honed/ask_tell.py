"""The page that moves data between storage, policies and objectives.

``ask``: read what changed -> History -> scheduler -> sampler -> ``storage.add`` under the next number. Two workers may have
the same next number in mind; the storage lets one have it, the other reads again and asks its sampler again, so every
suggestion has seen every trial before it. ``tell``: one durable write. In between a trial's params and reports are buffered and
written together, at the latest after ``FLUSH_SECONDS``, and a thread renews the leases of the trials that are held.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from honed.clock import Clock
from honed.domains import Domain, Scalar
from honed.errors import HonedError, StaleLease
from honed.events import Listener, Notice
from honed.history import History
from honed.lint import hint
from honed.outcome import judge
from honed.records import (
    Cause,
    Decision,
    Draft,
    Exhausted,
    Report,
    Resume,
    Start,
    State,
    StudyRecord,
    Suggestion,
    TrialRecord,
    Update,
    Wait,
)
from honed.samplers.base import Sampler, Stream
from honed.schedulers.base import Scheduler
from honed.space import Space
from honed.storage.base import MOST_ATTEMPTS, RENEW_SECONDS, Storage
from honed.trial import Trial

FLUSH_SECONDS = 0.5
FLUSH_REPORTS = 64

Policy = Callable[[History], tuple[Sampler, Scheduler]]
"""Who decides, given what is known: the same two objects always, or a choice that may change during the study."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to ask for; ``reason`` is a sentence for the user."""

    reason: str


class AskTell:
    """One worker's connection to one study.

    Args:
        storage: where the study lives.
        study: its record.
        policy: sampler and scheduler for a history.
        worker: name kept in the records of the trials that this worker runs.
        clock: for flushing and records.
        listen: receives notices for the user.
        space: the declared space with its objects and rules.
    """

    def __init__(
        self,
        storage: Storage,
        study: StudyRecord,
        policy: Policy,
        *,
        worker: str,
        clock: Clock,
        listen: Listener,
        space: Space | None = None,
    ) -> None:
        self.storage = storage
        self.study = study
        self.policy = policy
        self.worker = worker
        self.clock = clock
        self.listen = listen
        self.history = History.empty(study, space)
        self.held: dict[int, LiveTrial] = {}
        self.stop_requested = False
        self._keeper: threading.Thread | None = None
        self._closing = threading.Event()
        self._is_fresh = False
        self._hinted: set[str] = set()
        self._shared: dict[tuple[Any, ...], Mapping[str, Domain]] = {}
        self._same: dict[int, tuple[Domain, Domain]] = {}

    # ------------------------------------------------------------------------------------------------- reading

    def refresh(self) -> History:
        """The study as it is now."""
        self.history = self.history.extend(self.storage.read(self.study.id, self.history.revision))
        return self.history

    # --------------------------------------------------------------------------------------------------- asking

    def ask(self, n_trials: int | None = None) -> Trial | Wait | Done:
        """The next trial to run.

        Args:
            n_trials: the study's total, over all workers and runs.
        """
        while True:
            history = self.history if self._is_fresh else self.refresh()
            self._is_fresh = False
            lost = self._reclaim(history)
            if lost is not None:
                return lost
            if n_trials is not None and history.n_counted >= n_trials and not self._has_requeued(history):
                return Done(f"all {n_trials} trials are done")
            sampler, scheduler = self.policy(history)
            move = scheduler.next(history)
            answer: Trial | Wait | Done | None
            match move:
                case Wait():
                    return move
                case Resume():
                    answer = self._resume(history, move, sampler, n_trials)
                case Start():
                    answer = self._start(history, move, sampler, n_trials)
            if answer is not None:
                return answer

    def _has_requeued(self, history: History) -> bool:
        """Whether a trial waits that counts already: it was started before."""
        return history.count(State.WAITING) > 0 and any(
            record.state is State.WAITING and record.attempt for record in history.unfinished
        )

    def _reclaim(self, history: History) -> Trial | None:
        """Takes over a trial whose worker died; after ``MOST_ATTEMPTS`` it is given up."""
        for number in history.lost:
            record = self.storage.claim(self.study.id, number, worker=self.worker, until=history[number].until)
            if record is None:
                continue
            if record.attempt > MOST_ATTEMPTS:
                message = f"its worker died {MOST_ATTEMPTS} times; the last one was {history[number].worker}"
                lost = Update(state=State.FAILED, cause=Cause.LOST, message=message)
                self.storage.write(self.study.id, number, record.attempt, lost)
                self._notice("warning", f"Trial {number} is given up: {message}.")
                continue
            self._notice(
                "info",
                f"Trial {number} was interrupted (worker {history[number].worker}); attempt {record.attempt} begins.",
            )
            return self._open(record, record.params, fixed=record.params)
        return None

    def _resume(self, history: History, move: Resume, sampler: Sampler, limit: int | None) -> Trial | Done | None:
        claimed = self.storage.claim(self.study.id, move.number, worker=self.worker, until=move.until, limit=limit)
        if claimed is None:
            if limit is not None and self.refresh().n_counted >= limit:
                return Done(f"all {limit} trials are done")
            return None
        before = history[move.number]
        plan = dict(before.params)
        if not before.attempt:  # queued by the user: the sampler fills in what they left open
            missing = Space({name: d for name, d in history.space.domains.items() if name not in plan})
            if len(missing):
                proposal = sampler.suggest(history, missing, Stream(self.study.seed, move.number), plan)
                plan |= proposal.params if isinstance(proposal, Suggestion) else {}
        return self._open(claimed, plan, fixed=before.params)

    def _start(self, history: History, move: Start, sampler: Sampler, limit: int | None) -> Trial | Wait | Done | None:
        number = len(history)
        proposal: Suggestion | Wait | Exhausted = Suggestion(move.params or {}, move.note)
        if move.params is None and len(history.space):
            proposal = sampler.suggest(history, history.space, Stream(self.study.seed, number), {})
        match proposal:
            case Exhausted():
                unused = f"; stopping ({limit - history.n_counted} trials unused)" if limit is not None else ""
                return Done(proposal.reason + unused)
            case Wait():
                return proposal
        draft = Draft(
            params=proposal.params,
            domains=self.domains_of(proposal.params, history.space),
            note={**move.note, **proposal.note} if move.note else proposal.note,
            until=move.until,
            parent=move.parent,
        )
        record = self.storage.add(self.study.id, draft, worker=self.worker, number=number, limit=limit)
        return None if record is None else self._open(record, proposal.params, fixed=move.params or {})

    def _open(self, record: TrialRecord, plan: Mapping[str, Scalar], fixed: Mapping[str, Scalar]) -> Trial:
        live = LiveTrial(self, record, plan, fixed)
        self.held[record.number] = live
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep, name="honed leases", daemon=True)
            self._keeper.start()
        return Trial(
            live,
            number=record.number,
            attempt=record.attempt,
            metrics=self.study.metrics,
            given=live.declared(),
            clock=self.clock,
        )

    # --------------------------------------------------------------------------------------------------- telling

    def tell(self, number: int, final: Update) -> TrialRecord:
        """Ends a trial, or gives it back (state WAITING); returns its record.

        Raises:
            StaleLease: it is no longer ours; nothing was written.
        """
        live = self.held.pop(number)
        live.finish(final)
        self._is_fresh = True
        return self.refresh()[number]

    def outcome(self, number: int, returned: Any) -> Update:
        """What a training that ended without an exception amounts to."""
        return judge(self.study, self.held[number].curve(), returned)

    def release_all(self) -> None:
        """Gives back every trial that is still held: somebody may run them again."""
        for number in list(self.held):
            with contextlib.suppress(StaleLease):
                self.tell(number, Update(state=State.WAITING))

    def close(self) -> None:
        """Ends the thread that renews leases."""
        self._closing.set()

    # --------------------------------------------------------------------------------------------------- helpers

    def domains_of(self, params: Mapping[str, Scalar], space: Space) -> Mapping[str, Domain]:
        """The space's domains of these params."""
        if params.keys() == space.domains.keys():
            return space.domains
        return self.shared({name: space[name] for name in params if name in space})

    def shared(self, domains: Mapping[str, Domain]) -> Mapping[str, Domain]:
        """One mapping for all trials that asked with the same domains, so that histories see at once that nothing is new."""
        return self._shared.setdefault((*domains, *map(id, domains.values())), domains)

    def is_same(self, asked: Domain, known: Domain) -> bool:
        """Whether a domain is the one that the study knows; the answer for a pair of objects is remembered."""
        pair = self._same.get(id(asked))
        if pair is not None and pair[0] is asked and pair[1] is known:
            return True
        if asked != known:
            return False
        if len(self._same) > 10_000:
            self._same.clear()
        self._same[id(asked)] = (asked, known)
        return True

    def advise(self, name: str, domain: Domain) -> None:
        """Tells the user once about a domain that is probably not what was meant."""
        if name not in self._hinted:
            self._hinted.add(name)
            text = hint(name, domain)
            if text is not None:
                self._notice("warning", text)

    def _notice(self, level: Any, text: str) -> None:
        self.listen(Notice(level=level, text=text))

    def _keep(self) -> None:
        while not self._closing.wait(RENEW_SECONDS):
            for live in list(self.held.values()):
                try:
                    live.renew()
                except HonedError as error:  # a storage that is away for a while must not end the training
                    self._notice("warning", f"The lease of trial {live.number} could not be renewed: {error}")


class LiveTrial:
    """The backend of a running trial: a plan, and a buffer of what was not written yet."""

    def __init__(
        self, flow: AskTell, record: TrialRecord, plan: Mapping[str, Scalar], fixed: Mapping[str, Scalar]
    ) -> None:
        self.number = record.number
        self.decision = Decision.CONTINUE
        self.is_stale = False
        self._flow = flow
        self._record = record
        self._plan = plan
        self._fixed = fixed
        self._space = flow.history.space
        self._params: dict[str, Scalar] = {}
        self._domains: dict[str, Domain] = {}
        self._steps: dict[int, Mapping[str, float]] = {}
        self._curve = {report.step: report.values for report in record.reports}
        self._attributes: dict[str, Any] = {}
        self._has_new_params = False
        self._flushed = flow.clock.monotonic()
        self._lock = threading.RLock()
        if record.number in flow.history:
            self._curve = {report.step: report.values for report in flow.history[record.number].reports}

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
        if known is not None and self._flow.is_same(domain, known):
            is_planned = name in self._plan
            domain = known
        else:
            is_planned = False
            self._flow.advise(name, domain)
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
            self._flow.listen(Notice(level="warning", text=text))
            return None, False

    def _draw(self, name: str, domain: Domain) -> Scalar:
        """One value for a parameter that no plan has: the sampler sees the trial's params so far."""
        history = self._flow.history
        sampler, _ = self._flow.policy(history)
        given, rng = dict(self._params), Stream(self._flow.study.seed, self.number)
        proposal = sampler.suggest(history, Space({name: domain}), rng, given)
        if isinstance(proposal, Suggestion) and name in proposal.params:
            return proposal.params[name]
        return domain.decode(rng.uniform(name))

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        flow = self._flow
        with self._lock:
            self._steps[step] = values
            self._curve[step] = values
        if not all(math.isfinite(values[name]) for name in flow.study.metrics):
            self.decision = Decision.STOP
        else:
            _, scheduler = flow.policy(flow.history)
            self.decision = scheduler.decide(flow.history, self._as_record())
        due = flow.clock.monotonic() - self._flushed >= FLUSH_SECONDS or len(self._steps) >= FLUSH_REPORTS
        if due or self.decision is not Decision.CONTINUE:
            self._flush(Update())
        return self.should_stop()

    def annotate(self, key: str, value: Any) -> None:
        with self._lock:
            self._attributes[key] = value

    def should_stop(self) -> bool:
        return self.is_stale or self.decision is not Decision.CONTINUE or self._flow.stop_requested

    def curve(self) -> dict[int, Mapping[str, float]]:
        """Step -> metric -> value of the whole trial, former attempts included."""
        return self._curve

    def renew(self) -> None:
        """Called by the thread: writes what is buffered, or just extends the lease."""
        with self._lock:
            if self._has_new_params or self._steps or self._attributes:
                self._flush(Update())
                return
        try:
            self._flow.storage.renew(self._flow.study.id, self.number, self._record.attempt)
        except StaleLease:
            self.is_stale = True

    def finish(self, final: Update) -> None:
        """The last write of this owner; raises ``StaleLease`` when it is too late."""
        self._flush(final)
        if self.is_stale:
            raise StaleLease(self.number, self._record.attempt)

    def _as_record(self) -> TrialRecord:
        reports = tuple(Report(self.number, step, self._curve[step]) for step in sorted(self._curve))
        return replace(self._record, params=self._params, domains=self._domains, reports=reports)

    def _flush(self, update: Update) -> None:
        """Writes buffer and ``update`` together; a stale lease is noted, not raised."""
        with self._lock:
            changes: dict[str, Any] = {"steps": self._steps, "attributes": self._attributes}
            if self._has_new_params:
                changes |= {"params": dict(self._params), "domains": self._flow.shared(dict(self._domains))}
            update = replace(update, **changes)
            try:
                self._flow.storage.write(self._flow.study.id, self.number, self._record.attempt, update)
            except StaleLease:
                self.is_stale = True
            self._has_new_params = False
            self._steps, self._attributes = {}, {}
            self._flushed = self._flow.clock.monotonic()
