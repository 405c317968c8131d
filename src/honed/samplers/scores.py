"""How good a configuration would be as the next trial: what it may gain, what may go wrong, and what the user believes.

log EI + care log P(it does not fail) + care' sum of log P(it keeps a limit) + beta / n log prior. While no trial keeps all
limits, there is nothing to improve on: the probability to keep them is all that counts. Departure: care' is 1 + the trials
that broke limits for each that kept them, at most 4: a search that is beyond the limits most of the time, because all that is
left to gain lies there, turns back. The prior's share is that of pi-BO (Hvarfner et
al. 2022, arXiv 2204.11051, eq. 6): beta is a tenth of the study's trials, so that it fades by itself; it is trusted as far as
trials do not speak against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.ensemble import Ensemble, Standing
from honed.algorithms.feasibility import Survival
from honed.algorithms.limits import Limit
from honed.beliefs import Prior, prior_of, trust
from honed.domains import Domain
from honed.history import History
from honed.samplers.base import Stream
from honed.samplers.surrogate import Data, Model

Floats = npt.NDArray[np.float64]

_MOST_BELIEVED, _MOST_DRAWN = 8, 16
_LEAST_GAIN = float(np.log(1e-4))  # an improvement below this is not worth a failure
_MOST_CARE = 4.0
_USUAL_BETA = 10.0
_STEP = 0.01  # of differences of the prior: wider than its cells


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What the user believes, as a term of the score."""

    prior: Prior
    domains: Mapping[str, Domain]
    numbers: list[int]
    weight: float

    @staticmethod
    def of(history: History, model: Model) -> Belief | None:
        """None without beliefs, or when they are not trusted any more."""
        prior = prior_of(history)
        if prior is None:
            return None
        beta = _USUAL_BETA if history.max_trials is None else history.max_trials / 10.0
        weight = trust(history, prior) * beta / max(history.n_finished, 1)
        coordinates = model.coordinates
        return Belief(prior, coordinates.domains, coordinates.layout.numbers, weight) if weight > 0.0 else None

    @property
    def key(self) -> tuple[object, ...]:
        """Of all that it depends on beside the model."""
        return (repr(self.prior), self.weight)

    def term(self, xs: Floats) -> Floats:
        """[m]."""
        return self.weight * self.prior.log_density(self.domains, xs)

    def gradient(self, xs: Floats) -> Floats:
        """[m, d] of differences."""
        m, d = xs.shape
        slope, k = np.zeros((m, d)), len(self.numbers)
        moved = np.repeat(xs[None], 2 * k, axis=0)
        for i, j in enumerate(self.numbers):
            moved[2 * i, :, j] += _STEP
            moved[2 * i + 1, :, j] -= _STEP
        values = self.term(moved.reshape(-1, d)).reshape(2 * k, m)
        slope[:, self.numbers] = (values[::2] - values[1::2]).T / (2.0 * _STEP)
        return np.where(np.isnan(xs), 0.0, slope)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The acquisition.

    Attributes:
        has_leader: whether some trial keeps all limits, so that there is something to improve on.
        care: how often the log probability to keep the limits counts.
    """

    ensemble: Ensemble
    survival: Survival | None
    limits: tuple[Limit, ...]
    belief: Belief | None
    has_leader: bool
    care: float

    @staticmethod
    def of(model: Model, data: Data, belief: Belief | None, rng: Stream, *, is_quick: bool = False) -> Scores:
        """For the trial of ``rng``.

        Args:
            is_quick: only the most probable hyperparameters.
        """
        pending = np.array([model.coordinates.row(params) for params in data.pending]).reshape(-1, model.xs.shape[1])
        n_kept = int(model.standing.is_allowed.sum())
        care = min(1.0 + (len(model.y) - n_kept) / max(n_kept, 1), _MOST_CARE)
        has_leader = n_kept > 0
        if not has_leader:
            model = replace(model, standing=Standing(model.standing.spreads, np.ones(len(model.y), dtype=np.bool_)))
        ensemble = _ensemble(model, pending, rng, is_quick=is_quick)
        survival = None
        if len(model.failed):
            xs = np.concatenate([model.xs, model.failed])
            f = np.repeat([0.0, 1.0], [len(model.xs), len(model.failed)])
            survival = Survival.fitted(model.hyper.kernel, ensemble.main.theta[:-1], xs, f, xs.shape[1])
        limits = tuple(model.limits(pending[-_MOST_DRAWN:]))
        return Scores(ensemble, survival, limits, belief, has_leader or not limits, care)

    def quick(self, xs: Floats) -> Floats:
        """[m] under the most probable hyperparameters."""
        return self._with_the_rest(
            self.ensemble.log_ei(xs, is_quick=True) if self.has_leader else np.zeros(len(xs)), xs
        )

    def full(self, xs: Floats) -> Floats:
        """[m] under all hyperparameters."""
        return self._with_the_rest(self.ensemble.log_ei(xs) if self.has_leader else np.zeros(len(xs)), xs)

    def with_gradient(self, xs: Floats) -> tuple[Floats, Floats]:
        """``quick`` and its gradients [m, d]."""
        if self.has_leader:
            value, gradient = self.ensemble.log_ei_and_gradient(xs)
        else:
            value, gradient = np.zeros(len(xs)), np.zeros_like(xs)
        if self.survival is not None:
            log_p, slope = self.survival.log_probability_and_gradient(xs)
            floored = np.logaddexp(value, _LEAST_GAIN)
            gradient = np.exp(value - floored)[:, None] * gradient + self.survival.care * slope
            value = floored + self.survival.care * log_p
        for limit in self.limits:
            log_p, slope = limit.log_probability_and_gradient(xs)
            value, gradient = value + self.care * log_p, gradient + self.care * slope
        if self.belief is not None:
            value, gradient = value + self.belief.term(xs), gradient + self.belief.gradient(xs)
        return value, gradient

    def _with_the_rest(self, value: Floats, xs: Floats) -> Floats:
        if self.survival is not None:
            value = np.logaddexp(value, _LEAST_GAIN) + self.survival.care * self.survival.log_probability(xs)
        for limit in self.limits:
            value = value + self.care * limit.log_probability(xs)
        return value if self.belief is None else value + self.belief.term(xs)


def _ensemble(model: Model, pending: Floats, rng: Stream, *, is_quick: bool) -> Ensemble:
    hyper = model.hyper.without_draws() if is_quick else model.hyper
    if len(pending) <= _MOST_BELIEVED:
        return Ensemble.conditioned(hyper, model.xs, model.y, pending, None, model.standing)
    draw = rng.generator("fantasies")
    ensemble = Ensemble.conditioned(hyper, model.xs, model.y, pending[-_MOST_DRAWN:], draw, model.standing)
    return ensemble.believing(pending[:-_MOST_DRAWN]) if len(pending) > _MOST_DRAWN else ensemble
