"""What the ensemble of learning curves says in values: quantiles, probabilities, and what going on would bring.

Members see values through warps, so a prediction is a mixture of warped normal distributions, with a share for each member and
within it for each draw of hyperparameters. Its quantiles are those of midpoints: each part is cut into pieces of equal
probability, whose middles are led back to values. Noise is part of it: what is predicted is what would be reported.

    rows  [q]  trials        steps  [q]  where they are judged        k  pieces of all parts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.curve_ensemble import CurveEnsemble
from honed.algorithms.curve_model import CurvePosterior
from honed.algorithms.curve_own import OwnCurves

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

INTERVAL = (0.05, 0.95)
"""The quantiles between which nine of ten values are expected."""

OWN_SHARE = 0.12
"""How much of a prediction is what a curve says by itself."""

_PIECES = 60
_LEAST = 1e-12  # probability
_AT_ONCE = 400  # predictions: their pieces are sorted together


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Values [q] that are expected: the middle, and the ends of the 90 % interval."""

    median: Floats
    low: Floats
    high: Floats


def predicted(model: CurveEnsemble, rows: Ints, steps: Ints, own: OwnCurves | None = None) -> Predicted:
    """The values of trials at steps, as they would be reported; smaller is better.

    Args:
        own: what the curves say by themselves; None leaves it all to the model.
    """
    parts = [
        _quantiles(model, rows[i : i + _AT_ONCE], steps[i : i + _AT_ONCE], own) for i in range(0, len(rows), _AT_ONCE)
    ]
    found = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
    return Predicted(*found)


def probability_below(model: CurveEnsemble, rows: Ints, steps: Ints, value: float) -> Floats:
    """[q] how likely a trial reports less than ``value`` at a step."""
    from scipy.special import ndtr

    u, found = model.times.of(rows, steps), []
    for member in model.members:
        z = float(member.warp.apply(np.array([value]))[0])
        mine = np.zeros(len(rows))
        for posterior in member.posteriors:
            mean, variance = posterior.predict(rows, u)
            mine += ndtr((z - mean) / np.sqrt(variance + posterior.noise)) / len(member.posteriors)
        found.append(np.minimum(mine, 1.0 - OWN_SHARE))  # the curve may stay as it is, whatever a member says
    return pooled(np.array(found))


def pooled(probabilities: Floats, least: float = _LEAST) -> Floats:
    """[q] of members [m, q]: the mean of their log odds; what all of them exclude stays excluded.

    Args:
        least: what a member that excludes something is taken to mean.
    """
    p = np.clip(probabilities, least, 1.0 - least)
    found = 1.0 / (1.0 + np.exp(-(np.log(p) - np.log1p(-p)).mean(axis=0)))
    return np.where((probabilities == 0.0).all(axis=0), 0.0, found)


def noise_near(model: CurveEnsemble, value: float) -> float:
    """The standard deviation of noise around curves, in values, near a value; the mean over members."""
    spreads = []
    for member in model.members:
        sd = np.sqrt(member.posteriors[0].noise)
        z = float(member.warp.apply(np.array([value]))[0])
        low, high = member.warp.invert(np.array([z - sd, z + sd])).tolist()
        spreads.append(0.5 * (high - low))
    return float(np.mean(spreads))


def joint_draws(
    model: CurveEnsemble, rows: Ints, X: Floats, steps: Ints, n_draws: int, draw: np.random.Generator
) -> list[Floats]:
    """Of each member values [n_draws, q + c] without noise: the joint posterior of trials and configurations yet to begin.

    Args:
        X: [c, d] configurations.
        steps: [q + c] where trials and configurations are judged.
    """
    features, q = model.kernel.features(X), len(rows)
    u = np.concatenate([model.times.of(rows, steps[:q]), model.times.of_new(steps[q:])])
    found = []
    for member in model.members:
        values = []
        for posterior, n in zip(member.posteriors, _shares(n_draws, len(member.posteriors)), strict=True):
            wider, m = _with_new(posterior, features)
            mean, covariance = wider.predict_joint(np.concatenate([rows, np.arange(m, m + len(X))]), u)
            eigenvalues, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
            values.append(member.warp.invert(mean + draw.standard_normal((n, len(mean))) @ root.T))
        found.append(np.concatenate(values))
    return found


def _with_new(posterior: CurvePosterior, features: Floats) -> tuple[CurvePosterior, int]:
    """The process that knows more trials, and the row of the first of them."""
    scaled = features / posterior.lengthscales[posterior.kernel.groups]
    return replace(posterior, G=np.concatenate([posterior.G, scaled])), len(posterior.G)


def _shares(n: int, parts: int) -> Sequence[int]:
    """How many of n draws each part makes: in all n, as even as can be."""
    shares: list[int] = np.diff(np.round(np.linspace(0, n, parts + 1)).astype(np.int64)).tolist()
    return shares


def _quantiles(model: CurveEnsemble, rows: Ints, steps: Ints, own: OwnCurves | None) -> Floats:
    """[3, q]: median, low and high."""
    values, weight = _pieces(model, rows, steps)
    weights = np.tile(weight, (len(rows), 1))
    if own is not None:
        alone = own.values(rows, steps, _PIECES)
        is_known = ~np.isnan(alone[:, 0])
        share = np.where(is_known, OWN_SHARE, 0.0)[:, None]
        values = np.where(is_known[:, None], np.minimum(values, own.ceilings(rows)[:, None]), values)
        values = np.concatenate([values, np.where(is_known[:, None], alone, 0.0)], axis=1)
        weights = np.concatenate([(1.0 - share) * weights, np.repeat(share / _PIECES, _PIECES, axis=1)], axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    weights = np.take_along_axis(weights, order, axis=1)
    middles = np.cumsum(weights, axis=1) - 0.5 * weights
    values = np.take_along_axis(values, order, axis=1)
    return np.array([_at(middles, values, q) for q in (0.5, *INTERVAL)])


def _pieces(model: CurveEnsemble, rows: Ints, steps: Ints) -> tuple[Floats, Floats]:
    """Values [q, k] of the model's pieces, and their weights [k]."""
    from scipy.special import ndtri

    u = model.times.of(rows, steps)
    normal = ndtri((np.arange(_PIECES) + 0.5) / _PIECES)
    pieces, weights = [], []
    for member in model.members:
        n_parts = len(model.members) * len(member.posteriors)
        for posterior in member.posteriors:
            mean, variance = posterior.predict(rows, u)
            sd = np.sqrt(variance + posterior.noise)
            pieces.append(member.warp.invert(mean[:, None] + sd[:, None] * normal))
            weights.append(np.full(_PIECES, 1.0 / (n_parts * _PIECES)))
    return np.concatenate(pieces, axis=1), np.concatenate(weights)


def _at(middles: Floats, values: Floats, q: float) -> Floats:
    """[rows] where the cumulated weights reach ``q``, between two pieces in proportion."""
    right = np.clip((middles < q).sum(axis=1), 1, middles.shape[1] - 1)
    row = np.arange(len(values))
    low, high = middles[row, right - 1], middles[row, right]
    share = np.clip((q - low) / (high - low), 0.0, 1.0)
    return np.asarray(values[row, right - 1] + share * (values[row, right] - values[row, right - 1]))
