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
from itertools import accumulate
from typing import Any, Self

from honed.axis import (
    MOST_CELLS,
    Axis,
    Log,
    check_range,
    finite,
    is_number,
    make_axis,
    multiples,
    numeric_json,
    numeric_text,
    spread,
    steps,
    tops_out,
)
from honed.choices import checked_weights, find_choice, labelled, listed

Scalar = str | int | float | bool | None
"""What a storage keeps of a value: JSON's scalars."""


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
    _axis: Axis = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step", "factor"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, finite("Float", name, value))
        check_range(self)
        cells: tuple[float, ...] = ()
        if self.factor is not None:
            cells = multiples("Float", self.low, self.high, self.factor)
        elif self.step is not None:
            cells = steps("Float", self.low, self.high, self.step)
        object.__setattr__(self, "_axis", make_axis(self, cells, half=(self.step or 0.0) / 2))

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
        return is_number(value) and self._axis.contains(float(value))

    def grid(self, n: int | None = None) -> tuple[float, ...]:
        if n is None and not self._axis.cells:
            raise ValueError(f"a grid needs a number of points on the continuous {self}; 5 is a usual choice")
        return self._axis.grid(n)

    def to_stored(self, value: Any) -> float:
        return float(_stored_number(self, value))

    def to_object(self, value: Scalar) -> Any:
        return value

    def to_json(self) -> dict[str, Any]:
        return numeric_json("float", self)

    def __str__(self) -> str:
        return numeric_text("Float", self)


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
            if value is not None:
                number = finite("Int", name, value)
                if not number.is_integer():
                    raise ValueError(f"Int: {name}={value!r} is not a whole number; round it or use Float")
                object.__setattr__(self, name, int(value))
        if self.log == "near_one":
            raise ValueError("Int: log='near_one' is for numbers below 1; use Float")
        check_range(self)
        n_steps = (self.high - self.low) // self.step + 1
        cells: Sequence[int]
        if self.factor is not None:
            cells = [int(x) for x in multiples("Int", self.low, self.high, self.factor)]
        else:
            cells = range(self.low, self.high + 1, self.step)
            if self.low + (n_steps - 1) * self.step != self.high:
                raise ValueError(tops_out("Int", self.low, self.high, self.step, cells[-1]))
        object.__setattr__(self, "_axis", make_axis(self, cells, half=self.step / 2))

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
        return is_number(value) and float(value).is_integer() and self._axis.contains(value)

    def grid(self, n: int | None = None) -> tuple[int, ...]:
        if n is None and len(self._axis.cells) > MOST_CELLS:
            raise ValueError(f"a grid needs a number of points on {self}: it has {len(self._axis.cells):,} values")
        return tuple(int(value) for value in self._axis.grid(n))

    def to_stored(self, value: Any) -> int:
        return int(_stored_number(self, value))

    def to_object(self, value: Scalar) -> Any:
        return value

    def to_json(self) -> dict[str, Any]:
        return numeric_json("int", self)

    def __str__(self) -> str:
        return numeric_text("Int", self)


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

    def __init__(self, choices: Sequence[Any] | Mapping[str, Any], *, weights: Sequence[float] | None = None) -> None:
        labels, objects = labelled("Categorical", choices)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "_types", tuple(map(type, labels)))
        object.__setattr__(self, "_objects", objects)
        object.__setattr__(self, "_index", {(type(label), label): i for i, label in enumerate(labels)})
        object.__setattr__(self, "weights", checked_weights(weights, len(labels)))
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
        return self.labels[find_choice(self, value, self.labels, self._objects)]

    def to_object(self, value: Scalar) -> Any:
        return self._objects[self._index[type(value), value]]

    def to_json(self) -> dict[str, Any]:
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return {"type": "categorical", "labels": list(self.labels), **weights}

    def __str__(self) -> str:
        return f"Categorical({listed(self.labels)})"


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
        labels, objects = labelled("Ordinal", choices)
        if len(labels) < 2:
            raise ValueError(
                f"Ordinal: one value only, {labels[0]!r}; an order needs two, a fixed value is Const({labels[0]!r})"
            )
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
        return tuple(self.labels[i] for i in spread(len(self.labels), n))

    def to_stored(self, value: Any) -> Scalar:
        return self.labels[find_choice(self, value, self.labels, self._objects)]

    def to_object(self, value: Scalar) -> Any:
        return self._objects[self._index[type(value), value]]

    def to_json(self) -> dict[str, Any]:
        return {"type": "ordinal", "labels": list(self.labels)}

    def __str__(self) -> str:
        return f"Ordinal({listed(self.labels)})"


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
