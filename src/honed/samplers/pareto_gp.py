"""Gaussian processes for two or three objectives: the trial from which the dominated volume is expected to gain most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.algorithms.optimize_acquisition import Region, maximise, untried
from honed.algorithms.sequences import sobol
from honed.algorithms.warps import is_constant
from honed.domains import Scalar
from honed.history import History
from honed.records import Suggestion
from honed.samplers.base import Stream
from honed.samplers.coordinates import Coordinates
from honed.samplers.pareto_models import Data, Models, Scores
from honed.samplers.points import quasi_random
from honed.samplers.surrogate import LEAST_DATA, memo
from honed.space import Space

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MOST_OBJECTIVES, _MOST_TRIALS = 3, 250
_PERTURBED, _RESCORED, _KEPT, _ALONE = 128, 48, 256, 256
_STARTS = 12  # for all objectives together: with three a climb costs twice as much


@dataclass(frozen=True, slots=True)
class ParetoGP:
    """Bayesian optimisation of two or three objectives: log NEHVI over a Gaussian process for each.

    What is expected of a trial is how much more it lets the front dominate, averaged over what the front may truly be; so noise
    does not freeze a lucky one. Measured constraints and failures multiply in as probabilities. The mathematics and its
    papers: ``honed.algorithms.ehvi``. ``GP`` hands studies with two or three objectives over to it.

    Args:
        n_startup: trials with values before the models are asked; by default twice the parameters, from 5 to 10, and at most a
            quarter of the study's trials.
        deterministic: the objectives have no noise.
        n_candidates: points that are scored before the best are refined.
        random_every: every so many trials one is not the models'; 0: none.
    """

    n_startup: int | None = None
    deterministic: bool = False
    n_candidates: int = 1024
    random_every: int = 20

    def __post_init__(self) -> None:
        for name, least in (("n_startup", 0), ("n_candidates", 1), ("random_every", 0)):
            value = getattr(self, name)
            if value is None and name == "n_startup":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"ParetoGP: {name}={value!r} must be a whole number")
            if value < least:
                raise ValueError(f"ParetoGP: {name}={value} must be at least {least}")

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        n_objectives = len(history.study.directions)
        if not 2 <= n_objectives <= _MOST_OBJECTIVES:
            raise ValueError(
                f"ParetoGP: the study has {n_objectives} objective{'s' if n_objectives != 1 else ''}, it is for 2 or 3; use GP()"
            )
        is_whole = not given and space.domains.keys() == history.space.domains.keys()
        data = Data.of(history, {**history.space.domains, **space.domains}, rng)
        is_random = is_whole and bool(self.random_every) and rng.number % self.random_every == self.random_every - 1
        free = [name for name in data.coordinates.domains if name in space]
        if is_random or not free or data.n < self._n_startup(history) or all(map(is_constant, data.losses.T)):
            return Suggestion(quasi_random(history, space, rng, given))
        if not is_whole:
            return Suggestion(_with_the_rest(_completed(self, data, rng, given, free), data, space, rng))
        ranked = memo.get(
            ("pareto", self, data.key, rng.seed, rng.number), lambda: _ranked(self, data, Stream(rng.seed, rng.number))
        )
        if rng.round >= len(ranked):
            return Suggestion(quasi_random(history, space, rng, given))
        return Suggestion(_with_the_rest(data.coordinates.params(ranked[rng.round], free), data, space, rng))

    @property
    def noise(self) -> float | None:
        """The variance of the noise as a share of that of the losses; None learns it."""
        return 1e-6 if self.deterministic else None

    def _n_startup(self, history: History) -> int:
        if self.n_startup is not None:
            return max(self.n_startup, LEAST_DATA)
        most = 10 if history.max_trials is None else min(10, max(5, history.max_trials // 4))
        return min(max(5, 2 * len(history.space)), most)


def is_for_fronts(history: History) -> bool:
    """Whether there are few enough objectives to cut volumes into boxes, and few enough trials for processes."""
    return 2 <= len(history.study.directions) <= _MOST_OBJECTIVES and history.n_finished <= _MOST_TRIALS


# ------------------------------------------------------------------------------------------------------------ suggestions


def _ranked(settings: ParetoGP, data: Data, rng: Stream) -> Floats:
    """Points [k, d], the best first, without those that were tried."""
    models = Models.of(data, settings.noise)
    scores, coordinates = Scores.of(models, data, rng), data.coordinates
    draw = rng.generator("candidates")
    low, high = coordinates.bounds()
    region = coordinates.region(list(coordinates.domains), data.xs[0], low, high)
    thetas = np.array([p.theta[: data.xs.shape[1]] for p in models.objectives])
    lengthscales = np.minimum(np.exp(thetas.min(axis=0)), 1.0)
    leaders = data.xs[_leading(data, models)]
    n = settings.n_candidates if len(models.objectives) == 2 else max(settings.n_candidates // 2, 1)
    candidates = _candidates(n, coordinates, region, leaders, lengthscales, draw)
    quick = scores.quick(coordinates.canonical(candidates))
    order = np.argsort(-quick, kind="stable")
    roulette = np.argsort(-(quick - quick.max()) - draw.gumbel(size=len(quick)), kind="stable")
    n_starts = _STARTS // len(models.objectives)
    starts = np.array(list(dict.fromkeys([*order[:2].tolist(), *roulette[: 2 * n_starts].tolist()]))[:n_starts])
    scales = np.array([0.0 if k else s for k, s in zip(coordinates.layout.n_choices, lengthscales, strict=True)])
    climbed = maximise(scores.quick, scores.with_gradient, candidates[starts], region, scales)
    points = np.concatenate([climbed, candidates[order[:_RESCORED]]])
    values = scores.full(coordinates.canonical(points))
    points = np.concatenate([points[np.argsort(-values, kind="stable")], candidates[order[_RESCORED:_KEPT]]])
    return untried(coordinates.canonical(points), np.concatenate([data.xs, data.pending]))


def _leading(data: Data, models: Models) -> Ints:
    """The trials on the expected front; while no trial keeps all limits, the one that comes nearest."""
    keeps = np.flatnonzero(data.violations <= 0.0)
    if not len(keeps):
        return np.array([data.violations.argmin()])
    means = np.stack([p.z[: data.n] - p.noise * p.alpha[: data.n] for p in models.objectives], axis=1)[keeps]
    on_front = (means[:, None] == models.front[None]).all(axis=2).any(axis=1)
    return keeps[on_front] if on_front.any() else keeps[:1]


def _candidates(
    n: int, coordinates: Coordinates, region: Region, leaders: Floats, lengthscales: Floats, draw: np.random.Generator
) -> Floats:
    """Even points, steps from points of the front along one or two coordinates, and points between two of them."""
    d = len(lengthscales)
    even = coordinates.at(sobol(0, n, d, draw.integers(0, 2**32, d).tolist()))
    fresh = coordinates.at(draw.random((_PERTURBED, d)))
    rows = np.arange(_PERTURBED)
    first, second = leaders[rows % len(leaders)], leaders[draw.integers(0, len(leaders), _PERTURBED)]
    first, second = np.where(np.isnan(first), fresh, first), np.where(np.isnan(second), fresh, second)
    is_category = np.array([k > 0 for k in coordinates.layout.n_choices])
    near = first.copy()
    sigma = np.array([0.3, 0.1, 0.03])[rows % 3]
    for _ in range(2):
        j = draw.integers(0, d, _PERTURBED)
        step = sigma * lengthscales[j] * draw.standard_normal(_PERTURBED)
        near[rows, j] = np.where(is_category[j], fresh[rows, j], near[rows, j] + step)
    t = draw.random((_PERTURBED, 1))
    swapped = np.where(draw.random((_PERTURBED, d)) < t, second, first)
    between = np.where(is_category, swapped, (1.0 - t) * first + t * second)
    points: Floats = np.concatenate([region.snapped(x) for x in (even, near, between)])
    return points


def _completed(
    settings: ParetoGP, data: Data, rng: Stream, given: Mapping[str, Scalar], free: list[str]
) -> dict[str, Scalar]:
    """Values for what a trial asks for beside what it has: the best of some, beside what a trial of the front has."""
    models, stream = Models.of(data, settings.noise), Stream(rng.seed, rng.number)
    scores, leaders = Scores.of(models, data, stream), data.xs[_leading(data, models)]
    leader = leaders[int(stream.uniform("leader") * len(leaders))]
    held = np.where(np.isnan(row := data.coordinates.row(given)), leader, row)
    xs = np.tile(held, (_ALONE, 1))
    columns = [j for j, name in enumerate(data.coordinates.domains) if name in free]
    xs[:, columns] = data.coordinates.at(rng.generator("/".join(free)).random((_ALONE, len(held))))[:, columns]
    return data.coordinates.params(xs[int(np.argmax(scores.quick(xs)))], free)


def _with_the_rest(chosen: dict[str, Scalar], data: Data, space: Space, rng: Stream) -> dict[str, Scalar]:
    """The chosen values, and draws for names that the models do not know; what is switched off is left out."""
    params = {
        name: chosen[name] if name in chosen else domain.decode(rng.uniform(name))
        for name, domain in space.domains.items()
        if name in chosen or name not in data.coordinates.domains
    }
    return space.active(params)
