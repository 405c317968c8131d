"""A study explained: who decides and why, where the search stands, what past studies say, and whether to go on."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from honed.auto import Told, explained
from honed.explain.advice import Advice, advice
from honed.explain.trial import WIDTH
from honed.explain.words import Expected, best_of, percent, unit, value_text
from honed.freeze_thaw.insight import Insight
from honed.history import History
from honed.records import State, TrialRecord
from honed.samplers.transfer import weights
from honed.transfer import sources_of, warm_start_text

_MOST_PROMISING = 3


@dataclass(frozen=True, slots=True)
class Promising:
    """A trial that is not at its end, and how it is expected to end.

    Attributes:
        steps: done.
        chance: probability that it ends better than the best value of any trial so far.
    """

    number: int
    state: State
    steps: int
    final: Expected
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyExplanation:
    """Where a study stands; print it for a page of text.

    Attributes:
        decides: who proposes and who ends trainings early, and why.
        counts: trials in each state.
        steps, total_steps, n_trials: steps trained, and the study's limits where its latest run had some.
        best, best_trial: the best value of any trial at any step, and whose it is; None for several objectives.
        promising: trials that are not at their end with the best predicted values, best first; none without curves.
        past: what past studies contribute; None without them.
        weights: how much each past study counts in a Gaussian process, as shares of 1.
        advice: what going on would bring; None where nothing can be said yet.
    """

    study: str
    decides: str
    counts: Mapping[State, int]
    step_name: str
    steps: int
    total_steps: int | None
    n_trials: int | None
    best: float | None
    best_trial: int | None
    promising: tuple[Promising, ...]
    past: str | None
    weights: Mapping[str, float]
    advice: Advice | None

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.counts.items() if n) or "none yet"
        lines = [f"Study {self.study!r}", *_part("Decides", self.decides), *_part("Trials", counts + self._of_trials())]
        if self.steps:
            whole = "" if self.total_steps is None else f" of {self.total_steps:,}"
            lines += _part("Spent", f"{self.steps:,}{whole} {self.step_name}s")
        if self.best is not None:
            lines += _part("Best", f"{value_text(self.best)} (trial {self.best_trial})")
        for label, each in zip(["Promising", *[""] * _MOST_PROMISING], self.promising, strict=False):
            where = f"trial {each.number}, {each.state} at {self.step_name} {each.steps}"
            lines += _part(label, f"{where}: ends at {each.final}, {percent(each.chance)} for a new best")
        if self.past is not None:
            lines += _part("Past", self.past)
        if self.weights:
            shares = ", ".join(f"{name!r} {percent(share)}" for name, share in self.weights.items())
            lines += _part("", f"In a Gaussian process they count: {shares}.")
        return "\n".join(lines + (_part("Advice", str(self.advice)) if self.advice is not None else []))

    def _of_trials(self) -> str:
        return "" if self.n_trials is None else f"; {self.n_trials:,} in all"


def explain_study(history: History) -> StudyExplanation:
    """Where a study stands, and who decides in it."""
    study, told = history.study, Told.of(history.study)
    leader = _leader(history)
    return StudyExplanation(
        study=study.name,
        decides=explained(history, told),
        counts={state: history.count(state) for state in State},
        step_name=unit(history),
        steps=history.n_steps,
        total_steps=told.total_steps,
        n_trials=told.n_trials,
        best=None if leader is None else best_of(history, leader),
        best_trial=None if leader is None else leader.number,
        promising=_promising(history),
        past=warm_start_text(history),
        weights=weights(history) if sources_of(history) else {},  # it fits a process before it looks
        advice=advice(history),
    )


def _leader(history: History) -> TrialRecord | None:
    """The trial with the best value at any step; of those that break limits only where nobody keeps them."""
    if len(history.study.directions) > 1:
        return None
    sign = -1.0 if history.study.directions[0] == "maximize" else 1.0
    ranked = [
        (record.violation, sign * best, record.number)
        for record in history
        if record.state is not State.FAILED and (best := best_of(history, record)) is not None
    ]
    return history[min(ranked)[2]] if ranked else None


def _promising(history: History) -> tuple[Promising, ...]:
    insight = Insight.of(history)
    if insight is None:
        return ()
    numbers = np.array([r.number for r in history.unfinished if r.reports], dtype=np.int64)
    if not len(numbers):
        return ()
    found = insight.finals(numbers)
    chances = insight.chances(numbers)
    order = np.argsort(insight.sign * found.median, kind="stable")[:_MOST_PROMISING].tolist()
    return tuple(
        Promising(
            int(numbers[i]),
            history[int(numbers[i])].state,
            int(insight.data.at[numbers[i]]),
            Expected(float(found.median[i]), float(found.low[i]), float(found.high[i])),
            float(chances[i]),
        )
        for i in order
    )


def _part(label: str, text: str) -> list[str]:
    """Lines of a label and its text, whose own lines are kept apart."""
    head, lines = f"  {label:<10} ", []
    for line in text.splitlines():
        wrapped = textwrap.wrap(line, WIDTH, initial_indent=head, subsequent_indent=" " * 13, break_on_hyphens=False)
        lines += wrapped
        head = " " * 13
    return lines
