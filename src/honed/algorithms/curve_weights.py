"""How much each member of a model of curves is trusted: by what it said of values before they came.

Prequential (Dawid 1984, doi 10.2307/2981683): the axis of the raw values is cut at quantiles of the trials' bests known at the
time of the prediction, and a member scores the log of the mass it gave to the cell that the next value falls in. So members on
different scales are compared without Jacobians. Old scores fade.

    edges  [c]  cuts of the raw axis        mean, variance  [q]  predictions, noise included, on a member's scale
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CUTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_LEAST_MASS = 1e-4
_FADING = 0.98  # for each slice that came after
_LEAST_WEIGHT = 0.1
_ENOUGH = 8


def cell_scores(
    apply: Callable[[Floats], Floats], mean: Floats, variance: Floats, y: Floats, bests: Floats
) -> Floats:
    """The log mass [q] that predictions gave to the cells of the values y [q].

    Args:
        apply: the member's warp.
        bests: [m] the best value of each trial, as known when predicting.
    """
    from scipy.special import ndtr

    edges = np.unique(np.quantile(bests, _CUTS))
    inner = apply(edges)
    low, high = np.concatenate([[-np.inf], inner]), np.concatenate([inner, [np.inf]])
    cell, sd = np.searchsorted(edges, y, side="left"), np.sqrt(variance)
    mass = ndtr((high[cell] - mean) / sd) - ndtr((low[cell] - mean) / sd)
    return np.asarray(np.log(np.maximum(mass, _LEAST_MASS)))


def faded_weights(scores: Sequence[Floats]) -> Floats:
    """The weights of members [k] by their scores [q] in order of time; equal ones where scores are few."""
    k, q = len(scores), len(scores[0])
    if q < _ENOUGH:
        return np.full(k, 1.0 / k)
    totals = np.array([float(score @ _FADING ** np.arange(q - 1, -1, -1)) for score in scores])
    shares = np.exp(totals - totals.max())
    shares = np.maximum(shares / shares.sum(), _LEAST_WEIGHT)
    return np.asarray(shares / shares.sum())
