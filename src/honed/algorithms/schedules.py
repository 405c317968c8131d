"""Learning-rate schedules that are stretched to the length of a training: checked, kept, and how much is learned by when.

What a training has learned follows the learning rates that it had so far rather than the steps. So its progress after a share of
its steps is the sum of the rates up to there, of the sum of all. Where each training's schedule is made for its own length, the
same step is early in a long training and late in a short one: only equal shares can be compared.

    s  share of the steps that are done, t / T        P(s)  progress, from 0 to 1
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kept = str | list[float]
"""A schedule as a trial's note keeps it: its name, or P at even shares."""

CELLS = 64
"""P is kept at so many even shares, or at every step of a shorter training."""

NAMES = ("constant", "linear", "cosine", "one-cycle")
_CONSTANT = "constant"
_WARM_UP, _DIVISOR = 0.3, 25.0  # one-cycle: the share of rising rates, and the first one's part of the highest


def kept_schedule(schedule: str | Sequence[float] | None, n: int) -> Kept | None:
    """What a note keeps of a schedule that a user has named or listed; None for a constant rate.

    Raises:
        TypeError: neither a name nor numbers.
        ValueError: an unknown name, or not ``n`` factors that could be learning rates.
    """
    if schedule is None:
        return None
    if isinstance(schedule, str):
        if schedule not in NAMES:
            known = ", ".join(map(repr, NAMES))
            raise ValueError(f"steps: schedule={schedule!r} is unknown; use {known}, or a list of {n} factors")
        return None if schedule == _CONSTANT else schedule
    try:
        factors = [float(factor) for factor in schedule]
    except (TypeError, ValueError):
        raise TypeError(
            f"steps: schedule={schedule!r} must be a name ('cosine') or the learning rates of all steps, one number each"
        ) from None
    if len(factors) != n:
        raise ValueError(
            f"steps: schedule has {len(factors)} factors for n={n} steps; give one for each step of a full training"
        )
    if not all(math.isfinite(factor) and factor >= 0.0 for factor in factors) or not any(factors):
        raise ValueError(
            "steps: schedule must have finite factors of 0 or more, and one above 0: they are learning rates"
        )
    if max(factors) == min(factors):
        return None
    largest = max(factors)
    sums = list(accumulate((factor / largest for factor in factors), initial=0.0))
    shares = np.linspace(0.0, 1.0, min(n, CELLS) + 1)
    found = np.interp(shares * n, np.arange(n + 1), np.array(sums) / sums[-1])
    return [round(float(progress), 6) for progress in found]


def progress_of(kept: object) -> Floats | None:
    """P [CELLS + 1] at even shares; None for a constant rate, and for what no version of honed has kept."""
    s = np.linspace(0.0, 1.0, CELLS + 1)
    if kept == "linear":
        return np.asarray(s * (2.0 - s))
    if kept == "cosine":
        return np.asarray(s + np.sin(np.pi * s) / np.pi)
    if kept == "one-cycle":
        return _one_cycle(s)
    if not isinstance(kept, Sequence) or isinstance(kept, str) or len(kept) < 2:
        return None
    found = np.array(kept, dtype=np.float64)
    return np.asarray(np.interp(s, np.linspace(0.0, 1.0, len(found)), np.maximum.accumulate(found)))


def _one_cycle(s: Floats) -> Floats:
    """Rates rise as a cosine from a 25th to the highest, then fall as one to nothing (Smith, Topin 2018, arXiv 1708.07120)."""
    fine = np.linspace(0.0, 1.0, 16 * CELLS + 1)
    rising = 0.5 - 0.5 * np.cos(np.pi * np.minimum(fine / _WARM_UP, 1.0))
    falling = 0.5 + 0.5 * np.cos(np.pi * np.maximum(fine - _WARM_UP, 0.0) / (1.0 - _WARM_UP))
    rates = np.where(fine < _WARM_UP, 1.0 / _DIVISOR + (1.0 - 1.0 / _DIVISOR) * rising, falling)
    sums = np.concatenate([[0.0], np.cumsum(0.5 * (rates[1:] + rates[:-1]))])
    return np.asarray(np.interp(s, fine, sums / sums[-1]))
