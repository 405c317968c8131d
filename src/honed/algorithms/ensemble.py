"""The surrogate of losses: Gaussian processes under several output warps and hyperparameters, and their log EI.

Each warp of ``warps`` is fitted by itself. A member's weight is the softmax of how well it predicts each loss from the
others, as the mass that it gives to the cell between two quantiles in which the loss lies: members on different scales are
compared without Jacobians. While data are few, a member's expected improvement is the mean over draws from
the Laplace approximation. A member's scale is an additive constant in log EI, so the members' log EI are averaged by weight.

    X  [n, d]  configurations        y  [n]  losses, finite
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.acquisition import log_ei, log_ei_slopes, log_mean_exp
from honed.algorithms.gp import Mean, Posterior, Rival, condition, fit, laplace_draws, leave_one_out, noise_prior
from honed.algorithms.kernels import ConfigKernel, Layout
from honed.algorithms.warps import Warped, cut_tail, fitted_warps

Floats = npt.NDArray[np.float64]

WARP_FROM = 30  # from 15 on, as in the literature, was worse on HPOBench and on functions in 3 to 8 dimensions
DRAWS_BELOW = 50
N_DRAWS = 6
_MORE_ITERATIONS = 12
_LEAST_WEIGHT = 0.1
_MOST_SPREAD = 3.0  # standard deviations of all losses: a prediction that says nothing
_CELLS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Member:
    """One warp's hyperparameters: the most probable ones first, then draws; and its prior mean, if it has one."""

    name: str
    weight: float
    thetas: tuple[Floats, ...]
    mean: Mean | None = None


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What is learned at a refit and kept until the next one."""

    kernel: ConfigKernel
    members: tuple[Member, ...]

    def without_draws(self) -> Hyperparameters:
        """Only the most probable ones."""
        return replace(self, members=tuple(replace(member, thetas=member.thetas[:1]) for member in self.members))


def refit_at(n: int) -> int:
    """The last refit before or at n points: 4, 5, ... 10, 12, 14, 16, 19, ... a sixth apart."""
    at = 4
    while (following := max(at + 1, at * 6 // 5)) <= n:
        at = following
    return min(at, n)


def learn(layout: Layout, X: Floats, y: Floats, noise: float | None = None) -> Hyperparameters:
    """The hyperparameters and weights of all members; a function of the data alone.

    Args:
        noise: variance of the noise, as a share of that of the losses; None learns it.
    """
    kernel = ConfigKernel(layout, is_warped=len(y) >= WARP_FROM and bool(layout.numbers))
    prior = noise_prior(kernel.prior, noise)
    cut = cut_tail(y)
    warps = fitted_warps(cut)
    found = [fit(kernel, X, warps[0].z, prior)]
    near = replace(prior, start=found[0])  # other warps of the same losses end not far from there
    found += [fit(kernel, X, warp.z, near, _MORE_ITERATIONS) for warp in warps[1:]]
    scores = [score(warp, condition(kernel, theta, X, warp.z), cut) for warp, theta in zip(warps, found, strict=True)]
    weights = weights_of(scores)
    members = []
    for warp, theta, weight in zip(warps, found, weights, strict=True):
        if not weight:
            continue
        draws = laplace_draws(kernel, theta, X, warp.z, prior, N_DRAWS) if len(y) < DRAWS_BELOW else []
        members.append(Member(warp.name, weight, (theta, *draws)))
    return Hyperparameters(kernel, tuple(members))


def weights_of(scores: Sequence[float]) -> list[float]:
    """The softmax, without members that it leaves below a tenth."""
    shares = np.exp(np.asarray(scores) - max(scores))
    shares /= shares.sum()
    shares[shares < _LEAST_WEIGHT] = 0.0
    weights: list[float] = (shares / shares.sum()).tolist()
    return weights


def score(warp: Warped, posterior: Posterior, y: Floats) -> float:
    """The log of the mass that leave-one-out predictions give to the cells in which the losses lie."""
    from scipy.special import ndtr

    edges = np.unique(np.quantile(y, _CELLS))
    inner = warp.apply(edges)
    low, high = np.concatenate([[-np.inf], inner]), np.concatenate([inner, [np.inf]])
    cell = np.searchsorted(edges, y, side="left")
    mean, variance = leave_one_out(posterior)
    sd = np.sqrt(variance)
    mass = ndtr((high[cell] - mean) / sd) - ndtr((low[cell] - mean) / sd)
    return float(np.log(np.maximum(mass, 1e-4)).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What is known of trials beside their losses.

    Attributes:
        spreads: [n] standard deviations of losses that are predicted, in their unit; 0 for those that were measured.
        is_allowed: [n] whether a trial may be the one to improve on; at least one is.
    """

    spreads: Floats
    is_allowed: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Leader:
    """The trial to improve on: its place among the data, its posterior mean, and the variance of what was observed there."""

    at: int
    mean: float
    noise: float


@dataclass(frozen=True, slots=True)
class Weighted:
    """A member that has seen the data.

    Attributes:
        posteriors: under the most probable hyperparameters, then under the draws.
        leaders: the trial with the lowest posterior mean of those that may be improved on, for each.
        rivals: the function there, as the posteriors see it.
    """

    weight: float
    posteriors: tuple[Posterior, ...]
    leaders: tuple[Leader, ...]
    rivals: tuple[Rival, ...]

    @staticmethod
    def of(weight: float, posteriors: Sequence[Posterior], leaders: Sequence[Leader]) -> Weighted:
        """With the rivals that belong to them."""
        rivals = [p.rival(leader.at, leader.noise) for p, leader in zip(posteriors, leaders, strict=True)]
        return Weighted(weight, tuple(posteriors), tuple(leaders), tuple(rivals))

    @property
    def bests(self) -> tuple[float, ...]:
        """The posterior means to improve on."""
        return tuple(leader.mean for leader in self.leaders)

    def believing(self, X: Floats) -> Weighted:
        """The same, with its means at X taken for values."""
        return Weighted.of(self.weight, [posterior.append(X) for posterior in self.posteriors], self.leaders)

    def log_ei(self, X: Floats, n: int) -> list[Floats]:
        """[m] under each of the first ``n`` hyperparameters."""
        seen = zip(self.posteriors[:n], self.bests[:n], self.rivals[:n], strict=True)
        return [log_ei(*posterior.predict(X, rival), best) for posterior, best, rival in seen]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The members, ready to score configurations."""

    members: tuple[Weighted, ...]

    @staticmethod
    def conditioned(
        hyper: Hyperparameters,
        X: Floats,
        y: Floats,
        pending: Floats,
        draw: np.random.Generator | None,
        standing: Standing | None = None,
    ) -> Ensemble:
        """The members that have seen all data, and believe or draw what is pending.

        Args:
            pending: [p, d] configurations whose losses are not known yet.
            draw: draws their values from the joint posterior; None believes the means.
            standing: by default all losses are measured and may be improved on.
        """
        cut = cut_tail(y)
        warps = {warp.name: warp for warp in fitted_warps(cut)}
        is_allowed = np.ones(len(y), dtype=bool) if standing is None else standing.is_allowed
        members = []
        for member in hyper.members:
            warp = warps[member.name]
            extra = 0.0 if standing is None else _variances(warp, cut, standing.spreads)
            posteriors = [condition(hyper.kernel, theta, X, warp.z, extra, member.mean) for theta in member.thetas]
            leaders = [_lowest(p, warp.z, extra, is_allowed) for p in posteriors]
            if len(pending):
                posteriors = [p.append(pending, _drawn(p, pending, draw)) for p in posteriors]
            members.append(Weighted.of(member.weight, posteriors, leaders))
        return Ensemble(tuple(members))

    @property
    def main(self) -> Posterior:
        """The most probable process of the heaviest member."""
        return max(self.members, key=lambda member: member.weight).posteriors[0]

    def log_ei(self, X: Floats, *, is_quick: bool = False) -> Floats:
        """[m].

        Args:
            is_quick: only the most probable hyperparameters.
        """
        total = np.zeros(len(X))
        for member in self.members:
            values = member.log_ei(X, 1 if is_quick else len(member.posteriors))
            total += member.weight * log_mean_exp(values)
        return total

    def log_ei_and_gradient(self, X: Floats) -> tuple[Floats, Floats]:
        """[m] and [m, d], under the most probable hyperparameters only."""
        total, gradient = np.zeros(len(X)), np.zeros_like(X)
        for member in self.members:
            mean, variance, pull = member.posteriors[0].predict_with_pull(X, member.rivals[0])
            value, by_mean, by_variance = log_ei_slopes(mean, variance, member.bests[0])
            total += member.weight * value
            gradient += member.weight * pull(by_mean, by_variance)
        return total, gradient

    def believing(self, X: Floats) -> Ensemble:
        """The ensemble that takes its means at X for values."""
        members = [m.believing(X) for m in self.members]
        return Ensemble(tuple(members))

    def means(self, X: Floats) -> Floats:
        """[m] the weighted posterior means of the most probable processes: smaller is better."""
        total = np.zeros(len(X))
        for member in self.members:
            total += member.weight * member.posteriors[0].predict(X)[0]
        return total


def _variances(warp: Warped, y: Floats, spreads: Floats) -> Floats | float:
    """[n] variances of warped losses whose losses have these spreads."""
    if not spreads.any():
        return 0.0
    half = 0.5 * (warp.apply(y + spreads) - warp.apply(y - spreads))
    return np.asarray(np.minimum(half, _MOST_SPREAD) ** 2)


def _lowest(posterior: Posterior, z: Floats, extra: Floats | float, is_allowed: npt.NDArray[np.bool_]) -> Leader:
    """The lowest posterior mean at the data, of which some are no candidates."""
    noise = posterior.noise + extra + np.zeros(len(z))
    means = np.where(is_allowed, z - noise * posterior.alpha, np.inf)
    at = int(means.argmin())
    return Leader(at, float(means[at]), float(noise[at]))


def _drawn(posterior: Posterior, pending: Floats, draw: np.random.Generator | None) -> Floats | None:
    """Values of pending configurations from their joint posterior; None for the means."""
    if draw is None:
        return None
    mean, covariance = posterior.predict_joint(pending)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(mean + vectors @ (np.sqrt(np.maximum(values, 0.0)) * draw.standard_normal(len(mean))))
