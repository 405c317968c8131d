"""Learning curves as plain arrays, with what is predicted of their rest: all that a plot needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from honed.algorithms.curve_predictions import Predicted
from honed.errors import TrialNotFound
from honed.explain.words import metric_values, unit
from honed.freeze_thaw.insight import Insight
from honed.history import Floats, History, Ints
from honed.optional import require
from honed.records import State, TrialRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_FUTURE, _LEAST_FUTURE = 30, 3  # steps at which a curve's rest is predicted, evenly spread
_MOST_IN_ALL = 3000
_MOST_BANDS = 8  # trials whose prediction is drawn, the best ones

_NONE: Predicted = Predicted(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrialCurve:
    """One trial's curve in values as they were reported.

    Attributes:
        steps, values: what was reported; NaN and infinities as they are.
        future: steps that are predicted: from the one after the last to the end of the training; empty for what is complete or
            failed, and where nothing can be predicted.
        median, low, high: at these steps; nine of ten values are expected between low and high.
    """

    number: int
    state: State
    steps: Ints
    values: Floats
    future: Ints
    median: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CurveData:
    """The learning curves of a study, ready for a plot.

    Attributes:
        metric: what the values are.
        maximize: whether larger values are better.
        step_name: what a step is called.
        best: the best value of any trial at any step; None without one.
        trials: by number.
    """

    study: str
    metric: str
    maximize: bool
    step_name: str
    best: float | None
    trials: tuple[TrialCurve, ...]


def curve_data(
    history: History, trials: Iterable[int | TrialRecord] | None = None, *, predicted: bool = True
) -> CurveData:
    """Curves of the first objective, and what is predicted of those that are not at their end.

    Args:
        history: the study.
        trials: by default all that have reported something.
        predicted: whether to predict at all.

    Raises:
        TrialNotFound: a number that the study does not have.
    """
    records = [record for record in history if record.reports] if trials is None else _records(history, trials)
    insight = Insight.of(history) if predicted else None
    curves = [_curve(history, record) for record in records]
    most = min(max(_MOST_IN_ALL // max(len(records), 1), _LEAST_FUTURE), _MOST_FUTURE)
    futures = [np.zeros(0, np.int64) if insight is None else _future(insight, record, most) for record in records]
    found = [_NONE] * len(records) if insight is None else _predictions(insight, records, futures)
    made = tuple(
        TrialCurve(number=record.number, state=record.state, steps=steps, values=values,
                   future=future, median=rest.median, low=rest.low, high=rest.high)
        for record, (steps, values), future, rest in zip(records, curves, futures, found, strict=True)
    )  # fmt: skip
    maximize = history.study.directions[0] == "maximize"
    finite = np.concatenate([np.zeros(0), *(curve.values[np.isfinite(curve.values)] for curve in made)])
    best = None if not len(finite) else float(finite.max() if maximize else finite.min())
    return CurveData(study=history.study.name, metric=history.study.metrics[0], maximize=maximize,
                     step_name=unit(history), best=best, trials=made)  # fmt: skip


def _records(history: History, trials: Iterable[int | TrialRecord]) -> list[TrialRecord]:
    numbers = sorted({trial.number if isinstance(trial, TrialRecord) else trial for trial in trials})
    missing = [number for number in numbers if number not in history]
    if missing:
        raise TrialNotFound(
            f"Study {history.study.name!r} has no trial {missing[0]}; it has {len(history)}, numbered from 0"
        )
    return [history[number] for number in numbers]


def _curve(history: History, record: TrialRecord) -> tuple[Ints, Floats]:
    pairs = metric_values(history, record)
    steps = np.array([step for step, _ in pairs], dtype=np.int64)
    return steps, np.array([value for _, value in pairs], dtype=np.float64)


def _future(insight: Insight, record: TrialRecord, most: int) -> Ints:
    if record.state in (State.COMPLETE, State.FAILED):
        return np.zeros(0, dtype=np.int64)
    at, end = int(insight.data.at[record.number]), int(insight.data.totals[record.number])
    n = min(end - at, most)
    return np.unique(np.round(np.linspace(at + 1, end, n)).astype(np.int64)) if n > 0 else np.zeros(0, dtype=np.int64)


def _predictions(insight: Insight, records: Sequence[TrialRecord], futures: Sequence[Ints]) -> list[Predicted]:
    """For all curves at once."""
    sizes = [len(future) for future in futures]
    numbers = np.repeat(np.array([record.number for record in records], dtype=np.int64), sizes)
    found = insight.values(numbers, np.concatenate([np.zeros(0, np.int64), *futures]))
    ends = np.cumsum(sizes)[:-1]
    parts = [np.split(values, ends) for values in (found.median, found.low, found.high)]
    return [Predicted(*part) for part in zip(*parts, strict=True)] if records else []


def draw_curves(data: CurveData) -> Figure:
    """The curves as a figure of matplotlib, drawn from ``data`` alone.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", "plots")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    for curve in data.trials:
        is_over = curve.state.is_finished
        axes.plot(
            curve.steps, curve.values, color="0.6" if is_over else "C0", linewidth=1.0, label=f"trial {curve.number}"
        )
    open_ones = [curve for curve in data.trials if len(curve.future)]
    open_ones.sort(key=lambda curve: float(curve.median[-1]), reverse=data.maximize)
    for curve in open_ones[:_MOST_BANDS]:
        axes.plot(curve.future, curve.median, color="C1", linewidth=1.0, linestyle="--")
        axes.fill_between(curve.future, curve.low, curve.high, color="C1", alpha=0.15, linewidth=0.0)
    if data.best is not None:
        axes.axhline(data.best, color="C2", linewidth=0.8)
    axes.set_xlabel(data.step_name)
    axes.set_ylabel(data.metric)
    axes.set_title(data.study)
    return figure
