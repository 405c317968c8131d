"""One trial explained: where it stands, how it is expected to end, and why it goes on or waits."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

import numpy as np

from honed.explain.words import Expected, best_of, counted, metric_values, percent, unit, value_text
from honed.failures import error_line, error_place
from honed.freeze_thaw.insight import Insight
from honed.history import History
from honed.records import LENGTH, Cause, State, TrialRecord

WIDTH = 100
"""Characters of a line."""

_CAUSES = {
    Cause.ERROR: "the objective raised an error",
    Cause.OOM: "it ran out of memory",
    Cause.TIMEOUT: "it took too long",
    Cause.LOST: "its worker was lost, again and again",
    Cause.INFEASIBLE: "its configuration cannot work",
    Cause.CANCELLED: "somebody cancelled it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialExplanation:
    """What is known of one trial, and what is expected of it; print it for sentences.

    Attributes:
        steps, n_steps: done, and of a full training; None where steps are not known.
        last, best: values of the first objective.
        final: the value at the end that is predicted; None for what is complete or failed, or where nothing can be predicted.
        chance: probability that it ends better than the best value of any trial so far; None as for ``final``.
        place, n_paused: its place among the paused trials by what they promise, from 1.
        rank, n_ranked: its place among all trials with a value by their best values, from 1.
        broken: measured constraints that it breaks: name -> how far beyond, relative to the limit.
        failure: why it failed.
        is_insured: whether its configuration was chosen without the model, as insurance against a wrong one.
        reason: why it is where it is.
    """

    number: int
    state: State
    steps: int | None
    n_steps: int | None
    last: float | None
    best: float | None
    final: Expected | None
    chance: float | None
    place: int | None
    n_paused: int
    rank: int | None
    n_ranked: int
    broken: dict[str, float]
    failure: str | None
    is_insured: bool
    reason: str
    params: dict[str, object]

    def __str__(self) -> str:
        lines = [f"Trial {self.number} ({self.state})", *_wrapped("", self.reason)]
        params = ", ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.params.items())
        lines += _wrapped("Params", params or "none yet")
        if self.last is not None and self.best is not None and self.steps is not None:
            lines += _wrapped("Values", f"last {value_text(self.last)}, best {value_text(self.best)}")
        if self.rank is not None:
            lines += _wrapped("Place", f"{self.rank} of {counted(self.n_ranked, 'trial')} by the best value")
        if self.final is not None and self.chance is not None:
            told = f"at its end {self.final}; {percent(self.chance)} chance to be better than all so far"
            lines += _wrapped("Predicted", told)
        if self.place is not None:
            lines += _wrapped("Promise", f"{self.place} of {counted(self.n_paused, 'paused trial')}")
        for name, beyond in self.broken.items():
            lines += _wrapped("Limit", f"{name} is {percent(beyond)} beyond it")
        if self.is_insured:
            lines += _wrapped("Choice", "made without the model: one in eight is, as insurance against a wrong model")
        return "\n".join(lines)


def explain_trial(history: History, number: int) -> TrialExplanation:
    """What is known of a trial.

    Raises:
        TrialNotFound: the study has no such trial.
    """
    record = history[number]
    facts = _Facts.of(history, record)
    values = metric_values(history, record)
    excesses = {name: beyond for name, beyond in record.excesses.items() if beyond > 0.0}
    return TrialExplanation(
        number=number,
        state=record.state,
        steps=record.last_step,
        n_steps=facts.n_steps,
        last=values[-1][1] if values else record.value,
        best=best_of(history, record),
        final=facts.final,
        chance=facts.chance,
        place=facts.place,
        n_paused=facts.n_paused,
        rank=facts.rank,
        n_ranked=facts.n_ranked,
        broken=excesses,
        failure=_failure(record),
        is_insured=bool(record.note.get("insurance")),
        reason=_reason(history, record, facts),
        params=dict(record.params),
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    """A trial among the others."""

    n_steps: int | None
    final: Expected | None
    chance: float | None
    place: int | None
    n_paused: int
    rank: int | None
    n_ranked: int
    leader: int | None
    leading: float | None

    @staticmethod
    def of(history: History, record: TrialRecord) -> _Facts:
        is_alone = len(history.study.directions) == 1
        bests = (
            {each.number: best for each in history if (best := best_of(history, each)) is not None} if is_alone else {}
        )
        sign = -1.0 if history.study.directions[0] == "maximize" else 1.0
        order = sorted(bests, key=lambda number: (sign * bests[number], number))
        own = record.note.get(LENGTH)
        n_steps = own if isinstance(own, int) and own > 0 else history.max_steps
        final, chance, place, n_paused = _promise(history, record)
        return _Facts(
            n_steps, final, chance, place, n_paused,
            order.index(record.number) + 1 if record.number in bests else None, len(order),
            order[0] if order else None, bests[order[0]] if order else None,
        )  # fmt: skip


def _promise(history: History, record: TrialRecord) -> tuple[Expected | None, float | None, int | None, int]:
    """The final value, the chance to be the best, and the place among paused trials."""
    insight = Insight.of(history)
    n_paused = history.count(State.PAUSED)
    if insight is None or record.state in (State.COMPLETE, State.FAILED) or not (record.params or record.reports):
        return None, None, None, n_paused
    numbers = np.array([record.number], dtype=np.int64)
    found = insight.finals(numbers)
    ranked = insight.ranked().tolist()
    place = ranked.index(record.number) + 1 if record.number in ranked else None
    final = Expected(float(found.median[0]), float(found.low[0]), float(found.high[0]))
    return final, float(insight.chances(numbers)[0]), place, max(n_paused, len(ranked))


# ------------------------------------------------------------------------------------------------------------ words


def _reason(history: History, record: TrialRecord, facts: _Facts) -> str:
    """Why a trial is where it is, in one or two sentences."""
    match record.state:
        case State.WAITING:
            return "It waits for a worker" + (f" to go on after {_at(history, record)}." if record.reports else ".")
        case State.RUNNING:
            return _running(history, record, facts)
        case State.PAUSED:
            return _paused(history, record, facts)
        case State.FAILED:
            return f"Failed{_after(history, record)}: {_failure(record)}."
        case State.STOPPED:
            return f"Stopped{_after(history, record)}{_behind(history, record)}.{_compared(record, facts)}"
        case _:
            return f"Complete{_after(history, record)}.{_compared(record, facts)}"


def _running(history: History, record: TrialRecord, facts: _Facts) -> str:
    until = "its end" if record.until is None else f"{unit(history)} {record.until}"
    done = f", {_at(history, record)} done" if record.reports else ""
    return f"It is trained to {until}{done}{_prediction(facts)}{_leader(record, facts)}"


def _paused(history: History, record: TrialRecord, facts: _Facts) -> str:
    where = f"Paused at {_at(history, record)}" if record.reports else "Paused"
    if record.violation > 0.0:
        return f"{where}: it breaks a limit, and others keep theirs or wait before it."
    if facts.place is None:
        return f"{where}{_behind(history, record)}.{_compared(record, facts)}"
    if facts.place == 1:
        why = "no other paused trial promises more, so it is the next to go on unless a new one promises more"
    else:
        others = facts.place - 1
        why = f"{'one other promises' if others == 1 else f'{others} others promise'} more"
    return f"{where}: {why}{_prediction(facts)}{_leader(record, facts)}"


def _prediction(facts: _Facts) -> str:
    return "" if facts.final is None else f"; it is predicted to end at {facts.final}"


def _leader(record: TrialRecord, facts: _Facts) -> str:
    if facts.leading is None:
        return "."
    if facts.leader == record.number:
        return f", and has the best value seen, {value_text(facts.leading)}."
    return f", the best seen is {value_text(facts.leading)}."


def _compared(record: TrialRecord, facts: _Facts) -> str:
    """How its value compares with the best one."""
    if facts.rank is None or facts.leading is None:
        return ""
    if facts.leader == record.number:
        return f" It has the best value of {counted(facts.n_ranked, 'trial')}, {value_text(facts.leading)}."
    own = "" if record.value is None else f" Its value is {value_text(record.value)};"
    return f"{own or ' The'} {'the ' if own else ''}best is {value_text(facts.leading)}, of trial {facts.leader}."


def _behind(history: History, record: TrialRecord) -> str:
    """How many others were better at the same step."""
    if record.last_step is None or len(history.study.directions) > 1:
        return ""
    rung = history.rung(record.last_step)
    own = rung.losses[rung.numbers == record.number]
    if not len(own) or not math.isfinite(float(own[0])):
        return ""
    others = rung.losses[rung.numbers != record.number]
    if not len(others):
        return ""
    n = int((others < own[0]).sum())
    return f": {n} of {len(others)} others had a better value at that {unit(history)}"


def _failure(record: TrialRecord) -> str | None:
    if record.state is not State.FAILED:
        return None
    told = _CAUSES[record.cause or Cause.ERROR]
    line, place = error_line(record.message)[:200].rstrip("."), error_place(record.message)
    detail = ", ".join(part for part in (line, place) if part)
    return f"{told} ({detail})" if detail else told


def _at(history: History, record: TrialRecord) -> str:
    return f"{unit(history)} {record.last_step}"


def _after(history: History, record: TrialRecord) -> str:
    return f" after {_at(history, record)}" if record.reports else ""


def _wrapped(label: str, text: str) -> list[str]:
    """Lines of a label and its text, as narrow as ``WIDTH``."""
    head = f"  {label:<10} " if label else "  "
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
