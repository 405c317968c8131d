"""How sure a trial's value is, where it is a mean of folds or repeats: the spread of its parts, and of all trials' parts.

A study of ``summary="mean"`` keeps the parts as the steps of a trial, one report each. With ``repeats`` they are trainings of one
configuration with different seeds, so that they tell the noise of the objective; folds differ by what they hold as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from honed.history import History
from honed.records import LENGTH, State, StudyRecord, Summary, TrialRecord

REPEATS = "repeats"
"""Attribute of a study that repeats each configuration: ``{"n": 3, "summary": "best"}``."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often a study trains each configuration.

    Attributes:
        n: how often.
        summary: what the value of one training is.
    """

    n: int
    summary: Summary


def repeats_of(study: StudyRecord) -> Repeats | None:
    """How often a study trains each configuration; None where it trains it once."""
    kept = study.attributes.get(REPEATS)
    return None if kept is None else Repeats(kept["n"], kept["summary"])


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean and what it is made of.

    Attributes:
        mean: of the parts.
        standard_error: of the mean; NaN for one part.
        n: how many parts there are.
        n_full: how many there would be in full.
    """

    mean: float
    standard_error: float
    n: int
    n_full: int

    @property
    def is_partial(self) -> bool:
        """Whether folds or repeats are missing."""
        return self.n < self.n_full

    def __str__(self) -> str:
        """``0.931 ± 0.004 (5)``, or ``0.931 ± 0.004 (3 of 5)``."""
        count = f"({self.n} of {self.n_full})" if self.is_partial else f"({self.n})"
        return f"{with_error(self.mean, self.standard_error)} {count}"


def spread(study: StudyRecord, record: TrialRecord) -> Spread | None:
    """The mean of a trial's folds or repeats with its standard error; None where its value is no mean.

    Of several objectives the first one counts. The error is that of independent parts: sd / sqrt(n).
    """
    parts = parts_of(study, record)
    if not parts or record.state is State.FAILED:
        return None
    n = len(parts)
    error = math.sqrt(_squares(parts) / (n - 1) / n) if n > 1 else math.nan
    return Spread(mean(parts), error, n, max(n, record.note.get(LENGTH) or 0))


def parts_of(study: StudyRecord, record: TrialRecord) -> list[float]:
    """The values of a trial's folds or repeats, by the study's first objective; none where its value is no mean."""
    if study.summary != "mean":
        return []
    metric = study.metrics[0]
    values = [report.values[metric] for report in record.reports if metric in report.values]
    return values if all(map(math.isfinite, values)) else []


@dataclass(slots=True)
class Pooled:
    """The noise of one training, pooled over all trials with at least two repeats.

    Attributes:
        squares: sum of squared distances from the trials' means.
        freedom: parts less means.
        n_trials: how many trials it is pooled over.
    """

    squares: float = 0.0
    freedom: int = 0
    n_trials: int = 0

    def add(self, parts: Sequence[float]) -> None:
        """Takes in the parts of one trial."""
        if len(parts) < 2:
            return
        self.squares += _squares(parts)
        self.freedom += len(parts) - 1
        self.n_trials += 1

    @property
    def variance(self) -> float:
        """Of one training; NaN where no trial was repeated."""
        return self.squares / self.freedom if self.freedom else math.nan


def pooled(history: History) -> Pooled:
    """The noise of one training as all finished trials tell it; nothing where their parts are no repeats."""
    if repeats_of(history.study) is None:
        return Pooled()

    def add(noise: Pooled, record: TrialRecord) -> None:
        if record.state is not State.FAILED:
            noise.add(parts_of(history.study, record))

    return history.fold("noise of repeats", Pooled, add)


def mean(values: Sequence[float]) -> float:
    """The mean of finite numbers, rounded once."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # the sum is beyond the largest float, the mean is not
        return math.fsum(value / len(values) for value in values)


def with_error(value: float, error: float) -> str:
    """``0.931 ± 0.004``: one digit of the error (two where the first is a 1), and the value as far as that."""
    if not math.isfinite(error):
        return f"{value:.6g}"
    if not 0 < error < 1e15:
        return f"{value:.6g} ± {error:.3g}"
    places = -math.floor(math.log10(error))
    if error * 10.0**places < 1.95:
        places += 1
    places = max(places, 0)
    return f"{value:.{places}f} ± {error:.{places}f}" if places <= 12 else f"{value:.6g} ± {error:.2g}"


def _squares(parts: Sequence[float]) -> float:
    middle = mean(parts)
    return sum((part - middle) * (part - middle) for part in parts)
