"""The choice in words, for a study that somebody opens: which rule, why, what it looked at, and what would change it."""

from __future__ import annotations

import math

from honed.algorithms.early_order import Order
from honed.auto.case import look
from honed.auto.evidence import Evidence, evidence_of, order_at
from honed.auto.rules import choose
from honed.auto.told import Told
from honed.freeze_thaw.budget import first_slice
from honed.history import History

LEAST_CURVES = 5
"""Finished curves before anything is said of their order."""

GOOD = 0.5
"""Rank correlation from which early values are called a guide."""


def explained(history: History, told: Told) -> str:
    """Who decides in a study and why, line by line.

    Args:
        history: of the study.
        told: what its latest run was told.
    """
    lines = []
    if told.sampler == "auto":
        limited = history.limited(told.n_trials, told.total_steps)
        choice = choose(history.space, limited, told.n_trials, told.workers, is_budgeted=told.is_timed)
        by_scheduler = "" if told.chooses else f" Scheduler: {told.scheduler!r}, as told."
        lines.append(f"sampler='auto': {choice.reason} (rule {choice.rule}){by_scheduler}")
        if choice.until and told.chooses:
            lines.append(choice.until)
        lines += choice.notes
    else:
        rest = "every training to its end" if told.scheduler == "auto" else repr(told.scheduler)
        lines.append(f"sampler={told.sampler!r}, as told; scheduler: {rest}.")
    evidence = evidence_of(history, look(history.n_finished))
    if evidence.steps is not None:
        lines += [_seen(evidence), early_sentence(history)]
    return "\n".join(lines)


def early_sentence(history: History) -> str:
    """Whether the order at the first slice predicts the final one, and from which step on it would."""
    full = history.max_steps
    evidence = evidence_of(history, look(history.n_finished))
    if full is None or evidence.steps is None:
        return "No training has reported before its end: nothing can be said of early values."
    step = evidence.first or first_slice(full)
    order = order_at(history, step)
    if order.n < LEAST_CURVES:
        finished = "1 finished curve" if order.n == 1 else f"{order.n} finished curves"
        return f"{finished}: not enough to tell whether early values predict the final order ({LEAST_CURVES} are)."
    if math.isnan(order.rho):
        return f"After {step} epochs all finished trials were alike: their early values tell no order."
    number = f"rank correlation {order.rho:.2f}".replace("0.", ".")
    if order.rho >= GOOD:
        return f"Order after {step} epochs predicts the final order ({number}, {order.n} finished curves)."
    better = first_good_step(history, step, full)
    use = f"Use min_steps >= {better}." if better is not None else "No earlier step predicts it; use scheduler='full'."
    return f"Order after {step} epochs predicts the final order poorly ({number}). {use}"


def first_good_step(history: History, step: int, full: int) -> int | None:
    """The first of the steps 2 r0, 4 r0, ... up to half of a training whose order is a guide."""
    while (step := 2 * step) <= full // 2:
        order: Order = order_at(history, step)
        if order.n >= LEAST_CURVES and order.rho >= GOOD:
            return step
    return None


def _seen(evidence: Evidence) -> str:
    parts = [f"trainings of {evidence.steps} epochs"]
    if evidence.n_tracked:
        parts.append(f"{evidence.n_tracked} could be paused, {evidence.n_restored} went on from a checkpoint")
    if evidence.n_broken:
        parts.append(f"{evidence.n_broken} had to begin again")
    if evidence.n_untracked:
        parts.append(f"{evidence.n_untracked} could not be paused")
    if evidence.n_paused:
        parts.append(f"{evidence.n_paused} stand paused")
    return "Looked at: " + "; ".join(parts) + "."
