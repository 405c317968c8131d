"""Amounts of disk space and memory as people write them: ``50GB``."""

from __future__ import annotations

import re

_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_UNITS = ("kB", "MB", "GB", "TB", "PB")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([kmgtp]?)(i?)b?", re.ASCII | re.IGNORECASE)


def parse_size(size: str | int, name: str = "", of: str = "disk space") -> int:
    """Bytes of ``"50GB"``, ``"1.5 TiB"``, ``"800 MB"`` or a plain number; GB is 10^9 and GiB is 2^30.

    Args:
        size: what the user wrote.
        name: the caller's argument, for messages.
        of: what there is so much of.
    """
    shown = f"{name}={size!r}" if name else repr(size)
    if isinstance(size, int) and not isinstance(size, bool):
        amount = size
    else:
        found = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
        if found is None or (found[3] and not found[2]):
            raise ValueError(f"{shown} is no amount of {of}; write it like '50GB', '1.5 TiB' or 800_000_000")
        amount = round(float(found[1]) * (_BINARY if found[3] else _DECIMAL)[found[2].lower()])
    if amount <= 0:
        raise ValueError(f"{shown} is no amount of {of}: it must be above 0")
    return amount


def format_size(n_bytes: int) -> str:
    """``21 GB``, ``3.1 GB``, ``512 bytes``."""
    if n_bytes < 1000:
        return f"{n_bytes} byte{'' if n_bytes == 1 else 's'}"
    thousands = 1
    while thousands < len(_UNITS) and round(n_bytes / 1000**thousands) >= 1000:
        thousands += 1
    amount, unit = n_bytes / 1000**thousands, _UNITS[thousands - 1]
    return f"{amount:.1f} {unit}" if round(amount, 1) < 10 else f"{amount:.0f} {unit}"
