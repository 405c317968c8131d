"""PASHA: ASHA that opens higher rungs only while they change the order of the trials.

Bohdal et al. 2023, arXiv 2207.06940. It begins with two rungs; the next one opens when the two top rungs rank their common
trials differently, by more than the noise of their curves: differences at which pairs of curves criss-cross count for
nothing. Often a third of ASHA's steps; it loses where late training reorders what the early steps agreed on. When no trial
may begin any more, the leader is trained to its end, as in the paper.

The paper estimates the noise from all curves of the top rung; here it is the best 32 of them, so that a decision stays quick.
How many rungs are open is read from the trials' grants and reports: a rung once opened stays open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honed.algorithms.rungs import crossing_noise, geometric_steps, is_same_order, ordered
from honed.history import Floats, History, Ints
from honed.records import Decision, Direction, TrialRecord
from honed.schedulers.asha import promotion
from honed.schedulers.base import Move
from honed.schedulers.halving import default_first
from honed.schedulers.moves import UNKNOWN_LENGTH, full_length, leader_to_end, queued, start, start_or_wait
from honed.schedulers.ranking import Compare, Ranking
from honed.schedulers.settings import check_between, check_factor, check_first

_MOST_CURVES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PASHA:
    """Progressive ASHA: as many rungs as the ranking needs.

    Attributes:
        reduction_factor: one in so many trials of a rung goes on.
        min_steps: the first rung; by default 3, or less where a full training is short.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        noise_quantile: of the distances between criss-crossing curves; up to there an order says nothing.
        metric, direction, compare: what is compared (``Ranking``).
    """

    reduction_factor: float = 3
    min_steps: int | None = None
    max_steps: int | None = None
    noise_quantile: float = 0.9
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_factor(owner, self.reduction_factor)
        check_first(owner, self.min_steps, self.max_steps)
        check_between(owner, "noise_quantile", self.noise_quantile, 0, 1, "write noise_quantile=0.9")
        self._ranking()

    def next(self, history: History) -> Move:
        full = full_length(history, self.max_steps)
        first = self.min_steps or default_first(full, self.reduction_factor)
        rungs = geometric_steps(first, self.reduction_factor, UNKNOWN_LENGTH if full is None else full)
        if queued(history) is not None or not rungs:
            return start(history, rungs[0] if rungs else None)
        n_open = self.n_open(history, rungs)
        if n_open > len(rungs):  # the end of a full training is open too
            resume = promotion(history, self._ranking(), rungs, self.reduction_factor)
        else:
            resume = promotion(history, self._ranking(), rungs[:n_open], self.reduction_factor, is_capped=True)
        return resume or leader_to_end(history, rungs, self._ranking()) or start_or_wait(history, rungs[0])

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE

    def n_open(self, history: History, rungs: tuple[int, ...]) -> int:
        """How many rungs may be reached, of ``rungs`` and the end above them; at least 2."""
        farthest = int(history.standings().untils.max(initial=0))
        n = 2
        while n <= len(rungs) and (farthest > rungs[n - 1] or self._is_reordered(history, rungs[:n])):
            n += 1
        return n

    def _is_reordered(self, history: History, rungs: tuple[int, ...]) -> bool:
        """Whether the two top rungs disagree about the trials that have reported at both."""
        ranking = self._ranking()
        top = ranking.at(history, rungs[-1])
        if len(top.numbers) < 2:
            return False
        below = ranking.at(history, rungs[-2])
        scores = np.full(len(history), np.inf)
        scores[below.numbers] = below.scores
        lower = scores[top.numbers]
        if is_same_order(lower, top.scores, top.numbers, 0.0):
            return False
        leaders = top.numbers[ordered(top.scores, top.numbers)[:_MOST_CURVES]]
        epsilon = crossing_noise(self._curves(history, leaders, rungs[-1]), self.noise_quantile)
        return not is_same_order(lower, top.scores, top.numbers, epsilon)

    def _curves(self, history: History, numbers: Ints, last: int) -> Floats:
        """[n, steps] what these trials reported up to a step, at the steps that the first of them reported."""
        metric, sign = self.metric or history.study.metrics[0], self._ranking().sign(history)
        steps = [r.step for r in history[int(numbers[0])].reports if r.step <= last]
        curves = np.full((len(numbers), len(steps)), np.nan)
        columns = {step: i for i, step in enumerate(steps)}
        for row, number in enumerate(numbers.tolist()):
            for report in history[number].reports:
                if report.step in columns and metric in report.values:
                    curves[row, columns[report.step]] = sign * report.values[metric]
        return curves

    def _ranking(self) -> Ranking:
        return Ranking(self.metric, self.direction, self.compare)
