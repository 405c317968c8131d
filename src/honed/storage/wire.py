"""Records as JSON, for what goes between processes: the HTTP storage, and a worker process and its supervisor.

Every ``*_to_json`` gives plain JSON types (NaN and infinities as Python's ``json`` writes them), every ``*_from_json`` the
equal record. Domains are sent once for each message and shared by the records that come out: a ``Reader`` gives equal
domains as one object, which is what histories recognise them by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from types import MappingProxyType
from typing import Any

from honed.domains import Domain, domain_from_json
from honed.records import EMPTY, Cause, Delta, Draft, Report, State, StudyRecord, TrialRecord, Update
from honed.storage.rules import to_json

Json = dict[str, Any]

_MAPPINGS = ("params", "note", "attributes")


def study_to_json(record: StudyRecord) -> Json:
    """A study's record, or the draft of one."""
    out = {entry.name: getattr(record, entry.name) for entry in fields(StudyRecord)}
    out |= {"directions": list(record.directions), "metrics": list(record.metrics), "created": _time(record.created)}
    return out | {"attributes": dict(record.attributes), "space": None if record.space is None else dict(record.space)}


def study_from_json(sent: Mapping[str, Any]) -> StudyRecord:
    """What ``study_to_json`` has sent."""
    return StudyRecord(
        **{
            **sent,
            "directions": tuple(sent["directions"]),
            "metrics": tuple(sent["metrics"]),
            "attributes": _view(sent["attributes"]),
            "created": _when(sent["created"]),
        }
    )


def trial_to_json(record: TrialRecord) -> Json:
    """A trial's record with its reports and domains."""
    return _trial(record, lambda domains: [[name, domain.to_json()] for name, domain in domains.items()])


def draft_to_json(draft: Draft) -> Json:
    """A trial to be added; what is left out is empty."""
    out = _changes(draft, Draft)
    out["state"] = draft.state.value
    if draft.domains:
        out["domains"] = [[name, domain.to_json()] for name, domain in draft.domains.items()]
    return out


def update_to_json(update: Update) -> Json:
    """A change of a trial; what is left out stays as it is."""
    out = _changes(update, Update)
    if update.state is not None:
        out["state"] = update.state.value
    if update.domains is not None:
        out["domains"] = [[name, domain.to_json()] for name, domain in update.domains.items()]
    return out


def delta_to_json(delta: Delta) -> Json:
    """What changed in a study; trials name their domains by their place in ``domains``."""
    table: dict[str, int] = {}
    domains: list[Any] = []
    known: dict[int, list[int]] = {}  # mappings are shared by many trials

    def placed(mapping: Mapping[str, Domain]) -> list[int]:
        if id(mapping) not in known:
            known[id(mapping)] = [place(name, domain) for name, domain in mapping.items()]
        return known[id(mapping)]

    def place(name: str, domain: Domain) -> int:
        sent = [name, domain.to_json()]
        key = to_json(sent)
        if key not in table:
            table[key] = len(domains)
            domains.append(sent)
        return table[key]

    trials = [_trial(record, placed) for record in delta.trials]
    return {
        "revision": delta.revision,
        "study": None if delta.study is None else study_to_json(delta.study),
        "domains": domains,
        "trials": trials,
        "reports": [[report.number, report.step, dict(report.values)] for report in delta.reports],
        "lost": list(delta.lost),
    }


class Reader:
    """Makes records of messages; equal domains become one object, the same ones of many trials one mapping."""

    def __init__(self) -> None:
        self._domains: dict[str, tuple[str, Domain]] = {}
        self._mappings: dict[tuple[int, ...], Mapping[str, Domain]] = {}

    def trial(self, sent: Mapping[str, Any]) -> TrialRecord:
        """What ``trial_to_json`` has sent."""
        return self._trial(sent, self._mapping(sent["domains"]))

    def draft(self, sent: Mapping[str, Any]) -> Draft:
        """What ``draft_to_json`` has sent."""
        return Draft(**self._changed(sent))

    def update(self, sent: Mapping[str, Any]) -> Update:
        """What ``update_to_json`` has sent."""
        return Update(**self._changed(sent))

    def delta(self, sent: Mapping[str, Any]) -> Delta:
        """What ``delta_to_json`` has sent."""
        table = sent["domains"]
        mappings: dict[tuple[int, ...], Mapping[str, Domain]] = {}

        def mapping(places: Sequence[int]) -> Mapping[str, Domain]:
            key = tuple(places)
            if key not in mappings:
                mappings[key] = self._mapping([table[i] for i in key])
            return mappings[key]

        study = sent["study"]
        return Delta(
            revision=sent["revision"],
            study=None if study is None else study_from_json(study),
            trials=tuple(self._trial(each, mapping(each["domains"])) for each in sent["trials"]),
            reports=tuple(Report(number, step, values) for number, step, values in sent["reports"]),
            lost=tuple(sent["lost"]),
        )

    def _changed(self, sent: Mapping[str, Any]) -> Json:
        changes = dict(sent)
        if changes.get("state") is not None:
            changes["state"] = State(changes["state"])
        if changes.get("cause") is not None:
            changes["cause"] = Cause(changes["cause"])
        if changes.get("values") is not None:
            changes["values"] = tuple(changes["values"])
        if changes.get("domains") is not None:
            changes["domains"] = self._mapping(changes["domains"])
        if "steps" in changes:
            changes["steps"] = dict(changes["steps"])
        return changes

    def _trial(self, sent: Mapping[str, Any], domains: Mapping[str, Domain]) -> TrialRecord:
        values, cause = sent["values"], sent["cause"]
        changed: Json = {
            "state": State(sent["state"]),
            "domains": domains,
            "values": None if values is None else tuple(values),
            "reports": tuple(Report(sent["number"], step, measured) for step, measured in sent["reports"]),
            "cause": None if cause is None else Cause(cause),
        }
        changed |= {name: _view(sent[name]) for name in _MAPPINGS}
        changed |= {name: _when(sent[name]) for name in ("created", "started", "finished")}
        return TrialRecord(**{**sent, **changed})

    def _mapping(self, pairs: Sequence[Sequence[Any]]) -> Mapping[str, Domain]:
        if not pairs:
            return EMPTY
        found = [self._domain(*pair) for pair in pairs]
        key = tuple(id(entry) for entry in found)
        if key not in self._mappings:
            self._mappings[key] = MappingProxyType(dict(found))
        return self._mappings[key]

    def _domain(self, name: str, sent: Mapping[str, Any]) -> tuple[str, Domain]:
        key = to_json([name, sent])
        if key not in self._domains:
            self._domains[key] = (name, domain_from_json(sent))
        return self._domains[key]


def _trial(record: TrialRecord, domains: Any) -> Json:
    out: Json = {entry.name: getattr(record, entry.name) for entry in fields(TrialRecord)}
    out |= {name: dict(out[name]) for name in _MAPPINGS}
    out |= {name: _time(out[name]) for name in ("created", "started", "finished")}
    out["state"] = record.state.value
    out["domains"] = domains(record.domains)
    out["values"] = None if record.values is None else list(record.values)
    out["reports"] = [[report.step, dict(report.values)] for report in record.reports]
    out["cause"] = None if record.cause is None else record.cause.value
    return out


def _changes(record: Draft | Update, kind: type[Draft] | type[Update]) -> Json:
    """The fields that say something, but state and domains."""
    out: Json = {}
    for entry in fields(kind):
        value = getattr(record, entry.name)
        if entry.name in ("state", "domains") or value is None or (value == {} and entry.name != "params"):
            continue
        if entry.name == "steps":
            value = [[step, dict(values)] for step, values in value.items()]
        elif isinstance(value, Mapping):
            value = dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Cause):
            value = value.value
        out[entry.name] = value
    return out


def _view(sent: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(sent)) if sent else EMPTY


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _when(sent: str | None) -> datetime | None:
    return None if sent is None else datetime.fromisoformat(sent)
