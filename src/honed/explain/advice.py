"""Is it worth going on? What the next steps, or trials, would bring, against noise: advice, and a rule that may end a run.

With curves, the model of curves is asked (``freeze_thaw/insight``). Without, a Gaussian process of the finished trials: values
are drawn together at configurations that promise most, as many as the next ten trials would try. A value that noise made look
good is replaced by what the model believes of it, so that nobody searches on to beat luck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honed.algorithms.ensemble import Ensemble, learn
from honed.algorithms.optimize_acquisition import untried
from honed.algorithms.sequences import sobol
from honed.algorithms.warps import Warped, cut_tail, fitted_warps, is_constant
from honed.explain.words import counted, percent, unit, value_text
from honed.freeze_thaw.insight import Gain, Insight
from honed.history import Floats, History
from honed.memo import Memo, digest
from honed.samplers.base import Stream
from honed.samplers.coordinates import Coordinates, columns_of, within

LEAST_TRIALS = 20
"""Trials with a value, fewer than which give no advice."""

SMALL = 0.05
"""A chance of a better value below this is not worth waiting for."""

_AHEAD = 10  # trials without curves
_MOST_TRIALS = 80  # that a process is fitted to: half the best ones, half an even share of the others
_N_EVEN, _N_NEAR, _N_DRAWS, _N_GRID = 256, 128, 256, 2001
_NEAR = 0.1

_gains = Memo(16)


@dataclass(frozen=True, slots=True)
class Advice:
    """What going on would bring.

    Attributes:
        ahead: for how long: "27 epochs", "10 trials".
        chance: probability of a value better than the best so far by more than ``margin``.
        gain: how much better the best value is expected to get.
        margin: the noise, or what the user tolerates: differences up to here count for nothing.
        may_stop: whether the chance is too small to wait for.
    """

    ahead: str
    chance: float
    gain: float
    margin: float
    may_stop: bool

    def __str__(self) -> str:
        start = f"Going on: {percent(self.chance)} chance of a better value in the next {self.ahead}; expected gain "
        if not self.may_stop:
            return f"{start}{value_text(self.gain)}."
        if self.gain < self.margin:
            return f"{start}below the noise ({value_text(self.margin)}). You may stop."
        return f"{start}{value_text(self.gain)}. You may stop."


def advice(history: History, tolerance: float = 0.0) -> Advice | None:
    """What going on would bring; None where nothing can be said yet.

    That is with several objectives, with fewer than 20 trials that have a value, and before the first full training.

    Args:
        history: the study.
        tolerance: a difference that the user does not care about.
    """
    found = _gain(history, tolerance)
    if found is None:
        return None
    gain, noun = found
    return Advice(counted(gain.n_steps, noun), gain.chance, gain.gain, gain.margin, gain.chance < SMALL)


def is_converged(history: History, tolerance: float = 0.0) -> bool:
    """Whether going on is hardly worth it; a run that ends by it asks after each trial and wants it three times in a row."""
    told = advice(history, tolerance)
    return told is not None and told.may_stop


def _gain(history: History, tolerance: float) -> tuple[Gain, str] | None:
    if len(history.study.directions) > 1 or len(history) < LEAST_TRIALS:
        return None
    insight = Insight.of(history)
    if insight is not None:
        data = insight.data
        if len(np.unique(data.numbers)) < LEAST_TRIALS or not (data.at >= data.totals).any():
            return None  # where no curve has been to its end, the model does not know how they go on
        key = ("curves", insight.data.key, tolerance, insight.sign)
        return _gains.get(key, lambda: insight.gain(tolerance)), unit(history)
    gain = _gain_of_trials(history, tolerance)
    return None if gain is None else (gain, "trial")


# ------------------------------------------------------------------------------------------------------ without curves


def _gain_of_trials(history: History, tolerance: float) -> Gain | None:
    """By a process of the finished trials; None where there are too few."""
    columns = history.columns
    losses = columns.losses[:, 0]
    rows = np.flatnonzero(np.isfinite(losses) & (columns.violations == 0.0))
    if len(rows) < LEAST_TRIALS or not len(history.space):
        return None
    y = np.clip(losses[rows], -1e100, 1e100)
    if is_constant(y):
        return Gain(_AHEAD, 0.0, 0.0, tolerance)
    order = np.argsort(y, kind="stable")
    if len(order) > _MOST_TRIALS:
        best, rest = order[: _MOST_TRIALS // 2], order[_MOST_TRIALS // 2 :]
        order = np.concatenate([best, rest[np.linspace(0, len(rest) - 1, _MOST_TRIALS // 2).astype(np.int64)]])
    rows, y = rows[order], y[order]
    domains = {name: domain for name, domain in history.space.domains.items() if domain.n_values != 1}
    xs = columns_of(columns, domains, history.finished, rows)
    seen = [j for j in range(len(domains)) if not np.isnan(xs[:, j]).all()]
    if not seen:
        return None
    xs = xs[:, seen]
    domains = {name: domain for j, (name, domain) in enumerate(domains.items()) if j in seen}
    coordinates = Coordinates.of(history.space, domains, xs)
    xs = within(xs, coordinates.layout)
    key = ("trials", digest(xs, y), repr(coordinates.layout), str(domains), history.study.seed, tolerance)
    return _gains.get(key, lambda: _expected(coordinates, xs, y, history.study.seed, tolerance))


def _expected(coordinates: Coordinates, xs: Floats, y: Floats, seed: int, tolerance: float) -> Gain:
    """Of the next ten trials; the best values come first."""
    hyper = learn(coordinates.layout, xs, y).without_draws()
    model = Ensemble.conditioned(hyper, xs, y, xs[:0], None)
    draw = Stream(seed, len(y)).generator("gain")
    points = untried(_candidates(coordinates, xs, draw), xs)
    if not len(points):
        return Gain(_AHEAD, 0.0, 0.0, tolerance)
    points = points[np.argsort(-model.log_ei(points, is_quick=True), kind="stable")[:_N_NEAR]]
    cut = cut_tail(y)
    warps = {warp.name: warp for warp in fitted_warps(cut)}
    values, bests, noises = [], [], []
    for member, weighted in zip(hyper.members, model.members, strict=True):
        warp, posterior = warps[member.name], weighted.posteriors[0]
        back = _Inverse.of(warp, cut)
        mean, covariance = posterior.predict_joint(points)
        kept = _thompson(mean, covariance, draw)
        mean, covariance = mean[kept], covariance[np.ix_(kept, kept)]
        values.append(back(_draws(mean, covariance, _N_DRAWS, draw).min(axis=1)))
        bests.append(float(back(np.array([weighted.bests[0]]))[0]))
        sd = np.sqrt(posterior.noise)
        low, high = back(weighted.bests[0] + np.array([-sd, sd])).tolist()
        noises.append(0.5 * (high - low))
    weights = [member.weight for member in model.members]
    best = max(float(y.min()), float(np.average(bests, weights=weights)))
    margin = max(tolerance, float(np.average(noises, weights=weights)))
    better = [best - v for v in values]
    chance = float(np.average([float((b > margin).mean()) for b in better], weights=weights))
    gain = float(np.average([float(np.maximum(b, 0.0).mean()) for b in better], weights=weights))
    return Gain(_AHEAD, chance, gain, margin)


def _candidates(coordinates: Coordinates, xs: Floats, draw: np.random.Generator) -> Floats:
    """Points all over the space, and some near the best."""
    d: int = xs.shape[1]
    seeds: list[int] = draw.integers(0, 2**32, d).tolist()
    even = coordinates.at(sobol(0, _N_EVEN, d, seeds))
    origin = xs[np.arange(_N_NEAR) % min(len(xs), 5)]
    fresh = coordinates.at(draw.random(origin.shape))
    is_category = np.array([n > 0 for n in coordinates.layout.n_choices], dtype=bool)
    moved = origin + _NEAR * draw.standard_normal(origin.shape) * (draw.random(origin.shape) < max(0.3, 2.0 / d))
    chosen = np.where(is_category & (draw.random(origin.shape) < 1.0 / d), fresh, np.where(is_category, origin, moved))
    low, high = coordinates.bounds()
    region = coordinates.region(list(coordinates.domains), fresh[0], low, high)
    near = region.snapped(np.where(np.isnan(chosen), fresh, chosen))
    return coordinates.canonical(np.concatenate([even, near]))


def _thompson(mean: Floats, covariance: Floats, draw: np.random.Generator) -> list[int]:
    """Where the next trials would be: the minima of draws, other ones than those that judge them."""
    minima = _draws(mean, covariance, 8 * _AHEAD, draw).argmin(axis=1).tolist()
    return list(dict.fromkeys(minima))[:_AHEAD]


def _draws(mean: Floats, covariance: Floats, n: int, draw: np.random.Generator) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(mean + draw.standard_normal((n, len(mean))) @ root.T)


@dataclass(frozen=True, slots=True, eq=False)
class _Inverse:
    """A warp of losses backwards, from a table; a quarter of the range beyond the best one."""

    z: Floats
    y: Floats

    @staticmethod
    def of(warp: Warped, y: Floats) -> _Inverse:
        low, high = float(y.min()), float(y.max())
        table = np.linspace(low - 0.25 * (high - low), high, _N_GRID)
        near = low + (high - low) * np.geomspace(1e-6, 1.0, _N_GRID)
        table = np.unique(np.concatenate([table, near]))
        return _Inverse(np.maximum.accumulate(warp.apply(table)), table)

    def __call__(self, z: Floats) -> Floats:
        return np.asarray(np.interp(z, self.z, self.y))
