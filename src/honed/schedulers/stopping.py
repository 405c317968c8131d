"""Rules that compare a running trial with others, or with a bound, and stop it for ever.

``Median`` and ``Percentile`` (Golovin et al. 2017, Google Vizier, section 3.2.2) ask whether the trial is worse than
most others at the same step; ``EpochRule`` whether it is the best so far at one step (Egele et al. 2023, arXiv 2307.15422,
2404.04111); ``Patience`` whether it still improves; ``Threshold`` whether it has left a range. New trials begin one after
the other, each to its end. A stopped trial keeps its best and its last value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from honed.algorithms.rungs import quantile
from honed.history import History
from honed.records import Decision, Direction, Resume, Start, TrialRecord
from honed.schedulers.base import Move, Scheduler
from honed.schedulers.moves import full_length, start
from honed.schedulers.ranking import Compare, Ranking
from honed.schedulers.settings import check_between, check_whole


def warm_up(history: History, min_steps: int | None) -> int:
    """The first step at which a rule may stop: the setting, or a ninth of a full training and at least 3."""
    if min_steps is not None:
        return min_steps
    return max(3, math.ceil((full_length(history, None) or 0) / 9))


def _is_worse_than_share(
    history: History, trial: TrialRecord, ranking: Ranking, share: float, min_steps: int | None, n_startup: int
) -> Decision:
    """STOP where the trial's score lies beyond the ``share`` quantile of the others at the same step."""
    step = trial.last_step
    if step is None or step < warm_up(history, min_steps) or not ranking.has(history, trial.reports[-1]):
        return Decision.CONTINUE
    own, others = ranking.among(history, trial, step)
    if len(others) < n_startup:
        return Decision.CONTINUE
    return Decision.STOP if own > quantile(others, share) else Decision.CONTINUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """Stops a trial whose best so far is worse than the median of the others' at the same step.

    Attributes:
        n_startup: so many others must have reported the step.
        min_steps: nothing is stopped before; by default a ninth of a full training, and at least 3.
        metric, direction, compare: what is compared (``Ranking``).
    """

    n_startup: int = 5
    min_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        check_whole(type(self).__name__, "n_startup", self.n_startup, 1)
        check_whole(type(self).__name__, "min_steps", self.min_steps, 0, may_be_none=True)
        Ranking(self.metric, self.direction, self.compare)

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        ranking = Ranking(self.metric, self.direction, self.compare)
        return _is_worse_than_share(history, trial, ranking, 0.5, self.min_steps, self.n_startup)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """Stops a trial that is not among the best ``percentile`` percent at the same step.

    Attributes:
        percentile: 25 keeps the best quarter, 50 is the median rule.
        n_startup: so many others must have reported the step.
        min_steps: nothing is stopped before; by default a ninth of a full training, and at least 3.
        metric, direction, compare: what is compared (``Ranking``).
    """

    percentile: float = 50
    n_startup: int = 5
    min_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_between(owner, "percentile", self.percentile, 0, 100, "percentile=25 keeps the best quarter")
        check_whole(owner, "n_startup", self.n_startup, 1)
        check_whole(owner, "min_steps", self.min_steps, 0, may_be_none=True)
        Ranking(self.metric, self.direction, self.compare)

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        ranking = Ranking(self.metric, self.direction, self.compare)
        share = self.percentile / 100
        return _is_worse_than_share(history, trial, ranking, share, self.min_steps, self.n_startup)


@dataclass(frozen=True, slots=True)
class EpochRule:
    """Trains each trial for ``k`` steps and stops it unless it is the best so far there: a strong, simple baseline.

    Attributes:
        k: the step at which trials are compared.
        metric, direction, compare: what is compared (``Ranking``).
    """

    k: int = 5
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        check_whole(type(self).__name__, "k", self.k, 1)
        Ranking(self.metric, self.direction, self.compare)

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        ranking = Ranking(self.metric, self.direction, self.compare)
        if trial.last_step != self.k or not ranking.has(history, trial.reports[-1]):
            return Decision.CONTINUE
        own, others = ranking.among(history, trial, self.k)
        is_best = not len(others) or own <= others.min()
        return Decision.CONTINUE if is_best else Decision.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Stops a trial that has not improved by more than ``min_delta`` for ``patience`` steps.

    Of several objectives the first one counts.

    Attributes:
        patience: steps without improvement.
        min_delta: what is no more than this is no improvement.
        min_steps: nothing is stopped before; by default a ninth of a full training, and at least 3.
        metric, direction: what is watched; by default the first objective.
    """

    patience: int = 5
    min_delta: float = 0.0
    min_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_whole(owner, "patience", self.patience, 1)
        check_whole(owner, "min_steps", self.min_steps, 0, may_be_none=True)
        if not 0 <= self.min_delta < math.inf:
            raise ValueError(f"{owner}: min_delta must be 0 or more, got {self.min_delta}; write min_delta=0.001")
        Ranking(self.metric, self.direction)

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        ranking, best, since = Ranking(self.metric, self.direction), math.inf, 0
        metric, sign = self.metric or history.study.metrics[0], ranking.sign(history)
        if trial.last_step is None or trial.last_step < warm_up(history, self.min_steps):
            return Decision.CONTINUE
        for report in trial.reports:
            loss = sign * report.values.get(metric, math.nan)
            if loss < best - self.min_delta or (best == math.inf and loss < best):
                best, since = loss, report.step
        return Decision.STOP if trial.last_step - since >= self.patience else Decision.CONTINUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Stops a trial whose value leaves a range, or is NaN or infinite.

    Attributes:
        lower, upper: the range, in the metric's own numbers; None is without a bound.
        min_steps: nothing is stopped before.
        metric: what is watched; by default the first objective.
    """

    lower: float | None = None
    upper: float | None = None
    min_steps: int = 0
    metric: str | None = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_whole(owner, "min_steps", self.min_steps, 0)
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{owner}: {name}={value} is no bound; leave it out for none")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(
                f"{owner}: lower={self.lower} is not below upper={self.upper}: every value would be outside; swap them"
            )

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        if trial.last_step is None or trial.last_step < self.min_steps:
            return Decision.CONTINUE
        value = trial.reports[-1].values.get(self.metric or history.study.metrics[0])
        if value is None:
            return Decision.CONTINUE
        low = -np.inf if self.lower is None else self.lower
        high = np.inf if self.upper is None else self.upper
        return Decision.CONTINUE if math.isfinite(value) and low <= value <= high else Decision.STOP


@dataclass(frozen=True, slots=True)
class StopAlso:
    """A scheduler, and a rule that may stop its trials too: ``StopAlso(ASHA(), Threshold(upper=10))``.

    Attributes:
        scheduler: says which trial next and how far, and may stop.
        rule: asked after every report; only its STOP counts.
    """

    scheduler: Scheduler
    rule: Scheduler

    def __post_init__(self) -> None:
        for name in ("scheduler", "rule"):
            value = getattr(self, name)
            if isinstance(value, type) or not isinstance(value, Scheduler):
                raise TypeError(
                    f"StopAlso: {name} must be a scheduler, got {value!r}; write StopAlso(ASHA(), Threshold())"
                )

    def next(self, history: History) -> Move:
        return self.scheduler.next(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        if self.rule.decide(history, trial) is Decision.STOP:
            return Decision.STOP
        return self.scheduler.decide(history, trial)
