"""Covariances between configurations with numbers, categories and parameters that not every configuration has.

Matern-5/2 with one lengthscale for each parameter, over features whose Euclidean distance is the wanted one: so every
mixture is positive definite, and gradients of all lengthscales are products of matrices. Categories are one-hot corners;
a parameter that is not active sits in the middle of its range, lifted off the line of active ones (after Hutter, Osborne
2013, arXiv 1310.5738). Numbers and categories are combined as k_num + k_cat + k_num k_cat (CoCaBO, Ru et al. 2020, arXiv
1906.08878); numbers may be warped (``warps.kumaraswamy``).

Departure: active against inactive is between .87 and 1 lengthscales apart, not a constant, which is not positive definite.

    X      [n, d]  coordinates, NaN where not active; the index of the choice for a category
    F, C   [n, p], [n, q]  features of numbers and of categories, each divided by its lengthscale
    R      [n, m]  squared distances
    theta  [k]     log of: lengthscales [d], warp alpha and beta [numbers each, or none], amplitudes [1 or 3]
    A      [n, m]  derivative of any scalar by the covariance
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from honed.algorithms.warps import kumaraswamy, kumaraswamy_slope, kumaraswamy_slopes

Floats = npt.NDArray[np.float64]

MEAN_VARIANCE = 1.0
"""Prior variance of the constant mean, a term common to all covariances of standardised data."""

_SQRT5 = 5.0**0.5
_LIFT = 0.75**0.5  # an end of the range is one unit from "not active", the middle .87


@dataclass(frozen=True, slots=True)
class Prior:
    """Independent normal priors of the logs of hyperparameters, and where a search for them starts.

    Attributes:
        mean, sd, start: [k].
    """

    mean: Floats
    sd: Floats
    start: Floats

    def energy(self, theta: Floats) -> tuple[float, Floats]:
        """Minus the log density but for a constant, and its gradient."""
        u = (theta - self.mean) / self.sd
        return 0.5 * float(u @ u), u / self.sd

    def bounds(self, width: float = 4.0) -> list[tuple[float, float]]:
        """Where to search: so many standard deviations around the mean."""
        return list(zip((self.mean - width * self.sd).tolist(), (self.mean + width * self.sd).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Points:
    """Features of configurations.

    Attributes:
        F, C: [n, p], [n, q].
        slopes: [n, numbers] derivative of a number's feature by its coordinate; 0 where not active.
    """

    F: Floats
    C: Floats
    slopes: Floats

    def __len__(self) -> int:
        return len(self.F)

    def joined(self, more: Points) -> Points:
        """These points, then others."""
        pairs = ((self.F, more.F), (self.C, more.C), (self.slopes, more.slopes))
        return Points(*(np.concatenate(pair) for pair in pairs))


Pull = Callable[[Floats], Floats]
"""From A, the derivative of any scalar by covariances, to its derivative by what they depend on."""


class Covariance(Protocol):
    """What ``gp`` needs of a covariance; ``theta`` are the logs of its hyperparameters."""

    @property
    def prior(self) -> Prior:
        """Of ``theta``."""
        ...

    def points(self, theta: Floats, X: Floats) -> Points:
        """Features of configurations under these hyperparameters."""
        ...

    def cross(self, theta: Floats, P: Points, Q: Points) -> Floats:
        """Covariances [n, m]."""
        ...

    def variance(self, theta: Floats) -> float:
        """The prior variance of any one value."""
        ...

    def cross_with_pull(self, theta: Floats, P: Points, Q: Points) -> tuple[Floats, Pull]:
        """As ``cross``, and what turns A [n, m] into gradients [n, d] by the coordinates of ``P``, 0 for categories."""
        ...

    def matrix_with_pull(self, theta: Floats, X: Floats) -> tuple[Floats, Pull]:
        """Covariances [n, n], and what turns A [n, n], symmetric, into a gradient [k] by ``theta``."""
        ...


def matern(R: Floats) -> tuple[Floats, Floats]:
    """Matern-5/2 of squared distances, and its derivative by them."""
    s = np.sqrt(R)
    s *= _SQRT5
    e = np.exp(-s)
    s += 1.0
    slope = s * e
    e *= R
    e *= 5.0 / 3.0
    e += slope
    slope *= -5.0 / 6.0
    return e, slope


def matern_value(R: Floats) -> Floats:
    """The first of what ``matern`` gives."""
    s = np.sqrt(R)
    s *= _SQRT5
    e = np.exp(-s)
    s += 1.0
    s *= e
    e *= R
    e *= 5.0 / 3.0
    e += s
    return e


def squared_distances(F: Floats, G: Floats) -> Floats:
    """[n, m] between the rows of two feature matrices."""
    R = F @ G.T
    R *= -2.0
    R += np.einsum("ij,ij->i", F, F)[:, None]
    R += np.einsum("ij,ij->i", G, G)
    return np.maximum(R, 0.0, out=R)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of X are what.

    Attributes:
        n_choices: [d] 0 for a number, else the number of choices.
        is_conditional: [d] whether some configurations lack it.
    """

    n_choices: tuple[int, ...]
    is_conditional: tuple[bool, ...]

    @property
    def numbers(self) -> list[int]:
        """The columns with numbers."""
        return [j for j, n in enumerate(self.n_choices) if not n]

    @property
    def categories(self) -> list[int]:
        """The columns with categories."""
        return [j for j, n in enumerate(self.n_choices) if n]


def config_prior(layout: Layout, *, is_warped: bool) -> Prior:
    """The priors of ``ConfigKernel``.

    Lengthscales grow with sqrt(d), as distances do (Hvarfner, Hellsten, Nardi 2024, arXiv 2402.02229), but theirs are longer and
    with sd sqrt3: too flat for some tens of points. This prior was better on functions in 3 to 8 dimensions, and far better in 20
    and 26. The search starts at lengthscales proportional to sqrt(d): from short ones gradients vanish in many dimensions.
    """
    d = len(layout.n_choices)
    root = max(d, 1) ** 0.5
    mean, sd = np.log((0.5 if d < 6 else 0.35) * root), 0.8
    mean_l, sd_l = np.full(d, mean), np.full(d, sd)
    start = np.full(d, np.log(0.5 * root))
    mean_l[layout.categories], sd_l[layout.categories] = np.log(1.5), 1.0
    start[layout.categories] = np.log(1.5)
    n_warps = 2 * len(layout.numbers) if is_warped else 0
    is_mixed = bool(layout.numbers) and bool(layout.categories)
    amplitudes = np.log([0.5, 0.3, 0.3]) if is_mixed else np.zeros(1)
    zeros = np.zeros(n_warps)
    return Prior(
        mean=np.concatenate([mean_l, zeros, amplitudes]),
        sd=np.concatenate([sd_l, zeros + WARP_SD, np.full(len(amplitudes), AMPLITUDE_SD)]),
        start=np.concatenate([start, zeros, amplitudes]),
    )


WARP_SD = 0.35  # half of the paper's .75, which was worse on functions in 3 to 8 dimensions
AMPLITUDE_SD = 1.0


@dataclass(frozen=True, slots=True)
class ConfigKernel:
    """The covariance of configurations with a layout.

    Args:
        layout: the columns.
        is_warped: whether the numbers are warped, with learned shapes.
    """

    layout: Layout
    is_warped: bool = False
    prior: Prior = field(init=False, repr=False, compare=False)
    _numbers: list[int] = field(init=False, repr=False, compare=False)
    _categories: list[int] = field(init=False, repr=False, compare=False)
    _lifted: list[int] = field(init=False, repr=False, compare=False)  # numbers that may be inactive
    _group_F: list[int] = field(init=False, repr=False, compare=False)  # [p] the column of each feature
    _group_C: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        layout = self.layout
        lifted = [j for j in layout.numbers if layout.is_conditional[j]]
        groups = [j for j in layout.categories for _ in range(_n_corners(layout, j))]
        for name, value in (
            ("prior", config_prior(layout, is_warped=self.is_warped)),
            ("_numbers", layout.numbers),
            ("_categories", layout.categories),
            ("_lifted", lifted),
            ("_group_F", [*layout.numbers, *lifted]),
            ("_group_C", groups),
        ):
            object.__setattr__(self, name, value)

    def split(self, theta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Lengthscales [d], alpha and beta [numbers each], amplitudes [1 or 3]."""
        d, k = len(self.layout.n_choices), len(self._numbers) if self.is_warped else 0
        e = np.exp(theta)
        return e[:d], e[d : d + k], e[d + k : d + 2 * k], e[d + 2 * k :]

    def points(self, theta: Floats, X: Floats) -> Points:
        ell, alpha, beta, _ = self.split(theta)
        U = X[:, self._numbers]
        is_active = ~np.isnan(U)
        if self.is_warped:
            filled = np.where(is_active, U, 0.5)
            V, slopes = kumaraswamy(filled, alpha, beta), kumaraswamy_slope(filled, alpha, beta)
        else:
            V, slopes = U, np.ones_like(U)
        l_numbers = ell[self._numbers]
        parts = [np.where(is_active, (V - 0.5) / l_numbers, 0.0)]
        if self._lifted:
            parts.append(np.where(np.isnan(X[:, self._lifted]), 0.0, _LIFT) / ell[self._lifted])
        C = [_corners(X[:, j], _n_corners(self.layout, j)) / (2.0**0.5 * ell[j]) for j in self._categories]
        return Points(
            F=np.concatenate(parts, axis=1),
            C=np.concatenate(C, axis=1) if C else np.empty((len(X), 0)),
            slopes=np.where(is_active, slopes / l_numbers, 0.0),
        )

    def cross(self, theta: Floats, P: Points, Q: Points) -> Floats:
        return self._terms(theta, P, Q)[0]

    def variance(self, theta: Floats) -> float:
        return float(self.split(theta)[3].sum()) + MEAN_VARIANCE

    def cross_with_pull(self, theta: Floats, P: Points, Q: Points) -> tuple[Floats, Pull]:
        k, slopes, _ = self._terms(theta, P, Q)
        n_numbers = len(self._numbers)

        def pull(A: Floats) -> Floats:
            gradient = np.zeros((len(P), len(self.layout.n_choices)))
            if n_numbers:
                B = slopes(A)[0]
                d_F = 2.0 * (B.sum(axis=1)[:, None] * P.F[:, :n_numbers] - B @ Q.F[:, :n_numbers])
                gradient[:, self._numbers] = d_F * P.slopes
            return gradient

        return k, pull

    def matrix_with_pull(self, theta: Floats, X: Floats) -> tuple[Floats, Pull]:
        P = self.points(theta, X)
        K, slopes, by_amplitudes = self._terms(theta, P, P)

        def pull(A: Floats) -> Floats:
            B_num, B_cat = slopes(A)
            d_F, d_C = _by_features(B_num, P.F), _by_features(B_cat, P.C)
            d_log_l = np.zeros(len(self.layout.n_choices))
            np.subtract.at(d_log_l, self._group_F, np.einsum("ij,ij->j", d_F, P.F))
            np.subtract.at(d_log_l, self._group_C, np.einsum("ij,ij->j", d_C, P.C))
            return np.concatenate([d_log_l, self._by_warp(theta, X, d_F), by_amplitudes(A)])

        return K, pull

    def _by_warp(self, theta: Floats, X: Floats, d_F: Floats) -> Floats:
        """The derivative by log alpha and log beta, of that by the features of numbers."""
        if not self.is_warped:
            return np.zeros(0)
        ell, alpha, beta, _ = self.split(theta)
        U = X[:, self._numbers]
        is_active = ~np.isnan(U)
        by_alpha, by_beta = kumaraswamy_slopes(np.where(is_active, U, 0.5), alpha, beta)
        d_V = np.where(is_active, d_F[:, : len(alpha)] / ell[self._numbers], 0.0)
        return np.concatenate([(d_V * by_alpha).sum(axis=0), (d_V * by_beta).sum(axis=0)])

    def _terms(self, theta: Floats, P: Points, Q: Points) -> tuple[Floats, _Slopes, Pull]:
        """Covariances, and from A the derivatives by squared distances (of numbers, categories) and by log amplitudes."""
        a = self.split(theta)[3]
        if len(a) == 1:
            is_number = bool(self._numbers)
            k, slope = matern(squared_distances(P.F, Q.F) if is_number else squared_distances(P.C, Q.C))
            slope *= a[0]
            none = np.zeros_like(k[:, :0])

            def slopes(A: Floats) -> tuple[Floats, Floats]:
                B = A * slope
                return (B, none) if is_number else (none, B)

            return a[0] * k + MEAN_VARIANCE, slopes, lambda A: np.array([a[0] * np.vdot(A, k)])
        k_num, s_num = matern(squared_distances(P.F, Q.F))
        k_cat, s_cat = matern(squared_distances(P.C, Q.C))
        parts = (a[0] * k_num, a[1] * k_cat, a[2] * k_num * k_cat)
        k = parts[0] + parts[1] + parts[2] + MEAN_VARIANCE

        def both(A: Floats) -> tuple[Floats, Floats]:
            return A * (a[0] + a[2] * k_cat) * s_num, A * (a[1] + a[2] * k_num) * s_cat

        return k, both, lambda A: np.array([np.vdot(A, part) for part in parts])


_Slopes = Callable[[Floats], tuple[Floats, Floats]]


def _by_features(B: Floats, F: Floats) -> Floats:
    """The derivative by features that stand on both sides of the distances; B symmetric."""
    return 4.0 * (B.sum(axis=1)[:, None] * F - B @ F) if F.size else F


def _n_corners(layout: Layout, j: int) -> int:
    """Corners of a category: its choices, one that is not known any more, and "not active"."""
    return layout.n_choices[j] + 2


def _corners(x: Floats, n: int) -> Floats:
    """One-hot rows [n, corners]."""
    is_active = ~np.isnan(x)
    index = np.where(is_active, x, n - 1).astype(np.int64)
    index = np.where((index < 0) | (is_active & (index >= n - 2)), n - 2, index)
    return np.asarray(np.eye(n)[index])
