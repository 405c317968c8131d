"""Gaussian-process search: the most learned from each trial, where trials are dear and parameters mostly numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from honed.algorithms.optimize_acquisition import Region, maximise, untried
from honed.algorithms.sequences import sobol
from honed.algorithms.trust_region import box
from honed.algorithms.warps import is_constant
from honed.domains import Scalar
from honed.history import History
from honed.records import Suggestion
from honed.samplers.base import Stream
from honed.samplers.pareto_gp import ParetoGP, is_for_fronts
from honed.samplers.points import quasi_random
from honed.samplers.scores import Belief, Scores
from honed.samplers.surrogate import LEAST_DATA, Data, Model, data_of, memo, model_of
from honed.samplers.transfer import with_past
from honed.space import Space
from honed.transfer import sources_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PERTURBED, _LEADERS = 100, 5
_N_STARTS, _RESCORED = 10, 64
_KEPT = 256
_ALONE = 256  # candidates for a parameter that is asked for alone


@dataclass(frozen=True, slots=True)
class GP:
    """Bayesian optimisation with Gaussian processes: best up to some 250 trials, 20 parameters and 32 workers.

    Losses and inputs are warped as the data ask for, hyperparameters are averaged over while data are few, categories and
    conditions are part of the model, configurations that fail are avoided. The mathematics and its papers are in
    ``honed.algorithms``: ``ensemble``, ``kernels``, ``warps``, ``acquisition``, ``feasibility``, ``trust_region``.

    Args:
        n_startup: trials with a value before the model is asked; by default twice the parameters, from 5 to 10, and at most
            a quarter of the study's trials.
        deterministic: the objective has no noise: the same params give the same value.
        n_candidates: points that are scored before the best are refined.
        random_every: every so many trials one is not the model's, as insurance against a model that is wrong; 0: none.
    """

    n_startup: int | None = None
    deterministic: bool = False
    n_candidates: int = 1024
    random_every: int = 20
    learns_from_sources: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, least in (("n_startup", 0), ("n_candidates", 1), ("random_every", 0)):
            value = getattr(self, name)
            if value is None and name == "n_startup":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"GP: {name}={value!r} must be a whole number")
            if value < least:
                raise ValueError(f"GP: {name}={value} must be at least {least}")

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        if is_for_fronts(history):
            settings = (self.n_startup, self.deterministic, max(self.n_candidates // 2, 1), self.random_every)
            return ParetoGP(*settings).suggest(history, space, rng, given)
        data = data_of(history, rng)
        is_whole = not given and space.domains.keys() == history.space.domains.keys()
        n_startup = self._n_startup(history)
        least = LEAST_DATA if sources_of(history) else n_startup  # past studies may know more than a few trials
        if len(data.y) < least or is_constant(data.y) or (is_whole and self._is_random(rng)):
            return Suggestion(quasi_random(history, space, rng, given))
        domains = {**history.space.domains, **space.domains}
        model, weights = with_past(history, model_of(history, data, domains, 1e-6 if self.deterministic else None))
        free = [name for name in model.coordinates.domains if name in space]
        if not free or (len(data.y) < n_startup and not any(weights.values())):
            return Suggestion(quasi_random(history, space, rng, given))
        belief = Belief.of(history, model)
        if is_whole:
            ranked = memo.get(
                ("ranked", self, model.key, rng.seed, rng.number, data.pending_key, belief and belief.key),
                lambda: _ranked(self, model, data, belief, Stream(rng.seed, rng.number)),
            )
            if rng.round >= len(ranked):
                return Suggestion(quasi_random(history, space, rng, given))
            chosen = model.coordinates.params(ranked[rng.round], free)
        else:
            scores = Scores.of(model, data, belief, Stream(rng.seed, rng.number), is_quick=True)
            chosen = _completed(model, scores, rng, given, free)
        return Suggestion(_with_the_rest(chosen, model, space, rng))

    def _n_startup(self, history: History) -> int:
        if self.n_startup is not None:
            return max(self.n_startup, LEAST_DATA)
        most = 10 if history.max_trials is None else min(10, max(5, history.max_trials // 4))
        return min(max(5, 2 * len(history.space)), most)

    def _is_random(self, rng: Stream) -> bool:
        return bool(self.random_every) and rng.number % self.random_every == self.random_every - 1


def _ranked(settings: GP, model: Model, data: Data, belief: Belief | None, rng: Stream) -> Floats:
    """Points [k, d], the best first, without those that were tried."""
    scores, coordinates = Scores.of(model, data, belief, rng), model.coordinates
    draw = rng.generator("candidates")
    leaders = _leaders(model, scores)
    theta = scores.ensemble.main.theta
    lengthscales = np.minimum(np.exp(theta[: model.xs.shape[1]]), 1.0)
    low, high = coordinates.bounds()
    if model.side is not None:
        low, high = _boxed(model, leaders[0], theta, low, high)
    region = coordinates.region(list(coordinates.domains), leaders[0], low, high)
    candidates = _candidates(settings.n_candidates, model, region, leaders, lengthscales, draw)
    quick = scores.quick(coordinates.canonical(candidates))
    order = np.argsort(-quick, kind="stable")
    starts = candidates[_starts(quick, order, draw)]
    scales = np.array(
        [0.0 if n else scale for n, scale in zip(coordinates.layout.n_choices, lengthscales, strict=True)]
    )
    climbed = maximise(scores.quick, scores.with_gradient, starts, region, scales)
    points = np.concatenate([climbed, candidates[order[:_RESCORED]]])
    values = scores.full(coordinates.canonical(points))
    points = points[np.argsort(-values, kind="stable")]
    points = np.concatenate([points, candidates[order[_RESCORED:_KEPT]]])
    under_way = np.array([coordinates.row(params) for params in data.pending]).reshape(-1, points.shape[1])
    return untried(coordinates.canonical(points), np.concatenate([model.xs, under_way]))


def _boxed(model: Model, center: Floats, theta: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The bounds within the trust region; choices stay free."""
    numbers = model.coordinates.layout.numbers
    if not numbers or model.side is None:
        return low, high
    low, high = low.copy(), high.copy()
    middle = np.where(np.isnan(center[numbers]), 0.5, np.clip(center[numbers], 0.0, 1.0))
    low_box, high_box = box(middle, model.side, np.exp(theta[numbers]))
    low[numbers], high[numbers] = np.maximum(low[numbers], low_box), np.minimum(high[numbers], high_box)
    for j in numbers:  # never without a value
        grid = model.coordinates.grids[j]
        if grid is not None and not ((grid >= low[j]) & (grid <= high[j])).any():
            low[j] = high[j] = grid[np.abs(grid - center[j]).argmin()] if center[j] == center[j] else grid[0]
    return low, high


def _candidates(
    n: int, model: Model, region: Region, leaders: Floats, lengthscales: Floats, draw: np.random.Generator
) -> Floats:
    """Even points all over the region, the leaders, and steps from them along one or two coordinates."""
    d = len(lengthscales)
    even = model.coordinates.at(sobol(0, n, d, draw.integers(0, 2**32, d).tolist()))
    numbers = model.coordinates.layout.numbers
    if model.side is not None:
        inside = region.low[numbers] + (region.high - region.low)[numbers] * even[:, numbers]
        even[:, numbers] = inside
        keep = draw.random((n, d)) >= min(1.0, 20.0 / d)
        center = np.where(np.isnan(leaders[0]), even, leaders[0])
        even = np.where(keep, center, even)
    origin = leaders[np.arange(_PERTURBED) % len(leaders)]
    fresh = model.coordinates.at(draw.random((_PERTURBED, d)))
    origin = np.where(np.isnan(origin) | (origin < region.low) | (origin > region.high), fresh, origin)
    sigma = np.array([0.3, 0.1, 0.03])[np.arange(_PERTURBED) % 3]
    near = origin.copy()
    is_category = np.array([n > 0 for n in model.coordinates.layout.n_choices])
    for _ in range(2):
        j = draw.integers(0, d, _PERTURBED)
        rows = np.arange(_PERTURBED)
        step = sigma * lengthscales[j] * draw.standard_normal(_PERTURBED)
        near[rows, j] = np.where(is_category[j], fresh[rows, j], near[rows, j] + step)
    points: Floats = np.concatenate([region.snapped(even), region.snapped(near), region.snapped(origin[:_LEADERS])])
    return points


def _starts(values: Floats, order: Ints, draw: np.random.Generator) -> Ints:
    """The best candidate, and others by roulette: probable in proportion to their expected improvement."""
    spread = max(float(values.std()), 1e-9)
    noise = draw.gumbel(size=len(values))
    roulette = np.argsort(-(values - values.max()) / min(spread, 1.0) - noise, kind="stable")
    chosen = dict.fromkeys([*order[:2].tolist(), *roulette.tolist()[: 2 * _N_STARTS]])
    return np.array(list(chosen)[:_N_STARTS])


def _leaders(model: Model, scores: Scores) -> Floats:
    """The best trials [5, d] by the model's means, those that keep their limits first."""
    means = scores.ensemble.means(model.xs)
    order = np.lexsort((means, ~model.standing.is_allowed))
    leaders: Floats = model.xs[order[:_LEADERS]]
    return leaders


def _completed(
    model: Model, scores: Scores, rng: Stream, given: Mapping[str, Scalar], free: list[str]
) -> dict[str, Scalar]:
    """Values for what a trial asks for beside what it has: the best of some candidates, the rest as given.

    What the trial has not asked for yet is taken from the best trial.
    """
    coordinates = model.coordinates
    held = np.where(np.isnan(given_row := coordinates.row(given)), _leaders(model, scores)[0], given_row)
    draw = rng.generator("/".join(free))
    xs = np.tile(held, (_ALONE, 1))
    drawn = coordinates.at(draw.random((_ALONE, len(held))))
    columns = [j for j, name in enumerate(coordinates.domains) if name in free]
    xs[:, columns] = drawn[:, columns]
    best = xs[int(np.argmax(scores.quick(xs)))]
    return coordinates.params(best, free)


def _with_the_rest(chosen: dict[str, Scalar], model: Model, space: Space, rng: Stream) -> dict[str, Scalar]:
    """The chosen values, and draws for names that the model does not know; what is switched off is left out."""
    params = {
        name: chosen[name] if name in chosen else domain.decode(rng.uniform(name))
        for name, domain in space.domains.items()
        if name in chosen or name not in model.coordinates.domains
    }
    return space.active(params)
