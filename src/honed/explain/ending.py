"""A run that ends by itself: when the advice says three times in a row that going on is hardly worth it.

The advice is asked when a quarter of a full training has been trained since it was asked last, or, without curves, when a
tenth of the trials is new. What it said is kept with the study, so that all workers and later runs count together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.explain.advice import LEAST_TRIALS, Advice, advice
from honed.explain.words import percent
from honed.freeze_thaw.insight import LEAST_STEPS
from honed.history import History
from honed.records import StudyRecord

CONVERGED = "converged"
"""The study's attribute with what the advice said last."""

IN_A_ROW = 3

_PARTS, _NEW_SHARE = 4, 10


@dataclass(frozen=True, slots=True)
class Converged:
    """Whether a run should end; a function of the study alone.

    Attributes:
        tolerance: a difference that the user does not care about; noise counts for nothing anyway.
    """

    tolerance: float = 0.0

    def __call__(self, history: History) -> tuple[Mapping[str, Any], str | None]:
        """Attributes for the study, where there is anything new to keep, and why the run ends; None while it goes on."""
        if len(history) < LEAST_TRIALS:
            return {}, None
        kept: Any = history.study.attributes.get(CONVERGED)
        if not isinstance(kept, Mapping) or kept.get("tolerance") != self.tolerance:
            kept = {}
        count, least = _count(history), int(kept.get("asked", 0))
        if kept and count < least + _pace(history, least):
            return {}, _reason(kept)
        told = advice(history, self.tolerance)
        may_stop = told is not None and told.may_stop
        now = {
            "tolerance": self.tolerance,
            "asked": count,
            "in_a_row": int(kept.get("in_a_row", 0)) + 1 if may_stop else 0,
            "said": "" if told is None else _said(told),
        }
        return {CONVERGED: now}, _reason(now)


def ending(until_converged: bool | float, study: StudyRecord) -> Converged | None:
    """The rule that ``optimize(until_converged=...)`` asks for; None without.

    Raises:
        TypeError, ValueError: neither a truth value nor a positive number, or a study whose gain is no single number.
    """
    if until_converged is False:
        return None
    if not isinstance(until_converged, bool | int | float):
        raise TypeError(f"until_converged={until_converged!r} must be True, or a difference that does not matter")
    if not isinstance(until_converged, bool) and not (until_converged > 0 and math.isfinite(until_converged)):
        raise ValueError(
            f"until_converged={until_converged!r} must be a difference above 0 that does not matter; True counts noise only"
        )
    if len(study.directions) > 1:
        raise ValueError(
            f"until_converged={until_converged!r} is for one objective, the study has {len(study.directions)}: "
            f"{', '.join(study.metrics)}; use n_trials, timeout or patience"
        )
    return Converged(0.0 if until_converged is True else float(until_converged))


def _count(history: History) -> int:
    """What grows as the study does: steps, or finished trials where there are no curves."""
    return history.n_steps if _has_curves(history) else history.n_finished


def _pace(history: History, asked: int) -> int:
    """By how much it must have grown."""
    if _has_curves(history):
        return max(-(-(history.max_steps or 0) // _PARTS), 1)
    return max(asked // _NEW_SHARE, 1)


def _has_curves(history: History) -> bool:
    return history.study.summary != "mean" and (history.max_steps or 0) >= LEAST_STEPS


def _said(told: Advice) -> str:
    return f"{percent(told.chance)} chance of a better value in the next {told.ahead}"


def _reason(kept: Mapping[str, Any]) -> str | None:
    if kept["in_a_row"] < IN_A_ROW:
        return None
    return f"going on is hardly worth it: {kept['said']}, said three times in a row (until_converged)"
