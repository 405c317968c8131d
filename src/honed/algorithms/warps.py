"""Monotone warps: of losses, so that a Gaussian process fits them, and of inputs, so that it is stationary.

Losses have a long bad tail and all that matters near the best. Three members, each fitted to the losses seen and then
standardised: Yeo-Johnson (Yeo, Johnson 2000, doi 10.1093/biomet/87.4.954, the power by maximum likelihood, as HEBO does,
Cowen-Rivers et al. 2022, arXiv 2012.03826), log-gap (log of the distance to a little below the best) and rank-Gaussian.
Before that the bad tail is cut at the median + 3 interquartile ranges. Inputs take the distribution function of
Kumaraswamy (Snoek et al. 2014, arXiv 1402.0929, who use the Beta distribution's), whose derivatives are elementary.

    y  [n]     losses, smaller is better          z  [n]     what the model sees, standardised
    U  [n, k]  coordinates in [0, 1]              alpha, beta  [k]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LARGEST = 1e100  # losses beyond would overflow in sums of squares
_EDGE = 0.005  # at 0 and 1 themselves slopes may be infinite
_LEAST = 1e-100  # smaller differences are none: slopes between such values would overflow
_POWERS = np.linspace(-3.0, 3.0, 121)


# ---------------------------------------------------------------------------------------------------------- inputs


def kumaraswamy(U: Floats, alpha: Floats, beta: Floats) -> Floats:
    """1 - (1 - u^alpha)^beta; what lies outside [0, 1] keeps its distance to the end."""
    u, rest = _inside(U)
    return 1.0 - (1.0 - u**alpha) ** beta + rest


def kumaraswamy_slope(U: Floats, alpha: Floats, beta: Floats) -> Floats:
    """The derivative by U."""
    u, rest = _inside(U)
    p = u**alpha
    slope = (1.0 - 2.0 * _EDGE) * alpha * beta * p / u * (1.0 - p) ** (beta - 1.0)
    return np.where(rest == 0.0, slope, 1.0)


def kumaraswamy_slopes(U: Floats, alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """The derivatives by log alpha and log beta."""
    u, _ = _inside(U)
    log_u = np.log(u)
    p = np.exp(alpha * log_u)
    q = 1.0 - p
    power = q**beta
    return power / q * beta * p * alpha * log_u, -beta * power * np.log(q)


def _inside(U: Floats) -> tuple[Floats, Floats]:
    clipped = np.clip(U, 0.0, 1.0)
    return _EDGE + (1.0 - 2.0 * _EDGE) * clipped, U - clipped


# ---------------------------------------------------------------------------------------------------------- losses


def cut_tail(y: Floats) -> Floats:
    """The losses with the bad tail cut at the median + 3 interquartile ranges."""
    low, middle, high = np.quantile(y, [0.25, 0.5, 0.75])
    return np.minimum(y, middle + 3.0 * (high - low)) if high > low else y


@dataclass(frozen=True, slots=True)
class Warped:
    """A warp that was fitted to losses.

    Attributes:
        name: which one.
        z: [n] the warped, standardised losses.
        apply: warps other losses.
    """

    name: str
    z: Floats
    apply: Callable[[Floats], Floats]


def fitted_warps(y: Floats) -> list[Warped]:
    """All members for finite, not constant losses whose tail is cut."""
    shift, scale = float(np.median(y)), float(y.max() - y.min())
    u = (y - shift) / scale  # so that no power overflows
    members = (("yeo-johnson", _yeo_johnson(u)), ("log-gap", _log_gap(u)), ("rank", _rank_gaussian(u)))
    return [_standardised(name, raw, y, shift, scale) for name, raw in members]


def is_constant(y: Floats) -> bool:
    """Whether there is nothing to learn from these losses."""
    size = float(np.abs(y).max(initial=0.0))
    return len(y) < 2 or not np.isfinite(y.max() - y.min()) or float(y.max() - y.min()) <= max(1e-12 * size, _LEAST)


def _standardised(name: str, raw: Callable[[Floats], Floats], y: Floats, shift: float, scale: float) -> Warped:
    g = raw((y - shift) / scale)
    mean, sd = float(g.mean()), max(float(g.std()), 1e-12)

    def apply(v: Floats) -> Floats:
        return (raw((v - shift) / scale) - mean) / sd

    return Warped(name, (g - mean) / sd, apply)


def _yeo_johnson(u: Floats) -> Callable[[Floats], Floats]:
    """With the power of the largest likelihood, on a grid."""
    sd = float(u.std())

    def raw(v: Floats, power: Floats) -> Floats:
        v = v / sd
        rise, fall = np.log1p(np.maximum(v, 0.0)), np.log1p(np.maximum(-v, 0.0))
        upper = np.where(power == 0.0, rise, np.expm1(power * rise) / np.where(power == 0.0, 1.0, power))
        rest = 2.0 - power
        lower = np.where(rest == 0.0, fall, np.expm1(rest * fall) / np.where(rest == 0.0, 1.0, rest))
        return np.asarray(np.where(v >= 0.0, upper, -lower))

    powers = _POWERS[:, None]
    g = raw(u, powers)
    v = u / sd
    log_slopes = (_POWERS - 1.0) * float((np.sign(v) * np.log1p(np.abs(v))).sum())
    likelihood = log_slopes - 0.5 * len(u) * np.log(g.var(axis=1))
    best = powers[int(np.argmax(likelihood))]
    return lambda v: raw(v, best)


GAP = 0.1


def _log_gap(u: Floats) -> Callable[[Floats], Floats]:
    """The log of the distance to a little below the best, in units of the best nine tenths' range."""
    lo, hi = float(u.min()), float(np.quantile(u, 0.9))
    hi = hi if hi - lo > 1e-9 else float(u.max())
    return lambda v: np.log(np.maximum((v - lo) / (hi - lo), -0.9 * GAP) + GAP)


def _rank_gaussian(u: Floats) -> Callable[[Floats], Floats]:
    """Normal quantiles of ranks, interpolated, with a line beyond the best and the worst."""
    from scipy.special import ndtri

    u = np.where(np.abs(u) < _LEAST, 0.0, u)
    values, counts = np.unique(u, return_counts=True)
    q = (np.cumsum(counts) - 0.5 * counts) / len(u)  # equals share the middle of their ranks
    lo, hi = float(values[0]), float(values[-1])

    def raw(v: Floats) -> Floats:
        beyond = np.minimum((v - lo) / (hi - lo), 0.0) + np.maximum((v - hi) / (hi - lo), 0.0)
        return np.asarray(ndtri(np.interp(v, values, q)) + 2.0 * beyond)

    return raw
