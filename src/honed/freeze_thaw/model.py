"""What is learned from curves: hyperparameters at refit points that the data alone set, and what follows by conditioning.

The n-th value to arrive triggers a refit where n is 16, 21, 27, ...: so a study that is opened again learns the same. A
refit starts from the one before, and first scores what that one had said of the values since.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honed.algorithms.acquisition import log_ei, log_ei_slopes, log_mean_exp
from honed.algorithms.curve_kernels import CurveKernel, time_of
from honed.algorithms.curve_model import CurvePosterior, fit, laplace_draws
from honed.algorithms.curve_points import thinned, trial_bests
from honed.algorithms.curve_warps import CurveWarp, curve_warps
from honed.algorithms.curve_weights import cell_scores, faded_weights
from honed.freeze_thaw.seen import Memo, Seen, digest
from honed.history import Floats, Ints

_FIRST_REFIT, _REFIT_GROWTH = 16, 1.3
_LEAST_TRIALS = 4
_MOST_AT_REFIT = 200  # what comes until the next refit is added to these
_DRAWS_BELOW, _N_DRAWS = 50, 6
_MOST_BELIEVED, _MOST_DRAWN = 8, 16

_learned = Memo(128)
_conditioned = Memo(8)


def refits(n: int) -> list[int]:
    """The refit points up to n values."""
    found, at = [], float(_FIRST_REFIT)
    while int(at) <= n:
        found.append(int(at))
        at *= _REFIT_GROWTH
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What a refit has found.

    Attributes:
        thetas: of each member the most probable hyperparameters, then draws; empty where there is nothing to learn.
        scores: of each member, what its predictions scored, in order of time.
        key: of the values that it depends on.
    """

    thetas: tuple[tuple[Floats, ...], ...]
    scores: tuple[Floats, ...]
    key: bytes

    @property
    def weights(self) -> Floats:
        """[members]."""
        return faded_weights(self.scores)


_NOTHING = np.zeros(0)


def learned(data: Seen) -> Learned | None:
    """The last refit for these values; None before the first."""
    turn = len(refits(len(data.numbers))) - 1
    return None if turn < 0 else _refit(data, turn)


def _refit(data: Seen, turn: int) -> Learned:
    n = refits(len(data.numbers))[turn]
    trials = np.unique(data.numbers[:n])
    key = digest(data.X[trials], data.numbers[:n], data.steps[:n], data.losses[:n])
    key += f"/{data.full}/{data.seed}/{data.coordinates.layout}".encode()
    return _learned.get(key, lambda: _learn(data, n, turn, key))


def _learn(data: Seen, n: int, turn: int, key: bytes) -> Learned:
    before = _refit(data, turn - 1) if turn else None
    y = data.values(n, turn)
    scores = (_NOTHING, _NOTHING) if before is None else _scored(data, before, turn)
    at = thinned(data.numbers[:n], data.steps[:n], y, _MOST_AT_REFIT)
    trials, rows = np.unique(data.numbers[at], return_inverse=True)
    warps = curve_warps(y[at], trial_bests(data.numbers[:n], y))
    if len(trials) < _LEAST_TRIALS or not warps:
        return Learned((), scores, key)
    kernel = CurveKernel(data.coordinates.layout)
    F, u = kernel.features(data.X[trials]), time_of(data.steps[at], data.full)
    thetas = []
    for i, warp in enumerate(warps):
        start = before.thetas[i][0] if before is not None and before.thetas else None
        theta = fit(kernel, F, rows, u, warp.z, start)
        draws = laplace_draws(kernel, theta, F, rows, u, warp.z, _N_DRAWS) if len(at) < _DRAWS_BELOW else []
        thetas.append((theta, *draws))
    return Learned(tuple(thetas), scores, key)


def _scored(data: Seen, before: Learned, turn: int) -> tuple[Floats, ...]:
    """The scores so far, and those of what ``before`` says of each trial's last value until refit ``turn``."""
    if not before.thetas:
        return before.scores
    points = refits(len(data.numbers))
    begin, end = points[turn - 1], points[turn]
    later = data.numbers[begin:end]
    new = begin + len(later) - 1 - np.unique(later[::-1], return_index=True)[1]
    new = np.sort(new)
    model = conditioned(data, before, turn - 1, begin)
    y, bests = data.values(end, turn - 1)[new], trial_bests(data.numbers[:begin], model.y)
    scores = []
    for member, score in zip(model.members, before.scores, strict=True):
        posterior = member.posteriors[0]
        mean, variance = posterior.predict(data.numbers[new], time_of(data.steps[new], data.full))
        fresh = cell_scores(member.warp.apply, mean, variance + posterior.noise, y, bests)
        scores.append(np.concatenate([score, fresh]))
    return tuple(scores)


# ------------------------------------------------------------------------------------------------------------- model


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One warp and its processes: under the most probable hyperparameters, then under draws.

    Attributes:
        best: the best value so far as the warp sees it.
    """

    weight: float
    warp: CurveWarp
    posteriors: tuple[CurvePosterior, ...]
    best: float


@dataclass(frozen=True, slots=True, eq=False)
class CurveModel:
    """All members, ready to score.

    Attributes:
        F: [N, p] features of all trials.
        y: [n] the values that it has seen, as single numbers.
    """

    kernel: CurveKernel
    members: tuple[Member, ...]
    F: Floats
    y: Floats
    full: int

    def log_ei_known(self, rows: Ints, horizons: Ints, *, is_quick: bool = False) -> Floats:
        """[q] of trials at steps."""
        u = time_of(horizons, self.full)
        total = np.zeros(len(rows))
        for member in self.members:
            used = member.posteriors[:1] if is_quick else member.posteriors
            total += member.weight * log_mean_exp([log_ei(*p.predict(rows, u), member.best) for p in used])
        return total

    def log_ei_new(self, X: Floats, horizon: int, *, is_quick: bool = False) -> Floats:
        """[c] of new configurations at one step."""
        F, u = self.kernel.features(X), float(time_of(np.array([horizon]), self.full)[0])
        total = np.zeros(len(X))
        for member in self.members:
            used = member.posteriors[:1] if is_quick else member.posteriors
            total += member.weight * log_mean_exp([log_ei(*p.predict_new(F, u), member.best) for p in used])
        return total

    def log_ei_new_with_gradient(self, X: Floats, horizon: int) -> tuple[Floats, Floats]:
        """[c] and [c, d], under the most probable hyperparameters; 0 for categories and what is not active."""
        F, u = self.kernel.features(X), float(time_of(np.array([horizon]), self.full)[0])
        total, gradient = np.zeros(len(X)), np.zeros_like(X)
        numbers = self.kernel.layout.numbers
        for member in self.members:
            mean, variance, pull = member.posteriors[0].predict_new_with_pull(F, u)
            value, by_mean, by_variance = log_ei_slopes(mean, variance, member.best)
            total += member.weight * value
            by_F = pull(by_mean, by_variance)[:, : len(numbers)]
            gradient[:, numbers] += member.weight * np.where(np.isnan(X[:, numbers]), 0.0, by_F)
        return total, gradient

    def means(self, rows: Ints, horizons: Ints) -> Floats:
        """[q] weighted posterior means of trials at steps: smaller is better."""
        u = time_of(horizons, self.full)
        return np.asarray(sum(m.weight * m.posteriors[0].predict(rows, u)[0] for m in self.members))

    def believing(self, rows: Ints, untils: Ints, draw: np.random.Generator) -> CurveModel:
        """The model that takes trials under way for as far as they were granted, with means for values.

        Above eight at once, values of the first sixteen are drawn, so that many workers choose differently.
        """
        if not len(rows):
            return self
        u = time_of(untils, self.full)
        members = []
        for m in self.members:
            posteriors = []
            for posterior in m.posteriors:
                z = posterior.predict(rows, u)[0]
                if len(rows) > _MOST_BELIEVED:
                    mean, covariance = posterior.predict_joint(rows[:_MOST_DRAWN], u[:_MOST_DRAWN])
                    values, vectors = np.linalg.eigh(covariance)
                    z[:_MOST_DRAWN] = mean + vectors @ (
                        np.sqrt(np.maximum(values, 0.0)) * draw.standard_normal(len(mean))
                    )
                posteriors.append(posterior.append(rows, u, z))
            members.append(Member(m.weight, m.warp, tuple(posteriors), m.best))
        return CurveModel(self.kernel, tuple(members), self.F, self.y, self.full)


def model_of(data: Seen) -> CurveModel | None:
    """The model that has seen all values; None while there is nothing to learn."""
    found = learned(data)
    if found is None or not found.thetas:
        return None
    n = len(data.numbers)
    return conditioned(data, found, len(refits(n)) - 1, n)


def conditioned(data: Seen, found: Learned, turn: int, n: int) -> CurveModel:
    """The members of refit ``turn`` after the first n values."""
    kernel = CurveKernel(data.coordinates.layout)
    F, begin = kernel.features(data.X), refits(len(data.numbers))[turn]
    y = data.values(n, turn)
    numbers, steps = data.numbers[:n], data.steps[:n]
    base = thinned(numbers[:begin], steps[:begin], y[:begin], _MOST_AT_REFIT)
    later = thinned(numbers, steps, y)
    later = later[later >= begin]
    at = np.concatenate([base, later])
    bases = _conditioned.get(found.key, lambda: _bases(data, kernel, found, base))
    bests = _feasible_bests(data, numbers, y)
    warps = curve_warps(y[at], trial_bests(numbers, y))
    u = time_of(steps[later], data.full)
    members = []
    for warp, posteriors, weight in zip(warps, bases, found.weights.tolist(), strict=False):
        grown = [p.with_trials(F).append(numbers[later], u).with_values(warp.z) for p in posteriors]
        best = float(warp.apply(np.array([bests]))[0])
        members.append(Member(weight, warp, tuple(grown), best))
    return CurveModel(kernel, tuple(members), F, y, data.full)


def _bases(
    data: Seen, kernel: CurveKernel, found: Learned, base: Ints
) -> list[list[CurvePosterior]]:
    rows, u = data.numbers[base], time_of(data.steps[base], data.full)
    F, nothing = kernel.features(data.X), np.zeros(len(base))
    return [[CurvePosterior.conditioned(kernel, theta, F, rows, u, nothing) for theta in m] for m in found.thetas]


def _feasible_bests(data: Seen, numbers: Ints, y: Floats) -> float:
    """The best value of a trial that keeps all limits; of any, where none does."""
    good = ~data.has_failed[numbers]
    return float(y[good].min() if good.any() else y.min())
