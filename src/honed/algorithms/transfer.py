"""What past studies say about this one: a prior mean for its Gaussian process, as far as their order agrees with its own.

After RGPE (Feurer et al. 2018, arXiv 1802.02219). One Gaussian process for each source on the normal quantiles of its ranks, as
losses of different studies share no unit. A source's weight is the share of bootstrap samples of this study's trials in which it
orders the pairs best, among the sources and this study's own leave-one-out predictions. Departures: the weighted sum of means is
a prior mean, fitted to the losses by a slope that is shrunk, and this study's process learns what is left; a source that orders
no more than half of the pairs counts nothing; nothing is used where the plain process predicts held-out trials better.

    X  [n, d]  this study's trials        z  [n]  warped losses
    m  [s, n]  means of s sources there   omega  [s]  weights
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.ensemble import Hyperparameters, Member
from honed.algorithms.gp import Posterior, condition, fit, leave_one_out, noise_prior
from honed.algorithms.kernels import ConfigKernel, Layout, Prior
from honed.algorithms.warps import cut_tail, fitted_warps

Floats = npt.NDArray[np.float64]

_BOOTSTRAPS = 200
_SEED = 20180206
_LEAST_WEIGHT = 0.05
_SHRINKAGE = 2.0  # trials' worth of belief that the slope is 0
_MOST_SLOPE = 1.5
_ITERATIONS = 15


def source_posterior(layout: Layout, X: Floats, ranks: Floats) -> Posterior:
    """A past study's process.

    Args:
        X: [k, d] its trials as this study's coordinates.
        ranks: [k] in [0, 1], 0 is its best.
    """
    from scipy.special import ndtri

    z = ndtri((ranks * (len(ranks) - 1) + 0.5) / len(ranks))
    sd = float(z.std())
    z = (z - z.mean()) / (sd if sd > 0.0 else 1.0)
    kernel = ConfigKernel(layout)
    return condition(kernel, fit(kernel, X, z, noise_prior(kernel.prior)), X, z)


@dataclass(frozen=True, slots=True)
class SourceMean:
    """The weighted sum of the sources' means, times a slope.

    Attributes:
        posteriors, weights: of the sources that count.
    """

    posteriors: tuple[Posterior, ...]
    weights: tuple[float, ...]
    slope: float

    def at(self, X: Floats) -> Floats:
        total = np.zeros(len(X))
        for posterior, weight in zip(self.posteriors, self.weights, strict=True):
            total += self.slope * weight * posterior.means(X)
        return total

    def with_gradient(self, X: Floats) -> tuple[Floats, Floats]:
        total, gradient = np.zeros(len(X)), np.zeros_like(X)
        for posterior, weight in zip(self.posteriors, self.weights, strict=True):
            mean, slope = posterior.means_and_gradient(X)
            total += self.slope * weight * mean
            gradient += self.slope * weight * slope
        return total, gradient


def weights_of(own: Floats, means: Floats, z: Floats) -> Floats:
    """Omega [s]: what is missing to 1 is this study's own share.

    Args:
        own: [n] leave-one-out means.
        means: [s, n] of the sources.
        z: [n] the losses, on any scale.
    """
    n = len(z)
    predicted = np.vstack([own, means])
    wrong = _misranked(predicted, z)  # [1 + s, n, n]
    draw = np.random.default_rng(_SEED)
    counts = draw.multinomial(n, np.full(n, 1.0 / n), size=_BOOTSTRAPS).astype(np.float64)
    losses = np.einsum("bi,kij,bj->bk", counts, wrong, counts)
    has_tie_with_best = losses <= losses.min(axis=1, keepdims=True) + 1e-9
    shares = np.where(has_tie_with_best[:, :1], np.eye(len(predicted))[0], has_tie_with_best)  # ties are this study's
    omega: Floats = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)[1:]
    pairs = float((np.triu(np.abs(z[:, None] - z), 1) > 0.0).sum())
    is_better_than_chance = np.triu(wrong[1:], 1).sum(axis=(1, 2)) < 0.5 * pairs
    return np.where(is_better_than_chance & (omega >= _LEAST_WEIGHT), omega, 0.0)


def _misranked(predicted: Floats, z: Floats) -> Floats:
    """[k, n, n] 1 where a pair is ordered otherwise than its losses."""
    is_below = z[:, None] < z
    wrong = (predicted[:, :, None] >= predicted[:, None, :]) & is_below
    return np.asarray(wrong | wrong.transpose(0, 2, 1), dtype=np.float64)


def informed(
    hyper: Hyperparameters, X: Floats, y: Floats, sources: Sequence[Posterior]
) -> tuple[Hyperparameters, Floats]:
    """The hyperparameters with a prior mean, and omega [s]; the same ones and zeros where the sources do not help."""
    warps = {warp.name: warp for warp in fitted_warps(cut_tail(y))}
    main = max(hyper.members, key=lambda member: member.weight)
    z = warps[main.name].z
    own, _ = leave_one_out(condition(hyper.kernel, main.thetas[0], X, z))
    means = np.stack([source.means(X) for source in sources])
    omega = weights_of(own, means, z)
    if not omega.any():
        return hyper, omega
    chosen = tuple(source for source, weight in zip(sources, omega, strict=True) if weight)
    prior = noise_prior(hyper.kernel.prior)
    members, is_better = [], False
    for member in hyper.members:
        z = warps[member.name].z
        mean = SourceMean(chosen, tuple(omega[omega > 0.0].tolist()), _slope(omega @ means, z))
        with_mean = _refitted(hyper.kernel, member, X, z - mean.at(X), prior)
        if member is main:
            plain = condition(hyper.kernel, member.thetas[0], X, z)
            is_better = _held_out(condition(hyper.kernel, with_mean, X, z - mean.at(X))) >= _held_out(plain)
        members.append(replace(member, thetas=(with_mean,), mean=mean))
    if not is_better:
        return hyper, np.zeros(len(sources))
    return replace(hyper, members=tuple(members)), omega


def _slope(mean: Floats, z: Floats) -> float:
    centred = mean - mean.mean()
    return float(np.clip(centred @ z / (centred @ centred + _SHRINKAGE * centred.var() + 1e-12), 0.0, _MOST_SLOPE))


def _refitted(kernel: ConfigKernel, member: Member, X: Floats, rest: Floats, prior: Prior) -> Floats:
    return fit(kernel, X, rest, replace(prior, start=member.thetas[0]), _ITERATIONS)


def _held_out(posterior: Posterior) -> float:
    """The log density of each value, predicted from all others."""
    mean, variance = leave_one_out(posterior)
    return float(-0.5 * (np.log(variance) + (posterior.z - mean) ** 2 / variance).sum())
