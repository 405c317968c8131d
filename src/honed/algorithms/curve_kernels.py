"""The covariance of learning curves: one process over configurations and steps, in which every value of every curve speaks.

After the freeze-thaw model (Swersky, Snoek, Adams 2014, arXiv 1406.3896), with a kernel of time that need not fall::

    k = a K_x + b K_x K_t + [i = i'] (c + d K_o) + e K_t + [same point] (s^2 + 1e-6)

K_x, K_t and K_o are Matern-5/2. a and b: level and shape by configuration; c and d: what this curve has of its own, level and
wiggle; e: the trend that all curves share. Categories are one-hot corners, and a number that is not active sits in the middle
of its range, lifted off the line of active ones, as in ``kernels``.

Time is u(t) = log(1 + t) / log(1 + T), bent: K_t is a function of the distance of w(u) = (1 - exp(-q u)) / (1 - exp(-q)), with q
learned. In log time (q = 0) most curves still change faster early than late, and then a single lengthscale is that of the first
epochs, for which the last ones are far away: nothing could be predicted. With q > 0 a power law of time is a straight line in w.
What a curve has of its own goes on changing late: K_o is a function of the distance of u, with lengthscale .4.

    X      [m, D]  coordinates of trials, NaN where not active; the index of the choice for a category
    F      [m, p]  features of trials; G those divided by their lengthscales
    rows   [n]     the trial of each point, sorted in fits        u  [n]  its time
    theta  [D + 8] log of: lengthscales [D], l_t, a, b, c, d, e, s^2; then q itself
    A      [n, n]  symmetric derivative of any scalar by the covariance
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from honed.algorithms.curve_design import Design
from honed.algorithms.kernels import Layout, Prior, matern, matern_value, squared_distances

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FLOOR = 1e-6
"""The least variance of noise."""

_LIFT = 0.75**0.5  # an end of the range is one unit from "not active", the middle .87
_AMPLITUDES = np.log([0.6, 0.3, 0.05, 0.05, 0.3])  # a, b, c, d, e
_LENGTH, _TIME, _NOISE = 0.4, 0.6, 1e-3  # medians of l_d / D^(1/2), of l_t and of s^2
_SD_LENGTH, _SD_TIME, _SD_OTHERS = 0.7, 0.4, 0.8
_BEND, _SD_BEND = 0.5, 0.8  # of q
_STRAIGHT = 1e-4  # a smaller q is this one
_OWN_TIME = 0.4  # the lengthscale of what a curve has of its own, in time that is not bent


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
    bend: float

    def bent(self, u: Floats) -> Floats:
        """w(u) [n]."""
        q = self._q
        return np.asarray(np.expm1(-q * u) / math.expm1(-q))

    def bent_slopes(self, u: Floats) -> Floats:
        """[n] derivatives of w by q."""
        q = self._q
        whole = -math.expm1(-q)
        return np.asarray((u * np.exp(-q * u) * whole + np.expm1(-q * u) * math.exp(-q)) / whole**2)

    def between(self, u: Floats, v: Floats) -> Floats:
        """K_t [n, m] of times."""
        return matern_value(((self.bent(u)[:, None] - self.bent(v)) / self.time) ** 2)

    @property
    def _q(self) -> float:
        return self.bend if abs(self.bend) > _STRAIGHT else _STRAIGHT

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
        length = np.full(n, np.log(_LENGTH * max(n, 1) ** 0.5))
        mean = np.concatenate([length, [np.log(_TIME)], _AMPLITUDES, [np.log(_NOISE), _BEND]])
        sd = np.concatenate([np.full(n, _SD_LENGTH), [_SD_TIME], np.full(6, _SD_OTHERS), [_SD_BEND]])
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
        others = theta[len(self.layout.n_choices) :]
        return Amplitudes(*[*np.exp(others[:-1]).tolist(), float(others[-1])])

    @property
    def _lifted(self) -> list[int]:
        return [j for j in self.layout.numbers if self.layout.is_conditional[j]]

    def _corners(self, j: int) -> int:
        """Its choices, one that is not known any more, and "not active"."""
        return self.layout.n_choices[j] + 2


def cross(s: Amplitudes, K_x: Floats, K_t: Floats, own: tuple[Ints, Ints], gaps: Floats) -> Floats:
    """Covariances [n, m] without noise.

    Args:
        K_x: [n, m] of the configurations.
        K_t: [n, m] of the times.
        own: the pairs that are of one curve.
        gaps: [pairs] the differences of their times.
    """
    k = s.b * K_t
    k += s.a
    k *= K_x
    k += s.e * K_t
    k[own] += s.c + s.d * wiggle(gaps)
    return k


def wiggle(gaps: Floats) -> Floats:
    """K_o of two points of one curve, by the difference of their times."""
    return matern_value((gaps / _OWN_TIME) ** 2)


def matrix(kernel: CurveKernel, theta: Floats, F: Floats, rows: Ints, u: Floats) -> Floats:
    """K [n, n], noise included."""
    design = Design.of(rows, u)
    s, G = kernel.amplitudes(theta), kernel.scaled(theta, F[design.used])
    K_x = matern_value(squared_distances(G, G))[design.place][:, design.place]
    K_t = s.between(design.times, design.times)[design.moment][:, design.moment]
    i, j = design.own()
    K = cross(s, K_x, K_t, (i, j), u[i] - u[j])
    K.flat[:: len(K) + 1] += s.noise + FLOOR
    return K


@dataclass(frozen=True, slots=True)
class Fixed:
    """What a fit needs for every theta: all that does not depend on it.

    Attributes:
        F: [k, p] features of the trials that have points.
        times: [t] at which there are points.
        by_trial, by_time: [n, n] indices into flat matrices [k, k] and [t, t].
        own: indices of the pairs of one curve into flat matrices [n, n].
        wiggles: K_o of these pairs.
        sums: [k, n] ones where a point is of a trial.
    """

    kernel: CurveKernel
    F: Floats
    times: Floats
    by_trial: Ints
    by_time: Ints
    own: Ints
    wiggles: Floats
    sums: Floats

    @staticmethod
    def of(kernel: CurveKernel, F: Floats, rows: Ints, u: Floats) -> Fixed:
        """For points ``rows`` of the trials F."""
        design = Design.of(rows, u)
        k, t, n = len(design.used), len(design.times), len(rows)
        place, moment = design.place, design.moment
        i, j = design.own()
        own, wiggles = np.ravel_multi_index((i, j), (n, n)), wiggle(u[i] - u[j])
        sums = (place == np.arange(k)[:, None]).astype(np.float64)
        by_trial, by_time = place[:, None] * k + place, moment[:, None] * t + moment
        return Fixed(kernel, F[design.used], design.times, by_trial, by_time, own, wiggles, sums)


@dataclass(frozen=True, slots=True)
class Matrices:
    """K and what its derivatives are made of; a fit makes one for each theta.

    Attributes:
        K: [n, n] with noise.
        K_x, K_t: [n, n].
        weight: [n, n] a + b K_t.
        slopes_x: [k, k] derivatives of K_x by squared distances.
        slopes_t, slopes_q: [n, n] derivatives of K_t by the log of its lengthscale, and by q.
    """

    fixed: Fixed
    s: Amplitudes
    G: Floats
    K: Floats
    K_x: Floats
    K_t: Floats
    weight: Floats
    slopes_x: Floats
    slopes_t: Floats
    slopes_q: Floats

    @staticmethod
    def at(fixed: Fixed, theta: Floats) -> Matrices:
        """Under these hyperparameters."""
        kernel = fixed.kernel
        s, G = kernel.amplitudes(theta), kernel.scaled(theta, fixed.F)
        small_x, slopes_x = matern(squared_distances(G, G))
        w, by_q = s.bent(fixed.times) / s.time, s.bent_slopes(fixed.times) / s.time
        gaps = w[:, None] - w
        small_t, slopes = matern(gaps**2)
        slopes *= 2.0 * gaps
        small_slopes_t, small_slopes_q = -slopes * gaps, slopes * (by_q[:, None] - by_q)
        K_x, K_t = small_x.take(fixed.by_trial), small_t.take(fixed.by_time)
        weight = s.b * K_t
        weight += s.a
        K = K_x * weight
        K += s.e * K_t
        K.ravel()[fixed.own] += s.c + s.d * fixed.wiggles
        K.ravel()[:: len(K) + 1] += s.noise + FLOOR
        slopes_t, slopes_q = small_slopes_t.take(fixed.by_time), small_slopes_q.take(fixed.by_time)
        return Matrices(fixed, s, G, K, K_x, K_t, weight, slopes_x, slopes_t, slopes_q)

    def pull(self, A: Floats) -> Floats:
        """The gradient [D + 8] by theta of a scalar with the derivative A by K."""
        s, kernel, own, sums = self.s, self.fixed.kernel, self.fixed.own, self.fixed.sums
        B = (sums @ (A * self.weight)) @ sums.T
        B *= self.slopes_x
        by_feature = -4.0 * (B.sum(axis=1) @ self.G**2 - np.einsum("ij,ij->j", self.G, B @ self.G))
        d_length = np.bincount(kernel.groups, by_feature, len(kernel.layout.n_choices))
        A_own, AK_x = A.ravel()[own], A * self.K_x
        by_K_t = s.b * AK_x + s.e * A
        d_time, d_bend = float(np.vdot(by_K_t, self.slopes_t)), float(np.vdot(by_K_t, self.slopes_q))
        others = (s.a * float(AK_x.sum()), s.b * float(np.vdot(AK_x, self.K_t)), s.c * float(A_own.sum()),
                  s.d * float(A_own @ self.fixed.wiggles), s.e * float(np.vdot(A, self.K_t)),
                  s.noise * float(np.trace(A)), d_bend)  # fmt: skip
        return np.concatenate([d_length, [d_time], others])


def _one_hot(x: Floats, n: int) -> Floats:
    is_active = ~np.isnan(x)
    index = np.where(is_active, x, n - 1).astype(np.int64)
    index = np.where((index < 0) | (is_active & (index >= n - 2)), n - 2, index)
    return np.asarray(np.eye(n)[index])
