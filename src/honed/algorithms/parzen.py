"""Tree-structured Parzen estimator: candidates where good points are dense and bad ones are not.

Bergstra, Bardenet, Bengio, Kegl 2011 (NeurIPS 24); multivariate kernels as in Falkner, Klein, Hutter 2018 (arXiv 1807.01774);
settings compared by Watanabe 2023 (arXiv 2304.11127). A density is a mixture of kernels, one for each point and a uniform
one (the prior); a kernel is a product of normals, truncated to [0, 1], and of tables for choices.

    n   points         k   kernels: good ones, their prior, bad ones, their prior
    d   columns        m   candidates            f   features of a candidate
    mu, s   a kernel's place and width in one numeric column

Squares expand, -(x - mu)^2 / 2 s^2 = [x^2, x, 1] . [-1 / 2 s^2, mu / s^2, -mu^2 / 2 s^2], and a choice is a one-hot column, so
that all kernels at all candidates are one product [m, f] [f, k]. The cancellation costs at most three digits for s >= 0.01.

NaN is a column that is not active. A kernel without a column has the uniform density there, a candidate without it the density 1:
kernels are read as a generator that draws each column after those that its existence depends on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_TINY = 1e-300
_MOST_LOG = 600.0  # exp of more than this is near the end of float64


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """A categorical column: its coordinates are 0, 1, ..., and -1 is a choice that is no more.

    Attributes:
        column: which one.
        prior: [c] probability of each choice under the uniform kernel.
    """

    column: int
    prior: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of points: numbers and choices.

    Attributes:
        numeric: the columns with numbers; a slice where these are all.
        choices: the other ones.
        mix: how much of a kernel's choice is the prior.
    """

    numeric: Any
    choices: Sequence[Choices]
    mix: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """Kernels, ready to be drawn from and to be evaluated at candidates.

    Attributes:
        points: [k, d] in the unit cube; NaN where a kernel is uniform.
        inverse: [k, numeric] 1 / s; 0 where uniform.
        low, high: [k, numeric] the normal distribution function at both ends of the unit interval.
        right: [f, k] what features of candidates without NaN are multiplied by: quadratic, linear, constant and log weight.
        constants: [k, numeric] the constant for each column.
        tables: for each categorical column [k, c] log probabilities.
    """

    columns: Columns
    points: Floats
    inverse: Floats
    low: Floats
    high: Floats
    right: Floats
    constants: Floats
    tables: Sequence[Floats]


def neighbour_widths(points: Floats, least: float) -> Floats:
    """[n, d] each point's larger distance to its neighbours in a column, from ``least`` to 1; ``least`` for a NaN.

    The ends of the interval are no neighbours: a wide kernel at the edge would draw where nothing good was seen. A point that is
    alone in its column reaches to the farther end.
    """
    n, d = points.shape
    order = points.argsort(axis=0)  # NaN last
    columns = np.arange(d)
    ordered = points[order, columns]
    gaps = np.zeros((n + 1, d))
    np.subtract(ordered[1:], ordered[:-1], out=gaps[1:-1])
    widths = np.empty((n, d))
    widths[order, columns] = np.fmax(gaps[1:], gaps[:-1])
    if n == 1 or np.isnan(ordered[1]).any():
        is_alone = (~np.isnan(points)).sum(axis=0) == 1
        widths = np.where(is_alone, np.fmax(points, 1.0 - points), widths)
    np.fmax(widths, least, out=widths)
    return np.minimum(widths, 1.0, out=widths)


def make_kernels(points: Floats, widths: Floats, weights: Floats, columns: Columns) -> Kernels:
    """Kernels at points.

    Args:
        points: [k, d] coordinates; a row of NaN is the uniform kernel.
        widths: [k, numeric]
        weights: [k] of any sum.
    """
    from scipy.special import ndtr

    places = points[:, columns.numeric]
    is_active = places == places
    is_sparse = not is_active.all()
    if is_sparse:
        places = np.where(is_active, places, 0.5)
    inverse = 1.0 / widths
    scaled = places * inverse
    low, high = ndtr(-scaled), ndtr(inverse - scaled)
    constants = np.log(inverse / (high - low))
    constants -= 0.5 * scaled * scaled + _LOG_ROOT_TWO_PI
    linear, quadratic = scaled * inverse, -0.5 * inverse * inverse
    if is_sparse:
        for part in (constants, linear, quadratic, inverse):
            part *= is_active
    tables = [_table(points[:, one.column], one.prior, columns.mix) for one in columns.choices]
    constant = constants.sum(axis=1) + np.log(weights)
    right = np.concatenate([quadratic.T, linear.T, constant[None], *(table.T for table in tables)])
    return Kernels(columns, points, inverse, low, high, right, constants, tables)


def _table(indices: Floats, prior: Floats, mix: float) -> Floats:
    """[k, c] log of (1 - mix) [c = c_k] + mix prior(c); the prior alone for an inactive or unknown choice."""
    is_known = indices >= 0  # false for NaN
    table = np.where(is_known, mix, 1.0)[:, None] * prior
    rows = is_known.nonzero()[0]
    table[rows, indices[rows].astype(np.int64)] += 1.0 - mix
    return np.log(np.maximum(table, _TINY))


def features(columns: Columns, candidates: Floats) -> Floats:
    """[m, f] what a candidate is multiplied by; with one more column for each number where a candidate has a NaN."""
    x = candidates[:, columns.numeric]
    is_active = x == x
    is_sparse = not is_active.all()
    if is_sparse:
        x = np.where(is_active, x, 0.0)
    parts = [x * x, x, np.ones((len(x), 1))]
    parts += [candidates[:, one.column, None] == np.arange(len(one.prior)) for one in columns.choices]
    if is_sparse:
        parts.append(~is_active)
    return np.concatenate(parts, axis=1)


def log_kernels(kernels: Kernels, left: Floats) -> Floats:
    """[m, k] log of weight times density of each kernel at the candidates with these features."""
    right = kernels.right
    if left.shape[1] > len(right):  # take back the constants of columns that a candidate does not have
        right = np.concatenate([right, -kernels.constants.T])
    logs: Floats = left @ right
    return logs


def log_densities(blocks: Sequence[Kernels], left: Floats) -> Floats:
    """[m] log of the sum of weights times densities over all kernels of some blocks."""
    logs = log_kernels(blocks[0], left)
    if len(blocks) > 1:
        logs = np.concatenate([logs, *(log_kernels(block, left) for block in blocks[1:])], axis=1)
    shift = max(float(logs.max()) - _MOST_LOG, 0.0)
    if shift:
        logs -= shift
    densities: Floats = np.log(np.maximum(np.exp(logs).sum(axis=1), _TINY))
    return densities + shift


def draw(kernels: Kernels, shares: Floats, units: Floats) -> tuple[Floats, Ints]:
    """Points [m, d] from a mixture, and the kernel [m] that each comes from.

    Args:
        shares: [k'] probabilities of the first kernels.
        units: [m, d + 1] uniform numbers.
    """
    from scipy.special import ndtri

    cumulative = shares.cumsum()
    chosen = cumulative.searchsorted(units[:, -1] * cumulative[-1], side="right")
    np.minimum(chosen, len(shares) - 1, out=chosen)
    drawn = units[:, :-1].copy()
    numeric, choices = kernels.columns.numeric, kernels.columns.choices
    low, inverse = kernels.low[chosen], kernels.inverse[chosen]
    is_active = inverse > 0.0
    u = units[:, :-1][:, numeric]
    z = ndtri(low + u * (kernels.high[chosen] - low))
    x = kernels.points[chosen][:, numeric] + z / np.where(is_active, inverse, 1.0)
    drawn[:, numeric] = np.clip(np.where(is_active, x, u), 0.0, 1.0)
    for one, table in zip(choices, kernels.tables, strict=True):
        steps = np.exp(table[chosen]).cumsum(axis=1)
        steps /= steps[:, -1:]
        drawn[:, one.column] = (steps[:, :-1] <= units[:, one.column, None]).sum(axis=1)
    return drawn, chosen
