"""Which trial to take home: by its confirmed mean, else by what a model says of it, not by its luckiest value.

The best of n noisy values is better than its trial by about sd sqrt(2 log n). Where the best trials were trained again
(``Study.confirm``), their means decide. Else a Gaussian process with learned noise is fitted to all finished trials, and its
mean at the trials is compared: neighbours share their evidence. The one-standard-error rule (Breiman et al. 1984, "Classification
and regression trees", section 3.4.3) takes the simplest of those that are no more than one standard error worse than the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from honed.algorithms.gp import FLOOR, condition, fit, noise_prior
from honed.algorithms.kernels import ConfigKernel, Prior
from honed.algorithms.warps import is_constant
from honed.confirm.runs import loss_sign, ranked_trials
from honed.confirm.verdict import Confirmation
from honed.history import History
from honed.pareto import knee
from honed.records import State, TrialRecord
from honed.samplers.coordinates import Coordinates, columns_of, within
from honed.spread import pooled, with_error

Floats = npt.NDArray[np.float64]
Rule = Literal["mean", "one_standard_error"]
Simplicity = Callable[[Mapping[str, Any]], Any]

LEAST_TRIALS = 10
"""Trials with a value, fewer than which tell no noise."""

_MOST_TRIALS = 500
_CUT = 5.0  # losses this many interquartile ranges above the median look all the same: nobody recommends them
_NOISE = (math.log(0.02), 2.0)  # log of the noise's share of the variance: from 0.0004 to 1 within two deviations


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The trial to take home.

    Attributes:
        trial: its record; ``trial.params`` are what to train with.
        mean: what to expect of it, in the first objective.
        standard_error: of that; NaN where nothing tells it.
        reason: why this one, in a sentence or two.
    """

    trial: TrialRecord
    mean: float
    standard_error: float
    reason: str

    def __str__(self) -> str:
        return f"Trial {self.trial.number}: {with_error(self.mean, self.standard_error)}. {self.reason}"


@dataclass(frozen=True, slots=True)
class _Estimate:
    """What a trial's value is without its luck; ``loss`` is smaller for better."""

    trial: TrialRecord
    loss: float
    error: float


def recommend(
    history: History, told: Confirmation | None, rule: Rule = "mean", simplicity: Simplicity | None = None
) -> Recommendation:
    """The trial to take home.

    Args:
        history: the study.
        told: what a confirmation says.
        rule: the best mean, or the simplest within one standard error of it.
        simplicity: of params, smaller is simpler; by default the shorter training, then the older trial.

    Raises:
        ValueError: an unknown rule.
        LookupError: no trial is complete.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"recommend: rule={rule!r} is unknown; use 'mean' or 'one_standard_error'")
    ranked = ranked_trials(history)
    if not ranked:
        raise LookupError(f"recommend: study {history.study.name!r} has no complete trial yet")
    if len(history.study.directions) > 1:
        return _knee(history)
    estimates, how = _estimates(history, told, ranked)
    best = min(estimates, key=lambda each: (each.loss, each.trial.number))
    chosen, sign = best, loss_sign(history.study)
    reason = f"The best {how}."
    if rule == "one_standard_error" and math.isfinite(best.error):
        near = [each for each in estimates if each.loss <= best.loss + best.error]
        chosen = min(near, key=lambda each: (_simplicity(each.trial, simplicity), each.trial.number))
        reason = f"The simplest of {len(near)} within one standard error of the best {how}, trial {best.trial.number}."
    elif rule == "one_standard_error":
        reason += " Its noise is not known: repeat trials (create_study(repeats=3)) or call study.confirm."
    return Recommendation(chosen.trial, sign * chosen.loss, chosen.error, f"{reason}{_luck(history, ranked, chosen)}")


def _knee(history: History) -> Recommendation:
    found = knee(history)
    assert found is not None  # a trial is complete
    reason = "The knee of the front: it gives up least in all objectives together."
    return Recommendation(found, found.value or 0.0, math.nan, reason)


def _luck(history: History, ranked: list[TrialRecord], chosen: _Estimate) -> str:
    """How much of the best reported value was luck."""
    best = ranked[0]
    if not math.isfinite(chosen.error):
        return ""
    if chosen.trial.number == best.number:
        return f" Reported was {best.value:.6g}, the best of {len(ranked)}."
    return f" The best of {len(ranked)} reported values, {best.value:.6g} of trial {best.number}, was luckier."


def _simplicity(trial: TrialRecord, simplicity: Simplicity | None) -> Any:
    if simplicity is not None:
        return simplicity(trial.params)
    if trial.started is None or trial.finished is None:
        return math.inf
    return (trial.finished - trial.started).total_seconds()


# ------------------------------------------------------------------------------------------------------- estimates


def _estimates(history: History, told: Confirmation | None, ranked: list[TrialRecord]) -> tuple[list[_Estimate], str]:
    """Candidates with their losses, and in words by what."""
    sign = loss_sign(history.study)
    if told is not None:
        sound = [row for row in told.rows if not row.n_failed] or list(told.rows)
        rows = [_Estimate(row.trial, sign * row.mean, row.standard_error) for row in sound]
        return rows, f"mean of {sum(row.n for row in sound)} trainings with new seeds"
    smoothed = _smoothed(history, ranked) if len(ranked) >= LEAST_TRIALS else None
    if smoothed is not None:
        return smoothed, f"posterior mean of a model of {len(ranked)} trials"
    return [_Estimate(record, sign * (record.value or 0.0), math.nan) for record in ranked], "value"


def _smoothed(history: History, ranked: list[TrialRecord]) -> list[_Estimate] | None:
    """The posterior means at the complete trials; None where there is nothing to learn.

    Of many trials, the best half of what a process can take and an even share of the others.
    """
    if len(ranked) > _MOST_TRIALS:
        kept, rest = ranked[: _MOST_TRIALS // 2], ranked[_MOST_TRIALS // 2 :]
        stride = np.linspace(0, len(rest) - 1, _MOST_TRIALS // 2).astype(int)
        ranked = kept + [rest[i] for i in stride.tolist()]
    sign = loss_sign(history.study)
    y = np.array([sign * (record.value or 0.0) for record in ranked])
    low, middle, high = np.quantile(y, [0.25, 0.5, 0.75])
    y = np.minimum(y, middle + _CUT * (high - low)) if high > low else y
    domains = {name: domain for name, domain in history.space.domains.items() if domain.n_values != 1}
    if is_constant(y) or not domains:
        return None
    place = {record.number: row for row, record in enumerate(history.finished)}
    rows = np.array([place[record.number] for record in ranked])
    xs = columns_of(history.columns, domains, history.finished, rows)
    seen = [j for j in range(len(domains)) if not np.isnan(xs[:, j]).all()]
    xs, domains = xs[:, seen], {name: domain for j, (name, domain) in enumerate(domains.items()) if j in seen}
    coordinates = Coordinates.of(history.space, domains, xs)
    xs = within(xs, coordinates.layout)
    shift, scale = float(y.mean()), float(y.std())
    kernel = ConfigKernel(coordinates.layout)
    theta = fit(kernel, xs, (y - shift) / scale, _prior(kernel, history, scale))
    means, variances = condition(kernel, theta, xs, (y - shift) / scale).predict(xs)
    pairs = zip(ranked, (shift + scale * means).tolist(), (scale * np.sqrt(variances)).tolist(), strict=True)
    return [_Estimate(record, loss, error) for record, loss, error in pairs]


def _prior(kernel: ConfigKernel, history: History, scale: float) -> Prior:
    """Noise as repeats tell it, else a wide belief."""
    noise = pooled(history)
    n = max((len(r.reports) for r in history.finished if r.state is State.COMPLETE), default=1)
    if noise.n_trials:
        return noise_prior(kernel.prior, max(noise.variance / max(n, 1) / scale**2, FLOOR))
    prior, (middle, width) = noise_prior(kernel.prior), _NOISE
    return Prior(
        mean=np.append(prior.mean[:-1], middle),
        sd=np.append(prior.sd[:-1], width),
        start=np.append(prior.start[:-1], middle),
    )
