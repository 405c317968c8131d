"""Which of several noisy means is the best: a set that contains it, intervals, and where further measurements tell most.

Set: all that a one-sided Welch test (Welch 1947) does not find worse than the best mean, Bonferroni-corrected; after Gupta 1965
("On some multiple decision rules", subset selection). The truly best one is left out only if one of the k - 1 tests against it
errs, so it is in the set with probability 1 - alpha or more, whatever the means. Shares of further measurements: OCBA (Chen
et al. 2000, doi 10.1023/A:1008349927281), N_i ~ (s_i / delta_i)^2, N_b = s_b sqrt(sum_{i != b} N_i^2 / s_i^2). Departure: no
gap delta_i to the best is taken for smaller than its standard error, so that two equal means do not take all measurements.

    means, variances, counts  [k]  of k candidates: mean loss, sample variance of one measurement, number of measurements
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def t_quantile(p: float, freedom: npt.ArrayLike) -> Floats:
    """The p-quantile of Student's distribution; infinite without a degree of freedom."""
    from scipy.special import stdtrit

    degrees = np.asarray(freedom, dtype=np.float64)
    return np.where(degrees >= 1.0, stdtrit(np.maximum(degrees, 1.0), p), np.inf)


def half_widths(variances: Floats, counts: Ints, alpha: float) -> Floats:
    """[k] half widths of the two-sided 1 - alpha intervals of the means; infinite for single measurements."""
    return _times(t_quantile(1.0 - alpha / 2.0, counts - 1.0), np.sqrt(variances / counts))


def difference(variances: Floats, counts: Ints, i: int, alpha: float) -> Floats:
    """[k] by how much a mean may exceed the i-th by chance, with probability alpha at most (one-sided, Welch)."""
    error = variances / counts
    total = error + error[i]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = total**2 / (error**2 / (counts - 1.0) + error[i] ** 2 / (counts[i] - 1.0))
    least = np.minimum(counts, counts[i]) - 1.0  # what Welch's formula can never be below
    freedom = np.where(np.isfinite(freedom), np.maximum(freedom, least), least)
    freedom = np.where(least < 1.0, 0.0, freedom)
    return _times(t_quantile(1.0 - alpha, freedom), np.sqrt(total))


def maybe_best(means: Floats, variances: Floats, counts: Ints, alpha: float) -> Bools:
    """[k] a set that contains the candidate of the smallest true mean with probability 1 - alpha or more."""
    b = int(np.argmin(means))
    chance = difference(variances, counts, b, alpha / max(len(means) - 1, 1))
    kept: Bools = means - means[b] <= chance
    return kept


def shares(means: Floats, variances: Floats, counts: Ints, n_more: int) -> Ints:
    """[k] how many of ``n_more`` measurements each candidate should get (OCBA)."""
    sd = np.sqrt(np.maximum(variances, max(1e-6 * float(variances.max()), 1e-300)))
    b = int(np.argmin(means))
    gap = np.maximum(means - means[b], np.sqrt(sd**2 / counts + sd[b] ** 2 / counts[b]))
    ratio = (sd / gap) ** 2
    ratio[b] = 0.0
    ratio[b] = sd[b] * np.sqrt((ratio**2 / sd**2).sum())
    is_open = np.ones(len(means), dtype=bool)  # those below their share of the total
    while True:
        total = n_more + counts[is_open].sum()
        wanted = np.where(is_open, total * ratio / ratio[is_open].sum() - counts, 0.0)
        if (wanted >= 0.0).all():
            break
        is_open &= wanted > 0.0
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    rest = np.argsort(whole - wanted, kind="stable")[: n_more - int(whole.sum())]
    whole[rest] += 1
    return whole


def _times(quantile: Floats, error: Floats) -> Floats:
    """Their product, where no error at all needs no quantile."""
    with np.errstate(invalid="ignore"):
        return np.where((error == 0.0) & np.isfinite(quantile), 0.0, quantile * np.where(error > 0.0, error, 1.0))
