"""How likely a new configuration is to fail, from those that failed: diverged, out of memory or time, beyond a limit."""

from __future__ import annotations

import numpy as np

from honed.algorithms.feasibility import Survival
from honed.algorithms.kernels import ConfigKernel
from honed.freeze_thaw.budget import first_slice
from honed.freeze_thaw.seen import Seen
from honed.history import Floats


def survival_of(data: Seen, lengthscales: Floats) -> Survival | None:
    """What predicts survival; None while nothing has failed.

    Those that have come through their first slice count as survivors.

    Args:
        lengthscales: [d] of the model of curves.
    """
    is_known = ~np.isnan(data.xs).all(axis=1)
    failed = np.flatnonzero(data.has_failed & is_known)
    if not len(failed):
        return None
    survived = np.flatnonzero(data.has_survived & is_known & (data.at >= first_slice(data.full)))
    rows = np.concatenate([survived, failed])
    kernel, d = ConfigKernel(data.coordinates.layout), data.xs.shape[1]
    theta = kernel.prior.mean.copy()
    theta[:d] = np.log(lengthscales)
    f = np.repeat([0.0, 1.0], [len(survived), len(failed)])
    return Survival.fitted(kernel, theta, data.xs[rows], f, d)
