"""What the model of curves says to people: predicted values, chances, the order of promise, and what going on would bring.

All values are the user's: as reported, larger is better where the study maximizes. It works for any study with curves, whoever
decides in it. The decision looks at the promising trials, with a model that drops most points of the others; people ask for any
of them, so here the last value of each is in the model too, and what a curve says by itself counts (docs/decisions/029).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from honed.algorithms.curve_ensemble import CurveEnsemble
from honed.algorithms.curve_own import OwnCurves
from honed.algorithms.curve_points import trial_bests
from honed.algorithms.curve_predictions import (
    Predicted,
    joint_draws,
    noise_near,
    pooled,
    predicted,
    probability_below,
)
from honed.freeze_thaw.candidates import Candidates, Everywhere
from honed.freeze_thaw.model import model_of
from honed.freeze_thaw.new import scores_of_new
from honed.freeze_thaw.seen import Seen, seen
from honed.history import Floats, History, Ints
from honed.samplers.base import Stream

LEAST_STEPS = 4
"""Steps of a full training, fewer than which make no curve."""

_LEAST_POINTS = 2.0  # values for each trial: with fewer, trials have no curves
_N_NEW, _N_DRAWS, _MOST_PAUSED, _LEADERS = 64, 256, 60, 10
_MOST_ADDED = 400  # last values that the decision's model has dropped
_RUNNER_UP = 2  # the third best value
_LEAST_GAIN = 1e-12  # of the scale: the mean of logs needs one


@dataclass(frozen=True, slots=True)
class Gain:
    """What the next steps would bring.

    Attributes:
        n_steps: how many steps.
        chance: probability of a value that is better than the best so far by more than ``margin``.
        gain: how much better the best value is expected to be, 0 or more.
        margin: differences up to here count for nothing: noise, or what the user tolerates.
    """

    n_steps: int
    chance: float
    gain: float
    margin: float


@dataclass(frozen=True, slots=True, eq=False)
class Insight:
    """The model of a study's curves, asked by people.

    Attributes:
        model: the one that decides.
        whole: the same with the last value of each trial.
        own: what the curves say by themselves.
        sign: -1 where larger values are better.
        best: the best value so far, smaller is better.
        scale: how far the best value lies before the third best one: improvements far beyond are not expected.
        most_noise: how far it lies before the best quarter: noise that is larger would have shown there.
        floor: what no value is expected below.
    """

    data: Seen
    model: CurveEnsemble
    whole: CurveEnsemble
    own: OwnCurves
    sign: float
    best: float
    scale: float
    most_noise: float
    floor: float

    @staticmethod
    def of(history: History) -> Insight | None:
        """None where there are no curves, too few of them, or several objectives, whose curves have no single value."""
        study = history.study
        if len(study.directions) > 1 or study.summary == "mean" or (history.max_steps or 0) < LEAST_STEPS:
            return None
        data = seen(history, None)
        n_trials = len(np.unique(data.numbers))
        model = model_of(data) if len(data.numbers) >= _LEAST_POINTS * n_trials else None
        if model is None:
            return None
        good = ~data.has_failed[data.numbers]
        y = data.values(len(data.numbers), 0)
        best = float(y[good].min() if good.any() else y.min())
        sign = -1.0 if study.directions[0] == "maximize" else 1.0
        own = OwnCurves.of(data.numbers, data.steps, y, len(data.xs))
        whole = _with_last_values(model, data)
        bests = trial_bests(data.numbers, y)
        distinct, quarter = np.unique(bests), float(np.quantile(bests, 0.25))
        scale = float(distinct[min(_RUNNER_UP, len(distinct) - 1)] - distinct[0])
        most_noise = quarter - float(distinct[0])
        return Insight(data, model, whole, own, sign, best, scale, most_noise, _floor(y, sign))

    def values(self, numbers: Ints, steps: Ints) -> Predicted:
        """What trials would report at steps."""
        raw = predicted(self.whole, numbers, steps, self.own)
        found = Predicted(*(np.maximum(values, self.floor) for values in (raw.median, raw.low, raw.high)))
        if self.sign > 0.0:
            return found
        return Predicted(-found.median, -found.high, -found.low)

    def finals(self, numbers: Ints) -> Predicted:
        """What trials would report at the end of their trainings."""
        return self.values(numbers, self.data.totals[numbers])

    def chances(self, numbers: Ints) -> Floats:
        """How likely each trial, trained to its end, reports a better value there than any so far."""
        return probability_below(self.whole, numbers, self.data.totals[numbers], self.best)

    def ranked(self) -> Ints:
        """Paused trials, the one that promises most first: by the expected improvement at the end."""
        paused = self.data.paused
        if not len(paused):
            return paused
        scores = self.model.log_ei(paused, self.data.totals[paused])
        return paused[np.argsort(-scores, kind="stable")]

    def gain(self, tolerance: float = 0.0, candidates: Candidates | None = None) -> Gain:
        """What as many steps as a full training has would bring, spent on what promises most, paused or new."""
        data, model = self.data, self.model
        draw = Stream(data.seed, len(data.xs)).generator("gain")
        paused, new = self.ranked()[:_MOST_PAUSED], self._new(candidates or Everywhere(), draw)
        margin = max(tolerance, min(noise_near(model, self.best), self.most_noise))
        steps = np.concatenate([data.totals[paused], data.lengths_at(new)])
        if not len(steps):
            return Gain(data.usual, 0.0, 0.0, margin)
        scores = np.concatenate([model.log_ei(paused, data.totals[paused]), scores_of_new(data, model).full(new)])
        costs = np.concatenate([data.totals[paused] - data.at[paused], data.lengths_at(new)])
        chosen = _affordable(scores, costs, data.usual)
        n_paused = int((chosen < len(paused)).sum())
        chosen.sort()
        kept = (paused[chosen[:n_paused]], new[chosen[n_paused:] - len(paused)], steps[chosen])
        draws = [values.min(axis=1) for values in joint_draws(model, *kept, _N_DRAWS, draw)]
        better = np.array([self._moderate(self._without_luck() - np.maximum(values, self.floor)) for values in draws])
        chance = float(pooled((better > margin).mean(axis=1)[:, None], 0.5 / _N_DRAWS)[0])
        gains = np.maximum(better, 0.0).mean(axis=1) / max(self.scale, _LEAST_GAIN)
        gain = max(self.scale, _LEAST_GAIN) * float(np.exp(np.log(np.maximum(gains, _LEAST_GAIN)).mean()))
        return Gain(data.usual, chance, gain, margin)

    def _moderate(self, better: Floats) -> Floats:
        """Improvements, none of them larger than the scale: beyond the best the warps know no unit of their own."""
        scale = max(self.scale, np.finfo(float).tiny)
        return np.where(better > 0.0, -scale * np.expm1(-np.maximum(better, 0.0) / scale), better)

    def _without_luck(self) -> float:
        """The best value so far, or what the model believes of it where noise made it look better than it is."""
        data = self.data
        rows = np.flatnonzero(data.has_survived & (data.at > 0))
        if not len(rows):
            return self.best
        means = self.model.means(rows, data.at[rows])
        leaders = rows[np.argsort(means, kind="stable")[:_LEADERS]]
        return max(self.best, float(predicted(self.model, leaders, data.at[leaders]).median.min()))

    def _new(self, candidates: Candidates, draw: np.random.Generator) -> Floats:
        """The most promising new configurations [c, d]."""
        points = candidates.points(self.data, self.model, draw)
        if not len(points):
            return points
        return points[np.argsort(-scores_of_new(self.data, self.model).quick(points), kind="stable")[:_N_NEW]]


def _with_last_values(model: CurveEnsemble, data: Seen) -> CurveEnsemble:
    """The model that also knows the last value of each trial, of the best ones where they are very many."""
    lasts = data.last_values()
    rows = np.flatnonzero(np.isfinite(lasts))
    known = model.members[0].posteriors[0]
    used = set(zip(known.design.rows.tolist(), known.design.u.tolist(), strict=True))
    u = data.times.of(rows, data.at[rows])
    is_new = np.array([pair not in used for pair in zip(rows.tolist(), u.tolist(), strict=True)], dtype=bool)
    rows, u = rows[is_new], u[is_new]
    best = np.sort(np.argsort(lasts[rows], kind="stable")[:_MOST_ADDED])
    rows, u = rows[best], u[best]
    members = []
    for member in model.members:
        z = member.warp.apply(lasts[rows])
        members.append(replace(member, posteriors=tuple(p.append(rows, u, z) for p in member.posteriors)))
    return replace(model, members=tuple(members))


def _floor(y: Floats, sign: float) -> float:
    """Losses that were never negative stay so, and shares (accuracies) never above 1 do too."""
    if sign > 0.0:
        return 0.0 if float(y.min()) >= 0.0 else -np.inf
    return -1.0 if float(y.min()) >= -1.0 and float(y.max()) <= 0.0 else -np.inf


def _affordable(scores: Floats, costs: Ints, budget: int) -> Ints:
    """Places of what is taken by score while the budget lasts."""
    chosen, left = [], budget
    for place in np.argsort(-scores, kind="stable").tolist():
        if costs[place] <= left:
            chosen.append(place)
            left -= int(costs[place])
    return np.array(chosen, dtype=np.int64)
