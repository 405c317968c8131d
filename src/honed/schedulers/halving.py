"""Successive halving: each rung trains fewer trials for more steps, in closed rounds.

Jamieson, Talwalkar 2016, arXiv 1502.07943: rungs at r eta^k, at each of them floor(n eta^-k) trials. Paused trainings go on,
so that a trial pays only the steps between two rungs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from honed.algorithms.rungs import geometric_steps, halvings
from honed.history import History
from honed.history.rungs import TO_THE_END
from honed.records import Decision, Direction, TrialRecord
from honed.schedulers.base import Move
from honed.schedulers.brackets import Rounds, next_move
from honed.schedulers.moves import UNKNOWN_LENGTH, full_length
from honed.schedulers.plan import Plan, known_length, planned
from honed.schedulers.ranking import Compare, Ranking
from honed.schedulers.settings import check_factor, check_first, check_whole

_FIRST_STEPS = 3


def default_first(full: int | None, eta: float) -> int:
    """The first rung by default: 3 evaluations, fewer where a full training is short."""
    return _FIRST_STEPS if full is None else max(1, min(_FIRST_STEPS, math.floor(full / eta)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessiveHalving:
    """Closed rounds: all trials of a bracket up to the first rung, the best of them up to the next, ...

    Attributes:
        n_trials: in each bracket; by default so many that one reaches the end.
        reduction_factor: how many times fewer trials reach the next rung, and how many times more steps they have.
        min_steps: the first rung; by default 3, or less where a full training is short.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        metric, direction, compare: what is compared (``Ranking``).
    """

    n_trials: int | None = None
    reduction_factor: float = 3
    min_steps: int | None = None
    max_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_whole(owner, "n_trials", self.n_trials, 1, may_be_none=True)
        check_factor(owner, self.reduction_factor)
        check_first(owner, self.min_steps, self.max_steps)
        self._ranking()

    def next(self, history: History) -> Move:
        full = full_length(history, self.max_steps)
        rungs, counts = self._rounds(full)
        return next_move(history, self._ranking(), [Rounds((*rungs, TO_THE_END), counts)])

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE

    def plan(self, max_steps: int | None = None) -> Plan:
        """Trials and steps of each rung of one bracket.

        Args:
            max_steps: the length of a full training, where it is no setting.
        """
        full = known_length(type(self).__name__, self.max_steps, max_steps)
        rungs, counts = self._rounds(full)
        return Plan(tuple(planned(0, [*rungs, full], counts)), full)

    def _rounds(self, full: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Rungs below the end, and how many trials reach each of them and the end."""
        eta = self.reduction_factor
        first = self.min_steps or default_first(full, eta)
        if full is None:  # before the first trial has said how long it is: nobody can be chosen yet
            return (first,), (UNKNOWN_LENGTH, 1)
        rungs = geometric_steps(first, eta, full)
        n = self.n_trials or math.ceil(eta ** len(rungs) - 1e-9)
        return rungs, halvings(n, 1 / eta, len(rungs))

    def _ranking(self) -> Ranking:
        return Ranking(self.metric, self.direction, self.compare)
