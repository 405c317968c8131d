"""How likely a configuration is to fail, from those that failed and those that did not.

Kernel-Beta: p(x) = (p0 + sum_i k_i f_i) / (1 + sum_i k_i), k_i the correlation of x with configuration i, f_i whether it
failed, p0 = (n_failed + 1) / (n + 2): the mean of a Beta distribution that near neighbours have moved. From 20 failures on
a logistic model on [x, x^2] competes by the log score of what each predicts for trials held out: memory, for one, grows
with width and batch size, which a monotone model extrapolates. The border need not be as smooth as the loss: lengthscales
may be shorter by a factor, chosen by the same score. Departure: the log of the probability to survive counts
1 + n_failed / 2 times, at most 10: a search that fails again and again becomes careful, however good a place looks.

    k  [m, n]  correlations in [0, 1]        f  [n]  1 failed, 0 survived        X  [n, p]  features
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.kernels import MEAN_VARIANCE, Covariance, Points

Floats = npt.NDArray[np.float64]

ENOUGH = 20
"""Failures from which on the logistic model competes."""

_FOLDS = 5
_SHORTER = (1.0, 2.0, 4.0, 8.0)
_MOST_CARE = 10.0
_RIDGE = 1.0


def kernel_beta(k: Floats, f: Floats) -> Floats:
    """The probability of failing [m]."""
    p0 = (f.sum() + 1.0) / (len(f) + 2.0)
    return np.asarray((p0 + k @ f) / (1.0 + k.sum(axis=1)))


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression on [x, x^2] with a ridge, by Newton's method."""

    weights: Floats

    @staticmethod
    def fitted(X: Floats, f: Floats) -> Logistic:
        """The weights of the largest posterior density."""
        B = _basis(X)
        ridge = np.full(B.shape[1], _RIDGE)
        ridge[0] = 1e-3
        w = np.zeros(B.shape[1])
        for _ in range(25):
            p = _sigmoid(B @ w)
            gradient = B.T @ (p - f) + ridge * w
            H = (B * (p * (1.0 - p))[:, None]).T @ B + np.diag(ridge)
            step = np.linalg.solve(H, gradient)
            w = w - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
            if float(np.abs(step).max()) < 1e-8:
                break
        return Logistic(w)

    def predict(self, X: Floats) -> Floats:
        """The probability of failing [m]."""
        return _sigmoid(_basis(X) @ self.weights)


def prefers_logistic(k: Floats, X: Floats, f: Floats) -> bool:
    """Whether the logistic model predicts held-out trials better.

    Args:
        k: [n, n] correlations among the trials themselves.
    """
    if f.sum() < ENOUGH or (1.0 - f).sum() < _FOLDS:
        return False
    fold = np.arange(len(f)) % _FOLDS
    by_kernel, by_logistic = np.empty(len(f)), np.empty(len(f))
    for i in range(_FOLDS):
        held, rest = fold == i, fold != i
        by_kernel[held] = kernel_beta(k[np.ix_(held, rest)], f[rest])
        by_logistic[held] = Logistic.fitted(X[rest], f[rest]).predict(X[held])
    return _log_score(by_logistic, f) > _log_score(by_kernel, f)


@dataclass(frozen=True, slots=True)
class Survival:
    """The log of the probability that a configuration does not fail, with gradients.

    Attributes:
        theta: hyperparameters of ``covariance``, of which the correlations are taken.
        P, f: the trials and whether they failed.
        logistic: takes the place of the kernel where it predicts better.
    """

    covariance: Covariance
    theta: Floats
    P: Points
    f: Floats
    logistic: Logistic | None

    @staticmethod
    def fitted(covariance: Covariance, theta: Floats, X: Floats, f: Floats, n_lengthscales: int) -> Survival:
        """From the trials X [n, d], f [n].

        Args:
            n_lengthscales: the first so many of ``theta`` are logs of lengthscales.
        """
        found: list[tuple[float, Survival, Floats]] = []
        for factor in _SHORTER:
            shorter = theta.copy()
            shorter[:n_lengthscales] -= np.log(factor)
            kernel = Survival(covariance, shorter, covariance.points(shorter, X), f, None)
            k = kernel.correlations(kernel.P)
            without = k - np.diag(np.diagonal(k))
            found.append((_log_score(kernel_beta(without, f), f), kernel, k))
        _, best, k = max(found, key=lambda entry: entry[0])
        if prefers_logistic(k, _filled(X), f):
            return replace(best, logistic=Logistic.fitted(_filled(X), f))
        return best

    def correlations(self, Q: Points) -> Floats:
        """[m, n] of points with the trials."""
        scale = self.covariance.variance(self.theta) - MEAN_VARIANCE
        return (self.covariance.cross(self.theta, Q, self.P) - MEAN_VARIANCE) / scale

    @property
    def care(self) -> float:
        """How often the log of the probability counts in a score."""
        return min(1.0 + float(self.f.sum()) / 2.0, _MOST_CARE)

    def log_probability(self, X: Floats) -> Floats:
        """[m]."""
        if self.logistic is not None:
            return np.log1p(-np.minimum(self.logistic.predict(_filled(X)), 1.0 - 1e-9))
        return np.log1p(-kernel_beta(self.correlations(self.covariance.points(self.theta, X)), self.f))

    def log_probability_and_gradient(self, X: Floats) -> tuple[Floats, Floats]:
        """[m] and [m, d]."""
        if self.logistic is not None:
            p = self.logistic.predict(_filled(X))
            w = self.logistic.weights
            d = X.shape[1]
            slope = w[1 : d + 1] + 2.0 * w[d + 1 :] * (_filled(X) - 0.5)
            return self.log_probability(X), np.where(np.isnan(X), 0.0, -p[:, None] * slope)
        Q = self.covariance.points(self.theta, X)
        covariances, pull = self.covariance.cross_with_pull(self.theta, Q, self.P)
        scale = self.covariance.variance(self.theta) - MEAN_VARIANCE
        k = (covariances - MEAN_VARIANCE) / scale
        p = kernel_beta(k, self.f)
        by_k = -(self.f - p[:, None]) / ((1.0 - p) * (1.0 + k.sum(axis=1)))[:, None]
        return np.log1p(-p), pull(by_k / scale)


def _filled(X: Floats) -> Floats:
    return np.where(np.isnan(X), 0.5, X)


def _log_score(p: Floats, f: Floats) -> float:
    p = np.clip(p, 1e-6, 1.0 - 1e-6)
    return float((f * np.log(p) + (1.0 - f) * np.log1p(-p)).sum())


def _basis(X: Floats) -> Floats:
    return np.concatenate([np.ones((len(X), 1)), X - 0.5, (X - 0.5) ** 2], axis=1)


def _sigmoid(t: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * t)))
