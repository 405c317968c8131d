"""What a user says when a study begins: defaults, beliefs, past studies. Checked here, and kept with the study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.beliefs import PRIOR, Belief, checked_prior, far_off
from honed.domains import Scalar
from honed.errors import StudyNotFound
from honed.history import History
from honed.records import Draft, State, StudyRecord
from honed.space import Space
from honed.storage.base import Storage
from honed.storage.url import address, describe, file_of, open_storage
from honed.study import Study
from honed.transfer import DEFAULTS, SOURCES, checked_values, default_value, gathered

Past = Study | Storage | str | os.PathLike[str]
"""A past study, or a storage with just one: a file, a URL."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was said, as JSON for the study's attributes, and sentences for the user about it."""

    attributes: Mapping[str, Any]
    remarks: tuple[str, ...]


def checked(
    draft: StudyRecord,
    space: Space | None,
    storage: Storage,
    defaults: Mapping[str, Any] | None,
    prior: Mapping[str, Belief | Mapping[Any, float]] | None,
    past: Past | Sequence[Past] | None,
) -> Said:
    """What was said about a study that is to be created or reopened.

    Raises:
        ValueError: something that does not fit the declared space, or past studies with other objectives.
        StudyNotFound: a past study is not where it should be.
    """
    domains = {} if space is None else space.domains
    attributes: dict[str, Any] = {}
    remarks: list[str] = []
    if defaults is not None:
        attributes[DEFAULTS] = _checked_defaults(defaults, space)
    if prior:
        attributes[PRIOR] = checked_prior(prior, domains)
        remarks += far_off(attributes[PRIOR], domains)
    items = [past] if isinstance(past, Study | str | os.PathLike) or not isinstance(past, Sequence | None) else past
    if items:
        known = next((record for record in storage.studies() if record.name == draft.name), None)
        if known is not None and SOURCES in known.attributes:  # read already; the files may be gone
            attributes[SOURCES] = known.attributes[SOURCES]
        else:
            sources, told = _sources(items, draft, storage, space)
            remarks += told
            attributes |= {SOURCES: sources} if sources else {}
    return Said(attributes, tuple(remarks))


def begin(study: Study, said: Said, is_new: bool) -> None:
    """Keeps what was said with a study: all of it with a new one, changed beliefs with an old one; queues the defaults."""
    if said.attributes and not is_new:
        _keep(study, said.attributes)
    for remark in said.remarks:
        study.say(remark)
    if DEFAULTS in said.attributes and not len(study.history):
        _queue(study)


def _keep(study: Study, said: Mapping[str, Any]) -> None:
    old, has_begun = study.attributes, len(study.history) > 0
    for key, what in ((PRIOR, "prior"), (DEFAULTS, "defaults"), (SOURCES, "warm_start_from")):
        if key not in said or said[key] == old.get(key):
            continue
        if key == DEFAULTS and has_begun:
            study.say(f"Study '{study.name}' has begun and keeps its first trial; {what}= is for new studies.")
            continue
        study.set_attribute(key, said[key])
        if key in old:
            study.say(f"Study '{study.name}' has another {what} from now on.")


# ---------------------------------------------------------------------------------------------------------- defaults


def _checked_defaults(defaults: Mapping[str, Any], space: Space | None) -> dict[str, Scalar]:
    """The defaults as they are stored."""
    stored = checked_values("defaults", defaults, History.empty(StudyRecord(name="defaults"), space or Space()))
    if space is not None and not space.is_allowed(_filled(space, stored)):
        raise ValueError(
            f"defaults: {_filled(space, stored)} is forbidden by a rule of the space; name more parameters, or others"
        )
    return stored


def _filled(space: Space, defaults: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return space.active({name: default_value(domain, name, defaults) for name, domain in space.domains.items()})


def _queue(study: Study) -> None:
    """The defaults as trial 0; of several workers that say the same, one adds it."""
    history = study.history
    stored = dict(study.attributes[DEFAULTS])
    params = _filled(history.space, stored) if len(history.declared) else stored
    draft = Draft(state=State.WAITING, params=params, note={"given": params, "default": True})
    study.storage.add(study.record.id, draft, worker="create_study", number=0)


# ------------------------------------------------------------------------------------------------------ past studies


def _sources(
    items: Sequence[Past], draft: StudyRecord, storage: Storage, space: Space | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Past studies as JSON, each once, and what is to be told about them."""
    found: list[dict[str, Any]] = []
    told: list[str] = []
    seen: set[tuple[Any, ...]] = {(address(storage) or id(storage), draft.name)}
    for item in items:
        place, record, history = _read(item)
        key = (address(place) or id(place), record.name)
        if key not in seen:
            seen.add(key)
            _compare(record, draft)
            name = record.name
            if any(name == source["name"] for source in found):
                name = f"{name} in {describe(place)}"
            source = gathered(history, name)
            names = {name for record in history for name in record.params}
            if source is None:
                told.append(f"Warm start: '{name}' has no result yet and is not used.")
            elif space is not None and len(space) and names.isdisjoint(space.domains):
                told.append(f"Warm start: '{name}' has nothing in common with this space and is not used: it has "
                            f"{', '.join(sorted(names))}.")  # fmt: skip
            else:
                found.append(source)
        if place is not item and not isinstance(item, Study):
            place.close()
    return found, told


def _read(item: Past) -> tuple[Storage, StudyRecord, History]:
    """A past study's storage, record and history."""
    if isinstance(item, Study):
        return item.storage, item.record, item.history
    place: Storage
    if isinstance(item, str | os.PathLike):
        file = file_of(os.fspath(item))
        if file is not None and not file.exists():
            raise StudyNotFound("warm_start_from", f"{os.fspath(item)}, which does not exist")
        place = open_storage(item, read_only=True)
    elif hasattr(item, "studies"):
        place = item
    else:
        raise TypeError(f"warm_start_from: {item!r} must be a study, a file or a storage")
    records = place.studies()
    if len(records) != 1:
        names = ", ".join(repr(record.name) for record in records) or "none"
        where = describe(place)
        raise ValueError(f"warm_start_from: {where} has {len(records)} studies ({names}); pass one: "
                         f"load_study(name, storage={where!r})")  # fmt: skip
    return place, records[0], History.empty(records[0]).extend(place.read(records[0].id))


def _compare(past: StudyRecord, draft: StudyRecord) -> None:
    """Refuses objectives that cannot be ranked alike."""
    if len(past.directions) == len(draft.directions) == 1:
        return
    if (past.metrics, past.directions) != (draft.metrics, draft.directions):
        raise ValueError(
            f"warm_start_from: '{past.name}' has the objectives {', '.join(past.metrics)}, and this study "
            f"{', '.join(draft.metrics)}; several objectives can only be compared when they are the same"
        )
