"""What went wrong, in few words: failed trials grouped by error and by the line of the user's code.

A hundred trials that fail for one reason are one piece of news. The reason is read from the stored traceback:
the line that names the exception, and the innermost frame outside of installed packages. Numbers in it (bytes,
shapes) do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from honed.records import Cause, State, TrialRecord

MOST_NUMBERS = 20
"""Numbers of trials that a group lists before it says how many more there are."""

_FRAME = re.compile(r'^[ |]*File "(?P<path>[^"\n]+)", line (?P<line>\d+)', re.MULTILINE)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours
_DIGITS = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")
_NOT_USERS = ("/site-packages/", "/dist-packages/", "/lib/python3", "/honed/", "<frozen ")


def failures_summary(records: Iterable[TrialRecord]) -> str:
    """One line for each reason for which trials failed, the most frequent first; empty where none did.

    ``5 trials failed with the same error (ValueError: shape mismatch, model.py:88): 3, 4, 6, 7, 9.``

    Args:
        records: any trials; those that are not FAILED are passed over.
    """
    groups: dict[tuple[Cause | None, str, str], list[TrialRecord]] = {}
    for record in records:
        if record.state is State.FAILED:
            error = _DIGITS.sub("#", error_line(record.message))
            groups.setdefault((record.cause, error, error_place(record.message)), []).append(record)
    ranked = sorted(groups.values(), key=lambda group: (-len(group), group[0].number))
    return "\n".join(_sentence(group) for group in ranked)


def error_line(message: str | None) -> str:
    """The line of a traceback that names the exception, or the last line of any other message."""
    text = _ESCAPES.sub("", message or "")
    frames = list(_FRAME.finditer(text))
    if frames:
        rest = text[frames[-1].end() :].splitlines()[1:]
        named = [line for line in rest if line.strip() and not line[0].isspace()]
        if named:
            return named[0].strip()
    lines = [line.strip(" |") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line.strip("+- ")), "")  # an exception group ends in a rule


def error_place(message: str | None) -> str:
    """``model.py:88``: the innermost frame of the user's own code in a traceback; empty where there is none."""
    frames = [(found["path"].replace("\\", "/"), found["line"]) for found in _FRAME.finditer(message or "")]
    if not frames:
        return ""
    own = [frame for frame in frames if not any(part in frame[0] for part in _NOT_USERS)]
    path, line = (own or frames)[-1]
    return f"{path.rpartition('/')[2]}:{line}"


def _sentence(group: list[TrialRecord]) -> str:
    first = group[0]
    text = error_line(first.message).rstrip(".")
    place = error_place(first.message)
    reason = ", ".join(part for part in (text or str(first.cause or "no reason given"), place) if part)
    if len(group) == 1:
        return f"Trial {first.number} failed ({reason})."
    numbers = ", ".join(str(record.number) for record in group[:MOST_NUMBERS])
    if len(group) > MOST_NUMBERS:
        numbers += f" and {len(group) - MOST_NUMBERS} more"
    if not text:
        return f"{len(group)} trials failed ({reason}): {numbers}."
    is_same = all(error_line(record.message) == error_line(first.message) for record in group)
    error = f"the same error ({reason})" if is_same else f"similar errors (the first: {reason})"
    return f"{len(group)} trials failed with {error}: {numbers}."
