"""The verdict of a confirmation: who is best, who cannot be told apart from it, and what the search has gained.

A function of two histories: that of the search, and that of the study whose trials are the trainings with new seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from honed.algorithms.selection import difference, half_widths, maybe_best, t_quantile
from honed.confirm.runs import (
    default_name,
    default_of,
    loss_sign,
    moments,
    n_diverged,
    ranked_trials,
    runs_of,
    values_of,
)
from honed.history import History
from honed.records import State, TrialRecord
from honed.spread import parts_of, pooled, with_error

ALPHA = 0.05
"""What is said about a winner, its ties and its gain is wrong in one of 20 confirmations at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """One candidate, trained again.

    Attributes:
        trial: its record in the search; ``value`` is what it reached there.
        mean, standard_error: over the trainings with new seeds; the error is NaN for a single one.
        low, high: the 95 % interval of the mean.
        n: trainings that gave a value.
        n_failed: trainings that diverged, or could not run.
        is_tied: it cannot be told apart from the winner, or is the winner.
        is_first: it is trial 0, the default.
    """

    trial: TrialRecord
    mean: float
    standard_error: float
    low: float
    high: float
    n: int
    n_failed: int
    is_tied: bool
    is_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much better one trial is than trial 0.

    Attributes:
        best, first: the values of both.
        noise: the standard error of one of them, that of the difference divided by sqrt(2).
        chance: what luck alone does not exceed, at 95 %, where all candidates are as good as trial 0.
        sign: -1 where larger values are better.
    """

    best: float
    first: float
    noise: float
    chance: float
    sign: float

    @property
    def estimate(self) -> float:
        """The difference; positive is better."""
        return self.sign * (self.first - self.best)

    @property
    def is_sure(self) -> bool:
        """Whether it is more than luck."""
        return self.estimate > self.chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What trainings with new seeds say about the best trials of a search.

    Attributes:
        study: name of the searched study.
        rows: the candidates by their confirmed mean, best first; those that diverged last.
        n_searched: trials with a value from which the best were taken.
        best: the trial with the best value in the search, as far as it is a candidate: its value was the luckiest.
        gain: of the winner over trial 0; None where trial 0 has no confirmed value, or is the winner.
    """

    study: str
    rows: tuple[Confirmed, ...]
    n_searched: int
    best: Confirmed | None
    gain: Gain | None

    @property
    def winner(self) -> Confirmed:
        """The best confirmed mean."""
        return self.rows[0]

    @property
    def ties(self) -> tuple[Confirmed, ...]:
        """The others that cannot be told apart from the winner: the truly best one is among them and it, at 95 % or more."""
        return tuple(row for row in self.rows[1:] if row.is_tied)

    def __str__(self) -> str:
        return "\n".join([*_table(self), *_sentences(self)])


def confirmed(history: History, confirming: History) -> Confirmation | None:
    """The verdict; None while no candidate has a confirmed value.

    Args:
        history: of the search.
        confirming: of the study that confirms it.
    """
    runs = {number: found for number, found in runs_of(confirming).items() if values_of(found) and number in history}
    if not runs:
        return None
    sign, numbers = loss_sign(history.study), sorted(runs)
    means, variances, counts = moments([values_of(runs[number]) for number in numbers])
    diverged = np.array([n_diverged(runs[number]) > 0 for number in numbers])
    losses = np.where(diverged & ~diverged.all(), np.inf, sign * means)
    widths, is_tied = half_widths(variances, counts, ALPHA), maybe_best(losses, variances, counts, ALPHA)
    first = default_of(history)
    rows = [
        Confirmed(
            trial=history[number],
            mean=float(means[i]),
            standard_error=math.sqrt(variances[i] / counts[i]) if counts[i] > 1 else math.nan,
            low=float(means[i] - widths[i]),
            high=float(means[i] + widths[i]),
            n=int(counts[i]),
            n_failed=sum(run.state is State.FAILED for run in runs[number]),
            is_tied=bool(is_tied[i]),
            is_first=first is not None and number == first.number,
        )
        for i, number in enumerate(numbers)
    ]
    order = np.lexsort((np.array(numbers), losses)).tolist()
    at, top = next((i for i, row in enumerate(rows) if row.is_first), None), order[0]
    gain = None
    if at is not None and at != top and np.isfinite(losses[at]):
        error = math.sqrt((variances[at] / counts[at] + variances[top] / counts[top]) / 2.0)
        chance = float(difference(variances, counts, top, ALPHA / max(len(rows) - 1, 1))[at])
        gain = Gain(best=rows[top].mean, first=rows[at].mean, noise=error, chance=chance, sign=sign)
    best = next((record.number for record in ranked_trials(history)), None)
    return Confirmation(
        study=history.study.name,
        best=next((row for row in rows if row.trial.number == best), None),
        rows=tuple(rows[i] for i in order),
        n_searched=sum(r.value is not None and r.state is not State.FAILED for r in history.finished),
        gain=gain,
    )


# ----------------------------------------------------------------------------------------------------------- as text


def _table(told: Confirmation) -> list[str]:
    cells = [["rank", "trial", "in the search", "confirmed", "95 % interval", ""]]
    for rank, row in enumerate(told.rows, start=1):
        remarks = [default_name(row.trial)] if row.is_first else []
        remarks += ["tied"] if row.is_tied and rank > 1 else []
        remarks += [f"{row.n_failed} of {row.n + row.n_failed} failed"] if row.n_failed else []
        interval = f"{row.low:.4g} to {row.high:.4g}" if math.isfinite(row.low) else "-"
        measured = f"{with_error(row.mean, row.standard_error)} ({row.n})"
        cells.append(
            [str(rank), str(row.trial.number), f"{row.trial.value:.6g}", measured, interval, ", ".join(remarks)]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [f"Confirmation of {told.study!r}: {sum(row.n for row in told.rows)} trainings with new seeds", *lines]


def _sentences(told: Confirmation) -> list[str]:
    winner = told.winner
    lines = [optimism(told)]
    if told.ties:
        ties = ", ".join(str(row.trial.number) for row in told.ties)
        lines.append(f"Winner: trial {winner.trial.number}; not to be told apart from it at 95 %: {ties}.")
    elif len(told.rows) > 1:
        lines.append(f"Winner: trial {winner.trial.number}, better than the others at 95 %.")
    else:
        lines.append(f"Winner: trial {winner.trial.number}, the only candidate.")
    return [*lines, *gain_lines(told)]


def optimism(told: Confirmation) -> str:
    """What the best value of the search was worth: ``Reported 0.942 ... Confirmed 5 times: 0.931 ± 0.004``."""
    best = told.best
    if best is None:
        return f"The best of {told.n_searched} trials was not among the candidates."
    shown = with_error(best.mean, best.standard_error)
    return (
        f"Reported {best.trial.value:.6g} was the best of {told.n_searched} trials. Confirmed {best.n} times: {shown}."
    )


def gain_lines(told: Confirmation) -> list[str]:
    """The confirmed gain over trial 0, or that there is none."""
    first = next((row for row in told.rows if row.is_first), None)
    if first is None:
        return []
    name = default_name(first.trial)
    if told.gain is None:
        return [f"No gain over {name}: it is the winner."] if first is told.winner else []
    return gain_text(told.gain, name)


def gain_text(gain: Gain, name: str) -> list[str]:
    """``Best 0.931, default 0.928, noise ±0.004: no gain over the default.``, or how much it is."""
    if not math.isfinite(gain.chance):
        return []
    if not gain.is_sure:
        best, first = (with_error(value, gain.noise).partition(" ")[0] for value in (gain.best, gain.first))
        noise = with_error(0.0, gain.noise).rpartition(" ")[2]
        return [f"Best {best}, {name.removeprefix('the ')} {first}, noise ±{noise}: no gain over {name}."]
    shown, least = with_error(gain.estimate, gain.noise * math.sqrt(2.0)), gain.estimate - gain.chance
    return [f"Gain over {name}: {shown}; at 95 % it is more than {least:.3g}."]


def gain_in_search(history: History) -> Gain | None:
    """The gain of the best trial over trial 0 as repeats in the search tell it; None where they do not.

    The best of n trials that are all as good as trial 0 looks better by chance: each of the n could be the lucky one, so the
    limit is that of n comparisons (Bonferroni) with the noise pooled over all trials.
    """
    best, first, noise = history.best, default_of(history), pooled(history)
    if best is None or first is None or best.number == first.number or not noise.n_trials:
        return None
    parts = [len(parts_of(history.study, record)) for record in (best, first)]
    if best.value is None or first.value is None or not all(parts):  # a result from elsewhere has no parts
        return None
    n = sum(record.value is not None and record.state is not State.FAILED for record in history.finished)
    error = math.sqrt(noise.variance * (1 / parts[0] + 1 / parts[1]))
    chance = float(t_quantile(1.0 - ALPHA / max(n - 1, 1), noise.freedom)) * error
    sign = loss_sign(history.study)
    return Gain(best=best.value, first=first.value, noise=error / math.sqrt(2.0), chance=chance, sign=sign)
