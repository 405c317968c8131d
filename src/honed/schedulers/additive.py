"""Successive halving as the lecture draws it: many trials for 2 epochs, the chosen ones for 2 more, and so on.

The rungs lie at 2, 4, 6, ...: each round costs its trials the same few steps, so the field narrows quickly and each training
goes on where it paused. Growing rungs instead are ``SuccessiveHalving`` (Jamieson, Talwalkar 2016, arXiv 1502.07943).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from honed.algorithms.rungs import halvings, kept
from honed.history import History
from honed.history.rungs import TO_THE_END
from honed.records import Decision, Direction, TrialRecord
from honed.schedulers.base import Move
from honed.schedulers.brackets import Rounds, next_move
from honed.schedulers.moves import full_length
from honed.schedulers.plan import Plan, known_length, planned
from honed.schedulers.ranking import Compare, Ranking
from honed.schedulers.settings import check_between, check_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveHalving:
    """Rounds of the same few steps, each for a share of the trials of the round before.

    The rounds end when one trial is left, which is then trained to its end; or at the end of a full training.

    Attributes:
        n_trials: in the first round; further trials form the next bracket.
        first: steps of the first round.
        more: additional steps of each later one.
        keep: share of the trials that go on, at least one.
        rungs: the steps at which trials pause, instead of ``first`` and ``more``.
        finish: whether those left after the last round are trained to the end; else they stay paused.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        metric, direction, compare: what is compared (``Ranking``).
    """

    n_trials: int = 27
    first: int = 2
    more: int = 2
    keep: float = 1 / 3
    rungs: Sequence[int] | None = None
    finish: bool = True
    max_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for name in ("n_trials", "first", "more"):
            check_whole(owner, name, getattr(self, name), 1)
        check_whole(owner, "max_steps", self.max_steps, 1, may_be_none=True)
        check_between(owner, "keep", self.keep, 0, 1, "keep=1/3 lets a third of the trials go on")
        if self.rungs is not None:
            _check_rungs(self.rungs)
            object.__setattr__(self, "rungs", tuple(self.rungs))
        self._ranking()

    def next(self, history: History) -> Move:
        full = full_length(history, self.max_steps)
        steps, counts = self._rounds(full)
        return next_move(history, self._ranking(), [Rounds(steps, counts)])

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE

    def plan(self, max_steps: int | None = None) -> Plan:
        """Trials and steps of each round of one bracket.

        Args:
            max_steps: the length of a full training, where it is no setting.
        """
        full = known_length(type(self).__name__, self.max_steps, max_steps)
        steps, counts = self._rounds(full)
        return Plan(tuple(planned(0, [min(step, full) for step in steps], counts)), full)

    def _rounds(self, full: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Grants and counts; a rung at or beyond the full length is the end."""
        n_rounds = 1
        while kept(self.n_trials, self.keep ** (n_rounds - 1)) > 1:
            n_rounds += 1
        rungs = self.rungs or [self.first + k * self.more for k in range(n_rounds)]
        steps = [step for step in rungs if full is None or step < full]
        is_cut = len(steps) < len(rungs)
        if self.finish or is_cut:
            counts = halvings(self.n_trials, self.keep, len(steps))
            steps.append(TO_THE_END)
        else:
            counts = halvings(self.n_trials, self.keep, len(steps) - 1)
        return tuple(steps), counts

    def _ranking(self) -> Ranking:
        return Ranking(self.metric, self.direction, self.compare)


def _check_rungs(rungs: Sequence[int]) -> None:
    steps = list(rungs)
    for step in steps:
        check_whole("AdditiveHalving", "each of rungs", step, 1)
    if not steps or steps != sorted(set(steps)):
        raise ValueError(f"AdditiveHalving: rungs={steps} must be growing steps; write rungs=[2, 4, 6]")
