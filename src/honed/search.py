"""One search: who decides, when it ends, and the connection of one worker that carries it out.

A study runs a search in its own process, or hands it to a supervisor whose worker processes run the same one: both come
here, so that a worker does the same wherever it runs.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from honed.ask_tell import AskTell
from honed.auto import CURVE_RULES, Choice, Told, choose, evidence_of, look, named
from honed.auto.told import TOLD, spoken
from honed.checkpoints.directory import DirectoryStore
from honed.checkpoints.sizes import parse_size
from honed.clock import SYSTEM_CLOCK
from honed.domains import Scalar
from honed.events import Listener, Notice
from honed.history import History
from honed.live import Policy
from honed.records import StudyRecord, Update
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.combine import fit_for_use
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.schedulers.named import named as scheduler_named
from honed.schedulers.ranking import how_compared
from honed.schedulers.repeated import ClearlyWorse
from honed.schedulers.stopping import StopAlso
from honed.space import Space
from honed.spread import repeats_of
from honed.storage.base import Storage
from honed.storage.url import beside
from honed.worker import GRACE_SECONDS, Limits, OnError

BATCH_SIZE = 8
"""Trials that are proposed without a look at each other's results, with ``deterministic=True``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What ``optimize`` was told.

    Attributes:
        sampler, scheduler: names or objects.
        limits: when the run ends.
        on_error: what a failing objective means.
        n_workers: how many run at once, in all processes of this run.
        batch: size of the batches of a deterministic search; None for suggestions that use all that is known.
        grace: seconds that a training has to end its step when it is told to.
    """

    sampler: str | Sampler = "auto"
    scheduler: str | Scheduler = "auto"
    limits: Limits = field(default_factory=Limits)
    on_error: OnError = "smart"
    n_workers: int = 1
    batch: int | None = None
    grace: float = GRACE_SECONDS

    def policy(self, announce: Listener) -> Policy:
        """Who decides for a history; an automatic choice is announced when it is made, and again when it changes.

        Raises:
            ValueError: an unknown name, or a scheduler that a deterministic search cannot have.
        """
        sampler, alone = self._sampler(), self._scheduler()
        if sampler is not None:
            chosen = fit_for_use(sampler)
            chosen = chosen if self.batch is None else _batched(chosen, self.batch)
            return lambda history: (chosen, self._between_repeats(alone, history))
        if self.batch is not None:  # the choice, too, may depend only on what every worker knows alike
            chosen = _batched(Automatic(self.limits.n_trials, 1, announce, is_for_both=False), self.batch)
            return lambda history: (chosen, self._between_repeats(alone, history))
        automatic = Automatic(
            self.limits.n_trials,
            self.n_workers,
            announce,
            is_for_both=self.scheduler == "auto",
            is_budgeted=self.is_timed,
        )

        def policy(history: History) -> tuple[Sampler, Scheduler]:
            found, scheduler = automatic.both(history)
            return found, self._between_repeats(alone if scheduler is None else scheduler, history)

        return policy

    def _between_repeats(self, scheduler: Scheduler, history: History) -> Scheduler:
        """The scheduler, and a test between the repeats of a trial."""
        # In batches, everybody must decide alike; what is known when a repeat ends is not.
        if self.batch is not None or repeats_of(history.study) is None:
            return scheduler
        return StopAlso(scheduler, ClearlyWorse())

    @property
    def is_timed(self) -> bool:
        """Whether the time of the run, or of all trainings, is limited."""
        return self.limits.timeout is not None or self.limits.gpu_hours is not None

    def told(self) -> Told:
        """What a study keeps of this search, so that it can be explained when somebody opens it."""
        return Told(
            sampler=spoken(self.sampler),
            scheduler=spoken(self.scheduler),
            n_trials=self.limits.n_trials,
            total_steps=self.limits.total_steps,
            is_timed=self.is_timed,
            workers=self.n_workers,
        )

    def refuse_misfits(self, study: StudyRecord) -> None:
        """Refuses a sampler that knows one objective only for a study with several, and a model of curves where there are none.

        Raises:
            ValueError: a sampler, or one inside it, says so by ``most_objectives`` or ``reads_curves``.
        """
        inside: list[Any] = [self._sampler()]
        while inside:
            sampler, n = inside.pop(), len(study.directions)
            if n > getattr(sampler, "most_objectives", n):
                name = self.sampler if isinstance(self.sampler, str) else type(sampler).__name__
                raise ValueError(
                    f"sampler={name!r} is for one objective, the study has {n}: {', '.join(study.metrics)}; "
                    "use 'auto', 'gp', 'tpe' or 'nsga2'"
                )
            if study.summary == "mean" and getattr(sampler, "reads_curves", False):
                raise ValueError(
                    f"{type(sampler).__name__} learns from learning curves; the steps of study {study.name!r} are folds or "
                    "repeats (summary='mean'). Use 'auto', 'gp' or 'tpe', with a scheduler such as 'asha' or honed.Wilcoxon()"
                )
            inside += [
                part for part in (getattr(sampler, "sampler", None), getattr(sampler, "otherwise", None)) if part
            ]

    def explained(self, study: StudyRecord) -> str | None:
        """What the scheduler compares, where that is not obvious."""
        return how_compared(self._scheduler(), study)

    def _sampler(self) -> Sampler | None:
        """The sampler; None where it is chosen automatically. Whoever is both decides both, where the other is left open."""
        if self.sampler == "auto":
            return self.scheduler if isinstance(self.scheduler, Sampler) else None
        return named(self.sampler) if isinstance(self.sampler, str) else self.sampler

    def _scheduler(self) -> Scheduler:
        sampler = self._sampler()
        if not isinstance(self.scheduler, str):
            scheduler = self.scheduler
        elif self.scheduler == "auto" and (both := _as_scheduler(sampler)) is not None:
            scheduler = both
        else:
            scheduler = scheduler_named("full" if self.scheduler == "auto" else self.scheduler)
        if self.batch is not None and not isinstance(scheduler, Full):
            raise ValueError(
                f"deterministic={self.batch} needs scheduler='full': what {type(scheduler).__name__} decides depends on which "
                "training reports first. Random, Sobol and Halton points are the same for any number of workers anyway."
            )
        return scheduler


class Automatic:
    """The automatic choice: a function of each history that it is given, announced when it changes; a sampler by itself.

    Args:
        n_trials: the study's total.
        n_workers: how many trials run at once.
        announce: hears the reason.
        is_for_both: whether the rules choose the scheduler, too; else only rules that need no curves fit.
        is_budgeted: whether time is limited.
    """

    def __init__(
        self,
        n_trials: int | None,
        n_workers: int,
        announce: Listener,
        *,
        is_for_both: bool = True,
        is_budgeted: bool = False,
    ) -> None:
        self._n_trials, self._n_workers, self._announce = n_trials, n_workers, announce
        self._is_for_both, self._is_budgeted = is_for_both, is_budgeted
        self._memo: tuple[tuple[Any, ...], Sampler, Scheduler] | None = None  # what the latest choice was made for
        self._latest: History | None = None
        self._announced: tuple[int, str] | None = None
        self._said: set[str] = set()

    def chosen(self, history: History) -> Sampler:
        """The sampler for a history, fit for use."""
        return self.both(history)[0]

    def both(self, history: History) -> tuple[Sampler, Scheduler | None]:
        """Sampler and scheduler for a history; None where the scheduler is not chosen here."""
        memo = self._memo
        if memo is not None and self._latest is history:  # asked again after each report
            return memo[1], memo[2] if self._is_for_both else None
        facts, self._latest = self._facts(history), history
        if memo is None or memo[0][0] is not history.space or memo[0][1:] != facts[1:]:
            choice = choose(
                history.space,
                history,
                self._n_trials,
                self._n_workers,
                is_budgeted=self._is_budgeted,
                has_curves=self._is_for_both,
            )
            self._memo = memo = (facts, fit_for_use(choice.sampler), choice.scheduler)
            self._tell(choice, len(history.space) > 0)
        return memo[1], memo[2] if self._is_for_both else None

    def _facts(self, history: History) -> tuple[Any, ...]:
        """What a choice depends on, quick to compare: the space, and how far the study is."""
        seen = look(history.n_finished)
        if not history.n_steps or not self._is_for_both:
            return (history.space, seen, history.max_total_steps)
        return (history.space, seen, history.max_total_steps, look(len(history)), *evidence_of(history, seen).facts)

    def _tell(self, choice: Choice, is_known: bool) -> None:
        kind = (choice.rule if choice.rule in CURVE_RULES else 0, type(choice.sampler).__name__)
        if not is_known:
            return
        lines = [] if kind == self._announced else [f"sampler='auto': {choice.reason}"]
        self._announced = kind
        for line in (*lines, *choice.notes):
            if line not in self._said:
                self._said.add(line)
                self._announce(Notice(level="info", text=line))

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        return self.chosen(history).suggest(history, space, rng, given)


def _as_scheduler(sampler: object) -> Scheduler | None:
    """A sampler that is a scheduler, too (freeze-thaw)."""
    return sampler if isinstance(sampler, Scheduler) else None


def _batched(sampler: Sampler, size: int) -> Sampler:
    from honed.samplers.batched import Batched  # few searches need it

    return Batched(sampler, size)


def batch_size(deterministic: bool | int) -> int | None:
    """The size of the batches that ``deterministic=`` asks for; None without.

    Raises:
        ValueError: neither a truth value nor a positive whole number.
    """
    if isinstance(deterministic, bool):
        return BATCH_SIZE if deterministic else None
    if not isinstance(deterministic, int) or deterministic < 1:
        raise ValueError(f"deterministic={deterministic!r} must be True, False, or the number of trials in a batch")
    return deterministic


def remember(flow: AskTell, search: Search) -> None:
    """Keeps with the study what this run was told, where that is new."""
    told = search.told().change(flow.refresh().study)
    if told is not None:
        flow.storage.write(flow.study.id, None, 0, Update(attributes={TOLD: told}))


def connect(
    storage: Storage,
    record: StudyRecord,
    *,
    listen: Listener,
    space: Space | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    checkpoint_budget: str | int | None = None,
) -> AskTell:
    """A worker's connection to a study, under a name of its own."""
    return AskTell(
        storage,
        record,
        Search(scheduler="full").policy(listen),  # whoever asks and tells by hand does not expect a trial again
        worker=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(2)}",
        clock=SYSTEM_CLOCK,
        listen=listen,
        checkpoints=DirectoryStore(beside(storage) if checkpoints is None else checkpoints),
        checkpoint_budget=None if checkpoint_budget is None else parse_size(checkpoint_budget),
        space=space,
    )
