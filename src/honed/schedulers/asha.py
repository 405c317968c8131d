"""ASHA: successive halving that never waits, by promotion or, for what cannot resume, by stopping.

Li et al. 2020, arXiv 1810.05934. ``ASHA`` pauses every trial at every rung; a free worker goes on with the best one of a rung's
best third that has not gone on yet, from the top rung down, or else begins a new trial. ``ASHAStopping`` asks at every
rung whether the trial is among the best third so far, and stops it for ever if not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from honed.algorithms.rungs import best_of, geometric_steps
from honed.history import History
from honed.history.rungs import TO_THE_END
from honed.records import Decision, Direction, Resume, Start, TrialRecord
from honed.schedulers.base import Move
from honed.schedulers.halving import default_first
from honed.schedulers.moves import (
    UNKNOWN_LENGTH,
    full_length,
    leader_to_end,
    paused,
    queued,
    start,
    start_or_wait,
    stray,
)
from honed.schedulers.plan import Plan, known_length, planned
from honed.schedulers.ranking import Compare, Ranking
from honed.schedulers.settings import check_factor, check_first, check_whole


def promotion(
    history: History, ranking: Ranking, rungs: tuple[int, ...], eta: float, *, is_capped: bool = False
) -> Resume | None:
    """From the top rung down: the best paused trial among the floor(n / eta) best of its rung.

    Args:
        history: the study.
        ranking: how trials are compared.
        rungs: the steps at which trials pause; above the last one is the end.
        eta: the reduction factor.
        is_capped: whether trials stay at the last rung.
    """
    grants = paused(history)
    above = rungs[1:] if is_capped else (*rungs[1:], TO_THE_END)
    for rung, target in reversed(list(zip(rungs, above, strict=False))):
        ranked = ranking.at(history, rung)
        numbers = ranked.numbers
        row = best_of(ranked.scores, numbers, grants[numbers] == rung, math.floor(len(numbers) / eta + 1e-9))
        if row is not None:
            return Resume(number=int(numbers[row]), until=None if target == TO_THE_END else target)
    return stray(grants, rungs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ASHA:
    """Asynchronous successive halving by promotion: no worker waits, no step is paid twice.

    Where the study's trials are too few for any to be promoted to the end, the leader is trained to its end at last.

    Attributes:
        reduction_factor: one in so many trials of a rung goes on.
        min_steps: the first rung; by default 3, or less where a full training is short.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        metric, direction, compare: what is compared (``Ranking``).
    """

    reduction_factor: float = 3
    min_steps: int | None = None
    max_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        check_factor(type(self).__name__, self.reduction_factor)
        check_first(type(self).__name__, self.min_steps, self.max_steps)
        self._ranking()

    def next(self, history: History) -> Move:
        rungs = self.rungs(full_length(history, self.max_steps))
        first = rungs[0] if rungs else None
        if queued(history) is not None:
            return start(history, first)
        ranking = self._ranking()
        return (
            promotion(history, ranking, rungs, self.reduction_factor)
            or leader_to_end(history, rungs, ranking)
            or start_or_wait(history, first)
        )

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE

    def rungs(self, max_steps: int | None = None) -> tuple[int, ...]:
        """The steps at which trials pause; the end of a full training is not among them."""
        first = self.min_steps or default_first(max_steps, self.reduction_factor)
        return geometric_steps(first, self.reduction_factor, UNKNOWN_LENGTH if max_steps is None else max_steps)

    def plan(self, n_trials: int, max_steps: int | None = None) -> Plan:
        """Trials and steps of each rung where the order of arrival misleads nobody; a few more are promoted in truth.

        Args:
            n_trials: how many are started.
            max_steps: the length of a full training, where it is no setting.
        """
        check_whole(type(self).__name__, "n_trials", n_trials, 1)
        full = known_length(type(self).__name__, self.max_steps, max_steps)
        steps, counts = [*self.rungs(full), full], [n_trials]
        for _ in steps[1:]:
            counts.append(math.floor(counts[-1] / self.reduction_factor + 1e-9))
        return Plan(tuple(rung for rung in planned(0, steps, counts) if rung.n_trials), full)

    def _ranking(self) -> Ranking:
        return Ranking(self.metric, self.direction, self.compare)


@dataclass(frozen=True, slots=True, kw_only=True)
class ASHAStopping:
    """Asynchronous successive halving by stopping, for trainings that cannot be resumed.

    A trial goes on at a rung when it is among the best ceil(n / eta) of the n that came there so far; the first eta
    trials at a rung always go on.

    Attributes:
        reduction_factor: one in so many trials of a rung goes on.
        min_steps: the first rung; by default a ninth of a full training, and at least 3.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        metric, direction, compare: what is compared (``Ranking``).
    """

    reduction_factor: float = 3
    min_steps: int | None = None
    max_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        check_factor(type(self).__name__, self.reduction_factor)
        check_first(type(self).__name__, self.min_steps, self.max_steps)
        self._ranking()

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        ranking, step = self._ranking(), trial.last_step
        if step is None or step not in self.rungs(full_length(history, self.max_steps)):
            return Decision.CONTINUE
        if not ranking.has(history, trial.reports[-1]):
            return Decision.CONTINUE
        own, others = ranking.among(history, trial, step)
        n = len(others) + 1
        n_better = int((others < own).sum())
        is_among = n <= self.reduction_factor or n_better < math.ceil(n / self.reduction_factor - 1e-9)
        return Decision.CONTINUE if is_among else Decision.STOP

    def rungs(self, max_steps: int | None = None) -> tuple[int, ...]:
        """The steps at which trials are compared."""
        first = self.min_steps or max(3, math.ceil((max_steps or 0) / 9))
        return geometric_steps(first, self.reduction_factor, UNKNOWN_LENGTH if max_steps is None else max_steps)

    def _ranking(self) -> Ranking:
        return Ranking(self.metric, self.direction, self.compare)
