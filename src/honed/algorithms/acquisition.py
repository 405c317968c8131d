"""Log expected improvement that is exact and has gradients however small it is.

EI = sd h(e), h(e) = phi(e) + e Phi(e), e = (best - mean) / sd (Jones et al. 1998, doi 10.1023/A:1008306431147). Far below,
h underflows; its log does not (Ament et al. 2023, arXiv 2310.20708, eqs. 8 and 9): with the ratio M = Phi/phi, by erfcx,
h = phi (1 + e M), and 1 + e M = 1/e^2 to first order from e = -1000 on.

    mean, variance  [m]  of the posterior        best  the value to improve on; smaller is better
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * float(np.log(2.0 * np.pi))
_SQRT_HALF_PI = float(np.sqrt(0.5 * np.pi))
_FAR = -1e3


def log_h(e: Floats) -> tuple[Floats, Floats, Floats]:
    """Log h(e), Phi/h and phi/h: the last two give the derivatives of log EI."""
    e = np.asarray(e, dtype=np.float64)
    near, far = e > -1.0, e < _FAR
    found = np.empty((3, *e.shape))
    for where, branch in ((near, _near), (~(near | far), _between), (far, _far)):
        if where.any():
            found[:, where] = branch(e[where])
    return found[0], found[1], found[2]


def _near(e: Floats) -> tuple[Floats, Floats, Floats]:
    from scipy.special import ndtr

    phi, Phi = np.exp(-0.5 * e * e - _LOG_SQRT_2PI), ndtr(e)
    h = phi + e * Phi
    return np.log(h), Phi / h, phi / h


def _between(e: Floats) -> tuple[Floats, Floats, Floats]:
    from scipy.special import erfcx

    M = _SQRT_HALF_PI * erfcx(-e / 2.0**0.5)
    inner = 1.0 + e * M
    return -0.5 * e * e - _LOG_SQRT_2PI + np.log(inner), M / inner, 1.0 / inner


def _far(e: Floats) -> tuple[Floats, Floats, Floats]:
    return -0.5 * e * e - _LOG_SQRT_2PI - 2.0 * np.log(-e), -e, e * e


def log_ei(mean: Floats, variance: Floats, best: float) -> Floats:
    """Log EI [m]."""
    sd = np.sqrt(variance)
    return np.asarray(np.log(sd) + log_h((best - mean) / sd)[0])


def log_ei_slopes(mean: Floats, variance: Floats, best: float) -> tuple[Floats, Floats, Floats]:
    """Log EI [m], and its derivatives by mean and by variance."""
    sd = np.sqrt(variance)
    value, Phi_h, phi_h = log_h((best - mean) / sd)
    return np.log(sd) + value, -Phi_h / sd, phi_h / (2.0 * variance)


def log_mean_exp(values: Sequence[Floats]) -> Floats:
    """The log of the mean of exponentials [m] over several [m]."""
    stacked = np.stack(values)
    top = stacked.max(axis=0)
    return np.asarray(top + np.log(np.exp(stacked - top).mean(axis=0)))
