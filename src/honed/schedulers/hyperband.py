"""Hyperband: brackets of successive halving that trade many short trainings for a few long ones.

Li et al. 2018, arXiv 1603.06560. A hedge for when the early order misleads: the first bracket trusts it most, the last one
trains all its trials to the end. The brackets follow each other; inside each of them rounds are closed, so that the steps
add up to the theory with any number of workers, and a worker with nothing to promote begins the next bracket.
"""

from __future__ import annotations

from dataclasses import dataclass

from honed.algorithms.rungs import hyperband
from honed.history import History
from honed.history.rungs import TO_THE_END
from honed.records import Decision, Direction, TrialRecord
from honed.schedulers.base import Move
from honed.schedulers.brackets import Rounds, next_move
from honed.schedulers.moves import UNKNOWN_LENGTH, full_length
from honed.schedulers.plan import Plan, known_length, planned
from honed.schedulers.ranking import Compare, Ranking
from honed.schedulers.settings import check_factor, check_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperband:
    """Brackets of successive halving, most trials first; ``record.note["bracket"]`` says in which one a trial began.

    The trials that begin before the first one has announced its length belong to the first bracket, and have no such note.

    Attributes:
        reduction_factor: how many times fewer trials reach the next rung, and how many times more steps they have.
        min_steps: the fewest steps that the first rung of a bracket may have.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        metric, direction, compare: what is compared (``Ranking``).
    """

    reduction_factor: float = 3
    min_steps: int = 1
    max_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        check_factor(type(self).__name__, self.reduction_factor)
        check_first(type(self).__name__, self.min_steps, self.max_steps)
        self._ranking()

    def next(self, history: History) -> Move:
        full = full_length(history, self.max_steps)
        if full is None:  # before the first trial has said how long it is: the first step of any bracket
            unknown = Rounds((self.min_steps, TO_THE_END), (UNKNOWN_LENGTH, 1), None)
            return next_move(history, self._ranking(), [unknown])
        brackets = [
            Rounds((*bracket.steps[:-1], TO_THE_END), bracket.counts, bracket.s)
            for bracket in hyperband(full, self.min_steps, self.reduction_factor)
        ]
        return next_move(history, self._ranking(), brackets)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE

    def plan(self, max_steps: int | None = None) -> Plan:
        """Trials and steps of each rung of all brackets.

        Args:
            max_steps: the length of a full training, where it is no setting.
        """
        full = known_length(type(self).__name__, self.max_steps, max_steps)
        brackets = hyperband(full, self.min_steps, self.reduction_factor)
        return Plan(tuple(rung for b in brackets for rung in planned(b.s, b.steps, b.counts)), full)

    def _ranking(self) -> Ranking:
        return Ranking(self.metric, self.direction, self.compare)
