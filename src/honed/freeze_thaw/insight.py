"""What the model of curves says to people: predicted values, chances, the order of promise, and what going on would bring.

All values are the user's: as reported, larger is better where the study maximizes. It works for any study with curves, whoever
decides in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honed.algorithms.curve_ensemble import CurveEnsemble
from honed.algorithms.curve_predictions import Predicted, joint_draws, noise_near, predicted, probability_below
from honed.freeze_thaw.candidates import Everywhere
from honed.freeze_thaw.model import model_of
from honed.freeze_thaw.new import scores_of_new
from honed.freeze_thaw.seen import Seen, seen
from honed.history import Floats, History, Ints
from honed.samplers.base import Stream

LEAST_STEPS = 4
"""Steps of a full training, fewer than which make no curve."""

_LEAST_POINTS = 2.0  # values for each trial: with fewer, trials have no curves
_N_NEW, _N_DRAWS, _MOST_PAUSED, _LEADERS = 64, 256, 60, 10


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
        sign: -1 where larger values are better.
        best: the best value so far, smaller is better.
        floor: what no value is expected below.
    """

    data: Seen
    model: CurveEnsemble
    sign: float
    best: float
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
        return Insight(data, model, sign, best, _floor(y, sign))

    def values(self, numbers: Ints, steps: Ints) -> Predicted:
        """What trials would report at steps."""
        raw = predicted(self.model, numbers, steps)
        found = Predicted(*(np.maximum(values, self.floor) for values in (raw.median, raw.low, raw.high)))
        if self.sign > 0.0:
            return found
        return Predicted(-found.median, -found.high, -found.low)

    def finals(self, numbers: Ints) -> Predicted:
        """What trials would report at the end of their trainings."""
        return self.values(numbers, self.data.totals[numbers])

    def chances(self, numbers: Ints) -> Floats:
        """How likely each trial, trained to its end, reports a better value there than any so far."""
        return probability_below(self.model, numbers, self.data.totals[numbers], self.best)

    def ranked(self) -> Ints:
        """Paused trials, the one that promises most first: by the expected improvement at the end."""
        paused = self.data.paused
        if not len(paused):
            return paused
        scores = self.model.log_ei(paused, self.data.totals[paused])
        return paused[np.argsort(-scores, kind="stable")]

    def gain(self, tolerance: float = 0.0) -> Gain:
        """What as many steps as a full training has would bring, spent on what promises most, paused or new."""
        data, model = self.data, self.model
        draw = Stream(data.seed, len(data.xs)).generator("gain")
        paused, new = self.ranked()[:_MOST_PAUSED], self._new(draw)
        margin = max(tolerance, noise_near(model, self.best))
        steps = np.concatenate([data.totals[paused], data.lengths_at(new)])
        if not len(steps):
            return Gain(data.usual, 0.0, 0.0, margin)
        scores = np.concatenate([model.log_ei(paused, data.totals[paused]), scores_of_new(data, model).full(new)])
        costs = np.concatenate([data.totals[paused] - data.at[paused], data.lengths_at(new)])
        chosen = _affordable(scores, costs, data.usual)
        n_paused = int((chosen < len(paused)).sum())
        chosen.sort()
        kept = (paused[chosen[:n_paused]], new[chosen[n_paused:] - len(paused)], steps[chosen])
        values = np.maximum(joint_draws(model, *kept, _N_DRAWS, draw).min(axis=1), self.floor)
        better = self._without_luck() - values
        return Gain(data.usual, float((better > margin).mean()), float(np.maximum(better, 0.0).mean()), margin)

    def _without_luck(self) -> float:
        """The best value so far, or what the model believes of it where noise made it look better than it is."""
        data = self.data
        rows = np.flatnonzero(data.has_survived & (data.at > 0))
        if not len(rows):
            return self.best
        means = self.model.means(rows, data.at[rows])
        leaders = rows[np.argsort(means, kind="stable")[:_LEADERS]]
        return max(self.best, float(predicted(self.model, leaders, data.at[leaders]).median.min()))

    def _new(self, draw: np.random.Generator) -> Floats:
        """The most promising new configurations [c, d]."""
        points = Everywhere().points(self.data, self.model, draw)
        if not len(points):
            return points
        return points[np.argsort(-scores_of_new(self.data, self.model).quick(points), kind="stable")[:_N_NEW]]


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
