"""The covariance of learning curves: one process over configurations and steps, in which every value of every curve speaks.

After the freeze-thaw model (Swersky, Snoek, Adams 2014, arXiv 1406.3896), with a kernel of time that need not fall::

    k = a K_x + b K_x K_t + [i = i'] (c + d K_t) + e K_t + [same point] (s^2 + 1e-6)

K_x and K_t are Matern-5/2. a and b: level and shape by configuration; c and d: what this curve has of its own, level and
wiggle; e: the trend that all curves share. Time is u(t) = log(1 + t) / log(1 + T). Categories are one-hot corners, and a number
that is not active sits in the middle of its range, lifted off the line of active ones, as in ``kernels``.

    X      [m, D]  coordinates of trials, NaN where not active; the index of the choice for a category
    F      [m, p]  features of trials; G those divided by their lengthscales
    rows   [n]     the trial of each point, sorted in fits        u  [n]  its time
    theta  [D + 7] log of: lengthscales [D], l_t, a, b, c, d, e, s^2
    A      [n, n]  symmetric derivative of any scalar by the covariance
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from honed.algorithms.kernels import Layout, Prior, matern, squared_distances

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FLOOR = 1e-6
"""The least variance of noise."""

_LIFT = 0.75**0.5  # an end of the range is one unit from "not active", the middle .87
_AMPLITUDES = np.log([0.6, 0.3, 0.05, 0.05, 0.3])  # a, b, c, d, e
_LENGTH, _TIME, _NOISE = 0.5, 0.4, 1e-3  # medians of l_d / D^(1/4), of l_t and of s^2
_SD_LENGTH, _SD_TIME, _SD_OTHERS = 0.9, 0.6, 1.2


def time_of(steps: npt.NDArray[np.generic], full: float) -> Floats:
    """u(t) [n]: 0 before training, 1 at the end."""
    return np.asarray(np.log1p(np.asarray(steps, dtype=np.float64)) / np.log1p(full))


@dataclass(frozen=True, slots=True)
class Amplitudes:
    """What ``theta`` says of variances, and the lengthscale of time."""

    time: float
    a: float
    b: float
    c: float
    d: float
    e: float
    noise: float

    @property
    def total(self) -> float:
        """The prior variance of any value without its noise."""
        return self.a + self.b + self.c + self.d + self.e


@dataclass(frozen=True, slots=True)
class CurveKernel:
    """The covariance for trials with a layout."""

    layout: Layout
    groups: Ints = field(init=False, repr=False, compare=False)
    """[p] the column of X behind each feature."""

    def __post_init__(self) -> None:
        layout = self.layout
        groups = [*layout.numbers, *self._lifted]
        for j in layout.categories:
            groups += [j] * self._corners(j)
        object.__setattr__(self, "groups", np.array(groups, dtype=np.int64))

    @property
    def prior(self) -> Prior:
        """Independent normal priors of ``theta``; a search starts at their means."""
        n = len(self.layout.n_choices)
        length = np.full(n, np.log(_LENGTH * max(n, 1) ** 0.25))
        mean = np.concatenate([length, [np.log(_TIME)], _AMPLITUDES, [np.log(_NOISE)]])
        sd = np.concatenate([np.full(n, _SD_LENGTH), [_SD_TIME], np.full(6, _SD_OTHERS)])
        return Prior(mean=mean, sd=sd, start=mean)

    def features(self, X: Floats) -> Floats:
        """F [m, p]."""
        U = X[:, self.layout.numbers]
        parts = [np.where(np.isnan(U), 0.0, U - 0.5)]
        if self._lifted:
            parts.append(np.where(np.isnan(X[:, self._lifted]), 0.0, _LIFT))
        parts += [_one_hot(X[:, j], self._corners(j)) / 2.0**0.5 for j in self.layout.categories]
        return np.concatenate(parts, axis=1)

    def scaled(self, theta: Floats, F: Floats) -> Floats:
        """G [m, p]."""
        return np.asarray(F / np.exp(theta[: len(self.layout.n_choices)])[self.groups])

    def amplitudes(self, theta: Floats) -> Amplitudes:
        """The hyperparameters that are no lengthscales of coordinates."""
        return Amplitudes(*np.exp(theta[len(self.layout.n_choices) :]).tolist())

    @property
    def _lifted(self) -> list[int]:
        return [j for j in self.layout.numbers if self.layout.is_conditional[j]]

    def _corners(self, j: int) -> int:
        """Its choices, one that is not known any more, and "not active"."""
        return self.layout.n_choices[j] + 2


def cross(s: Amplitudes, K_x: Floats, gap: Floats, same: npt.NDArray[np.bool_]) -> Floats:
    """Covariances [n, m] without noise.

    Args:
        K_x: [n, m] of the configurations.
        gap: [n, m] differences of times.
        same: [n, m] whether both are of one curve.
    """
    K_t = matern((gap / s.time) ** 2)[0]
    k = K_x * (s.a + s.b * K_t) + s.e * K_t
    k += same * (s.c + s.d * K_t)
    return np.asarray(k)


def matrix(kernel: CurveKernel, theta: Floats, F: Floats, rows: Ints, u: Floats) -> Floats:
    """K [n, n], noise included."""
    used, place = np.unique(rows, return_inverse=True)
    s, G = kernel.amplitudes(theta), kernel.scaled(theta, F[used])
    K_x = matern(squared_distances(G, G))[0]
    K = cross(s, K_x[np.ix_(place, place)], u[:, None] - u, rows[:, None] == rows)
    K.flat[:: len(u) + 1] += s.noise + FLOOR
    return K


@dataclass(frozen=True, slots=True)
class Matrices:
    """K and what its derivatives are made of; a fit makes one for each theta.

    Attributes:
        K: [n, n] with noise.
        K_x, K_t: [n, n].
    """

    kernel: CurveKernel
    s: Amplitudes
    G: Floats
    K: Floats
    K_x: Floats
    K_t: Floats
    same: npt.NDArray[np.bool_]
    slopes_x: Floats
    slopes_t: Floats
    firsts: Ints

    @staticmethod
    def at(kernel: CurveKernel, theta: Floats, F: Floats, rows: Ints, u: Floats) -> Matrices:
        """Of the points ``rows``, sorted, whose trials are all of F in order."""
        s, G = kernel.amplitudes(theta), kernel.scaled(theta, F)
        small_x, slopes_x = matern(squared_distances(G, G))
        times, place = np.unique(u, return_inverse=True)
        small_t, small_slopes = matern(((times[:, None] - times) / s.time) ** 2)
        small_slopes *= -2.0 * ((times[:, None] - times) / s.time) ** 2
        at = np.ix_(place, place)
        K_x, K_t, same = small_x[np.ix_(rows, rows)], small_t[at], rows[:, None] == rows
        K = K_x * (s.a + s.b * K_t)
        K += s.e * K_t
        K += same * (s.c + s.d * K_t)
        K.flat[:: len(u) + 1] += s.noise + FLOOR
        firsts = np.flatnonzero(np.diff(rows, prepend=-1))
        return Matrices(kernel, s, G, K, K_x, K_t, same, slopes_x, small_slopes[at], firsts)

    def pull(self, A: Floats) -> Floats:
        """The gradient [D + 7] by theta of a scalar with the derivative A by K."""
        s = self.s
        by_trial = np.add.reduceat(A * (s.a + s.b * self.K_t), self.firsts, axis=0)
        B = np.add.reduceat(by_trial, self.firsts, axis=1) * self.slopes_x
        by_feature = -4.0 * (B.sum(axis=1) @ self.G**2 - np.einsum("ij,ij->j", self.G, B @ self.G))
        d_length = np.bincount(self.kernel.groups, by_feature, len(self.kernel.layout.n_choices))
        AK_x, A_same = A * self.K_x, A * self.same
        both, own = float(np.vdot(AK_x, self.K_t)), float(np.vdot(A_same, self.K_t))
        d_time = float(np.vdot(s.b * AK_x + s.d * A_same + s.e * A, self.slopes_t))
        others = (s.a * float(AK_x.sum()), s.b * both, s.c * float(A_same.sum()), s.d * own,
                  s.e * float(np.vdot(A, self.K_t)), s.noise * float(np.trace(A)))  # fmt: skip
        return np.concatenate([d_length, [d_time], others])


def _one_hot(x: Floats, n: int) -> Floats:
    is_active = ~np.isnan(x)
    index = np.where(is_active, x, n - 1).astype(np.int64)
    index = np.where((index < 0) | (is_active & (index >= n - 2)), n - 2, index)
    return np.asarray(np.eye(n)[index])
