"""How likely a configuration is to keep its limits, where trials have measured by how much they did or did not.

One Gaussian process for each constraint (Gardner et al. 2014, proceedings.mlr.press/v32/gardner14; Gelbart et al. 2014, arXiv
1403.5607) on the excess beyond the limit, with the most probable hyperparameters only. The probability to keep all is the
product; its log is exact far outside (``log_ndtr``), so that a search that has met nothing allowed yet still has a slope.
Excesses keep their sign and lose their tails: asinh of the excess in units of its median size, cut at 3.

    e  [n]  excess, relative to the limit: 0 or less is allowed        w  [n]  warped        bar  the limit on w's standard scale
    X  [n, d]  configurations where it was measured
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.algorithms.gp import Posterior, condition, fit, noise_prior
from honed.algorithms.kernels import ConfigKernel

Floats = npt.NDArray[np.float64]

_MOST = 3.0
_LEAST_DATA = 3
_LOG_SQRT_2PI = 0.5 * float(np.log(2.0 * np.pi))


def warped(e: Floats) -> tuple[Floats, float] | None:
    """The standardised excesses and the limit on their scale; None where all are alike."""
    size = float(np.median(np.abs(e))) if len(e) else 0.0
    size = size or float(np.abs(e).max(initial=0.0))
    if len(e) < _LEAST_DATA or not size > 0.0:
        return None
    w = np.clip(np.arcsinh(e / size), -_MOST, _MOST)
    mean, sd = float(w.mean()), float(w.std())
    if sd < 1e-9:
        return None
    return (w - mean) / sd, -mean / sd


@dataclass(frozen=True, slots=True)
class Limit:
    """One constraint that was measured.

    Attributes:
        posterior: of the warped excess.
        bar: where allowed begins.
    """

    posterior: Posterior
    bar: float

    @staticmethod
    def learned(kernel: ConfigKernel, X: Floats, e: Floats) -> Floats:
        """The most probable hyperparameters; those of the prior where there is nothing to learn yet."""
        found, prior = warped(e), noise_prior(kernel.prior)
        return prior.start if found is None else fit(kernel, X, found[0], prior)

    @staticmethod
    def conditioned(kernel: ConfigKernel, theta: Floats, X: Floats, e: Floats, pending: Floats) -> Limit | None:
        """The constraint that has seen e at X and believes its means at ``pending`` [p, d]; None where all are alike."""
        found = warped(e)
        if found is None:
            return None
        posterior = condition(kernel, theta, X, found[0])
        return Limit(posterior.append(pending) if len(pending) else posterior, found[1])

    def log_probability(self, X: Floats) -> Floats:
        """[m] to keep it."""
        from scipy.special import log_ndtr

        mean, variance = self.posterior.predict(X)
        return np.asarray(log_ndtr((self.bar - mean) / np.sqrt(variance)))

    def log_probability_and_gradient(self, X: Floats) -> tuple[Floats, Floats]:
        """[m] and [m, d]."""
        from scipy.special import log_ndtr

        mean, variance, pull = self.posterior.predict_with_pull(X)
        sd = np.sqrt(variance)
        t = (self.bar - mean) / sd
        value = log_ndtr(t)
        ratio = np.exp(-0.5 * t * t - _LOG_SQRT_2PI - value)  # phi / Phi
        return value, pull(-ratio / sd, -0.5 * ratio * t / variance)
