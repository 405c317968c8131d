"""URLs as messages may show them."""

from __future__ import annotations

import re


def hidden(url: str) -> str:
    """The URL without the password in it."""
    kind, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    place = re.sub(r"(?i)(password=)[^&]*", r"\1***", place)
    return f"{kind}://{user}{':***' if colon else ''}{at}{place}"
