"""The event queue: workers ask, train one step after the other, report, and do what the scheduler decides.

It follows the flow of ``ask_tell``: lost trials are taken over first, then ``scheduler.next`` is asked; ``decide`` is asked
after each report; a trial that reaches its grant is PAUSED, one that reaches the last step is COMPLETE whatever was
decided, one whose loss is not finite is FAILED. Of two steps that end at the same moment the one begun first ends first.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from honed.domains import Scalar
from honed.history import History
from honed.records import LENGTH, SCHEDULE, Cause, Decision, Exhausted, Resume, Start, State, TrialRecord, Wait
from honed.samplers.base import Proposal, Sampler, Stream
from honed.schedulers.base import Scheduler
from honed.space import Space
from honed.storage.base import MOST_ATTEMPTS
from honed.testing.simulate.book import Book
from honed.testing.simulate.faults import Faults
from honed.testing.simulate.task import LengthTask, Task
from honed.testing.simulate.trace import EventKind, Trace


def simulate(
    task: Task,
    sampler: Sampler,
    scheduler: Scheduler,
    *,
    n_workers: int = 1,
    budget_steps: int | None = None,
    n_trials: int | None = None,
    seed: int = 0,
    resume: bool = True,
    report_every: int = 1,
    faults: Faults | None = None,
) -> Trace:
    """Plays a study in simulated time.

    It ends when the budget is spent, or when nothing runs and the scheduler has nothing to do.

    Args:
        task: what is trained.
        sampler: who proposes params.
        scheduler: who decides what is trained next, and how far.
        n_workers: how many trials run at once.
        budget_steps: how many steps may be trained, by all workers together.
        n_trials: how many trials may count (all but FAILED ones), as for ``study.optimize``.
        seed: the study's.
        resume: whether a paused or lost trial goes on from its checkpoint; otherwise it trains again from step 1.
        report_every: steps between two reports; the last step of a grant is always reported.
        faults: trainings that fail and workers that die.

    Raises:
        ValueError: a wrong argument, or a move that the scheduler must not make (a trial that is not there to be
            resumed, a grant that lies behind).
    """
    if n_workers < 1:
        raise ValueError(f"simulate: n_workers={n_workers!r} must be at least 1")
    limits = _Limits(budget_steps, n_trials, resume, report_every)
    return _Run(task, sampler, scheduler, limits, Book(task.space, seed), faults or Faults()).play(n_workers)


@dataclass(frozen=True, slots=True)
class _Limits:
    budget: int | None
    n_trials: int | None
    resume: bool
    report_every: int

    def __post_init__(self) -> None:
        if self.budget is None and self.n_trials is None:
            raise ValueError("simulate: give budget_steps=, n_trials= or both, or it would never end")
        if self.report_every < 1:
            raise ValueError(f"simulate: report_every={self.report_every!r} must be at least 1")

    def are_spent(self, n_begun: int) -> bool:
        """Whether no further step may be begun."""
        return self.budget is not None and n_begun >= self.budget


@dataclass(slots=True, kw_only=True)
class _Job:
    """A worker with a running trial."""

    worker: int
    number: int
    attempt: int
    step: int  # done
    until: int
    curve: Sequence[float]
    seconds: float  # of one step


class _Run:
    def __init__(
        self, task: Task, sampler: Sampler, scheduler: Scheduler, limits: _Limits, book: Book, faults: Faults
    ) -> None:
        self.task, self.sampler, self.scheduler = task, sampler, scheduler
        self.limits, self.book, self.faults = limits, book, faults
        self.idle: list[int] = []
        self.queue: list[tuple[float, int, _Job]] = []  # when a step ends, tie-breaker, who trains it
        self.n_begun = 0  # steps that were begun: the cost
        self.saved: dict[int, int] = {}  # trial -> step of its checkpoint
        self.furthest: dict[int, int] = {}  # trial -> the last step that it has ever trained
        self.deaths: dict[int, int] = {}  # trial -> workers that died with it
        self.reason = ""

    def play(self, n_workers: int) -> Trace:
        """Runs until nothing is left to do."""
        self.idle = list(range(n_workers))
        self.hand_out()
        while self.queue:
            self.book.seconds, _, job = heapq.heappop(self.queue)
            self.end_step(job)
            self.hand_out()
        return self.book.trace(self.reason)

    # ------------------------------------------------------------------------------------------------- asking

    def hand_out(self) -> None:
        """Gives work to idle workers, until one gets none: the others would be told the same."""
        while self.idle:
            if self.limits.are_spent(self.n_begun):
                self.reason = "the budget is spent"
                return
            job = self.ask(self.idle[0])
            if job is None:
                return
            heapq.heappop(self.idle)
            self.begin_step(job)

    def ask(self, worker: int) -> _Job | None:
        history = self.book.history
        while history.lost:
            job = self.reclaim(worker, history.lost[0])
            if job is not None:
                return job
            history = self.book.history
        move = self.scheduler.next(self.seen())
        match move:
            case Wait():
                self.reason = f"the scheduler waits: {move.reason}" if move.reason else "the scheduler waits"
                return None
            case Resume():
                return self.resume(worker, move)
            case Start():
                if not self.seen().may_start:
                    self.reason = f"all {self.limits.n_trials} trials were started"
                    return None
                return self.start(worker, move)

    def seen(self) -> History:
        """What policies are shown."""
        return self.book.history.limited(self.limits.n_trials)

    def start(self, worker: int, move: Start) -> _Job | None:
        history, number = self.book.history, len(self.book.history)
        proposal = self.proposed(move, number)
        if not isinstance(proposal, TrialRecord):
            self.reason = proposal.reason or "the sampler waits"
            return None
        if move.parent is not None and move.parent not in history:
            raise ValueError(f"simulate: the scheduler starts from trial {move.parent}, which does not exist")
        self.book.add(proposal)
        if move.parent is not None and self.limits.resume:
            self.saved[number] = self.saved.get(move.parent, 0)
        return self.open(worker, proposal, "start")

    def proposed(self, move: Start, number: int) -> TrialRecord | Wait | Exhausted:
        """The record of a new trial, its params complete."""
        history, space = self.book.history, self.task.space
        rng, note = Stream(self.book.study.seed, number), move.note
        params: dict[str, Scalar] = dict(move.params or {})
        if move.params is None:
            proposal: Proposal = self.sampler.suggest(history, history.space, rng, {})
            if isinstance(proposal, Wait | Exhausted):
                return proposal
            params = dict(proposal.params)
            note = {**move.note, **proposal.note}
        params = self.completed(space, params, rng)
        domains = space.domains if len(params) == len(space) else {name: space[name] for name in params}
        return TrialRecord(
            number=number, state=State.RUNNING, params=params, domains=domains, attempt=1, until=move.until,
            parent=move.parent, note={**note, **self.announced(params)},
        )  # fmt: skip

    def announced(self, params: Mapping[str, Scalar]) -> dict[str, int | str]:
        """What a training says of its length when it begins."""
        if isinstance(self.task, LengthTask):
            found: dict[str, int | str] = {LENGTH: self.task.length(params)}
            return found if self.task.schedule is None else {**found, SCHEDULE: self.task.schedule}
        return {LENGTH: self.task.total_steps}

    def completed(self, space: Space, params: dict[str, Scalar], rng: Stream) -> dict[str, Scalar]:
        """Active params, with those that a suggestion left out asked one by one."""
        params = space.active(params)
        if len(params) == len(space):
            return params
        while (name := space.next_name(params)) is not None:
            proposal = self.sampler.suggest(self.book.history, Space({name: space[name]}), rng, dict(params))
            found = {} if isinstance(proposal, Wait | Exhausted) else proposal.params
            params[name] = found[name] if name in found else space[name].decode(rng.uniform(name))
        return params

    def resume(self, worker: int, move: Resume) -> _Job:
        record = self.book.history[move.number]
        if record.state not in (State.WAITING, State.PAUSED):
            raise ValueError(f"simulate: the scheduler resumes trial {move.number}, which is {record.state}")
        record = self.book.change(move.number, state=State.RUNNING, attempt=record.attempt + 1, until=move.until)
        return self.open(worker, record, "resume")

    def reclaim(self, worker: int, number: int) -> _Job | None:
        """Takes over a trial whose worker died; None when it died too often."""
        attempt = self.book.history[number].attempt + 1
        del self.book.lost[number]
        record = self.book.change(number, attempt=attempt)
        if self.deaths[number] >= MOST_ATTEMPTS:
            self.book.finish(number, State.FAILED, Cause.LOST)
            self.book.note(worker, number, "fail", self.saved.get(number, 0))
            return None
        return self.open(worker, record, "reclaim")

    def open(self, worker: int, record: TrialRecord, kind: EventKind) -> _Job:
        number, total = record.number, int(record.note[LENGTH])
        step = self.saved.get(number, 0)
        until = total if record.until is None else min(record.until, total)
        reached = self.furthest.get(number, 0) if kind == "resume" else step
        if reached >= until:
            raise ValueError(f"simulate: trial {number} is at step {reached} and was granted step {record.until}")
        self.book.note(worker, number, kind, step, until)
        return _Job(
            worker=worker, number=number, attempt=record.attempt, step=step, until=until,
            curve=self.task.curve(record.params, Stream(self.book.study.seed, number)),
            seconds=self.task.seconds(record.params),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------- training

    def begin_step(self, job: _Job) -> None:
        """Pays the next step; without a budget for it the worker stands still with its trial."""
        if self.limits.are_spent(self.n_begun):
            self.reason = "the budget is spent"
            return
        self.n_begun += 1
        heapq.heappush(self.queue, (self.book.seconds + job.seconds, self.n_begun, job))

    def end_step(self, job: _Job) -> None:
        number, step = job.number, job.step + 1
        seen = self.furthest.get(number, 0)
        self.furthest[number] = max(seen, step)
        fault = self.faults.at(Stream(self.book.study.seed, number), step, job.attempt, is_first=step > seen)
        if fault is not None:
            self.book.trained(number, step, math.nan)
            self.leave(job, "lost" if fault == "kill" else "fail")
            return
        job.step = step
        loss = float(job.curve[step - 1])
        is_due = step % self.limits.report_every == 0 or step == job.until or not math.isfinite(loss)
        self.book.trained(number, step, loss if is_due else math.nan)
        if self.limits.resume and step % self.faults.checkpoint_every == 0:
            self.saved[number] = step
        kind = self.judged(job, loss) if is_due else None
        if kind is None:
            self.begin_step(job)
        else:
            self.leave(job, kind)

    def judged(self, job: _Job, loss: float) -> EventKind | None:
        """Reports a loss; how the run ends by it, None while it goes on."""
        number, step = job.number, job.step
        if (self.book.history[number].last_step or 0) < step:  # a step trained again has the same loss
            self.book.report(number, step, loss)
        if not math.isfinite(loss):
            return "fail"
        if step == self.book.history[number].note[LENGTH]:
            return "complete"
        decision = self.scheduler.decide(self.seen(), self.book.history[number])
        if decision is Decision.STOP:
            return "stop"
        return "pause" if decision is Decision.PAUSE or step >= job.until else None

    def leave(self, job: _Job, kind: EventKind) -> None:
        """Ends a worker's time with a trial."""
        number = job.number
        self.book.note(job.worker, number, kind, job.step)
        match kind:
            case "lost":
                self.deaths[number] = self.deaths.get(number, 0) + 1
                self.book.lose(number)
            case "pause":
                if self.limits.resume:
                    self.saved[number] = job.step
                key = f"{number}/{job.step}" if self.limits.resume else None
                self.book.change(number, state=State.PAUSED, checkpoint=key)
            case "complete":
                self.book.finish(number, State.COMPLETE)
            case "stop":
                self.book.finish(number, State.STOPPED)
            case _:
                is_diverged = job.step > 0 and not math.isfinite(job.curve[job.step - 1])
                self.book.finish(number, State.FAILED, Cause.INFEASIBLE if is_diverged else Cause.ERROR)
        heapq.heappush(self.idle, job.worker)
