"""Numbers and counts as sentences need them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from honed.history import History
from honed.records import TrialRecord
from honed.spread import repeats_of


@dataclass(frozen=True, slots=True)
class Expected:
    """A value that is predicted: the middle, and the ends of the 90 % interval (``low`` is the smaller number)."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """``0.213 (0.198 to 0.241)``, with the digits that the interval leaves."""
        digits = _digits(self.high - self.low, max(abs(self.low), abs(self.high)))
        middle, low, high = (f"{value:.{digits}g}" for value in (self.median, self.low, self.high))
        return f"{middle} ({low} to {high})"


def value_text(value: float) -> str:
    """A value with four digits."""
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A probability in whole percents, never 0 or 100 where it is neither."""
    if 0.0 < share < 0.005:
        return "below 1 %"
    if 0.995 <= share < 1.0:
        return "above 99 %"
    return f"{share:.0%}".replace("%", " %")


def counted(n: int, noun: str) -> str:
    """``1 trial``, ``1,200 trials``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def unit(history: History) -> str:
    """What a step of this study is called."""
    if history.study.summary != "mean":
        return "epoch"
    return "fold" if repeats_of(history.study) is None else "repeat"


def metric_values(history: History, record: TrialRecord) -> list[tuple[int, float]]:
    """A trial's reported values of the first objective, with their steps."""
    metric = history.study.metrics[0]
    return [(report.step, report.values[metric]) for report in record.reports if metric in report.values]


def best_of(history: History, record: TrialRecord) -> float | None:
    """A trial's best finite value of the first objective."""
    values = [value for _, value in metric_values(history, record) if math.isfinite(value)]
    if record.value is not None and math.isfinite(record.value):
        values.append(record.value)
    if not values:
        return None
    return max(values) if history.study.directions[0] == "maximize" else min(values)


def _digits(width: float, size: float) -> int:
    if not (width > 0 and math.isfinite(width) and size > 0):
        return 4
    return min(max(math.ceil(math.log10(size / width)) + 2, 2), 8)
