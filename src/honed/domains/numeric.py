"""Numbers: ``Float`` and ``Int``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from honed.domains.base import Domain, Scalar
from honed.domains.scales import (
    MOST_CELLS,
    SCALE_TEXTS,
    Axis,
    Log,
    laid_out,
    multiples,
    plain,
    steps,
    tops_out,
)

_LARGEST_INT = 2**53  # floats hold every whole number up to here


@dataclass(frozen=True, slots=True)
class Float(Domain):
    """A real number between ``low`` and ``high``, both included.

    Args:
        low: smallest value.
        high: largest value.
        log: ``True``: uniform in log(x); ``"reverse"``: the same, dense near ``high``; ``"near_one"``: uniform in
            log(1 - x), for momenta and betas.
        step: distance between allowed values, from ``low`` on.
        factor: ratio between allowed values: ``Float(1e-4, 1, factor=10)`` is 1e-4, 1e-3, ..., 1.
    """

    low: float
    high: float
    log: Log = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    factor: float | None = field(default=None, kw_only=True)
    _axis: Axis = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step", "factor"):
            value = getattr(self, name)
            if value is not None or name in ("low", "high"):
                object.__setattr__(self, name, finite("Float", name, value))
        _check_range(self)
        cells: Sequence[float] = ()
        if self.factor is not None:
            cells = multiples("Float", self.low, self.high, self.factor)
        elif self.step is not None:
            cells = steps("Float", self.low, self.high, self.step)
        axis = Axis(self.log, self.low, self.high, cells=cells, step=self.step, factor=self.factor)
        object.__setattr__(self, "_axis", laid_out(axis))

    @classmethod
    def near_one(cls, low: float, high: float) -> Self:
        """Dense near 1, uniform in log(1 - x): ``Float.near_one(0.9, 0.9999)`` for a momentum."""
        return cls(low, high, log="near_one")

    @property
    def n_values(self) -> int | None:
        return self._axis.n or None

    def decode(self, unit: float) -> float:
        return self._axis.decode(unit)

    def encode(self, value: Scalar) -> float:
        return self._axis.encode(value)  # type: ignore[arg-type]  # only stored numbers come here

    def contains(self, value: Scalar) -> bool:
        return _is_number(value) and self._axis.contains(value)  # type: ignore[arg-type]

    def grid(self, n: int | None = None) -> tuple[float, ...]:
        if n is None and not self._axis.n:
            raise ValueError(f"a grid needs a number of points on the continuous {self}")
        return self._axis.grid(n)

    def to_stored(self, value: Any) -> float:
        return float(_stored_number(self, self._axis, value))

    def to_object(self, value: Scalar) -> Any:
        return value

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"type": "float", "low": self.low, "high": self.high}
        optional = {"log": self.log or None, "step": self.step, "factor": self.factor}
        return data | {key: value for key, value in optional.items() if value is not None}

    def __str__(self) -> str:
        step = "" if self.step is None else f", step={plain(self.step)}"
        return _text(self, step)


@dataclass(frozen=True, slots=True)
class Int(Domain):
    """A whole number between ``low`` and ``high``, both included.

    Args:
        low: smallest value.
        high: largest value.
        log: as for ``Float`` (not ``"near_one"``); together with ``step`` the allowed values stay multiples of the step.
        step: distance between allowed values: ``Int(100, 1000, step=100)`` has 10 values.
        factor: ratio between allowed values: ``Int(16, 512, factor=2)`` is 16, 32, ..., 512.
    """

    low: int
    high: int
    log: Log = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    factor: int | None = field(default=None, kw_only=True)
    _axis: Axis = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step", "factor"):
            value = getattr(self, name)
            if value is not None or name != "factor":
                object.__setattr__(self, name, _whole(name, value))
        if self.log == "near_one":
            raise ValueError("Int: log='near_one' is for numbers below 1; use Float")
        _check_range(self)
        cells: Sequence[int] = range(self.low, self.high + 1, self.step)
        if self.factor is not None:
            n = len(multiples("Int", self.low, self.high, self.factor))
            cells = [self.low * self.factor**i for i in range(n)]
        elif cells[-1] != self.high:
            raise ValueError(tops_out("Int", self.low, self.high, f"step {self.step}", cells[-1]))
        axis = Axis(self.log, self.low, self.high, cells=cells, step=self.step, factor=self.factor)
        object.__setattr__(self, "_axis", laid_out(axis))

    @classmethod
    def pow2(cls, low: int, high: int) -> Self:
        """Powers of two: ``Int.pow2(16, 1024)`` is 16, 32, ..., 1024."""
        for name, bound in (("low", low), ("high", high)):
            if not isinstance(bound, int) or bound < 1 or bound & (bound - 1):
                known = "write one of 1, 2, 4, 8, 16, ..."
                raise ValueError(f"Int.pow2: {name}={bound!r} is no power of two; {known}")
        return cls(low, high, factor=2)

    @property
    def n_values(self) -> int:
        return self._axis.n

    def decode(self, unit: float) -> int:
        return self._axis.decode(unit)  # type: ignore[return-value]  # the cells of an Int are whole numbers

    def encode(self, value: Scalar) -> float:
        return self._axis.encode(value)  # type: ignore[arg-type]  # only stored numbers come here

    def contains(self, value: Scalar) -> bool:
        return _is_number(value) and value == int(value) and self._axis.contains(value)  # type: ignore[arg-type]

    def grid(self, n: int | None = None) -> tuple[int, ...]:
        if n is None and self._axis.n > MOST_CELLS:
            raise ValueError(f"a grid needs a number of points on {self}, which has {self._axis.n:,} values")
        return self._axis.grid(n)  # type: ignore[return-value]

    def to_stored(self, value: Any) -> int:
        return int(_stored_number(self, self._axis, value))

    def to_object(self, value: Scalar) -> Any:
        return value

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"type": "int", "low": self.low, "high": self.high}
        optional = {"log": self.log or None, "step": self.step if self.step != 1 else None, "factor": self.factor}
        return data | {key: value for key, value in optional.items() if value is not None}

    def __str__(self) -> str:
        step = "" if self.step == 1 else f", step={self.step}"
        return _text(self, step)


def finite(kind: str, name: str, value: Any) -> float:
    """A number from what a user wrote; a text such as "1e-4", as YAML files give it, is one too.

    Raises:
        TypeError: no number.
        ValueError: NaN or an infinity.
    """
    if isinstance(value, bool):
        raise TypeError(f"{kind}: {name}={value!r} is not a number; False or True is Bool()")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{kind}: {name}={value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{kind}: {name}={value!r} must be finite; write the largest value you would try")
    return number


def _whole(name: str, value: Any) -> int:
    number = finite("Int", name, value)
    if not number.is_integer():
        raise ValueError(f"Int: {name}={value!r} is not a whole number; round it or use Float")
    if abs(number) > _LARGEST_INT:
        raise ValueError(f"Int: {name}={value!r} is beyond 2**53, where numbers have gaps; use Float(..., log=True)")
    return int(number)


def _check_range(domain: Float | Int) -> None:
    kind, low, high = type(domain).__name__, plain(domain.low), plain(domain.high)
    step, factor = domain.step, domain.factor
    if domain.log not in SCALE_TEXTS:
        raise ValueError(f"{kind}: log={domain.log!r} is unknown; use True, 'reverse' or 'near_one'")
    if domain.low > domain.high:
        raise ValueError(f"{kind}: low={low} is above high={high}; swap them")
    if domain.low == domain.high:
        raise ValueError(f"{kind}: low and high are both {low}; a fixed value is Const({low})")
    if domain.log in (True, "reverse") and domain.low <= 0:
        raise ValueError(f"{kind}: low={low} with log={domain.log!r}; a log scale starts above 0, e.g. low=1e-5")
    if domain.log == "near_one" and domain.high >= 1:
        raise ValueError(f"{kind}: high={high} with log='near_one'; it must stay below 1, e.g. high=0.9999")
    if step is not None and step <= 0:
        raise ValueError(f"{kind}: step={plain(step)} must be above 0")
    if factor is not None and domain.log is not False:
        raise ValueError(f"{kind}: factor={plain(factor)} is a log scale already; leave log out")
    if factor is not None and step not in (None, 1):
        raise ValueError(f"{kind}: step={step} and factor={plain(factor)} exclude each other; choose one")


def _is_number(value: Scalar) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _stored_number(domain: Float | Int, axis: Axis, value: Any) -> float:
    try:
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, str):
            number = float(number)
        if domain.contains(number):
            return axis.cells[axis.nearest(number)] if axis.n else number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{value!r} is not in {domain}")


def _text(domain: Float | Int, step: str) -> str:
    factor = "" if domain.factor is None else f", factor={plain(domain.factor)}"
    kind = type(domain).__name__
    return f"{kind}({plain(domain.low)}..{plain(domain.high)}{SCALE_TEXTS[domain.log]}{step}{factor})"
