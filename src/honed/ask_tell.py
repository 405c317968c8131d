"""The page that moves data between storage, policies and objectives.

``ask``: read what changed -> History -> scheduler -> sampler -> ``storage.add`` under the next number. Two workers may have
the same next number in mind; the storage lets one have it, the other reads again and asks its sampler again, so every
suggestion has seen every trial before it. ``tell``: one durable write. In between a trial's params and reports are buffered and
written together, at the latest after ``FLUSH_SECONDS``, and a thread renews the leases of the trials that are held.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from honed.checkpoints.base import CheckpointStore
from honed.clock import Clock
from honed.costs import promised_seconds
from honed.domains import Domain, Scalar
from honed.durations import shown
from honed.errors import HonedError, StaleLease
from honed.events import Listener, Notice
from honed.history import UNLIMITED, Allowance, History
from honed.lint import hint
from honed.live import LiveTrial, Policy
from honed.records import (
    Cause,
    Draft,
    Exhausted,
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
from honed.space import Space
from honed.storage.base import MOST_ATTEMPTS, RENEW_SECONDS, Storage
from honed.tidy import Tidy
from honed.trial import Trial, trial_seed

NO_CHECKPOINT = (
    "No checkpoint is saved: trainings that go on start again from step 0, and pay their steps twice. "
    "Add trial.track(model=model, optimizer=optimizer) before the loop over trial.steps(n)."
)


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
        checkpoints: where the states of paused trainings lie.
        checkpoint_budget: bytes that they may take.
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
        checkpoints: CheckpointStore,
        checkpoint_budget: int | None = None,
        space: Space | None = None,
    ) -> None:
        self.storage = storage
        self.checkpoints = checkpoints
        self.checkpoint_budget = checkpoint_budget
        self.study = study
        self.policy = policy
        self.worker = worker
        self.clock = clock
        self.listen = listen
        self.history = History.empty(study, space)
        self.held: dict[int, LiveTrial] = {}
        self.stop_requested = False
        self._tidy = Tidy(self, checkpoint_budget)
        self._keeper: threading.Thread | None = None
        self._closing = threading.Event()
        self._is_fresh = False
        self._said: set[str] = set()  # what the user is told only once
        self._shared: dict[tuple[Any, ...], Mapping[str, Domain]] = {}
        self._same: dict[tuple[int, int], tuple[Domain, Domain]] = {}

    # ------------------------------------------------------------------------------------------------- reading

    def refresh(self) -> History:
        """The study as it is now."""
        self.history = self.history.extend(self.storage.read(self.study.id, self.history.revision))
        return self.history

    # --------------------------------------------------------------------------------------------------- asking

    def ask(self, allowance: Allowance = UNLIMITED) -> Trial | Wait | Done:
        """The next trial to run.

        Args:
            allowance: what the study, and this run, may spend.
        """
        n_trials, allowance = allowance.trials, replace(allowance, worker=self.worker)
        while True:
            history = self.history = (self.history if self._is_fresh else self.refresh()).allowed(allowance)
            self._is_fresh = False
            again = self._reclaim(history) or self._continue(history)
            if again is not None:
                return again
            sampler, scheduler = self.policy(history)
            move = scheduler.next(history)
            if isinstance(move, Start) and n_trials is not None and history.n_counted >= n_trials:
                if self._may_resume(history):
                    return Wait("paused trials may go on when a running one has reported")
                return Done(f"all {n_trials} trials are done")
            spent = None if isinstance(move, Wait) else _spent(history)
            if spent is not None:
                return spent
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

    def _may_resume(self, history: History) -> bool:
        """Whether a paused trial may still be promoted, now that no new one can start."""
        return history.count(State.PAUSED) > 0 and history.count(State.RUNNING) > 0

    def _continue(self, history: History) -> Trial | None:
        """Goes on with a trial that was given back: interrupted, or out of time."""
        if not history.count(State.WAITING):
            return None
        for record in history.unfinished:
            if record.state is State.WAITING and record.attempt:
                claimed = self.storage.claim(self.study.id, record.number, worker=self.worker, until=record.until)
                if claimed is not None:
                    return self._open(claimed.with_reports(record.reports), record.params, fixed=record.params)
        return None

    def _reclaim(self, history: History) -> Trial | None:
        """Takes over a trial whose worker died; after ``MOST_ATTEMPTS`` deaths at the same checkpoint it is given up."""
        for number in history.lost:
            before = history[number]
            record = self.storage.claim(self.study.id, number, worker=self.worker, until=before.until)
            if record is None:
                continue
            has_advanced = before.checkpoint != before.note.get("lost_at")
            n_lost = 1 if has_advanced else before.note.get("n_lost", 0) + 1
            if n_lost >= MOST_ATTEMPTS:
                message = f"its worker died {n_lost} times; the last one was {before.worker}"
                given_up = Update(state=State.FAILED, cause=Cause.LOST, message=message)
                self.storage.write(self.study.id, number, record.attempt, given_up)
                self._notice("warning", f"Trial {number} is given up: {message}.")
                continue
            note = {"n_lost": n_lost, "lost_at": before.checkpoint}
            self.storage.write(self.study.id, number, record.attempt, Update(note=note))
            text = f"Trial {number} was interrupted (worker {before.worker}); attempt {record.attempt} begins."
            self._notice("info", text)
            return self._open(record.with_reports(before.reports), before.params, fixed=before.params)
        return None

    def _resume(self, history: History, move: Resume, sampler: Sampler, limit: int | None) -> Trial | Done | None:
        claimed = self.storage.claim(self.study.id, move.number, worker=self.worker, until=move.until, limit=limit)
        if claimed is None:
            is_queued = not history[move.number].attempt  # the others count already, the limit does not hold them
            if is_queued and limit is not None and self.refresh().n_counted >= limit:
                return Done(f"all {limit} trials are done")
            return None
        before = history[move.number]
        plan = dict(before.params)
        if not before.attempt:  # queued by the user: the sampler fills in what they left open
            missing = Space({name: d for name, d in history.space.domains.items() if name not in plan})
            if len(missing):
                proposal = sampler.suggest(history, missing, Stream(self.study.seed, move.number), plan)
                plan |= proposal.params if isinstance(proposal, Suggestion) else {}
        return self._open(claimed.with_reports(before.reports), plan, fixed=before.params)

    def _start(self, history: History, move: Start, sampler: Sampler, limit: int | None) -> Trial | Wait | Done | None:
        number = len(history)
        proposal: Suggestion | Wait | Exhausted = Suggestion(move.params or {}, move.note)
        if move.params is None and (len(history.space) or getattr(sampler, "in_batches", False)):
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
            checkpoint=None if move.parent is None else history[move.parent].checkpoint,
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
            seed=trial_seed(self.study.seed, record.number),
        )

    # --------------------------------------------------------------------------------------------------- telling

    def tell(self, number: int, final: Update) -> TrialRecord:
        """Ends a trial, or gives it back (state WAITING); returns its record.

        Raises:
            StaleLease: it is no longer ours; nothing was written.
        """
        live = self.held.pop(number)
        live.finish(final)
        if final.state is State.PAUSED and not live.has_checkpoint and NO_CHECKPOINT not in self._said:
            self._said.add(NO_CHECKPOINT)
            self._notice("warning", NO_CHECKPOINT)
        if final.state is not State.WAITING and live.has_checkpoint and self._tidy.is_due():
            self._tidy.run()
        self._is_fresh = True
        return self.refresh()[number]

    def outcome(self, number: int, returned: Any) -> Update:
        """What a training that ended without an exception amounts to."""
        return self.held[number].outcome(returned)

    def add_once(self, draft: Draft, is_same: Callable[[TrialRecord], bool]) -> int:
        """Adds a queued or finished trial, unless there is one that is the same; returns its number."""
        while True:
            history = self.refresh()
            known = next((record.number for record in history if is_same(record)), None)
            if known is not None:
                return known
            added = self.storage.add(self.study.id, draft, worker=self.worker, number=len(history))
            if added is not None:
                return added.number

    def keep(self, attributes: Mapping[str, Any]) -> None:
        """Keeps attributes with the study."""
        self.storage.write(self.study.id, None, 0, Update(attributes=attributes))
        self.refresh()

    def release_all(self) -> None:
        """Gives back every trial that is still held: somebody may run them again; removes checkpoints that none needs."""
        for number in list(self.held):
            with contextlib.suppress(StaleLease):
                self.tell(number, Update(state=State.WAITING))
        with contextlib.suppress(HonedError, OSError):  # whoever comes next will do it
            self._tidy.run()

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
        key = (id(asked), id(known))
        if key in self._same:  # which keeps both objects, so that their ids stay theirs
            return True
        if asked != known:
            return False
        if len(self._same) > 10_000:
            self._same.clear()
        self._same[key] = (asked, known)
        return True

    def advise(self, name: str, domain: Domain) -> None:
        """Tells the user once about a domain that is probably not what was meant."""
        if name not in self._said:
            self._said.add(name)
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


def _spent(history: History) -> Wait | Done | None:
    """Why nothing more may begin: the steps, or the hours of training, are used up or promised."""
    steps, seconds = history.allowance.steps, history.allowance.train_seconds
    if steps is not None and promised_steps(history) >= steps:
        what, done = "steps", f"all {steps:,} steps are done"
    elif seconds is not None and promised_seconds(history) >= seconds:
        what, done = "time", f"the time for training is used up ({shown(seconds)}, all trials together)"
    else:
        return None
    return (
        Wait(f"running trials may end before they have used up the {what}")
        if history.count(State.RUNNING)
        else Done(done)
    )


def promised_steps(history: History) -> int:
    """Steps of all trials, done or granted to running ones."""
    promised = history.n_steps
    if history.count(State.RUNNING):
        for record in history.unfinished:
            if record.state is State.RUNNING and record.goal is not None:
                promised += max(record.goal - (record.last_step or 0), 0)
    return promised
