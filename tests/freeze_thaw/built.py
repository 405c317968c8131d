"""Small histories of curves, written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from honed.domains import Float
from honed.history import History
from honed.records import Cause, Delta, Report, State, StudyRecord, TrialRecord
from honed.space import Space

SPACE = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Curve:
    """A trial at (x, y) with its values, one for each step."""

    x: float
    values: Sequence[float]
    state: State = State.PAUSED
    y: float = 0.5
    until: int | None = None
    cause: Cause | None = None
    n_steps: int = 27
    before: int | None = None
    schedule: str | None = None


def history_of(*curves: Curve, space: Space = SPACE, seed: int = 0, in_turn: bool = False) -> History:
    """A history of these trials, by number.

    Args:
        in_turn: reports arrive step by step instead of trial by trial.
    """
    study = StudyRecord(name="built", seed=seed, space=space.to_json())
    records, reports = [], []
    for number, curve in enumerate(curves):
        finite = [value for value in curve.values if math.isfinite(value)]
        is_done = curve.state in (State.COMPLETE, State.STOPPED)
        params = {"x": curve.x, "y": curve.y}
        params = {name: params[name] for name in space.domains if name in params}
        records.append(
            TrialRecord(
                number=number, state=curve.state, params=params, domains={n: space[n] for n in params}, attempt=1,
                until=len(curve.values) or None if curve.until is None else curve.until, cause=curve.cause,
                values=(min(finite, default=math.nan),) if is_done else None, note=_note(curve),
                checkpoint=f"{number}" if curve.state is State.PAUSED else None,
            )
        )  # fmt: skip
        reports += [Report(number, step, {"value": value}) for step, value in enumerate(curve.values, start=1)]
    if in_turn:
        reports.sort(key=lambda report: (report.step, report.number))
    return History.empty(study, space).extend(Delta(revision=1, trials=tuple(records), reports=tuple(reports)))


def _note(curve: Curve) -> dict[str, object]:
    said = {"n_steps": curve.n_steps, "n_steps_before": curve.before, "schedule": curve.schedule}
    return {key: value for key, value in said.items() if value is not None}


def falling(level: float, n: int) -> list[float]:
    """A curve that falls to about ``level``."""
    return [level + (1.0 - level) / (step + 1) for step in range(1, n + 1)]
