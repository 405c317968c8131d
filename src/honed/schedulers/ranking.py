"""How trials are compared: by one metric or all objectives, at exactly equal steps, best so far or value there.

Scores are losses, smaller is better. NaN is worst (+inf), also where an earlier value was good: a training that broke is
not worth going on with. Where a trial's value is the mean of its steps (folds, repeats), the mean so far stands for the best
so far: trials are compared after the same folds, or as many repeats. With several objectives the score is the place by
non-domination among the values at the step (a best so far of each objective would belong to no model), within a front by the
first objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from honed.algorithms.rungs import domination_scores
from honed.history import Floats, History, Ints
from honed.records import Direction, Report, StudyRecord, TrialRecord
from honed.schedulers.base import Scheduler

Compare = Literal["best", "value"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The trials that reported one step, and their scores: smaller is better, +inf is worst."""

    numbers: Ints
    scores: Floats


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is compared.

    Attributes:
        metric: a reported metric; None is the study's objectives.
        direction: of a metric that is no objective; objectives keep the study's.
        compare: the best value up to the step (the mean, in studies of means), or the value there.
    """

    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "best"

    def __post_init__(self) -> None:
        if self.metric is not None and not isinstance(self.metric, str):
            raise TypeError(f"metric must be a name, got {self.metric!r}; None means the study's objectives")
        if self.direction is not None and self.direction not in get_args(Direction):
            raise ValueError(f"direction={self.direction!r} is unknown; use 'minimize' or 'maximize'")
        if self.direction is not None and self.metric is None:
            raise ValueError(
                f"direction={self.direction!r} without a metric: the study knows the directions of its objectives; "
                "leave it out, or name a metric"
            )
        if self.compare not in get_args(Compare):
            raise ValueError(f"compare={self.compare!r} is unknown; use 'best' (so far) or 'value' (at the step)")

    def at(self, history: History, step: int) -> Ranked:
        """The trials that reported exactly ``step``."""
        if self.metric is None and len(history.study.metrics) > 1:
            numbers, losses = self._objectives(history, step)
            return Ranked(numbers, domination_scores(losses))
        rung = history.rung(step, self.metric, self._direction(history))
        scores = rung.bests if self.compare == "best" else rung.losses
        if self._is_of_means(history):
            scores = self._means(history, rung.numbers, step, self.metric)
        broken = np.isnan(rung.losses)
        return Ranked(rung.numbers, np.where(broken, np.inf, scores) if broken.any() else scores)

    def among(self, history: History, trial: TrialRecord, step: int) -> tuple[float, Floats]:
        """The score of ``trial`` at a step that it has reported, and those of all others there."""
        if self.metric is None and len(history.study.metrics) > 1:
            numbers, losses = self._objectives(history, step)
            own = self._reported(history, trial, step)
            scores = domination_scores(np.vstack([own, losses[numbers != trial.number]]))
            return float(scores[0]), scores[1:]
        ranked = self.at(history, step)
        return self.score(history, trial, step), ranked.scores[ranked.numbers != trial.number]

    def score(self, history: History, trial: TrialRecord, step: int) -> float:
        """The loss of ``trial`` at a step by its own reports; of several objectives, the first one."""
        metric, sign = self.metric or history.study.metrics[0], self.sign(history)
        curve = [sign * r.values[metric] for r in trial.reports if r.step <= step and metric in r.values]
        if not curve or curve[-1] != curve[-1]:
            return np.inf
        if self.compare == "value":
            return curve[-1]
        if self._is_of_means(history):
            mean = sum(curve) / len(curve)
            return mean if mean == mean else np.inf
        return min(loss for loss in curve if loss == loss)

    def _is_of_means(self, history: History) -> bool:
        return self.compare == "best" and history.study.summary == "mean"

    def _means(self, history: History, numbers: Ints, step: int, metric: str | None) -> Floats:
        """The mean so far [n] of trials that reported ``step``; NaN where a part is."""
        curves = history.curves(metric)
        is_part = curves.steps <= step
        of, losses = curves.numbers[is_part], curves.losses[is_part]
        if metric is not None and metric not in history.study.metrics:
            losses = self.sign(history) * losses
        size = len(history)
        means: Floats = np.bincount(of, losses, size)[numbers] / np.bincount(of, minlength=size)[numbers]
        return np.where(np.isnan(means), np.inf, means)

    def has(self, history: History, report: Report) -> bool:
        """Whether a report carries what is compared."""
        return (self.metric or history.study.metrics[0]) in report.values

    def sign(self, history: History) -> float:
        """-1 where larger values of the (first) metric are better, else 1."""
        return -1.0 if self._direction(history) == "maximize" else 1.0

    def _direction(self, history: History) -> Direction:
        study, metric = history.study, self.metric
        if metric is None or metric in study.metrics:
            return study.directions[0 if metric is None else study.metrics.index(metric)]
        return self.direction or "minimize"

    def _objectives(self, history: History, step: int) -> tuple[Ints, Floats]:
        """Numbers [n] and values [n, m] of the trials that reported all objectives at the step."""
        rungs = [history.rung(step, metric) for metric in history.study.metrics]
        numbers = rungs[0].numbers
        losses = np.full((len(numbers), len(rungs)), np.nan)
        losses[:, 0] = rungs[0].losses
        for i, rung in enumerate(rungs[1:], start=1):
            if len(rung.numbers) == len(numbers) and bool((rung.numbers == numbers).all()):
                losses[:, i] = rung.losses
                continue
            rows = {number: row for row, number in enumerate(rung.numbers.tolist())}
            for row, number in enumerate(numbers.tolist()):
                if number in rows:
                    losses[row, i] = rung.losses[rows[number]]
        if self._is_of_means(history):
            for i, metric in enumerate(history.study.metrics):
                is_there = ~np.isnan(losses[:, i])
                losses[is_there, i] = self._means(history, numbers[is_there], step, metric)
        return numbers, losses

    def _reported(self, history: History, trial: TrialRecord, step: int) -> Floats:
        study = history.study
        signs = [-1.0 if direction == "maximize" else 1.0 for direction in study.directions]
        values = next(r.values for r in reversed(trial.reports) if r.step == step)
        if self._is_of_means(history):
            parts = [r.values for r in trial.reports if r.step <= step]
            values = {m: sum(part.get(m, np.nan) for part in parts) / len(parts) for m in study.metrics}
        return np.array([sign * values.get(metric, np.nan) for sign, metric in zip(signs, study.metrics, strict=True)])


def how_compared(scheduler: Scheduler, study: StudyRecord) -> str | None:
    """A sentence on what a scheduler compares in a study with several objectives; None where nothing is to be said."""
    inner = getattr(scheduler, "scheduler", None)  # of a scheduler with a rule beside it
    if inner is not None:
        return how_compared(inner, study)
    if len(study.metrics) == 1 or not hasattr(scheduler, "metric"):
        return None
    name, metrics = type(scheduler).__name__, ", ".join(study.metrics)
    if scheduler.metric is not None:
        return f"{name} compares trials by {scheduler.metric!r} alone; the study's objectives are {metrics}."
    if hasattr(scheduler, "compare"):
        return (
            f"{name} compares trials by non-domination rank of {metrics} at equal steps, of equal rank by "
            f"{study.metrics[0]!r}; metric={study.metrics[0]!r} makes it compare by one series."
        )
    return f"{name} compares trials by {study.metrics[0]!r}, the first objective; metric= names another one."
