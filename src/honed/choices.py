"""Choices and their labels: what ``Categorical`` and ``Ordinal`` keep of the objects that users pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from honed.axis import finite

Scalar = str | int | float | bool | None


def labelled(kind: str, choices: Any) -> tuple[tuple[Scalar, ...], tuple[Any, ...]]:
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


def find_choice(domain: object, value: Any, labels: tuple[Scalar, ...], objects: tuple[Any, ...]) -> int:
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


def checked_weights(weights: Sequence[float] | None, n: int) -> tuple[float, ...] | None:
    """One positive weight for each choice, or None."""
    if weights is None:
        return None
    checked = tuple(finite("Categorical", "weights", weight) for weight in weights)
    if len(checked) != n:
        raise ValueError(f"Categorical: {len(checked)} weights for {n} choices; give one for each")
    if min(checked) < 0 or not any(checked):
        raise ValueError(f"Categorical: weights={list(checked)} must not be negative, and not all 0")
    return checked


def listed(labels: tuple[Scalar, ...]) -> str:
    """The first labels, for messages."""
    return ", ".join(repr(label) for label in labels[:8]) + (f", ... {len(labels)} in all" if len(labels) > 8 else "")
