"""Gaussian process regression: hyperparameters of the largest posterior density, conditioning, leave-one-out.

Rasmussen, Williams 2006 (chapters 2 and 5): f = 1/2 z'alpha + sum log L_ii + energy of the priors, with the gradient
-1/2 (alpha alpha' - K^-1) pulled back through the covariance. Hyperparameters are fitted from one start, so that a fit is a
function of the data alone. Uncertainty about them enters through draws from the Laplace approximation at their mode.

    X  [n, d]  configurations        z  [n]  standardised values        theta  [k + 1]  logs; the last is the noise s^2
    K  [n, n]  covariance + s^2 I = LL'                                 alpha = K^-1 (z - prior mean)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from honed.algorithms.kernels import Covariance, Points, Prior

Floats = npt.NDArray[np.float64]

FLOOR = 1e-6
"""The least variance of noise."""

_BLOCK = 128  # points at a time: matrices that stay in the cache are several times faster
_MOST_JITTER = 1e-2
_NOISE = (np.log(2e-3), 1.5)
_DRAWS_SEED = 20231020


class Mean(Protocol):
    """What is expected of configurations before there are data."""

    def at(self, X: Floats) -> Floats:
        """[m] at X [m, d]."""
        ...

    def with_gradient(self, X: Floats) -> tuple[Floats, Floats]:
        """[m], and the gradients [m, d]."""
        ...


@dataclass(frozen=True, slots=True)
class Rival:
    """The function at one of the data, with which others are compared.

    Attributes:
        variance: of the function there.
        weights: [n] of the data: the covariance with the function at x is k(x, X) weights.
    """

    variance: float
    weights: Floats


@dataclass(frozen=True, slots=True)
class Posterior:
    """A Gaussian process that has seen data.

    Attributes:
        theta: [k + 1] hyperparameters.
        P: the features of the data.
        z: [n] the values, without the prior mean.
        L_inv: [n, n] inverse of the Cholesky factor of K.
        alpha: [n] K^-1 z.
        mean: the prior mean; None is 0.
    """

    covariance: Covariance
    theta: Floats
    P: Points
    z: Floats
    L_inv: Floats
    alpha: Floats
    mean: Mean | None = None

    @property
    def noise(self) -> float:
        """The variance of what is observed around the function."""
        return float(np.exp(self.theta[-1])) + FLOOR

    def rival(self, i: int, noise: float) -> Rival:
        """The function at the i-th of the data, whose value was observed with this variance of noise.

        With e_i the unit vector, cov(f(x), f(x_i)) = k(x, X) (e_i - K^-1 (K - N) e_i) = k(x, X) K^-1 e_i noise.
        """
        column = self.L_inv.T @ self.L_inv[:, i]
        return Rival(max(noise - noise**2 * float(column[i]), 0.0), noise * column)

    def predict(self, X: Floats, rival: Rival | None = None) -> tuple[Floats, Floats]:
        """Mean and variance of the function at X [m, d], without noise.

        Args:
            rival: the variance is then that of the difference to it.
        """
        if len(X) <= _BLOCK:
            return self._predict(X, rival)
        parts = [self._predict(X[i : i + _BLOCK], rival) for i in range(0, len(X), _BLOCK)]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _predict(self, X: Floats, rival: Rival | None) -> tuple[Floats, Floats]:
        k = self.covariance.cross(self.theta[:-1], self.covariance.points(self.theta[:-1], X), self.P)
        V = k @ self.L_inv.T
        variance = self.covariance.variance(self.theta[:-1]) - np.einsum("ij,ij->i", V, V)
        if rival is not None:
            variance += rival.variance - 2.0 * (k @ rival.weights)
        return self._expected(k, X), np.maximum(variance, 1e-12)

    def _expected(self, k: Floats, X: Floats) -> Floats:
        mean: Floats = k @ self.alpha
        return mean if self.mean is None else mean + self.mean.at(X)

    def means(self, X: Floats) -> Floats:
        """The mean [m] of the function at X alone, which costs little."""
        theta = self.theta[:-1]
        return self._expected(self.covariance.cross(theta, self.covariance.points(theta, X), self.P), X)

    def means_and_gradient(self, X: Floats) -> tuple[Floats, Floats]:
        """``means`` and their gradients [m, d]."""
        theta = self.theta[:-1]
        k, pull = self.covariance.cross_with_pull(theta, self.covariance.points(theta, X), self.P)
        mean, gradient = k @ self.alpha, pull(np.tile(self.alpha, (len(X), 1)))
        if self.mean is None:
            return mean, gradient
        before, slope = self.mean.with_gradient(X)
        return mean + before, gradient + slope

    def predict_joint(self, X: Floats) -> tuple[Floats, Floats]:
        """Mean [m] and covariance [m, m] of the function at X."""
        Q = self.covariance.points(self.theta[:-1], X)
        k = self.covariance.cross(self.theta[:-1], Q, self.P)
        V = k @ self.L_inv.T
        return self._expected(k, X), self.covariance.cross(self.theta[:-1], Q, Q) - V @ V.T

    def predict_with_pull(
        self, X: Floats, rival: Rival | None = None
    ) -> tuple[Floats, Floats, Callable[[Floats, Floats], Floats]]:
        """As ``predict``, and what turns derivatives by mean and variance into gradients by X."""
        Q = self.covariance.points(self.theta[:-1], X)
        k, pull = self.covariance.cross_with_pull(self.theta[:-1], Q, self.P)
        V = k @ self.L_inv.T
        variance = self.covariance.variance(self.theta[:-1]) - np.einsum("ij,ij->i", V, V)
        back = V @ self.L_inv
        if rival is not None:
            variance += rival.variance - 2.0 * (k @ rival.weights)
            back = back + rival.weights
        mean: Floats = k @ self.alpha
        slope: Floats | None = None
        if self.mean is not None:
            before, slope = self.mean.with_gradient(X)
            mean = mean + before

        def gradient(by_mean: Floats, by_variance: Floats) -> Floats:
            found = pull(by_mean[:, None] * self.alpha - 2.0 * by_variance[:, None] * back)
            return found if slope is None else found + by_mean[:, None] * slope

        return mean, np.maximum(variance, 1e-12), gradient

    def append(self, X: Floats, z: Floats | None = None) -> Posterior:
        """The process that has seen more values, by rows of the Cholesky factor: O(n^2) for each.

        Args:
            X: [m, d].
            z: [m]; None believes the mean, which leaves all means as they are and lowers the variance.
        """
        Q = self.covariance.points(self.theta[:-1], X)
        k = self.covariance.cross(self.theta[:-1], Q, self.P)
        C = self.covariance.cross(self.theta[:-1], Q, Q)
        C.flat[:: len(X) + 1] += self.noise
        B = k @ self.L_inv.T  # the new rows of L, left of the new corner
        corner = inverse_factor(C - B @ B.T)
        n, m = len(self.z), len(X)
        L_inv = np.zeros((n + m, n + m))
        L_inv[:n, :n], L_inv[n:, n:] = self.L_inv, corner
        L_inv[n:, :n] = -corner @ (B @ self.L_inv)
        if z is not None and self.mean is not None:
            z = z - self.mean.at(X)
        values = np.concatenate([self.z, k @ self.alpha if z is None else z])
        alpha = L_inv.T @ (L_inv @ values)
        return replace(self, P=self.P.joined(Q), z=values, L_inv=L_inv, alpha=alpha)


def noise_prior(prior: Prior, noise: float | None = None) -> Prior:
    """The covariance's prior with that of log s^2 behind it.

    Args:
        noise: a known variance; by default it is learned around 2e-3 of the values' variance.
    """
    mean, sd = _NOISE if noise is None else (np.log(max(noise, FLOOR)), 1e-3)
    return Prior(mean=np.append(prior.mean, mean), sd=np.append(prior.sd, sd), start=np.append(prior.start, mean))


def fit(covariance: Covariance, X: Floats, z: Floats, prior: Prior, n_iterations: int = 40) -> Floats:
    """The hyperparameters [k + 1] of the largest posterior density, from ``prior.start``.

    Args:
        prior: of the covariance and the noise (``noise_prior``).
        n_iterations: of L-BFGS-B at most.
    """
    from scipy.optimize import minimize

    def objective(theta: Floats) -> tuple[float, Floats]:
        return energy(covariance, theta, X, z, prior)

    options = {"maxiter": n_iterations, "maxfun": 2 * n_iterations, "ftol": 1e-5, "gtol": 1e-3}
    found = minimize(objective, prior.start, jac=True, method="L-BFGS-B", bounds=prior.bounds(), options=options)
    theta: Floats = found.x
    return theta if np.isfinite(found.fun) else prior.start


def energy(covariance: Covariance, theta: Floats, X: Floats, z: Floats, prior: Prior) -> tuple[float, Floats]:
    """Minus the log posterior density of hyperparameters but for a constant, and its gradient [k + 1]."""
    from scipy.linalg.lapack import dpotrf, dpotri

    K, pull = covariance.matrix_with_pull(theta[:-1], X)
    noise = float(np.exp(theta[-1]))
    n = len(z)
    K.flat[:: n + 1] += noise + FLOOR
    L, failed = dpotrf(K, lower=1, clean=1)
    before, gradient = prior.energy(theta)
    if failed:
        return np.inf, gradient
    K_inv, _ = dpotri(L, lower=1)
    K_inv = K_inv + K_inv.T  # it came as the lower half
    K_inv.flat[:: n + 1] *= 0.5
    alpha = K_inv @ z
    value = 0.5 * float(z @ alpha) + float(np.log(np.diagonal(L)).sum()) + before
    A = K_inv - np.outer(alpha, alpha)
    A *= 0.5
    gradient[:-1] += pull(A)
    gradient[-1] += noise * float(np.trace(A))
    return value, gradient


def condition(
    covariance: Covariance, theta: Floats, X: Floats, z: Floats, extra: Floats | float = 0.0, mean: Mean | None = None
) -> Posterior:
    """The process with these hyperparameters that has seen z at X.

    Args:
        extra: [n] variances of values that are less certain than the noise says.
        mean: the prior mean.
    """
    if mean is not None:
        z = z - mean.at(X)
    P = covariance.points(theta[:-1], X)
    K = covariance.cross(theta[:-1], P, P)
    K.flat[:: len(z) + 1] += float(np.exp(theta[-1])) + FLOOR + extra
    L_inv = inverse_factor(K)
    return Posterior(covariance, theta, P, z, L_inv, L_inv.T @ (L_inv @ z), mean)


def inverse_factor(K: Floats) -> Floats:
    """The inverse of the Cholesky factor of K; with as much more on the diagonal as it needs."""
    from scipy.linalg.lapack import dpotrf, dtrtri

    jitter = 0.0
    while True:
        L, failed = dpotrf(K + jitter * np.eye(len(K)) if jitter else K, lower=1, clean=1)
        if not failed:
            inverse: Floats = np.ascontiguousarray(dtrtri(L, lower=1)[0])
            return inverse
        jitter = max(10.0 * jitter, FLOOR)
        if jitter > _MOST_JITTER * max(1.0, float(np.trace(K)) / len(K)):
            raise ArithmeticError("the covariance is not positive definite")


def leave_one_out(posterior: Posterior) -> tuple[Floats, Floats]:
    """Mean and variance [n] of each value, noise included, predicted from all others (ibid., eq. 5.12)."""
    variance = 1.0 / np.einsum("ij,ij->j", posterior.L_inv, posterior.L_inv)
    return posterior.z - posterior.alpha * variance, variance


def laplace_draws(
    covariance: Covariance, theta: Floats, X: Floats, z: Floats, prior: Prior, n_draws: int
) -> list[Floats]:
    """Hyperparameters drawn from the normal approximation at their mode ``theta``; the same for the same data.

    The Hessian is that of differences of gradients; no direction is wider than the prior.
    """
    k, step = len(theta), 1e-3
    H = np.empty((k, k))
    for j in range(k):
        shift = np.zeros(k)
        shift[j] = step
        up, down = (energy(covariance, theta + s * shift, X, z, prior)[1] for s in (1.0, -1.0))
        H[j] = (up - down) / (2.0 * step)
    scaled = prior.sd[:, None] * (0.5 * (H + H.T)) * prior.sd  # the prior's precision is 1 here
    values, vectors = np.linalg.eigh(scaled)
    root = prior.sd[:, None] * vectors / np.sqrt(np.maximum(values, 1.0))
    normals = np.random.default_rng(_DRAWS_SEED).standard_normal((-(-n_draws // 2), k))
    normals = np.concatenate([normals, -normals])[:n_draws]  # in opposite pairs: their mean is the mode
    low, high = np.array(prior.bounds()).T
    return [np.clip(theta + root @ u, low, high) for u in normals]
