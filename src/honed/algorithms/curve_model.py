"""Gaussian process regression of learning curves: the most probable hyperparameters, conditioning, prediction.

The largest posterior density is found by L-BFGS-B from one start, with analytic gradients (Rasmussen, Williams 2006, eq. 5.9).
What is learned between two fits is one block of rows more of the Cholesky factor. New configurations share no curve
with the data, so that their covariance is a product over trials, not over points. Notation: ``curve_kernels``.

    z  [n]  values as the model sees them        K = LL'        alpha = K^-1 z
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.curve_design import Design, pairs
from honed.algorithms.curve_kernels import FLOOR, Amplitudes, CurveKernel, Fixed, Matrices, cross, matrix
from honed.algorithms.gp import inverse_factor
from honed.algorithms.kernels import matern, matern_value, squared_distances

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LEAST_VARIANCE = 1e-12
_DRAWS_SEED = 14063896
_SMALL = 64  # a triangle that is inverted in one piece


def energy(kernel: CurveKernel, theta: Floats, F: Floats, rows: Ints, u: Floats, z: Floats) -> tuple[float, Floats]:
    """Minus the log posterior density of theta but for a constant, and its gradient."""
    return _energy(Fixed.of(kernel, F, rows, u), theta, z)


def _energy(fixed: Fixed, theta: Floats, z: Floats) -> tuple[float, Floats]:
    from scipy.linalg.lapack import dpotrf

    before, gradient = fixed.kernel.prior.energy(theta)
    at = Matrices.at(fixed, theta)
    L, failed = dpotrf(at.K, lower=1, clean=1)
    if failed:
        return np.inf, gradient
    L_inv = _triangle_inverse(L)
    K_inv = L_inv.T @ L_inv
    alpha = K_inv @ z
    value = 0.5 * float(z @ alpha) + float(np.log(np.diagonal(L)).sum()) + before
    K_inv -= np.outer(alpha, alpha)
    return value, gradient + 0.5 * at.pull(K_inv)


def _triangle_inverse(L: Floats) -> Floats:
    """Of a lower triangle, by its halves: LAPACK's own takes twice as long where it is large."""
    from scipy.linalg.lapack import dtrtri

    n = len(L)
    if n <= _SMALL:
        small: Floats = dtrtri(L, lower=1)[0]
        return small
    h, whole = n // 2, np.zeros((n, n))
    whole[:h, :h], whole[h:, h:] = _triangle_inverse(L[:h, :h]), _triangle_inverse(L[h:, h:])
    whole[h:, :h] = -(whole[h:, h:] @ (L[h:, :h] @ whole[:h, :h]))
    return whole


def fit(kernel: CurveKernel, F: Floats, rows: Ints, u: Floats, z: Floats, start: Floats | None = None) -> Floats:
    """The theta of the largest posterior density.

    Args:
        F: features of the trials that have points.
        rows: sorted.
        start: theta of an earlier fit; then a dozen iterations are enough.
    """
    from scipy.optimize import minimize

    fixed = Fixed.of(kernel, F, rows, u)

    def objective(theta: Floats) -> tuple[float, Floats]:
        return _energy(fixed, theta, z)

    n_iterations, prior = 25 if start is None else 12, kernel.prior
    begin = prior.start if start is None else start
    options = {"maxiter": n_iterations, "maxfun": 2 * n_iterations, "ftol": 1e-6, "gtol": 1e-4}
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", bounds=prior.bounds(), options=options)
    theta: Floats = found.x
    return theta if np.isfinite(found.fun) else begin


def laplace_draws(
    kernel: CurveKernel, theta: Floats, F: Floats, rows: Ints, u: Floats, z: Floats, n_draws: int
) -> list[Floats]:
    """Hyperparameters drawn from the normal approximation at their mode, the same for the same data.

    The Hessian is that of differences of gradients; no direction is wider than the prior.
    """
    k, step, prior, fixed = len(theta), 1e-3, kernel.prior, Fixed.of(kernel, F, rows, u)
    H = np.empty((k, k))
    for j in range(k):
        shift = np.zeros(k)
        shift[j] = step
        up, down = (_energy(fixed, theta + s * shift, z)[1] for s in (1.0, -1.0))
        H[j] = (up - down) / (2.0 * step)
    values, vectors = np.linalg.eigh(prior.sd[:, None] * (0.5 * (H + H.T)) * prior.sd)
    root = prior.sd[:, None] * vectors / np.sqrt(np.maximum(values, 1.0))
    normals = np.random.default_rng(_DRAWS_SEED).standard_normal((-(-n_draws // 2), k))
    normals = np.concatenate([normals, -normals])[:n_draws]  # in opposite pairs: their mean is the mode
    low, high = np.array(prior.bounds()).T
    return [np.clip(theta + root @ v, low, high) for v in normals]


@dataclass(frozen=True, slots=True)
class CurvePosterior:
    """The process that has seen points of curves.

    Attributes:
        theta, s: hyperparameters, and what they say of variances.
        G: [m, p] scaled features of all trials that points may belong to.
        design: the points.
        z: [n] their values.
        L_inv: [n, n] inverse of the Cholesky factor of K.
        alpha: [n] K^-1 z.
    """

    kernel: CurveKernel
    theta: Floats
    s: Amplitudes
    G: Floats
    design: Design
    z: Floats
    L_inv: Floats
    alpha: Floats

    @staticmethod
    def conditioned(kernel: CurveKernel, theta: Floats, F: Floats, rows: Ints, u: Floats, z: Floats) -> CurvePosterior:
        """The process with these hyperparameters after the points."""
        L_inv, G = inverse_factor(matrix(kernel, theta, F, rows, u)), kernel.scaled(theta, F)
        s, alpha = kernel.amplitudes(theta), L_inv.T @ (L_inv @ z)
        return CurvePosterior(kernel, theta, s, G, Design.of(rows, u), z, L_inv, alpha)

    @property
    def noise(self) -> float:
        """The variance of what is observed around the curve."""
        return self.s.noise + FLOOR

    @property
    def lengthscales(self) -> Floats:
        """[D]."""
        return np.asarray(np.exp(self.theta[: len(self.kernel.layout.n_choices)]))

    def with_values(self, z: Floats) -> CurvePosterior:
        """The same points with other values."""
        return replace(self, z=z, alpha=self.L_inv.T @ (self.L_inv @ z))

    def with_trials(self, F: Floats) -> CurvePosterior:
        """The same points among more trials: the rows of F begin with those known before."""
        return replace(self, G=self.kernel.scaled(self.theta, F))

    def append(self, rows: Ints, u: Floats, z: Floats | None = None) -> CurvePosterior:
        """The process that has seen more points: one more block of rows of the factor.

        Args:
            rows: among the trials known.
            z: None believes the means, which leaves all means as they are and lowers the variances.
        """
        if not len(rows):
            return self
        believed = self._cross(rows, u) @ self.alpha if z is None else z
        return self.joined(self.design.joined(rows, u), np.concatenate([self.z, believed]))

    def joined(self, design: Design, z: Floats) -> CurvePosterior:
        """The process that has seen more points, and other values of those that it had seen.

        Args:
            design: begins with the points seen before; several processes share it.
            z: of all its points.
        """
        n, rows, u = len(self.z), design.rows[len(self.z) :], design.u[len(self.z) :]
        m = len(rows)
        if not m:
            return self.with_values(z)
        k, C = self._cross(rows, u), self._among(rows, u)
        C.flat[:: m + 1] += self.noise
        B = k @ self.L_inv.T  # the new rows of L, left of the new corner
        corner = inverse_factor(C - B @ B.T)
        L_inv = np.zeros((n + m, n + m))
        L_inv[:n, :n], L_inv[n:, n:] = self.L_inv, corner
        L_inv[n:, :n] = -corner @ (B @ self.L_inv)
        return replace(self, design=design, z=z, L_inv=L_inv, alpha=L_inv.T @ (L_inv @ z))

    def predict(self, rows: Ints, u: Floats) -> tuple[Floats, Floats]:
        """Mean and variance [q] of curves at times, without noise.

        Args:
            rows: [q] among the trials known.
        """
        k = self._cross(rows, u)
        V = k @ self.L_inv.T
        variance = self.s.total - np.einsum("ij,ij->i", V, V)
        return k @ self.alpha, np.maximum(variance, _LEAST_VARIANCE)

    def means(self, rows: Ints, u: Floats) -> Floats:
        """[q] what ``predict`` begins with, for a fraction of its cost."""
        return self._cross(rows, u) @ self.alpha

    def predict_joint(self, rows: Ints, u: Floats) -> tuple[Floats, Floats]:
        """Mean [q] and covariance [q, q]."""
        k = self._cross(rows, u)
        V = k @ self.L_inv.T
        return k @ self.alpha, self._among(rows, u) - V @ V.T

    def for_new(self, u: float) -> NewCurves:
        """What predicts new configurations at one time."""
        s, design = self.s, self.design
        K_t = s.between(np.array([u]), design.times)[0][design.moment]
        weights = np.zeros((len(design.used), len(K_t)))
        weights[design.place, np.arange(len(K_t))] = s.a + s.b * K_t
        by_trial, common, base = weights @ self.L_inv.T, self.L_inv @ (s.e * K_t), self.L_inv @ self.z
        scales = self.lengthscales[self.kernel.groups]
        return NewCurves(
            scales, self.G[design.used], by_trial @ by_trial.T, by_trial @ common, by_trial @ base,
            s.total - float(common @ common), float(common @ base),
        )  # fmt: skip

    def _cross(self, rows: Ints, u: Floats) -> Floats:
        """[q, n] with the points."""
        design, s = self.design, self.s
        K_x = matern_value(squared_distances(self.G[rows], self.G[design.used]))[:, design.place]
        K_t = s.between(u, design.times)[:, design.moment]
        i, j = pairs(rows, design.rows)
        return cross(s, K_x, K_t, (i, j), u[i] - design.u[j])

    def _among(self, rows: Ints, u: Floats) -> Floats:
        """[q, q] among new points, without noise."""
        s, K_x = self.s, matern_value(squared_distances(self.G[rows], self.G[rows]))
        i, j = pairs(rows, rows)
        return cross(s, K_x, s.between(u, u), (i, j), u[i] - u[j])


@dataclass(frozen=True, slots=True)
class NewCurves:
    """Predictions of configurations that have no curve yet, from their covariances K_x with the k trials that have points.

    With V = K_x B + 1 v', the covariances with the points times L^-T, mean and variance are those of one matrix [k, k]::

        V w = K_x B w + v'w        |V|^2 = K_x BB' K_x' + 2 K_x B v + v'v

    Attributes:
        scales: [p] lengthscale of each feature.
        G: [k, p] scaled features of the trials that have points.
        inner, cross, base: BB' [k, k], B v [k], B w [k].
        total: the prior variance, less v'v.
        offset: v'w.
    """

    scales: Floats
    G: Floats
    inner: Floats
    cross: Floats
    base: Floats
    total: float
    offset: float

    def predict(self, F: Floats) -> tuple[Floats, Floats]:
        """Mean and variance [c]."""
        K_x = matern_value(squared_distances(F / self.scales, self.G))
        half = K_x @ self.inner
        half += 2.0 * self.cross
        variance = self.total - np.einsum("ij,ij->i", K_x, half)
        return K_x @ self.base + self.offset, np.maximum(variance, _LEAST_VARIANCE)

    def predict_with_pull(self, F: Floats) -> tuple[Floats, Floats, Callable[[Floats, Floats], Floats]]:
        """As ``predict``, and what turns derivatives by mean and variance into gradients [c, p] by F."""
        G = F / self.scales
        K_x, slopes = matern(squared_distances(G, self.G))
        half = K_x @ self.inner + self.cross
        variance = self.total - np.einsum("ij,ij->i", K_x, half + self.cross)

        def pull(by_mean: Floats, by_variance: Floats) -> Floats:
            B = (by_mean[:, None] * self.base - 2.0 * by_variance[:, None] * half) * slopes
            return np.asarray(2.0 * (B.sum(axis=1)[:, None] * G - B @ self.G) / self.scales)

        return K_x @ self.base + self.offset, np.maximum(variance, _LEAST_VARIANCE), pull
