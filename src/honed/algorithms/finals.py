"""The final value of a training that did not reach its end, from those that did.

From step t to the end a training gains what the median of the complete ones gained from there; the spread of their gains is how
uncertain that is. Trials that stopped at the same step keep their order. While fewer than three have passed that step to the
end, a training's own last doubling of steps stands for each doubling that is missing, at half its size: curves flatten.

    curves   steps [k] rising, losses [k], smaller is better        ends  [n]  losses of complete trainings
    T  the full length        spread  [m]  one standard deviation, in losses
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Summary = Literal["best", "last", "mean"]

_ENOUGH = 3
_FLATTENING = 0.5
_MAD = 1.4826  # the median absolute deviation of a normal variable is its standard deviation over this


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a training was worth after each of its steps; both without NaN."""

    steps: Ints
    losses: Floats

    @staticmethod
    def of(steps: Ints, losses: Floats, summary: Summary) -> Curve:
        """The curve of reports in order of steps, by what counts of them."""
        kept = ~np.isnan(losses)
        steps, losses = steps[kept], losses[kept]
        if summary == "best":
            losses = np.minimum.accumulate(losses)
        elif summary == "mean":
            losses = np.cumsum(losses) / np.arange(1, len(losses) + 1)
        return Curve(steps, losses)

    def at(self, step: int) -> float:
        """The worth after a step; NaN before the first report."""
        place = int(np.searchsorted(self.steps, step, side="right"))
        return float(self.losses[place - 1]) if place else np.nan


def predicted(
    unfinished: Sequence[Curve], complete: Sequence[Curve], ends: Floats, total: int
) -> tuple[Floats, Floats]:
    """Final losses [m] and their spreads [m].

    Args:
        unfinished: at least one value each.
        complete: the curves of complete trainings, perhaps empty ones.
        ends: [n] what they were worth in the end.
        total: T.
    """
    finals, spreads = np.empty(len(unfinished)), np.empty(len(unfinished))
    known: dict[int, tuple[float, float] | None] = {}
    lasts = np.array([curve.losses[-1] for curve in unfinished])
    everywhere = np.concatenate([lasts, ends])
    usual = _robust_sd(everywhere)
    for i, curve in enumerate(unfinished):
        t = int(curve.steps[-1])
        if t >= total:
            finals[i], spreads[i] = lasts[i], 0.0
            continue
        if t not in known:
            gains = ends - np.array([other.at(t) for other in complete])
            known[t] = _gain(gains[np.isfinite(gains)])
        gain, spread = known[t] or _own_gain(curve, t, total, usual)
        finals[i], spreads[i] = lasts[i] + gain, spread
    return finals, spreads


def _gain(gains: Floats) -> tuple[float, float] | None:
    """The median, and how far a new one lies from it; None from too few."""
    if len(gains) < _ENOUGH:
        return None
    return float(np.median(gains)), _robust_sd(gains) * (1.0 + 1.0 / len(gains)) ** 0.5


def _own_gain(curve: Curve, t: int, total: int, usual: float) -> tuple[float, float]:
    """What the curve's last doubling says; nothing from a curve that is too short."""
    half = curve.at(t // 2)
    if t < 2 or np.isnan(half):
        return 0.0, usual
    missing = float(np.log2(total / t))
    gain = _FLATTENING * (float(curve.losses[-1]) - half) * missing
    return gain, abs(gain) + 1e-3 * usual


def _robust_sd(values: Floats) -> float:
    if len(values) < 2:
        return 0.0
    deviation = _MAD * float(np.median(np.abs(values - np.median(values))))
    return deviation if deviation > 0.0 else float(values.std())
