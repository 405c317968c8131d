"""What is sent to the server: one statement for each verb. ``again`` is added by the connection."""

from __future__ import annotations

from honed.storage import rows


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(f"%({name})s" for name in names)


_STUDY = f"SELECT {rows.STUDY_COLUMNS} FROM honed.studies JOIN honed.counters ON counters.study = studies.id"
STUDIES = f"{_STUDY} ORDER BY id"
STUDY_BY_ID = f"{_STUDY} WHERE id = %(study)s"
STUDY_BY_NAME = f"{_STUDY} WHERE name = %(name)s"

STUDY_VALUES = ("name", "directions", "metrics", "seed", "summary", "space", "attributes", "created")
CREATE_STUDY = f"SELECT honed.create_study({_list(('stamp', 'again', *STUDY_VALUES))})"
WRITE_STUDY = (
    "SELECT outcome, attributes "
    f"FROM honed.write_study({_list(('study', 'stamp', 'again', 'old_attributes', 'attributes', 'space'))})"
)

NEW_TRIAL_VALUES = (
    *("state", "attempt", "params", "told", "until", "checkpoint", "parent", "note", "attributes", "cause", "message"),
    *("worker", "created", "started", "finished"),
)
_ADD_FIRST = ("study", "count", "limit", "owner", "now", "stamp", "again", "durable", "steps", "measured", "domains")
ADD = f"CALL honed.add(NULL, NULL, {_list((*_ADD_FIRST, *NEW_TRIAL_VALUES))})"

CLAIM = (
    f"SELECT outcome, holder, token, host, {rows.TRIAL_COLUMNS} FROM honed.claim("
    + _list(("study", "number", "worker", "until", "limit", "owner", "dead", "now", "started", "stamp", "again"))
    + ")"
)
RENEW = f"SELECT outcome, state, attempt FROM honed.renew({_list(('study', 'number', 'attempt', 'claim', 'now'))})"

CHANGED_VALUES = ("domains", "state", "params", "told", "until", "checkpoint", "cause", "message", "finished")
_WRITE_FIRST = (
    *("study", "number", "attempt", "claim", "from", "owner", "now", "stamp", "again", "durable", "touches", "steps"),
    *("measured", "merges", "old_note", "old_attributes", "note", "attributes"),
)
WRITE = f"CALL honed.write(NULL, NULL, NULL, NULL, NULL, {_list((*_WRITE_FIRST, *CHANGED_VALUES))})"

READ = f"SELECT * FROM honed.read({_list(('study', 'after', 'host', 'now', 'writes'))})"
FILL = f"SELECT honed.fill({_list(('study', 'trials', 'message', 'now'))})"
