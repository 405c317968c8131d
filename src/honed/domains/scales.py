"""The scales of numeric domains: how [0, 1] is laid along a range, and which values of it are allowed.

A scale is t = forward(x): t itself, log(x), -log(low + high - x) or -log(1 - x). Continuous ranges are uniform in t. Allowed
values ("cells") on a linear scale, and those of a factor, share [0, 1] equally; on another scale each cell takes the
part of t around it, half a step to both sides, so that ``log=True, step=8`` is log-uniform over the multiples of 8.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

Log = bool | Literal["reverse", "near_one"]
"""A scale: ``True`` is log, ``"reverse"`` log and dense near the top, ``"near_one"`` log in 1 - x."""

MOST_CELLS = 100_000
"""A numeric domain with more values than this is not listed."""

SCALE_TEXTS: dict[Log, str] = {
    False: "",
    True: ", log",
    "reverse": ", log='reverse'",
    "near_one": ", log='near_one'",
}


@dataclass(frozen=True, slots=True)
class Axis:
    """A numeric range with its scale.

    Attributes:
        start, span: t at unit 0, and its length up to unit 1.
        cells: the allowed values; none for a continuous range.
        is_even: the cells share [0, 1] equally.
        step, factor: between neighbouring cells.
    """

    scale: Log
    low: float
    high: float
    start: float = 0.0
    span: float = 1.0
    cells: Sequence[float] = ()
    n: int = 0
    is_even: bool = False
    step: float | None = None
    factor: float | None = None

    def forward(self, x: float) -> float:
        """The coordinate t of x."""
        if self.scale is True:
            return math.log(x)
        if self.scale == "reverse":
            return -math.log(self.low + self.high - x)
        if self.scale == "near_one":
            return -math.log(1.0 - x)
        return x

    def inverse(self, t: float) -> float:
        """The x of coordinate t."""
        if self.scale is True:
            return math.exp(t)
        if self.scale == "reverse":
            return self.low + self.high - math.exp(-t)
        if self.scale == "near_one":
            return 1.0 - math.exp(-t)
        return t

    def decode(self, unit: float) -> float:
        """The allowed value at ``unit``."""
        if self.is_even:
            i = int(unit * self.n)
            return self.cells[i if i < self.n else self.n - 1]
        t = self.start + unit * self.span
        scale = self.scale
        x = math.exp(t) if scale is True else t if scale is False else self.inverse(t)
        if self.n:
            return self.cells[self.nearest(x)]
        if unit <= 0.0 or x < self.low:
            return self.low
        return self.high if unit >= 1.0 or x > self.high else x

    def encode(self, x: float) -> float:
        """The unit of x; beyond the range it lies below 0 or above 1, and is NaN where the scale ends."""
        try:
            if not self.is_even:
                return (self.forward(x) - self.start) / self.span
            if self.factor is not None:
                return (math.log(x / self.low) / math.log(self.factor) + 0.5) / self.n
        except ValueError:
            return math.nan
        assert self.step is not None
        return ((x - self.low) / self.step + 0.5) / self.n

    def nearest(self, x: float) -> int:
        """Index of the cell nearest to x."""
        cells = self.cells
        if isinstance(cells, range):
            return min(max(round((x - cells.start) / cells.step), 0), self.n - 1)
        i = min(max(bisect_right(cells, x), 1), self.n - 1)
        return i if abs(cells[i] - x) < abs(cells[i - 1] - x) else i - 1

    def contains(self, x: float) -> bool:
        """Whether x is in the range, and a cell if there are cells."""
        if not self.low <= x <= self.high:
            return False
        return not self.n or math.isclose(
            self.cells[self.nearest(x)], x, rel_tol=1e-9, abs_tol=1e-9 * (self.step or 0.0)
        )

    def grid(self, n: int | None) -> tuple[float, ...]:
        """All cells, or ``n`` values evenly spaced in t, both ends included; one value is the middle."""
        if n is not None and n < 1:
            raise ValueError(f"a grid needs at least one point, got {n}")
        if self.n and (n is None or n >= self.n):
            return tuple(self.cells)
        assert n is not None
        first, last = self.forward(self.low), self.forward(self.high)
        wanted = [first + (i * (last - first) / (n - 1) if n > 1 else (last - first) / 2) for i in range(n)]
        if self.is_even:
            return tuple(self.cells[i] for i in spread(self.n, n))
        if self.n:
            return tuple(self.cells[i] for i in sorted({self.nearest(self.inverse(t)) for t in wanted}))
        inner = [min(max(short(self.inverse(t)), self.low), self.high) for t in wanted]
        return tuple(inner) if n == 1 else (self.low, *inner[1:-1], self.high)


def laid_out(axis: Axis) -> Axis:
    """The axis of a checked range, from its scale, bounds, cells, and what lies between them."""
    n = len(axis.cells)
    if n and (axis.scale is False or axis.factor is not None):
        return replace(axis, n=n, is_even=True)
    # Each cell owns half a step on both sides, as far as the logarithm allows.
    below = above = axis.step / 2 if n and axis.step is not None else 0.0
    if axis.scale is True:
        below = min(below, axis.low / 2)
    elif axis.scale == "reverse":  # high + above is mirrored to low - above
        above = min(above, axis.low / 2)
    elif axis.scale == "near_one":
        above = min(above, (1.0 - axis.high) / 2)
    start = axis.forward(axis.low - below)
    return replace(axis, n=n, start=start, span=axis.forward(axis.high + above) - start)


def spread(n_cells: int, n: int) -> list[int]:
    """``n`` indices out of ``n_cells``, both ends included, evenly spaced; one index is the middle."""
    if n == 1:
        return [(n_cells - 1) // 2]
    return sorted({round(i * (n_cells - 1) / (n - 1)) for i in range(n)})


def short(x: float) -> float:
    """The number a person would write: 0.0010000000000000002 becomes 0.001."""
    return float(f"{x:.12g}")


def plain(x: float) -> str:
    """A bound as a person would write it: 1000000, 0.001, 1e-05."""
    return str(x) if isinstance(x, int) else f"{x:.12g}"


def multiples(kind: str, low: float, high: float, factor: float) -> list[float]:
    """low, low * factor, ..., high.

    Raises:
        ValueError: a factor of 1 or less, or one that does not reach ``high``.
    """
    if factor <= 1:
        raise ValueError(f"{kind}: factor={plain(factor)} must be above 1; factor=2 doubles from value to value")
    if low <= 0:
        raise ValueError(f"{kind}: low={plain(low)} with factor={plain(factor)}; start above 0")
    n = math.log(high / low) / math.log(factor)
    if n > MOST_CELLS:
        raise ValueError(f"{kind}: factor={factor!r} gives {n:,.0f} values; write log=True instead")
    last = short(low * factor ** math.floor(n + 1e-9))
    if not math.isclose(last, high, rel_tol=1e-9):
        raise ValueError(tops_out(kind, low, high, f"factor {plain(factor)}", last))
    return [low, *(short(low * factor**i) for i in range(1, round(n))), high]


def steps(kind: str, low: float, high: float, step: float) -> tuple[float, ...]:
    """low, low + step, ..., high, in decimal arithmetic: 0.3 rather than 0.30000000000000004.

    Raises:
        ValueError: a step that does not reach ``high``, or that gives more than 100,000 values.
    """
    ratio = (high - low) / step
    if ratio > MOST_CELLS:
        raise ValueError(f"{kind}: step={plain(step)} gives {ratio:,.0f} values; leave the step out")
    n = round(ratio)
    start, width = Decimal(repr(low)), Decimal(repr(step))
    if n < 1 or abs(low + n * step - high) > 1e-6 * step:
        last = float(start + math.floor(ratio + 1e-6) * width)
        raise ValueError(tops_out(kind, low, high, f"step {plain(step)}", last))
    return (*(float(start + i * width) for i in range(n)), high)


def tops_out(kind: str, low: float, high: float, gap: str, last: float) -> str:
    """The message for a gap (such as "step 40") that misses the upper end."""
    return (
        f"{kind}({plain(low)}..{plain(high)}): {gap} from {plain(low)} tops out at {plain(last)}, not {plain(high)}; "
        f"write high={plain(last)}, or a {gap.split()[0]} that reaches {plain(high)}"
    )
