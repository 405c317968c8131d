"""What all storages agree on before they write: checked messages, the table of states, which trials count.

A storage calls ``checked_draft`` or ``checked_update`` first: wrong arguments raise here, and what comes back is plain
(exact JSON types, floats, private containers), so that a record read from memory and one read from a file are equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from operator import index
from types import MappingProxyType
from typing import Any

from honed.domains import Domain, domain_from_json
from honed.errors import StaleLease
from honed.records import ADDED, EMPTY, TRANSITIONS, Draft, State, StudyRecord, TrialRecord, Update

_STRING = frozenset({str})
_SCALARS = frozenset({str, int, float, bool, type(None)})

FINISHED = frozenset(state for state in State if state.is_finished)

NO_NAME = "#{}"
"""How messages call a study that is gone, when its name is not known any more."""


def _mapping(value: Any) -> Any:
    if isinstance(value, Mapping):  # a read-only view, as records hold them
        return dict(value)
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be stored: notes, attributes and params are JSON")


to_json = json.JSONEncoder(separators=(",", ":"), default=_mapping).encode
"""JSON text; NaN and infinities are kept as ``NaN``, ``Infinity``, ``-Infinity`` (JSON5), floats are exact."""

from_json = json.loads


def is_flat(values: Mapping[str, Any]) -> bool:
    """Whether all values are JSON scalars."""
    return _SCALARS.issuperset(map(type, values.values()))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A private copy as JSON gives it back: string keys, lists, dicts and scalars."""
    if is_flat(values) and _STRING.issuperset(map(type, values)):
        return dict(values)
    copied: dict[str, Any] = from_json(to_json(dict(values)))
    return copied


def stored_domain(domain: Domain) -> Domain:
    """The domain as a file gives it back: its choices are their labels."""
    return domain_from_json(from_json(to_json(domain.to_json())))


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``old`` with the entries of ``new``; None removes a key."""
    both = {**old, **plain(new)}
    return {key: value for key, value in both.items() if value is not None or key not in new}


def text(name: str, value: str) -> str:
    """``value``, which must be a name that any storage can keep."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}={value!r} has characters that no text encoding knows; use another name") from None
    if "\0" in value:
        raise ValueError(f"{name}={value!r} has a NUL character, which no database keeps; use another name")
    return value


def whole(value: int | None) -> int | None:
    """A number of steps or of a trial as it is stored; NumPy's integers are fine."""
    return None if value is None else index(value)


def readable(message: str | None) -> str | None:
    """A message as any database can keep it: tracebacks may hold undecodable file names and NUL characters."""
    return None if message is None else message.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def floats(values: Iterable[float] | None) -> tuple[float, ...] | None:
    """Values as they are stored."""
    return None if values is None else tuple(map(float, values))


def plain_steps(steps: Mapping[int, Mapping[str, float]]) -> dict[int, dict[str, float]]:
    """Reports as they are stored, by step.

    Raises:
        ValueError: a step that is negative or no whole number.
        TypeError: a value that is no number.
    """
    if not steps:
        return {}
    checked: dict[int, dict[str, float]] = {}
    for step, values in sorted(steps.items()):
        if not 0 <= (whole := index(step)) < 2**63:
            raise ValueError(f"step={step!r} must be a whole number, 0 or more")
        checked[whole] = {str(name): float(value) for name, value in values.items()}
    return checked


def _check_finished(state: State, values: object, cause: object) -> None:
    if values is None and cause is None:
        raise ValueError(f"state={state.value!r} needs values, or a cause; give one of them")


def checked_study(draft: StudyRecord) -> StudyRecord:
    """The draft of a study with plain, private contents.

    Raises:
        ValueError: a name that cannot be stored.
        TypeError: contents that are not JSON.
    """
    return replace(
        draft,
        name=text("name", draft.name),
        directions=tuple(draft.directions),
        metrics=tuple(draft.metrics),
        space=None if draft.space is None else plain(draft.space),
        attributes=plain(draft.attributes),
    )


def check_draft(draft: Draft, worker: str) -> None:
    """Whether a trial may be added like that.

    Raises:
        ValueError: a state that no trial begins with, a finished one without values and cause, a worker's name that
            cannot be stored.
    """
    if draft.state not in ADDED:
        raise ValueError(f"a trial cannot be added as {draft.state.value!r}; add it as {_listed(ADDED)}")
    if draft.state in FINISHED:
        _check_finished(draft.state, draft.values, draft.cause)
    text("worker", worker)


def check_update(update: Update) -> None:
    """Whether a trial may be changed like that.

    Raises:
        ValueError: params without domains, or a finished state without values and cause.
    """
    if (update.params is None) != (update.domains is None):
        raise ValueError("params and domains belong together: give both, or neither")
    if update.state in FINISHED:
        _check_finished(update.state, update.values, update.cause)


def view(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A private copy as JSON gives it back, which nobody can change."""
    return MappingProxyType(plain(values)) if values else EMPTY


def new_record(number: int, draft: Draft, domains: Mapping[str, Domain], worker: str, now: datetime) -> TrialRecord:
    """The record of a trial that is added now."""
    is_running = draft.state is State.RUNNING
    return TrialRecord(
        number=number,
        state=draft.state,
        params=view(draft.params),
        domains=domains,
        values=floats(draft.values),
        attempt=1 if is_running else 0,
        until=whole(draft.until),
        checkpoint=draft.checkpoint,
        parent=whole(draft.parent),
        note=view(draft.note),
        attributes=view(draft.attributes),
        cause=draft.cause,
        message=readable(draft.message),
        worker=worker,
        created=now,
        started=now if is_running else None,
        finished=now if draft.state in FINISHED else None,
    )


def touches_record(update: Update) -> bool:
    """Whether more than reports and the lease changes."""
    return bool(
        update.params is not None
        or update.state is not None
        or update.values is not None
        or update.until is not None
        or update.checkpoint is not None
        or update.note
        or update.attributes
        or update.cause is not None
        or update.message is not None
    )


def check_write(number: int, state: State, attempt: int, mine: int, after: State | None) -> None:
    """Whether a trial in ``state`` with ``attempt`` may be written by attempt ``mine``, going to ``after``.

    Raises:
        StaleLease: another attempt, a finished trial, or one that nobody holds and the write does not end.
        ValueError: the states' table has no such way, or it is the way of ``claim``.
    """
    if attempt != mine or state in FINISHED or (state is not State.RUNNING and after is None):
        raise StaleLease(number, mine)
    if after is State.RUNNING:
        raise ValueError(f"trial {number} is {state.value!r}; it becomes 'running' by claim, not by write")
    if after is not None and after not in TRANSITIONS[state]:
        allowed = _listed(TRANSITIONS[state])
        raise ValueError(f"trial {number} is {state.value!r} and cannot become {after.value!r}; it may be {allowed}")


def counts(state: State, attempt: int) -> bool:
    """Whether a trial counts for ``limit``."""
    return state is not State.FAILED and (state is not State.WAITING or attempt > 0)


def no_trial(study: str, number: int, count: int) -> str:
    """The message of ``TrialNotFound``."""
    there = f"it has {count}, numbered from 0" if count else "it has none yet"
    return f"No trial {number} in study {study!r}: {there}."


def _listed(states: Iterable[State]) -> str:
    return ", ".join(repr(state.value) for state in State if state in states)
