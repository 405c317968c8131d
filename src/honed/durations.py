"""Spans of time as people write them: ``"90s"``, ``"20m"``, ``"1h30m"``, ``"1.5 h"``, ``"2d"``."""

from __future__ import annotations

import math
import re

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_NAMES = {
    "d": ("d", "day", "days"),
    "h": ("h", "hour", "hours"),
    "m": ("m", "min", "minute", "minutes"),
    "s": ("s", "sec", "second", "seconds"),
}
_LETTER = {name: letter for letter, names in _NAMES.items() for name in names}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]+)\s*", re.ASCII)
_NUMBER = re.compile(r"\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*", re.ASCII)
_EXAMPLES = 'write a number of seconds, or "45s", "20m", "1h30m", "1.5h", "2d"'


def seconds(value: float | str | None, name: str) -> float | None:
    """A span of time in seconds; None stays None.

    Args:
        value: seconds, or a text of numbers with units, the largest unit first.
        name: the caller's argument, for messages.

    Raises:
        ValueError: it is negative, NaN, or no span of time.
        TypeError: it is neither a number nor a text.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _parsed(value, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r} must be a span of time; {_EXAMPLES}")
    if not value >= 0:  # NaN, too
        raise ValueError(f"{name}={value!r} must be at least 0; {_EXAMPLES}")
    return float(value)


def _parsed(text: str, name: str) -> float:
    total, at, last = 0.0, 0, math.inf
    lowered = text.lower()
    if _NUMBER.fullmatch(lowered):  # from a command line
        return float(lowered)
    while at < len(lowered) or not lowered:
        part = _PART.match(lowered, at)
        unit = _UNITS.get(_LETTER.get(part[2], "")) if part is not None else None
        if part is None or unit is None or unit >= last:
            raise ValueError(f"{name}={text!r} is no span of time; {_EXAMPLES}")
        total, at, last = total + float(part[1]) * unit, part.end(), unit
    return total


def shown(seconds: float) -> str:
    """A span of time for people, in its two largest units: ``"45 s"``, ``"1 h 30 min"``."""
    if not math.isfinite(seconds):
        return "no limit" if seconds > 0 else f"{seconds} s"
    if seconds < 60:
        return f"{_rounded(max(seconds, 0.0))} s"
    left = round(seconds)
    if left >= 86_400:
        left = round(left / 3600) * 3600
    elif left >= 3600:
        left = round(left / 60) * 60
    words = {"d": "d", "h": "h", "m": "min", "s": "s"}
    parts = []
    for letter, unit in _UNITS.items():
        n, left = divmod(left, round(unit))
        if n:
            parts.append(f"{n} {words[letter]}")
    return " ".join(parts[:2])


def _rounded(seconds: float) -> str:
    """Two digits are enough for what is short."""
    if seconds >= 10:
        return f"{min(round(seconds), 59)}"
    return f"{seconds:.2g}" if seconds >= 0.01 or not seconds else f"{seconds:.0e}"
