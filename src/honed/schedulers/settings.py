"""Checks that all schedulers make on their settings: each error names the argument, the value and the way out."""

from __future__ import annotations

import math
from typing import Any


def check_whole(owner: str, name: str, value: Any, least: int, *, may_be_none: bool = False) -> None:
    """Refuses what is no whole number of at least ``least``."""
    if value is None and may_be_none:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}: {name} must be a whole number, got {value!r}; write {name}={max(least, 3)}")
    if value < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, got {value}; write {name}={max(least, 3)}")


def check_factor(owner: str, value: Any) -> None:
    """Refuses a reduction factor that reduces nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{owner}: reduction_factor must be a number, got {value!r}; write reduction_factor=3")
    if not 1 < value < math.inf:
        raise ValueError(
            f"{owner}: reduction_factor must be larger than 1, got {value}; 3 keeps a third of the trials at each rung"
        )


def check_between(owner: str, name: str, value: Any, low: float, high: float, hint: str) -> None:
    """Refuses what does not lie strictly between two numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}; {hint}")
    if not low < value < high:
        raise ValueError(f"{owner}: {name} must lie between {low:g} and {high:g}, got {value}; {hint}")


def check_first(owner: str, min_steps: int | None, max_steps: int | None) -> None:
    """Refuses a first rung that lies beyond the full training."""
    check_whole(owner, "min_steps", min_steps, 1, may_be_none=True)
    check_whole(owner, "max_steps", max_steps, 1, may_be_none=True)
    if min_steps is not None and max_steps is not None and min_steps > max_steps:
        raise ValueError(
            f"{owner}: min_steps={min_steps} is beyond max_steps={max_steps}; min_steps is the first rung, "
            "max_steps the length of a full training"
        )
