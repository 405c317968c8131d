"""Confirmation: the best trials of a search trained again, several times, with new seeds.

The best of many noisy values is an optimistic one: it was chosen because it is good, and part of that was luck. Trained again
it tells what to expect. The runs are the trials of a study beside the searched one, ``NAME/confirm``, one for each training,
so that workers share them, a killed confirmation goes on, and its trials can be looked at like any others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from honed.algorithms.selection import shares
from honed.domains import Scalar
from honed.history import Floats, History, Ints
from honed.history.tables import INFEASIBLE
from honed.records import Draft, Exhausted, State, StudyRecord, TrialRecord
from honed.samplers.base import Proposal, Stream
from honed.space import Space
from honed.spread import mean, repeats_of
from honed.trial import trial_seed

CONFIRMS = "confirms"
"""Attribute of a confirming study: the name of the searched one; of its trials: ``{"trial": 12, "run": 3}``."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A sampler of nothing new: only queued trials are run."""

    is_exact: ClassVar[bool] = True

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        return Exhausted("all candidates are confirmed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which trials are trained again, and how often.

    Attributes:
        candidates: the trials, best first.
        repeats: trainings of each of them.
        budget: trainings in all; what goes beyond ``repeats`` for each goes where it tells most.
        forgiven: numbers of confirming trials that failed before, and are run again.
    """

    candidates: tuple[TrialRecord, ...]
    repeats: int
    budget: int
    forgiven: frozenset[int] = frozenset()


def confirming(history: History) -> StudyRecord:
    """The draft of the study that confirms this one."""
    study = history.study
    repeats = repeats_of(study)
    return StudyRecord(
        name=f"{study.name}/confirm",
        directions=study.directions,
        metrics=study.metrics,
        seed=trial_seed(study.seed, -1),  # no trial of the search has it
        summary=study.summary if repeats is None else repeats.summary,
        space=study.space,
        attributes={CONFIRMS: study.name},
    )


def planned(history: History, top: int | Sequence[int], repeats: int, budget: int | None) -> Plan:
    """The candidates of a confirmation: the best trials, and trial 0, which is what there was before the search.

    Raises:
        ValueError: an argument out of range, or a budget too small for what is asked.
        LookupError: no trial is complete.
    """
    if len(history.study.directions) > 1:
        raise ValueError(
            "confirm: this study has several objectives, of which none is the one to choose by; confirm its trials in "
            "studies of one objective each, or look at study.pareto_front"
        )
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 2:
        raise ValueError(f"confirm: repeats={repeats!r} must be a whole number of at least 2, to tell the noise")
    candidates = _candidates(history, top)
    if not candidates:
        raise LookupError(f"confirm: study {history.study.name!r} has no complete trial yet")
    least = repeats * len(candidates)
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < least):
        numbers = ", ".join(str(record.number) for record in candidates)
        raise ValueError(
            f"confirm: budget={budget!r} is too small: {len(candidates)} trials ({numbers}) times repeats={repeats} need "
            f"{least} trainings; allow {least} or more, or lower top or repeats"
        )
    return Plan(candidates=candidates, repeats=repeats, budget=least if budget is None else budget)


def _candidates(history: History, top: int | Sequence[int]) -> tuple[TrialRecord, ...]:
    ranked = ranked_trials(history)
    if isinstance(top, bool | str) or not isinstance(top, int | Sequence) or (isinstance(top, int) and top < 1):
        raise ValueError(f"confirm: top={top!r} must be at least 1, or a list of trial numbers")
    if isinstance(top, int):
        chosen = ranked[:top]
    else:
        chosen = [history[number] for number in dict.fromkeys(top)]
        worthless = [record.number for record in chosen if record.value is None or record.state is State.FAILED]
        if worthless:
            raise ValueError(f"confirm: trial {worthless[0]} in top={list(top)} has no value; name finished trials")
    first = default_of(history)
    if chosen and first is not None and all(record.number != first.number for record in chosen):
        chosen = [*chosen, first]
    return tuple(chosen)


def ranked_trials(history: History) -> list[TrialRecord]:
    """The complete trials that keep their constraints (or violate them least) by their first value, best first."""
    found = [r for r in history.finished if r.state is State.COMPLETE and r.value is not None]
    if not found:
        return []
    least = min(record.violation for record in found)
    sign = loss_sign(history.study)
    kept = [record for record in found if record.violation == least]
    return sorted(kept, key=lambda record: (sign * (record.value or 0.0), record.number))


def loss_sign(study: StudyRecord) -> float:
    """-1 where larger values of the first objective are better, else 1."""
    return 1.0 if study.directions[0] == "minimize" else -1.0


def default_of(history: History) -> TrialRecord | None:
    """Trial 0, if it has a value: what there was before the search."""
    if 0 not in history or history[0].state is not State.COMPLETE:
        return None
    return history[0]


def default_name(first: TrialRecord) -> str:
    """What trial 0 is called: the default where a person has set it."""
    return "the default" if "given" in first.note or "added" in first.note else "the first trial"


# ------------------------------------------------------------------------------------------------------------ runs


def runs_of(history: History) -> dict[int, list[TrialRecord]]:
    """The runs of each candidate, in the order in which they were queued."""
    found: dict[int, list[TrialRecord]] = {}
    for record in history:
        if CONFIRMS in record.attributes:
            found.setdefault(record.attributes[CONFIRMS]["trial"], []).append(record)
    return found


def missing(plan: Plan, history: History) -> list[Draft]:
    """What is to be queued now: first all candidates alike, then, in rounds, where it tells most; nothing at the end."""
    runs = runs_of(history)
    counts = {c.number: sum(r.number not in plan.forgiven for r in runs.get(c.number, [])) for c in plan.candidates}
    wanted = {number: max(plan.repeats - n, 0) for number, n in counts.items()}
    left = plan.budget - sum(counts.values())
    if not any(wanted.values()) and left > 0 and not history.unfinished:
        measured = {number: values_of(runs[number]) for number in counts}
        known = [number for number, values in measured.items() if len(values) > 1 and not n_diverged(runs[number])]
        if len(known) > 1:
            means, variances, n = moments([measured[number] for number in known])
            share = shares(loss_sign(history.study) * means, variances, n, min(left, max(len(known), -(-left // 2))))
            wanted = dict(zip(known, share.tolist(), strict=True))
    drafts = []
    for candidate in plan.candidates:
        begun = len(runs.get(candidate.number, []))
        for run in range(begun, begun + wanted.get(candidate.number, 0)):
            params = dict(candidate.params)
            drafts.append(
                Draft(
                    state=State.WAITING,
                    params=params,
                    note={"given": params},
                    attributes={CONFIRMS: {"trial": candidate.number, "run": run}},
                )
            )
    return drafts


def _to_run_again(history: History) -> frozenset[int]:
    """Runs that failed for a reason that tells nothing of their configuration: a bug, a lost worker."""
    failed = (record for record in history.finished if record.state is State.FAILED)
    return frozenset(record.number for record in failed if record.cause not in INFEASIBLE)


def values_of(runs: Sequence[TrialRecord]) -> list[float]:
    """The values of the runs that gave one."""
    return [run.value for run in runs if run.value is not None and run.state is State.COMPLETE]


def n_diverged(runs: Sequence[TrialRecord]) -> int:
    """How many runs failed because of their configuration."""
    return sum(run.state is State.FAILED and run.cause in INFEASIBLE for run in runs)


def moments(values: Sequence[Sequence[float]]) -> tuple[Floats, Floats, Ints]:
    """Means, sample variances (0 for single values) and counts [k]."""
    means = np.array([mean(parts) for parts in values])
    variances = np.array([np.var(parts, ddof=1) if len(parts) > 1 else 0.0 for parts in values])
    return means, variances, np.array([len(parts) for parts in values])


AddOnce = Callable[[Draft, Callable[[TrialRecord], bool]], int]
"""Adds a trial unless there is one that is the same."""


def train_again(plan: Plan, look: Callable[[], History], add: AddOnce, run: Callable[[int], None]) -> None:
    """Queues and runs what the plan wants, as far as it is missing; less when it is interrupted.

    Args:
        plan: what is wanted.
        look: the confirming study as it is now.
        add: queues a run in it.
        run: runs what is queued, until so many trials are finished.
    """
    plan = replace(plan, forgiven=_to_run_again(look()))
    while True:
        for draft in missing(plan, look()):
            add(draft, partial(_is_same_run, draft.attributes[CONFIRMS]))
        history = look()
        if not history.unfinished:
            return
        run(history.n_finished + len(history.unfinished))
        if look().unfinished:  # it was interrupted, or the time is up
            return


def _is_same_run(run: Mapping[str, int], record: TrialRecord) -> bool:
    return bool(record.attributes.get(CONFIRMS) == run)
