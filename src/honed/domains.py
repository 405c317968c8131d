"""What values one parameter may take: ``Float``, ``Int``, ``Categorical``, ``Ordinal``.

A domain is a frozen value. It maps the unit interval onto its values (``decode``, with its own density: a log-scaled
range is uniform in the logarithm, a weighted choice follows its weights) and back (``encode``). What is stored of a
value is always a plain scalar: a number, or the label of a choice; ``to_object`` gives what the objective receives.

Bounds are values, never exponents, and both ends are included.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import Any, Literal, Self

Scalar = str | int | float | bool | None
"""What a storage keeps of a value: JSON's scalars."""

Log = bool | Literal["reverse", "near_one"]
"""A scale: ``True`` is log, ``"reverse"`` log and dense near the top, ``"near_one"`` log in 1 - x."""

_SCALES: dict[Log, str] = {False: "", True: ", log", "reverse": ", log='reverse'", "near_one": ", log='near_one'"}
_MOST_CELLS = 100_000  # a numeric domain with more values than this counts as continuous for a grid


class Domain(ABC):
    """The contract of all domains; ``Float``, ``Int``, ``Categorical`` and ``Ordinal`` are the only ones."""

    __slots__ = ()

    @property
    @abstractmethod
    def n_values(self) -> int | None:
        """How many values there are; None for a continuous domain."""

    @abstractmethod
    def decode(self, unit: float) -> Scalar:
        """The stored value at ``unit`` in [0, 1]: a uniform ``unit`` gives the domain's own density."""

    @abstractmethod
    def encode(self, value: Scalar) -> float:
        """The coordinate models see: [0, 1] for numbers and ordinals, the index of the choice for a categorical."""

    @abstractmethod
    def contains(self, value: Scalar) -> bool:
        """Whether a stored value belongs to this domain."""

    @abstractmethod
    def grid(self, n: int | None = None) -> tuple[Scalar, ...]:
        """All values, or at most ``n`` of them, both ends included and evenly spaced on the domain's scale.

        Raises:
            ValueError: a continuous domain without ``n``.
        """

    @abstractmethod
    def to_stored(self, value: Any) -> Scalar:
        """What is kept of a value that a user wrote (an object, a label or a number).

        Raises:
            ValueError: the value is not in this domain.
        """

    @abstractmethod
    def to_object(self, value: Scalar) -> Any:
        """What the objective receives for a stored value."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """A JSON object from which ``domain_from_json`` makes an equal domain."""

    def when(self, **conditions: Any) -> Conditional:
        """This domain, active only when other parameters have given values.

        Args:
            **conditions: a parameter's name and the value, or the list of values, for which this one exists:
                ``Float(0, 0.99).when(optimizer="SGD")``, ``Int(16, 512).when(n_layers=[2, 3, 4])``.
        """
        if not conditions:
            raise ValueError(f"{self}.when() got no condition; write .when(optimizer='SGD')")
        return Conditional(self, {name: _as_values(value) for name, value in conditions.items()})


@dataclass(frozen=True, slots=True)
class Conditional:
    """A domain of a declared space that exists only under conditions; made by ``domain.when(...)``."""

    domain: Domain
    conditions: Mapping[str, tuple[Any, ...]]


def _as_values(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple | set | frozenset | range) else (value,)


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
    _axis: _Axis = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step", "factor"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _finite("Float", name, value))
        _check_range(self)
        cells: tuple[float, ...] = ()
        if self.factor is not None:
            cells = _multiples("Float", self.low, self.high, self.factor)
        elif self.step is not None:
            cells = _steps("Float", self.low, self.high, self.step)
        object.__setattr__(self, "_axis", _axis(self, cells, half=(self.step or 0.0) / 2))

    @classmethod
    def near_one(cls, low: float, high: float) -> Self:
        """Dense near 1, uniform in log(1 - x): ``Float.near_one(0.9, 0.9999)`` for a momentum."""
        return cls(low, high, log="near_one")

    @property
    def n_values(self) -> int | None:
        return len(self._axis.cells) or None

    def decode(self, unit: float) -> float:
        return self._axis.decode(unit)

    def encode(self, value: Scalar) -> float:
        return self._axis.encode(float(value))  # type: ignore[arg-type]  # only stored numbers come here

    def contains(self, value: Scalar) -> bool:
        return _is_number(value) and self._axis.contains(float(value))

    def grid(self, n: int | None = None) -> tuple[float, ...]:
        if n is None and not self._axis.cells:
            raise ValueError(f"a grid needs a number of points on the continuous {self}; 5 is a usual choice")
        return self._axis.grid(n)

    def to_stored(self, value: Any) -> float:
        return float(_stored_number(self, value))

    def to_object(self, value: Scalar) -> Any:
        return value

    def to_json(self) -> dict[str, Any]:
        return _numeric_json("float", self)

    def __str__(self) -> str:
        return _numeric_text("Float", self)


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
    _axis: _Axis = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step", "factor"):
            value = getattr(self, name)
            if value is not None:
                number = _finite("Int", name, value)
                if not number.is_integer():
                    raise ValueError(f"Int: {name}={value!r} is not a whole number; round it or use Float")
                object.__setattr__(self, name, int(value))
        if self.log == "near_one":
            raise ValueError("Int: log='near_one' is for numbers below 1; use Float")
        _check_range(self)
        n_steps = (self.high - self.low) // self.step + 1
        cells: Sequence[int]
        if self.factor is not None:
            cells = [int(x) for x in _multiples("Int", self.low, self.high, self.factor)]
        else:
            cells = range(self.low, self.high + 1, self.step)
            if self.low + (n_steps - 1) * self.step != self.high:
                raise ValueError(_tops_out("Int", self.low, self.high, self.step, cells[-1]))
        object.__setattr__(self, "_axis", _axis(self, cells, half=self.step / 2))

    @classmethod
    def pow2(cls, low: int, high: int) -> Self:
        """Powers of two: ``Int.pow2(16, 1024)`` is 16, 32, ..., 1024."""
        for name, bound in (("low", low), ("high", high)):
            if not isinstance(bound, int) or bound < 1 or bound & (bound - 1):
                raise ValueError(f"Int.pow2: {name}={bound!r} is no power of two; write one of 1, 2, 4, 8, 16, ...")
        return cls(low, high, factor=2)

    @property
    def n_values(self) -> int | None:
        return len(self._axis.cells)

    def decode(self, unit: float) -> int:
        return int(self._axis.decode(unit))

    def encode(self, value: Scalar) -> float:
        return self._axis.encode(value)  # type: ignore[arg-type]  # only stored numbers come here

    def contains(self, value: Scalar) -> bool:
        return _is_number(value) and float(value).is_integer() and self._axis.contains(value)

    def grid(self, n: int | None = None) -> tuple[int, ...]:
        if n is None and len(self._axis.cells) > _MOST_CELLS:
            raise ValueError(f"a grid needs a number of points on {self}: it has {len(self._axis.cells):,} values")
        return tuple(int(value) for value in self._axis.grid(n))

    def to_stored(self, value: Any) -> int:
        return int(_stored_number(self, value))

    def to_object(self, value: Scalar) -> Any:
        return value

    def to_json(self) -> dict[str, Any]:
        return _numeric_json("int", self)

    def __str__(self) -> str:
        return _numeric_text("Int", self)


@dataclass(frozen=True, slots=True, init=False)
class Categorical(Domain):
    """One of several unordered choices, of any kind.

    The label of a choice is stored, the object comes back: ``Categorical({"relu": nn.ReLU, "gelu": nn.GELU})``.
    In a list, scalars are their own labels; named classes and functions are labelled by their names, tuples and lists
    by their text.

    Args:
        choices: a list of choices, or a mapping from label to choice.
        weights: how often each choice is drawn at random (any positive numbers); equal by default.
    """

    labels: tuple[Scalar, ...]
    weights: tuple[float, ...] | None
    _types: tuple[type, ...] = field(repr=False)  # so that [0, 1] and [False, True] differ
    _objects: tuple[Any, ...] = field(repr=False, compare=False)
    _cumulative: tuple[float, ...] = field(repr=False, compare=False)
    _index: Mapping[tuple[type, Scalar], int] = field(repr=False, compare=False)

    def __init__(
        self, choices: Sequence[Any] | Mapping[str, Any], *, weights: Sequence[float] | None = None
    ) -> None:
        labels, objects = _labelled("Categorical", choices)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "_types", tuple(map(type, labels)))
        object.__setattr__(self, "_objects", objects)
        object.__setattr__(self, "_index", {(type(label), label): i for i, label in enumerate(labels)})
        object.__setattr__(self, "weights", _checked_weights(weights, len(labels)))
        shares = self.weights or (1.0,) * len(labels)
        total = math.fsum(shares)
        object.__setattr__(self, "_cumulative", tuple(part / total for part in accumulate(shares)))

    @property
    def n_values(self) -> int:
        return len(self.labels)

    def decode(self, unit: float) -> Scalar:
        return self.labels[min(bisect_right(self._cumulative, unit), len(self.labels) - 1)]

    def encode(self, value: Scalar) -> float:
        return float(self._index[type(value), value])

    def contains(self, value: Scalar) -> bool:
        return (type(value), value) in self._index

    def grid(self, n: int | None = None) -> tuple[Scalar, ...]:
        return self.labels

    def to_stored(self, value: Any) -> Scalar:
        return self.labels[_find(self, value, self.labels, self._objects)]

    def to_object(self, value: Scalar) -> Any:
        return self._objects[self._index[type(value), value]]

    def to_json(self) -> dict[str, Any]:
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return {"type": "categorical", "labels": list(self.labels), **weights}

    def __str__(self) -> str:
        return f"Categorical({_listed(self.labels)})"


@dataclass(frozen=True, slots=True, init=False)
class Ordinal(Domain):
    """One of several choices in a meaningful order: ``Ordinal([32, 64, 128])``, ``Ordinal(["low", "mid", "high"])``.

    Samplers, plots and importance use the order; distances are by rank.

    Args:
        choices: a list of choices in order, or a mapping from label to choice; at least two.
    """

    labels: tuple[Scalar, ...]
    _types: tuple[type, ...] = field(repr=False)
    _objects: tuple[Any, ...] = field(repr=False, compare=False)
    _index: Mapping[tuple[type, Scalar], int] = field(repr=False, compare=False)

    def __init__(self, choices: Sequence[Any] | Mapping[str, Any]) -> None:
        labels, objects = _labelled("Ordinal", choices)
        if len(labels) < 2:
            raise ValueError(f"Ordinal: one value only, {labels[0]!r}; an order needs two, a fixed value is Const({labels[0]!r})")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "_types", tuple(map(type, labels)))
        object.__setattr__(self, "_objects", objects)
        object.__setattr__(self, "_index", {(type(label), label): i for i, label in enumerate(labels)})

    @property
    def n_values(self) -> int:
        return len(self.labels)

    def decode(self, unit: float) -> Scalar:
        return self.labels[min(int(unit * len(self.labels)), len(self.labels) - 1)]

    def encode(self, value: Scalar) -> float:
        return self._index[type(value), value] / (len(self.labels) - 1)

    def contains(self, value: Scalar) -> bool:
        return (type(value), value) in self._index

    def grid(self, n: int | None = None) -> tuple[Scalar, ...]:
        if n is None or n >= len(self.labels):
            return self.labels
        return tuple(self.labels[i] for i in _spread(len(self.labels), n))

    def to_stored(self, value: Any) -> Scalar:
        return self.labels[_find(self, value, self.labels, self._objects)]

    def to_object(self, value: Scalar) -> Any:
        return self._objects[self._index[type(value), value]]

    def to_json(self) -> dict[str, Any]:
        return {"type": "ordinal", "labels": list(self.labels)}

    def __str__(self) -> str:
        return f"Ordinal({_listed(self.labels)})"


def Bool() -> Categorical:  # noqa: N802  (a domain, spelled like one)
    """False or True."""
    return Categorical([False, True])


def Const(value: Any) -> Categorical:  # noqa: N802
    """One fixed value that is kept in every record."""
    return Categorical([value])


def domain_from_json(data: Mapping[str, Any]) -> Domain:
    """The domain that ``to_json`` described; choices come back as their labels."""
    fields = {key: value for key, value in data.items() if key != "type"}
    match data["type"]:
        case "float":
            return Float(**fields)
        case "int":
            return Int(**fields)
        case "ordinal":
            return Ordinal(fields["labels"])
        case "categorical":
            return Categorical(fields["labels"], weights=fields.get("weights"))
        case other:
            raise ValueError(f"domain type {other!r} is unknown to this version of honed; upgrade it")


# ---------------------------------------------------------------------------------------------- the numeric axis


@dataclass(frozen=True, slots=True)
class _Axis:
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
            return _spread(len(self.cells), n)
        first, last = self.forward(self.low), self.forward(self.high)
        wanted = (self.inverse(first + i * (last - first) / (n - 1)) for i in range(n))
        return sorted({self.nearest(x) for x in wanted})


def _axis(domain: Float | Int, cells: Sequence[float], half: float) -> _Axis:
    scale = domain.log
    even = bool(cells) and (domain.factor is not None or scale is False)
    axis = _Axis(scale, domain.low, domain.high, 0.0, 1.0, cells, even)
    low, high = float(domain.low), float(domain.high)
    if cells and not even:  # log scale with steps: each cell owns half a step on both sides
        inside = min(half, low / 2) if scale is True else min(half, (high - low) / 2)
        low, high = low - (inside if scale is True else 0.0), high + (half if scale is True else 0.0)
        if scale == "reverse":  # mirrored: widen both ends as far as the logarithm allows
            low, high = low - half, high + min(half, domain.low / 2)
    return _Axis(scale, domain.low, domain.high, axis.forward(low), axis.forward(high), cells, even)


def _spread(n_cells: int, n: int) -> list[int]:
    """``n`` indices out of ``n_cells``, both ends included, evenly spaced."""
    if n == 1:
        return [(n_cells - 1) // 2]
    return sorted({round(i * (n_cells - 1) / (n - 1)) for i in range(n)})


def _short(x: float) -> float:
    """The number a person would write: 0.0010000000000000002 becomes 0.001."""
    return float(f"{x:.12g}")


def _multiples(kind: str, low: float, high: float, factor: float) -> tuple[float, ...]:
    if factor <= 1:
        raise ValueError(f"{kind}: factor={factor:g} must be above 1; factor=2 doubles from value to value")
    if low <= 0:
        raise ValueError(f"{kind}: low={low:g} with factor={factor:g}: start above 0")
    n = math.log(high / low) / math.log(factor)
    last = low * factor ** math.floor(n + 1e-9)
    if not math.isclose(last, high, rel_tol=1e-9):
        raise ValueError(_tops_out(kind, low, high, factor, last, "factor"))
    return (low, *(_short(low * factor**i) for i in range(1, round(n))), high)


def _steps(kind: str, low: float, high: float, step: float) -> tuple[float, ...]:
    if step <= 0:
        raise ValueError(f"{kind}: step={step:g} must be above 0")
    start, width = Decimal(repr(low)), Decimal(repr(step))
    n = round((high - low) / step)
    if n > _MOST_CELLS:
        raise ValueError(f"{kind}: step={step:g} cuts {low:g}..{high:g} into {n:,} values; leave the step out")
    if not math.isclose(low + n * step, high, rel_tol=1e-9, abs_tol=1e-9 * step):
        raise ValueError(_tops_out(kind, low, high, step, low + math.floor((high - low) / step) * step))
    return (*(float(start + i * width) for i in range(n)), high)


def _tops_out(kind: str, low: float, high: float, step: float, last: float, word: str = "step") -> str:
    return (
        f"{kind}({low:g}..{high:g}): {word} {step:g} from {low:g} tops out at {last:g}, not {high:g}; "
        f"write high={last:g}, or a {word} that reaches {high:g}"
    )


def _check_range(domain: Float | Int) -> None:
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


def _finite(kind: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{kind}: {name}={value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{kind}: {name}={value!r} must be finite; write the largest value you would try")
    return number


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _stored_number(domain: Float | Int, value: Any) -> float:
    try:
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, str):
            number = float(number)
        if domain.contains(number):
            return domain._axis.cells[domain._axis.nearest(number)] if domain._axis.cells else number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{value!r} is not in {domain}")


def _numeric_json(kind: str, domain: Float | Int) -> dict[str, Any]:
    data: dict[str, Any] = {"type": kind, "low": domain.low, "high": domain.high}
    if domain.log is not False:
        data["log"] = domain.log
    if domain.step not in (None, 1) or (kind == "float" and domain.step is not None):
        data["step"] = domain.step
    if domain.factor is not None:
        data["factor"] = domain.factor
    return data


def _numeric_text(kind: str, domain: Float | Int) -> str:
    stepped = "" if domain.step is None or kind == "Int" and domain.step == 1 else f", step={domain.step:g}"
    factor = "" if domain.factor is None else f", factor={domain.factor:g}"
    return f"{kind}({domain.low:.15g}..{domain.high:.15g}{_SCALES[domain.log]}{stepped}{factor})"


# ------------------------------------------------------------------------------------------------------- choices


def _labelled(kind: str, choices: Any) -> tuple[tuple[Scalar, ...], tuple[Any, ...]]:
    """Labels and objects of what the user passed as choices."""
    if isinstance(choices, str) or not isinstance(choices, Mapping | Sequence):
        raise TypeError(f"{kind}: choices={choices!r} must be a list of choices or a mapping from label to choice")
    if not choices:
        raise ValueError(f"{kind}: no choices; give at least one")
    if isinstance(choices, Mapping):
        wrong = next((label for label in choices if not isinstance(label, str)), None)
        if wrong is not None:
            raise TypeError(f"{kind}: label {wrong!r} must be a string")
        return tuple(choices), tuple(choices.values())
    labels = tuple(_label(kind, i, choice) for i, choice in enumerate(choices))
    seen: set[tuple[type, Scalar]] = set()
    for label in labels:
        if (type(label), label) in seen:
            raise ValueError(f"{kind}: {label!r} stands twice among the choices; remove one, or use {{label: object}}")
        seen.add((type(label), label))
    return labels, tuple(choices)


def _label(kind: str, index: int, choice: Any) -> Scalar:
    if choice is None or isinstance(choice, str | bool | int):
        return choice
    if isinstance(choice, float):
        if math.isfinite(choice):
            return choice
        return str(choice)
    if isinstance(choice, tuple | list | dict | set | frozenset) and " at 0x" not in repr(choice):
        return repr(choice)
    name = getattr(choice, "__qualname__", "")
    if name and "<" not in name:
        return str(name)
    raise ValueError(f"{kind}: choice {index} ({choice!r}) has no stable label; write {{'label': object}}")


def _find(domain: Categorical | Ordinal, value: Any, labels: tuple[Scalar, ...], objects: tuple[Any, ...]) -> int:
    """Index of a choice that the user named by its object or by its label."""
    for i, (label, choice) in enumerate(zip(labels, objects, strict=True)):
        if choice is value or (type(label) is type(value) and label == value):
            return i
    for i, choice in enumerate(objects):
        if type(choice) is type(value) and _equal(choice, value):
            return i
    if isinstance(value, int | float) and not isinstance(value, bool):  # 1 for the choice 1.0
        for i, label in enumerate(labels):
            if isinstance(label, int | float) and not isinstance(label, bool) and label == value:
                return i
    raise ValueError(f"{value!r} is not in {domain}")


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    except Exception:  # arrays and other objects whose comparison is no truth value
        return False


def _checked_weights(weights: Sequence[float] | None, n: int) -> tuple[float, ...] | None:
    if weights is None:
        return None
    checked = tuple(_finite("Categorical", "weights", weight) for weight in weights)
    if len(checked) != n:
        raise ValueError(f"Categorical: {len(checked)} weights for {n} choices; give one for each")
    if min(checked) < 0 or not any(checked):
        raise ValueError(f"Categorical: weights={list(checked)} must not be negative, and not all 0")
    return checked


def _listed(labels: tuple[Scalar, ...]) -> str:
    return ", ".join(repr(label) for label in labels[:8]) + (f", ... {len(labels)} in all" if len(labels) > 8 else "")
