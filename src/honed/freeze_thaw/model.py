"""What is learned from curves: hyperparameters at refit points that the data alone set, and what follows by conditioning.

The n-th value to arrive triggers a refit where n is 8, 10, 13, 17, ...: so a study that is opened again learns the same. A
refit starts from the one before, every fourth from the prior, so that few are replayed when a study is opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from honed.algorithms.curve_ensemble import CurveEnsemble, Member
from honed.algorithms.curve_kernels import CurveKernel
from honed.algorithms.curve_model import CurvePosterior, fit, laplace_draws
from honed.algorithms.curve_points import thinned, trial_bests
from honed.algorithms.curve_warps import CurveWarp, curve_warps
from honed.freeze_thaw.risk import survival_of
from honed.freeze_thaw.seen import Seen
from honed.history import Floats, Ints
from honed.memo import Memo, digest

_FIRST_REFIT, _REFIT_GROWTH = 8, 1.3
_COLD_EVERY = 4
_LEAST_TRIALS = 4
_MOST_AT_REFIT = 200  # what comes until the next refit is added to these
_DRAWS_BELOW, _N_DRAWS = 50, 6
_MOST_LUCK = 2.0  # standard deviations

_learned = Memo(128)
_based = Memo(8)


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
        key: of the values that it depends on.
    """

    thetas: tuple[tuple[Floats, ...], ...]
    key: bytes


def learned(data: Seen) -> Learned | None:
    """The last refit for these values; None before the first."""
    turn = len(refits(len(data.numbers))) - 1
    return None if turn < 0 else _refit(data, turn)


def _refit(data: Seen, turn: int) -> Learned:
    n = refits(len(data.numbers))[turn]
    trials = np.unique(data.numbers[:n])
    key = digest(data.xs[trials], data.numbers[:n], data.steps[:n], data.losses[:n], data.places[:n])
    key += f"/{data.full}/{data.seed}/{data.coordinates.layout}".encode()
    if data.times.is_stretched:
        key += digest(data.totals[trials], data.times.schedule[trials], data.times.progress)
    return _learned.get(key, lambda: _learn(data, n, turn, key))


def _learn(data: Seen, n: int, turn: int, key: bytes) -> Learned:
    before = _refit(data, turn - 1) if turn % _COLD_EVERY else None
    y = data.values(n, turn)
    at = thinned(data.numbers[:n], data.steps[:n], y, _MOST_AT_REFIT, closing=data.is_averaged)
    trials, rows = np.unique(data.numbers[at], return_inverse=True)
    warps = curve_warps(y[at], trial_bests(data.numbers[:n], y))
    if len(trials) < _LEAST_TRIALS or not warps:
        return Learned((), key)
    kernel = CurveKernel(data.coordinates.layout)
    features, u = kernel.features(data.xs[trials]), data.times.of(data.numbers[at], data.places[at])
    thetas = []
    for i, warp in enumerate(warps):
        start = before.thetas[i][0] if before is not None and before.thetas else None
        theta = fit(kernel, features, rows, u, warp.z, start)
        draws = laplace_draws(kernel, theta, features, rows, u, warp.z, _N_DRAWS) if len(at) < _DRAWS_BELOW else []
        thetas.append((theta, *draws))
    return Learned(tuple(thetas), key)


# ------------------------------------------------------------------------------------------------------------- model


def model_of(data: Seen) -> CurveEnsemble | None:
    """The ensemble that has seen all values; None while there is nothing to learn."""
    found, n = learned(data), len(data.numbers)
    if found is None or not found.thetas:
        return None
    grown = _conditioned(data, found, len(refits(n)) - 1, n)
    best = np.array([_best(data, grown.y)])
    parts = zip(grown.posteriors, grown.warps, strict=False)
    rows = data.leading()
    u = data.times.of(rows, np.maximum(data.at[rows], 1))
    members = tuple(
        Member(posteriors, _beside_noise(posteriors[0], float(warp.apply(best)[0]), rows, u), warp)
        for posteriors, warp in parts
    )
    if not members:
        return None
    ensemble = CurveEnsemble(CurveKernel(data.coordinates.layout), members, data.times)
    return replace(ensemble, survival=survival_of(data, ensemble.lengthscales))


@dataclass(frozen=True, slots=True, eq=False)
class _Grown:
    """The members of a refit after more values.

    Attributes:
        y: the values that they have seen, as single numbers.
    """

    y: Floats
    warps: tuple[CurveWarp, ...]
    posteriors: tuple[tuple[CurvePosterior, ...], ...]


def _conditioned(data: Seen, found: Learned, turn: int, n: int) -> _Grown:
    """The members of refit ``turn`` after the first n values."""
    kernel, begin = CurveKernel(data.coordinates.layout), refits(len(data.numbers))[turn]
    y, numbers, steps = data.values(n, turn), data.numbers[:n], data.steps[:n]
    base = thinned(numbers[:begin], steps[:begin], data.values(begin, turn), _MOST_AT_REFIT, closing=data.is_averaged)
    later = thinned(numbers, steps, y, closing=data.is_averaged)
    later = later[later >= begin]
    bases = _based.get(found.key, lambda: _bases(data, kernel, found, base))
    at, u = np.concatenate([base, later]), data.times.of(numbers[later], data.places[later])
    design = bases[0][0].design.joined(numbers[later], u)
    warps = curve_warps(y[at], trial_bests(numbers, y))
    features, grown = kernel.features(data.xs), []
    for warp, posteriors in zip(warps, bases, strict=False):
        more = [p.with_trials(features).joined(design, warp.z) for p in posteriors]
        grown.append(tuple(more))
    return _Grown(y, tuple(warps), tuple(grown))


def _bases(data: Seen, kernel: CurveKernel, found: Learned, base: Ints) -> list[list[CurvePosterior]]:
    rows, u = data.numbers[base], data.times.of(data.numbers[base], data.places[base])
    features, nothing = kernel.features(data.xs), np.zeros(len(base))
    return [
        [CurvePosterior.conditioned(kernel, theta, features, rows, u, nothing) for theta in thetas]
        for thetas in found.thetas
    ]


def _beside_noise(posterior: CurvePosterior, best: float, rows: Ints, u: Floats) -> float:
    """The best value without its luck: the lowest mean of a curve at its last point, where noise explains the difference."""
    lowest = float(posterior.means(rows, u).min())
    return best + min(max(lowest - best, 0.0), _MOST_LUCK * math.sqrt(posterior.noise))


def _best(data: Seen, y: Floats) -> float:
    """The best value of a trial that did not fail; of any, where all have."""
    good = ~data.has_failed[data.numbers]
    return float(y[good].min() if good.any() else y.min())
