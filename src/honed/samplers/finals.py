"""What trials are worth that did not train to the end: stopped and paused ones, with how uncertain that is.

A stopped trial's value is that of a shorter training. Beside full trainings it looks worse than it is (or better, where
training longer hurts), and a model that takes it as it is learns to avoid what was only stopped early.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.algorithms.finals import Curve, predicted
from honed.algorithms.warps import LARGEST
from honed.history import History
from honed.records import State, TrialRecord

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_COMPLETE, _STOPPED = 0, 1  # ``Columns.states``


@dataclass(frozen=True, slots=True, eq=False)
class Finals:
    """Losses at the end of a full training.

    Attributes:
        losses, spreads: [n] of the finished trials (rows of ``Columns``); 0 where the loss was measured.
        paused: trials that wait to go on and have reports.
        paused_losses, paused_spreads: [p].
    """

    losses: Floats
    spreads: Floats
    paused: tuple[TrialRecord, ...]
    paused_losses: Floats
    paused_spreads: Floats


def finals(history: History) -> Finals:
    """Of a study with one objective; losses of complete trials are as measured, up to ``LARGEST``."""
    columns = history.columns
    losses = _limited(columns.losses[:, 0])
    none = np.zeros(0)
    stopped = np.flatnonzero((columns.states == _STOPPED) & np.isfinite(losses))
    metric = history.study.metrics[0]
    paused = tuple(
        record
        for record in history.unfinished
        if record.state is State.PAUSED and any(_is_number(report.values.get(metric)) for report in record.reports)
    )
    if not len(stopped) and not paused:
        return Finals(losses, np.zeros(len(losses)), (), none, none)
    curves = _curves(history)
    rows = [row for row in stopped.tolist() if _has_values(curves, int(columns.numbers[row]))]
    paused = tuple(record for record in paused if _has_values(curves, record.number))
    numbers = [*columns.numbers[rows].tolist(), *(record.number for record in paused)]
    done = np.flatnonzero((columns.states == _COMPLETE) & np.isfinite(losses))
    empty = Curve(np.zeros(0, dtype=np.int64), none)
    complete = [curves.get(number, empty) for number in columns.numbers[done].tolist()]
    lasts = (int(curve.steps[-1]) for curve in curves.values() if len(curve.steps))  # all reports may have been NaN
    total = history.max_steps or max(lasts, default=0)
    found, spreads = predicted([curves[number] for number in numbers], complete, losses[done], total)
    all_losses, all_spreads = losses.copy(), np.zeros(len(losses))
    all_losses[rows], all_spreads[rows] = found[: len(rows)], spreads[: len(rows)]
    return Finals(all_losses, all_spreads, paused, found[len(rows) :], spreads[len(rows) :])


def _limited(losses: Floats) -> Floats:
    """What is not finite stays so: it tells that a training diverged."""
    return np.where(np.isfinite(losses), np.clip(losses, -LARGEST, LARGEST), losses)


def _is_number(value: float | None) -> bool:
    return value is not None and np.isfinite(value)


def _has_values(curves: Mapping[int, Curve], number: int) -> bool:
    return number in curves and len(curves[number].steps) > 0 and bool(np.isfinite(curves[number].losses[-1]))


def _curves(history: History) -> dict[int, Curve]:
    """The curve of each trial that has reports, by what counts in this study."""
    reports = history.curves()
    order = np.lexsort((reports.steps, reports.numbers))
    numbers, steps, losses = reports.numbers[order], reports.steps[order], _limited(reports.losses[order])
    found, firsts = np.unique(numbers, return_index=True)
    ends = np.append(firsts[1:], len(numbers))[: len(found)]  # none while there are no reports
    places = zip(found.tolist(), firsts.tolist(), ends.tolist(), strict=True)
    summary = history.study.summary
    return {number: Curve.of(steps[a:b], losses[a:b], summary) for number, a, b in places}
