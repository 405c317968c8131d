"""Choices of any kind: ``Categorical``, ``Ordinal``, ``Bool``, ``Const``, and the labels under which they are stored."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import Any

from honed.domains.base import Domain, Scalar
from honed.domains.numeric import finite
from honed.domains.scales import spread


@dataclass(frozen=True, slots=True)
class _Choices:
    """Labels with their objects."""

    labels: tuple[Scalar, ...]
    objects: tuple[Any, ...]
    index: Mapping[tuple[type, Scalar], int]

    def find(self, domain: Domain, value: Any) -> int:
        """The index of a choice that a user named by its label or its object."""
        if hasattr(value, "item") and not hasattr(value, "__len__"):  # a NumPy scalar
            value = value.item()
        try:
            return self.index[type(value), value]
        except (KeyError, TypeError):
            pass
        for i, choice in enumerate(self.objects):
            if choice is value or (type(choice) is type(value) and _is_equal(choice, value)):
                return i
        if isinstance(value, int | float) and not isinstance(value, bool):  # 1 for the choice 1.0
            for i, label in enumerate(self.labels):
                if isinstance(label, int | float) and not isinstance(label, bool) and label == value:
                    return i
        if isinstance(value, str) and (str, str(value)) in self.index:
            return self.index[str, str(value)]
        raise ValueError(f"{value!r} is not in {domain}")


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
    _choices: _Choices = field(repr=False, compare=False)
    _cumulative: tuple[float, ...] = field(repr=False, compare=False)

    def __init__(self, choices: Sequence[Any] | Mapping[str, Any], *, weights: Sequence[float] | None = None) -> None:
        found = _labelled("Categorical", choices)
        object.__setattr__(self, "labels", found.labels)
        object.__setattr__(self, "_types", tuple(map(type, found.labels)))
        object.__setattr__(self, "_choices", found)
        object.__setattr__(self, "weights", _checked_weights(weights, len(found.labels)))
        shares = self.weights or (1.0,) * len(found.labels)
        total = math.fsum(shares)
        cumulative = [part / total for part in accumulate(shares)]
        while len(cumulative) > 1 and cumulative[-1] == cumulative[-2]:  # weight 0: not even at 1.0
            cumulative.pop()
        object.__setattr__(self, "_cumulative", tuple(cumulative[:-1]))

    @property
    def n_values(self) -> int:
        return len(self.labels)

    def decode(self, unit: float) -> Scalar:
        return self.labels[bisect_right(self._cumulative, unit)]

    def encode(self, value: Scalar) -> float:
        return float(self._choices.index[type(value), value])

    def contains(self, value: Scalar) -> bool:
        return (type(value), value) in self._choices.index

    def grid(self, n: int | None = None) -> tuple[Scalar, ...]:
        return self.labels

    def to_stored(self, value: Any) -> Scalar:
        return self.labels[self._choices.find(self, value)]

    def to_object(self, value: Scalar) -> Any:
        return self._choices.objects[self._choices.index[type(value), value]]

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
    _choices: _Choices = field(repr=False, compare=False)

    def __init__(self, choices: Sequence[Any] | Mapping[str, Any]) -> None:
        found = _labelled("Ordinal", choices)
        if len(found.labels) < 2:
            value = found.labels[0]
            raise ValueError(f"Ordinal: {value!r} is the only choice; a fixed value is Const({value!r})")
        object.__setattr__(self, "labels", found.labels)
        object.__setattr__(self, "_types", tuple(map(type, found.labels)))
        object.__setattr__(self, "_choices", found)

    @property
    def n_values(self) -> int:
        return len(self.labels)

    def decode(self, unit: float) -> Scalar:
        i = int(unit * len(self.labels))
        return self.labels[i] if i < len(self.labels) else self.labels[-1]

    def encode(self, value: Scalar) -> float:
        return self._choices.index[type(value), value] / (len(self.labels) - 1)

    def contains(self, value: Scalar) -> bool:
        return (type(value), value) in self._choices.index

    def grid(self, n: int | None = None) -> tuple[Scalar, ...]:
        if n is not None and n < 1:
            raise ValueError(f"a grid needs at least one point, got {n}")
        if n is None or n >= len(self.labels):
            return self.labels
        return tuple(self.labels[i] for i in spread(len(self.labels), n))

    def to_stored(self, value: Any) -> Scalar:
        return self.labels[self._choices.find(self, value)]

    def to_object(self, value: Scalar) -> Any:
        return self._choices.objects[self._choices.index[type(value), value]]

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


# --------------------------------------------------------------------------------------------------------- labels


def _labelled(kind: str, choices: Any) -> _Choices:
    """Labels and objects of what the user passed as choices."""
    if isinstance(choices, str | bytes) or not isinstance(choices, Mapping | Sequence):
        raise TypeError(f"{kind}: choices={choices!r} must be a list of choices or a mapping from label to choice")
    if not choices:
        raise ValueError(f"{kind}: no choices; give at least one")
    if isinstance(choices, Mapping):
        wrong = [label for label in choices if not isinstance(label, str)]
        if wrong:
            raise TypeError(f"{kind}: label {wrong[0]!r} must be a string")
        labels: list[Scalar] = [str(label) for label in choices]
        objects = tuple(choices.values())
    else:
        labels = [_label(kind, i, choice) for i, choice in enumerate(choices)]
        objects = tuple(choices)
    index: dict[tuple[type, Scalar], int] = {}
    for i, label in enumerate(labels):
        if index.setdefault((type(label), label), i) != i:
            raise ValueError(f"{kind}: {label!r} stands twice among the choices; remove one, or use {{label: object}}")
    return _Choices(tuple(labels), objects, index)


def _label(kind: str, i: int, choice: Any) -> Scalar:
    if hasattr(choice, "item") and getattr(choice, "ndim", 0) == 0 and hasattr(choice, "dtype"):  # a NumPy scalar
        choice = choice.item()
    if choice is None or type(choice) in (str, bool, int):
        return choice  # type: ignore[no-any-return]
    if isinstance(choice, str) and not isinstance(choice, Enum):
        return str(choice)
    if isinstance(choice, float):
        return float(choice) if math.isfinite(choice) else str(float(choice))
    text = _text(choice)
    if text is None:
        raise ValueError(f"{kind}: choice {i} ({choice!r}) has no stable label; write {{'label': object}}")
    return text


def _text(choice: Any) -> str | None:
    """A text that is the same in every process; None for objects that have none, such as lambdas."""
    if isinstance(choice, Enum):
        return choice.name
    if isinstance(choice, dict):
        entries = [(_text(key), _text(value)) for key, value in choice.items()]
        if any(key is None or value is None for key, value in entries):
            return None
        return "{" + ", ".join(f"{key}: {value}" for key, value in entries) + "}"
    if isinstance(choice, tuple | list | Set):
        parts = [_text(part) for part in choice]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        if isinstance(choice, Set):
            return "{" + ", ".join(sorted(known)) + "}"
        inner = ", ".join(known)
        if isinstance(choice, list):
            return f"[{inner}]"
        return f"({inner},)" if len(known) == 1 else f"({inner})"
    name = getattr(choice, "__qualname__", None)
    if isinstance(name, str):
        return None if "<lambda>" in name else name.rpartition("<locals>.")[2]
    own_text: Any = type(choice).__repr__
    text = repr(choice)
    return None if own_text is object.__repr__ or " at 0x" in text else text


def _is_equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    except Exception:  # arrays and other objects whose comparison is no truth value
        return False


def _checked_weights(weights: Sequence[float] | None, n: int) -> tuple[float, ...] | None:
    if weights is None:
        return None
    checked = tuple(finite("Categorical", "weights", weight) for weight in weights)
    if len(checked) != n:
        raise ValueError(f"Categorical: {len(checked)} weights for {n} choices; give one for each")
    if min(checked) < 0 or not any(checked):
        raise ValueError(f"Categorical: weights={list(checked)} must not be negative, and not all 0")
    return checked


def _listed(labels: tuple[Scalar, ...]) -> str:
    more = f", ... {len(labels)} in all" if len(labels) > 8 else ""
    return ", ".join(repr(label) for label in labels[:8]) + more
