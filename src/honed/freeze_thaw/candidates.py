"""Where new configurations come from: even points all over the space, steps from the best ones, and a climb from a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from honed.algorithms.curve_ensemble import CurveEnsemble, NewScores
from honed.algorithms.optimize_acquisition import Region, climb, untried
from honed.algorithms.sequences import sobol
from honed.freeze_thaw.seen import Seen
from honed.history import Floats

_EVEN, _LEADERS, _AROUND = 512, 5, 32
_SIGMAS = np.array([0.3, 0.1, 0.03])
_CLIMBERS, _CLIMB = 3, 10


@runtime_checkable
class Candidates(Protocol):
    """Which new configurations may be begun."""

    def points(self, data: Seen, model: CurveEnsemble, draw: np.random.Generator) -> Floats:
        """Allowed points [c, d] in the columns of ``data.coordinates``, without those that were tried."""
        ...

    def improved(self, data: Seen, model: CurveEnsemble, scores: NewScores, best: Floats) -> Floats:
        """More allowed points [k, d], found from the best ones."""
        ...


@dataclass(frozen=True, slots=True)
class Everywhere:
    """The whole space."""

    def points(self, data: Seen, model: CurveEnsemble, draw: np.random.Generator) -> Floats:
        coordinates = data.coordinates
        d: int = data.xs.shape[1]
        seeds: list[int] = draw.integers(0, 2**32, d).tolist()
        even = coordinates.at(sobol(0, _EVEN, d, seeds))
        lengthscales = np.minimum(model.lengthscales, 1.0)
        origin = np.repeat(leaders(data, model), _AROUND, axis=0)
        m = len(origin)
        fresh = coordinates.at(draw.random((m, d)))
        low, high = coordinates.bounds()
        near = np.where(np.isnan(origin) | (origin < low) | (origin > high), fresh, origin)
        is_category = np.array([n > 0 for n in coordinates.layout.n_choices], dtype=bool)
        rows, sigma = np.arange(m), _SIGMAS[np.arange(m) % len(_SIGMAS)]
        is_second = draw.random(m) < 0.5
        for turn in range(2 if d else 0):
            j = draw.integers(0, d, m)
            step = sigma * lengthscales[j] * draw.standard_normal(m)
            moved = np.where(is_category[j], fresh[rows, j], near[rows, j] + step)
            near[rows, j] = np.where(is_second | (turn == 0), moved, near[rows, j])
        region = _region(data, near[0] if m else even[0])
        points = np.concatenate([even, region.snapped(near)])
        points = np.where(np.isnan(data.fixed), points, data.fixed)
        return _untried(data, coordinates.canonical(points))

    def improved(self, data: Seen, model: CurveEnsemble, scores: NewScores, best: Floats) -> Floats:
        coordinates, numbers = data.coordinates, data.coordinates.layout.numbers
        starts = best[:_CLIMBERS]
        if not numbers or not len(starts):
            return starts[:0]
        scales = np.zeros(data.xs.shape[1])
        scales[numbers] = np.minimum(model.lengthscales, 1.0)[numbers]
        low, high = coordinates.bounds()
        held = np.where(np.isnan(starts), 0.5 * (low + high), starts)
        region = _region(data, held[0])
        climbed = climb(scores.with_gradient, held, region, scales, _CLIMB)
        return _untried(data, coordinates.canonical(region.snapped(climbed)))


def _region(data: Seen, held: Floats) -> Region:
    low, high = data.coordinates.bounds()
    is_fixed = ~np.isnan(data.fixed)
    free = [name for name, held_at in zip(data.coordinates.domains, is_fixed, strict=True) if not held_at]
    return data.coordinates.region(free, np.where(is_fixed, data.fixed, held), low, high)


def _untried(data: Seen, points: Floats) -> Floats:
    """Points that no trial has, whatever its length."""
    if data.own_columns == data.xs.shape[1]:
        return untried(points, data.xs)
    tried = data.xs.copy()
    tried[:, data.own_columns :] = data.fixed[data.own_columns :]
    return untried(points, tried)


def leaders(data: Seen, model: CurveEnsemble) -> Floats:
    """The trials [5, d] with the best means at their ends, the best first, without those that failed."""
    rows = data.leading()
    means = model.means(rows, data.totals[rows])
    return data.xs[rows[np.argsort(means, kind="stable")[:_LEADERS]]]
