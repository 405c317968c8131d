"""Tree-structured Parzen estimator: candidates where good points are dense and bad ones are not.

Bergstra, Bardenet, Bengio, Kegl 2011 (NeurIPS 24); multivariate kernels as in Falkner, Klein, Hutter 2018 (arXiv 1807.01774);
settings compared by Watanabe 2023 (arXiv 2304.11127). A density is a mixture of kernels, one for each point and a uniform
one (the prior); a kernel is a product of normals, truncated to [0, 1], and of tables for choices.

    n   points         k   kernels: the points', and their prior where it has a weight
    d   columns        m   candidates            f   features of a candidate
    q   columns with numbers                     mu, s   a kernel's place and width in one of them

Everything lies with its columns first, [d, n], so that a column is one run of memory. Squares expand, -(x - mu)^2 / 2 s^2 =
[-1 / 2 s^2, mu / s^2, -mu^2 / 2 s^2] . [x^2, x, 1], and a choice is a one-hot row, so that all kernels at all candidates are one
product [k, f] [f, m]. The cancellation costs at most three digits for s >= 0.01.

NaN is a column that is not active. A kernel without a column has the uniform density there, a candidate without it the density 1:
kernels are read as a generator that draws each column after those that its existence depends on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_TINY = 1e-300
_MOST_LOG = 600.0  # exp of more than this is near the end of float64
_LEAST_LOG = -700.0  # exp of less is no normal float64, and takes ten times as long


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
        points: [d, n] in the unit cube; NaN where a kernel is uniform. The prior has none.
        parts: [4, q, k] the normal distribution function at 0, its rise from 0 to 1, mu, and s; s = 0 where uniform.
        left: [f, k] what features of candidates without NaN are multiplied by: quadratic, linear, constant and log weight.
        constants: [q, k] the constant for each column.
        tables: for each categorical column [c, k] log probabilities.
        mass: sum of all weights.
    """

    columns: Columns
    points: Floats
    parts: Floats
    left: Floats
    constants: Floats
    tables: Sequence[Floats]
    mass: float

    @property
    def size(self) -> int:
        """The number of kernels."""
        return len(self.left.T)


def neighbour_widths(points: Floats, least: Floats | float) -> Floats:
    """[q, n] each point's larger distance to its neighbours in a column, from ``least`` to 1; ``least`` for a NaN.

    The ends of the interval are no neighbours: a wide kernel at the edge would draw where nothing good was seen. A point that is
    alone in its column reaches to the farther end.

    Args:
        points: [q, n]
        least: [q, 1] for each column, or one for all.
    """
    q, n = points.shape
    order = points.argsort(axis=1)  # NaN last
    order += np.arange(q)[:, None] * n
    ordered = points.take(order)
    gaps = np.zeros((q, n + 1))
    np.subtract(ordered[:, 1:], ordered[:, :-1], out=gaps[:, 1:-1])
    widths = np.empty(q * n)
    widths[order] = np.fmax(gaps[:, 1:], gaps[:, :-1])
    widths = widths.reshape(q, n)
    if n == 1 or (n > 1 and q and np.isnan(ordered[:, 1]).any()):
        is_alone = (~np.isnan(points)).sum(axis=1, keepdims=True) == 1
        widths = np.where(is_alone, np.fmax(points, 1.0 - points), widths)
    np.fmax(widths, least, out=widths)
    return np.minimum(widths, 1.0, out=widths)


def make_kernels(points: Floats, widths: Floats, weights: Floats, columns: Columns, prior: float = 0.0) -> Kernels:
    """Kernels at points, and the uniform one.

    Args:
        points: [d, n] coordinates.
        widths: [q, n]
        weights: [n] of any sum.
        prior: weight of the uniform kernel, which comes last; none if 0.
    """
    from scipy.special import ndtr

    places = points[columns.numeric]
    (q, n), k = places.shape, len(weights) + (prior > 0.0)
    is_active = None
    if n and math.isnan(places.sum()):
        is_active = places == places
        places = np.where(is_active, places, 0.5)
    parts, constants = np.zeros((4, q, k)), np.zeros((q, k))
    parts[1, :, n:] = 1.0
    low, rise = parts[0, :, :n], parts[1, :, :n]
    inverse = 1.0 / widths
    scaled = places * inverse
    ndtr(-scaled, out=low)
    np.subtract(ndtr(inverse - scaled), low, out=rise)
    parts[2, :, :n], parts[3, :, :n] = places, widths
    constant = constants[:, :n]
    np.log(inverse / rise, out=constant)
    constant -= 0.5 * scaled * scaled
    constant -= _LOG_ROOT_TWO_PI
    tables = [_table(points[one.column], one.prior, columns.mix, k) for one in columns.choices]
    left = np.zeros((2 * q + 1 + sum(map(len, tables)), k))
    np.multiply(inverse, inverse * -0.5, out=left[:q, :n])
    np.multiply(scaled, inverse, out=left[q : 2 * q, :n])
    if is_active is not None:
        for part in (constant, left[:q, :n], left[q : 2 * q, :n], parts[3, :, :n]):
            part *= is_active
    np.sum(constants, axis=0, out=left[2 * q])
    left[2 * q, :n] += np.log(weights)
    left[2 * q, n:] = math.log(prior) if prior > 0.0 else 0.0
    if tables:
        np.concatenate(tables, out=left[2 * q + 1 :])
    return Kernels(columns, points, parts, left, constants, tables, float(weights.sum()) + prior)


def _table(indices: Floats, prior: Floats, mix: float, k: int) -> Floats:
    """[c, k] log of (1 - mix) [c = c_k] + mix prior(c); the prior alone for an inactive or unknown choice, and beyond n."""
    known = (indices >= 0).nonzero()[0]  # false for NaN
    table = np.repeat(prior[:, None], k, axis=1)
    table[:, known] *= mix
    table[indices[known].astype(np.int64), known] += 1.0 - mix
    return np.log(np.maximum(table, _TINY))


def features(columns: Columns, candidates: Floats) -> Floats:
    """[f, m] what candidates [d, m] are multiplied by; with one more row for each number where a candidate has a NaN."""
    x = candidates[columns.numeric]
    q, m = x.shape
    is_active = None
    if m and math.isnan(x.sum()):
        is_active = x == x
        x = np.where(is_active, x, 0.0)
    found = np.empty((2 * q + 1 + sum(len(one.prior) for one in columns.choices) + (0 if is_active is None else q), m))
    np.multiply(x, x, out=found[:q])
    found[q : 2 * q], found[2 * q] = x, 1.0
    row = 2 * q + 1
    for one in columns.choices:
        c = len(one.prior)
        found[row : row + c] = candidates[one.column] == np.arange(c)[:, None]
        row += c
    if is_active is not None:
        found[row:] = ~is_active
    return found


def log_kernels(blocks: Sequence[Kernels], right: Floats) -> Floats:
    """[k, m] log of weight times density of each kernel of some blocks at the candidates with these features."""
    left = [block.left for block in blocks]
    if len(right) > len(left[0]):  # take back the constants of columns that a candidate does not have
        left = [np.concatenate([block.left, -block.constants]) for block in blocks]
    logs: Floats = (left[0] if len(left) == 1 else np.concatenate(left, axis=1)).T @ right
    return logs


def log_sums(logs: Floats, sizes: Sequence[int]) -> Floats:
    """[g, m] log of the sum over each of g groups of rows of [k, m] logs.

    Args:
        sizes: [g] of the groups, in the order of the rows. The logs are overwritten.
    """
    ends = list(accumulate(sizes))
    groups = [logs[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    shifts = None
    if logs.size and logs.max() > _MOST_LOG:
        shifts = np.zeros((len(groups), 1))
        for shift, group in zip(shifts, groups, strict=True):
            shift[0] = max(float(group.max()) - _MOST_LOG, 0.0)
            group -= shift
    np.maximum(logs, _LEAST_LOG, out=logs)
    np.exp(logs, out=logs)
    found = np.empty((len(groups), logs.shape[1]))
    for row, group in zip(found, groups, strict=True):
        np.add.reduce(group, axis=0, out=row)
    np.log(np.maximum(found, _TINY, out=found), out=found)
    if shifts is not None:
        found += shifts
    return found


def draw(kernels: Kernels, shares: Floats, units: Floats) -> tuple[Floats, Ints]:
    """Points [d, m] from a mixture, and the kernel [m] that each comes from.

    Args:
        shares: [k'] probabilities of the first kernels.
        units: [d + 1, m] uniform numbers.
    """
    from scipy.special import ndtri

    cumulative = shares.cumsum()
    chosen = cumulative.searchsorted(units[-1] * cumulative[-1], side="right")
    np.minimum(chosen, len(shares) - 1, out=chosen)
    numeric, choices = kernels.columns.numeric, kernels.columns.choices
    low, rise, place, width = kernels.parts.take(chosen, axis=2)
    u = units[:-1][numeric]
    x = ndtri(low + u * rise)
    x *= width
    x += place
    np.copyto(x, u, where=width == 0.0)  # also takes away what 0 times infinity left
    np.minimum(np.maximum(x, 0.0, out=x), 1.0, out=x)
    if not choices:
        return x, chosen
    drawn = units[:-1].copy()
    drawn[numeric] = x
    for one, table in zip(choices, kernels.tables, strict=True):
        steps = np.exp(table[:, chosen]).cumsum(axis=0)
        steps /= steps[-1]
        drawn[one.column] = (steps[:-1] <= units[one.column]).sum(axis=0)
    return drawn, chosen
