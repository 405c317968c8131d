"""The numeric axis behind ``Float`` and ``Int``: scales, steps, and the checks of what users write.

A number x becomes t on the scale (log x, or log 1 - x, ...) and a coordinate in [0, 1] between the ends of the range.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeGuard

Log = bool | Literal["reverse", "near_one"]
"""A scale: ``True`` is log, ``"reverse"`` log and dense near the top, ``"near_one"`` log in 1 - x."""

_SCALES: dict[Log, str] = {False: "", True: ", log", "reverse": ", log='reverse'", "near_one": ", log='near_one'"}
MOST_CELLS = 100_000  # a numeric domain with more values than this counts as continuous for a grid


class Numeric(Protocol):
    """What the axis needs of a numeric domain."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def log(self) -> Log: ...
    @property
    def step(self) -> float | None: ...
    @property
    def factor(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Axis:
    """A numeric scale: t = forward(x) in [start, end]; ``cells`` are the allowed values if they are finitely many.

    Evenly weighted cells (linear steps, factors) share [0, 1] equally. Cells on a log scale each take the part of the
    logarithm around them, so that ``log=True, step=8`` is log-uniform over the multiples of 8.
    """

    scale: Log
    low: float
    high: float
    start: float
    end: float
    cells: Sequence[float]
    even: bool

    def forward(self, x: float) -> float:
        match self.scale:
            case True:
                return math.log(x)
            case "reverse":
                return -math.log(self.low + self.high - x)
            case "near_one":
                return -math.log(1.0 - x)
        return x

    def inverse(self, t: float) -> float:
        match self.scale:
            case True:
                return math.exp(t)
            case "reverse":
                return self.low + self.high - math.exp(-t)
            case "near_one":
                return 1.0 - math.exp(-t)
        return t

    def decode(self, unit: float) -> float:
        if self.even:
            return self.cells[min(int(unit * len(self.cells)), len(self.cells) - 1)]
        if unit <= 0.0 or unit >= 1.0:
            return self.low if unit <= 0.0 else self.high
        x = min(max(self.inverse(self.start + unit * (self.end - self.start)), self.low), self.high)
        return self.cells[self.nearest(x)] if self.cells else x

    def encode(self, x: float) -> float:
        if self.even:
            return (self.nearest(x) + 0.5) / len(self.cells)
        return (self.forward(x) - self.start) / (self.end - self.start)

    def nearest(self, x: float) -> int:
        """Index of the cell nearest to x."""
        if isinstance(self.cells, range):
            return min(max(round((x - self.cells.start) / self.cells.step), 0), len(self.cells) - 1)
        i = min(max(bisect_right(self.cells, x), 1), len(self.cells) - 1)
        return i if abs(self.cells[i] - x) < abs(self.cells[i - 1] - x) else i - 1

    def contains(self, x: float) -> bool:
        if not self.low <= x <= self.high:
            return False
        return not self.cells or math.isclose(self.cells[self.nearest(x)], x, rel_tol=1e-9, abs_tol=1e-300)

    def grid(self, n: int | None) -> tuple[float, ...]:
        if self.cells:
            kept = range(len(self.cells)) if n is None or n >= len(self.cells) else self._spread_cells(n)
            return tuple(self.cells[i] for i in kept)
        if n is None or n < 1:
            raise ValueError(f"a grid needs at least one point, got {n}")
        if n == 1:
            return (_short(self.decode(0.5)),)
        first, last = self.forward(self.low), self.forward(self.high)
        inner = (_short(self.inverse(first + i * (last - first) / (n - 1))) for i in range(1, n - 1))
        return (self.low, *(min(max(x, self.low), self.high) for x in inner), self.high)

    def _spread_cells(self, n: int) -> list[int]:
        if self.even or n == 1:
            return spread(len(self.cells), n)
        first, last = self.forward(self.low), self.forward(self.high)
        wanted = (self.inverse(first + i * (last - first) / (n - 1)) for i in range(n))
        return sorted({self.nearest(x) for x in wanted})


def make_axis(domain: Numeric, cells: Sequence[float], half: float) -> Axis:
    """The axis of a checked domain."""
    scale = domain.log
    even = bool(cells) and (domain.factor is not None or scale is False)
    axis = Axis(scale, domain.low, domain.high, 0.0, 1.0, cells, even)
    low, high = float(domain.low), float(domain.high)
    if cells and not even:  # log scale with steps: each cell owns half a step on both sides
        inside = min(half, low / 2) if scale is True else min(half, (high - low) / 2)
        low, high = low - (inside if scale is True else 0.0), high + (half if scale is True else 0.0)
        if scale == "reverse":  # mirrored: widen both ends as far as the logarithm allows
            low, high = low - half, high + min(half, domain.low / 2)
    return Axis(scale, domain.low, domain.high, axis.forward(low), axis.forward(high), cells, even)


def spread(n_cells: int, n: int) -> list[int]:
    """``n`` indices out of ``n_cells``, both ends included, evenly spaced."""
    if n == 1:
        return [(n_cells - 1) // 2]
    return sorted({round(i * (n_cells - 1) / (n - 1)) for i in range(n)})


def _short(x: float) -> float:
    """The number a person would write: 0.0010000000000000002 becomes 0.001."""
    return float(f"{x:.12g}")


def multiples(kind: str, low: float, high: float, factor: float) -> tuple[float, ...]:
    """Values from ``low`` to ``high`` by a constant ratio."""
    if factor <= 1:
        raise ValueError(f"{kind}: factor={factor:g} must be above 1; factor=2 doubles from value to value")
    if low <= 0:
        raise ValueError(f"{kind}: low={low:g} with factor={factor:g}: start above 0")
    n = math.log(high / low) / math.log(factor)
    last = low * factor ** math.floor(n + 1e-9)
    if not math.isclose(last, high, rel_tol=1e-9):
        raise ValueError(tops_out(kind, low, high, factor, last, "factor"))
    return (low, *(_short(low * factor**i) for i in range(1, round(n))), high)


def steps(kind: str, low: float, high: float, step: float) -> tuple[float, ...]:
    """Values from ``low`` to ``high`` by a constant distance, exact in decimals."""
    if step <= 0:
        raise ValueError(f"{kind}: step={step:g} must be above 0")
    start, width = Decimal(repr(low)), Decimal(repr(step))
    n = round((high - low) / step)
    if n > MOST_CELLS:
        raise ValueError(f"{kind}: step={step:g} cuts {low:g}..{high:g} into {n:,} values; leave the step out")
    if not math.isclose(low + n * step, high, rel_tol=1e-9, abs_tol=1e-9 * step):
        raise ValueError(tops_out(kind, low, high, step, low + math.floor((high - low) / step) * step))
    return (*(float(start + i * width) for i in range(n)), high)


def tops_out(kind: str, low: float, high: float, step: float, last: float, word: str = "step") -> str:
    """The message for a step that misses the upper end."""
    return (
        f"{kind}({low:g}..{high:g}): {word} {step:g} from {low:g} tops out at {last:g}, not {high:g}; "
        f"write high={last:g}, or a {word} that reaches {high:g}"
    )


def check_range(domain: Numeric) -> None:
    """Refuses ranges that cannot be meant; the message names the fix."""
    kind, low, high = type(domain).__name__, domain.low, domain.high
    if domain.log not in _SCALES:
        raise ValueError(f"{kind}: log={domain.log!r} is unknown; use True, 'reverse' or 'near_one'")
    if low > high:
        raise ValueError(f"{kind}: low={low:g} is above high={high:g}; swap them")
    if low == high:
        raise ValueError(f"{kind}: low and high are both {low:g}; a fixed value is Const({low:g})")
    if domain.log in (True, "reverse") and low <= 0:
        raise ValueError(f"{kind}: low={low:g} with log={domain.log!r}; a log scale starts above 0, e.g. low=1e-5")
    if domain.log == "near_one" and high >= 1:
        raise ValueError(f"{kind}: high={high:g} with log='near_one'; it must stay below 1, e.g. high=0.9999")
    if domain.factor is not None and domain.log is not False:
        raise ValueError(f"{kind}: factor={domain.factor:g} is a log scale already; leave log out")
    if domain.factor is not None and domain.step not in (None, 1):
        raise ValueError(f"{kind}: step={domain.step} and factor={domain.factor:g} exclude each other; choose one")
    if domain.step is not None and domain.step <= 0:
        raise ValueError(f"{kind}: step={domain.step:g} must be above 0")


def finite(kind: str, name: str, value: Any) -> float:
    """A finite float, or an error that names the argument."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{kind}: {name}={value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{kind}: {name}={value!r} must be finite; write the largest value you would try")
    return number


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a stored value is a finite number (bools are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def numeric_json(kind: str, domain: Numeric) -> dict[str, Any]:
    """The JSON object of a numeric domain, without defaults."""
    data: dict[str, Any] = {"type": kind, "low": domain.low, "high": domain.high}
    if domain.log is not False:
        data["log"] = domain.log
    if domain.step not in (None, 1) or (kind == "float" and domain.step is not None):
        data["step"] = domain.step
    if domain.factor is not None:
        data["factor"] = domain.factor
    return data


def numeric_text(kind: str, domain: Numeric) -> str:
    """How a numeric domain is shown: ``Float(0.0001..1, log)``."""
    stepped = "" if domain.step is None or (kind == "Int" and domain.step == 1) else f", step={domain.step:g}"
    factor = "" if domain.factor is None else f", factor={domain.factor:g}"
    return f"{kind}({domain.low:.15g}..{domain.high:.15g}{_SCALES[domain.log]}{stepped}{factor})"
