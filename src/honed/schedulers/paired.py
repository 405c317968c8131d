"""Stops a trial that a paired test over folds or instances finds worse than the best trial.

Wilcoxon 1945; the steps are folds or problem instances, the same ones for every trial, and a trial's value is a mean over
them. Differences to the best trial are taken fold by fold, so that hard and easy folds do not hide what is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honed.algorithms.rungs import signed_rank_p
from honed.history import History
from honed.records import Decision, Direction, Resume, Start, TrialRecord
from honed.schedulers.moves import start
from honed.schedulers.ranking import Ranking
from honed.schedulers.settings import check_between, check_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Wilcoxon:
    """Stops a trial that is worse than the best one with a one-sided p-value below ``p_threshold``.

    A trial whose mean over the common folds is not worse is never stopped. NaN is the worst of all differences. Of several
    objectives the first one counts.

    Attributes:
        p_threshold: how sure the test must be: smaller stops less.
        min_pairs: folds in common with the best trial before anything is stopped.
        metric, direction: what is compared; by default the first objective.
    """

    p_threshold: float = 0.1
    min_pairs: int = 6
    metric: str | None = None
    direction: Direction | None = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_between(owner, "p_threshold", self.p_threshold, 0, 1, "write p_threshold=0.1")
        check_whole(owner, "min_pairs", self.min_pairs, 1)
        Ranking(self.metric, self.direction)

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        best = history.best
        if best is None or best.number == trial.number:
            return Decision.CONTINUE
        metric = self.metric or history.study.metrics[0]
        sign = Ranking(self.metric, self.direction).sign(history)
        theirs = {r.step: sign * r.values[metric] for r in best.reports if metric in r.values}
        pairs = [
            sign * r.values[metric] - theirs[r.step] for r in trial.reports if metric in r.values and r.step in theirs
        ]
        differences = np.array(pairs)
        if len(pairs) < self.min_pairs:
            return Decision.CONTINUE
        differences = np.where(np.isnan(differences), np.inf, differences)
        if not differences.sum() > 0:
            return Decision.CONTINUE
        return Decision.STOP if signed_rank_p(differences) < self.p_threshold else Decision.CONTINUE
