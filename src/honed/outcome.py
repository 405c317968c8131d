"""From what an objective did to what is stored: one value per objective, or a failure with its cause.

The trial's value is the best (or, for ``summary="last"``, the last) of the reported ones; a returned number counts as one
more report at the end. For ``summary="mean"`` it is the mean of the reported ones (folds, repeats), and a returned number
counts only where nothing was reported: objectives like to return the mean themselves. NaN and infinities are never values: a
training that ends in one, or a mean that has one among its parts, has failed as infeasible.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from honed.errors import BadValue, Infeasible, closest
from honed.numbers import to_number
from honed.records import Cause, State, StudyRecord, Update
from honed.spread import mean


def judge(study: StudyRecord, reports: Mapping[int, Mapping[str, float]], returned: Any) -> Update:
    """The final update of a training that ran without an exception.

    Args:
        study: whose directions, metrics and summary count.
        reports: step -> metric -> value of the whole trial, former attempts included.
        returned: what the objective returned.

    Raises:
        BadValue: neither a number was returned nor a report made, or what was returned is no number.
    """
    curve = [
        (f" at step {step}", tuple(values[name] for name in study.metrics)) for step, values in sorted(reports.items())
    ]
    is_mean = study.summary == "mean"
    if returned is not None or not curve:
        final = returned_values(study, returned)
        if not (is_mean and curve) or not all(map(math.isfinite, final)):
            curve.append((curve[-1][0] if curve else "", final))
    for where, values in curve if is_mean else curve[-1:]:
        if not all(map(math.isfinite, values)):
            shown = ", ".join(f"{name}={value}" for name, value in zip(study.metrics, values, strict=True))
            return Update(state=State.FAILED, cause=Cause.INFEASIBLE, message=f"not finite: {shown}{where}")
    if study.summary == "last":
        return Update(state=State.COMPLETE, values=curve[-1][1])
    return Update(state=State.COMPLETE, values=summarize(study, [values for _, values in curve]))


def stopped(study: StudyRecord, reports: Mapping[int, Mapping[str, float]]) -> Update:
    """The final update of a training that a rule has stopped: it keeps its best, last or mean reported value."""
    final = judge(study, reports, None)
    return Update(state=State.STOPPED, values=final.values) if final.state is State.COMPLETE else final


def summarize(study: StudyRecord, curve: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The best finite value of each objective over a curve, or the mean."""
    if study.summary == "mean":
        return tuple(mean([values[i] for values in curve]) for i in range(len(study.directions)))
    best = []
    for i, direction in enumerate(study.directions):
        finite = [values[i] for values in curve if math.isfinite(values[i])]
        best.append(min(finite) if direction == "minimize" else max(finite))
    return tuple(best)


def failure(error: BaseException) -> Update:
    """The final update of a training that raised ``error``."""
    if isinstance(error, Infeasible):
        return Update(state=State.FAILED, cause=Cause.INFEASIBLE, message=str(error) or "infeasible")
    cause = Cause.OOM if is_out_of_memory(error) else Cause.LOST if is_lost(error) else Cause.ERROR
    return Update(state=State.FAILED, cause=cause, message=user_traceback(error))


def is_lost(error: BaseException) -> bool:
    """Whether a process that the training cannot do without is gone."""
    return type(error).__name__ == "RankLost"  # honed.torch.ranks, which only those load who have torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's own error, or that of torch, TensorFlow or JAX."""
    if isinstance(error, MemoryError):
        return True
    kind, text = type(error).__name__, str(error)
    return kind in ("OutOfMemoryError", "ResourceExhaustedError") or (
        kind in ("RuntimeError", "XlaRuntimeError") and ("out of memory" in text or "RESOURCE_EXHAUSTED" in text)
    )


def user_traceback(error: BaseException) -> str:
    """The traceback without honed's own frames at its beginning."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").split(".")[0] == "honed":
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def returned_values(study: StudyRecord, returned: Any) -> tuple[float, ...]:
    """What an objective has returned, one number for each of the study's objectives.

    Raises:
        BadValue: it is something else.
    """
    names = study.metrics
    if returned is None:
        raise BadValue("objective() returned None and reported nothing; did you forget 'return val_loss'?")
    if isinstance(returned, Mapping):
        missing = [name for name in names if name not in returned]
        if missing:
            raise BadValue(
                f"objective() returned a dict without {missing[0]!r}; it has {', '.join(map(str, returned)) or 'nothing'}."
                f"{closest(missing[0], map(str, returned))} Return the number itself, or name the metric: "
                f"create_study(..., metric={next(iter(returned), 'val_loss')!r})."
            )
        returned = tuple(returned[name] for name in names)
    if len(names) == 1 and not isinstance(returned, tuple | list):
        return (to_number(returned, "objective() returned: it"),)
    parts = returned if isinstance(returned, tuple | list) else (returned,)
    if len(parts) != len(names):
        raise BadValue(
            f"objective() returned {len(parts)} value{'s' if len(parts) != 1 else ''}; the study has {len(names)} "
            f"objective{'s' if len(names) != 1 else ''}: {', '.join(names)}"
        )
    return tuple(to_number(part, f"objective() returned: {name}") for name, part in zip(names, parts, strict=True))
