"""Numbers out of what users hand over."""

from __future__ import annotations

import math
from typing import Any

from honed.errors import BadValue


def to_number(value: Any, what: str) -> float:
    """A float from what users hand over: numbers, NumPy scalars, tensors with one element.

    Args:
        value: the thing.
        what: named in the error, for example ``"report('val_loss')"``.

    Raises:
        BadValue: it is no number; NaN and infinities are numbers here.
    """
    if isinstance(value, float | int):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        try:
            return float(value.item())
        except (TypeError, ValueError, RuntimeError):
            pass
    if hasattr(value, "ndim"):
        shape = tuple(getattr(value, "shape", ()))
        raise BadValue(f"{what} got a {type(value).__name__} of shape {shape}; reduce it to one number, e.g. .mean()")
    article = "an" if type(value).__name__[0] in "aeiou" else "a"
    raise BadValue(f"{what} got {article} {type(value).__name__}, {value!r:.60}; a number is needed")
