"""A storage in a PostgreSQL database, for the workers of many machines.

The nine verbs are functions in the database (``schema_1.sql``), so that each is one round trip, and one short transaction
under the lock of its study's row in ``counters``, which gives the change its revision.

No commit waits for the disk while it holds that lock: a told result is committed without waiting, and a second commit in the
same round trip, of an empty message, waits until the log is on disk up to there. So the results that many workers tell at
once share one sync, and nobody queues behind it. Whoever reads such a result a moment earlier loses nothing: a crash of the
server takes back the end of the log only, and what that reader wrote stands behind it.

Exactly once: each call that changes something has a stamp, stored with what it did. A call whose connection broke is sent
again, finds its stamp, and answers as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import TYPE_CHECKING, Any, Literal

from honed.clock import SYSTEM_CLOCK, Clock
from honed.errors import StaleLease, StorageReadOnly, StudyNotFound, TrialNotFound
from honed.optional import require
from honed.records import TRANSITIONS, Delta, Draft, State, StudyRecord, TrialRecord, Update
from honed.storage import rows, rules
from honed.storage.postgres import checking, restoring, schema, statements
from honed.storage.postgres.connection import RETRY_SECONDS, Connection, Row
from honed.storage.postgres.domains import PostgresDomains
from honed.storage.postgres.owner import Owner

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", "postgres")

Durability = Literal["full", "fast"]

_CRASHED = "The database server crashed before this trial was on its disk."
_FROM: Mapping[State | None, list[str]] = {
    None: [State.RUNNING.value],
    **{after: [state.value for state in State if after in TRANSITIONS[state]] for after in State},
    State.RUNNING: [],  # that is the way of claim
}


@dataclass(frozen=True, slots=True)
class _Held:
    """What this object knows of a trial that it holds: enough to write it in one round trip."""

    attempt: int
    claim: str
    note: str | None
    attributes: str | None


class PostgresStorage:
    """Studies in a PostgreSQL database; the tables are made when they do not exist, in a schema named ``honed``.

    Args:
        url: ``postgresql://user:password@host:port/database``.
        durability: ``"full"``: a told result survives a crash of the server. ``"fast"``: the last half second may be lost
            when the server crashes, and no call waits for its disk.
        read_only: for looking; nothing is written. A standby will do.
        retry_seconds: how long a lost connection is looked for again, before a call raises ``StorageError``.
        clock: what leases run by; None: the server's.
    """

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "full",
        read_only: bool = False,
        retry_seconds: float = RETRY_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        if durability not in ("full", "fast"):
            raise ValueError(f"durability={durability!r} is unknown; use 'full' or 'fast'")
        if not retry_seconds >= 0:
            raise ValueError(f"retry_seconds={retry_seconds!r} must be 0 or more")
        self.url = url
        self.durability = durability
        self._is_durable = durability == "full"
        self._read_only = read_only
        self._clock: Clock = clock or SYSTEM_CLOCK
        self._leases_run_by = clock
        self._server = Connection(url, retry_seconds, self._begin)
        self.shown = self._server.shown
        self._owner = Owner(self._server, read_only=read_only)
        self._domains = rows.DomainTable(PostgresDomains())
        self._names: dict[int, str] = {}
        self._held: dict[tuple[int, int], _Held] = {}
        self._seen: dict[int, int] = {}  # study -> the most trials that it was known to have
        try:
            self._server.work(lambda connection, again: None)
        except BaseException:
            self._server.close()
            raise

    def __repr__(self) -> str:
        return f"PostgresStorage({self.shown!r})"

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # half made, or at the end of the interpreter
            self.close()

    # ------------------------------------------------------------------------------------------------------ studies

    def create_study(self, draft: StudyRecord) -> tuple[StudyRecord, bool]:
        draft = rules.checked_study(draft)
        found = self._server.ask(statements.STUDY_BY_NAME, {"name": draft.name})
        is_new = False
        if not found:
            self._check_writable()
            values = dict(zip(statements.STUDY_VALUES, rows.study_row(draft, self._clock.now()), strict=True))
            is_new = bool(self._server.ask(statements.CREATE_STUDY, {**values, "stamp": _stamp()})[0][0])
            found = self._server.ask(statements.STUDY_BY_NAME, {"name": draft.name})
            if not found:  # deleted as soon as it was made
                raise StudyNotFound(draft.name, self.shown)
        return self._study_record(found[0]), is_new

    def studies(self) -> tuple[StudyRecord, ...]:
        return tuple(map(self._study_record, self._server.ask(statements.STUDIES)))

    def delete_study(self, study: int) -> None:
        self._check_writable()
        was_sent = False

        def task(connection: psycopg.Connection, again: bool) -> bool:
            nonlocal was_sent
            was_sent = again
            found = connection.execute("SELECT honed.delete_study(%s)", (study,)).fetchone()
            return found is not None and bool(found[0])

        if not self._server.work(task) and not was_sent:
            raise self._no_study(study)

    def restore(self, record: StudyRecord, trials: Sequence[TrialRecord]) -> StudyRecord:
        """Writes a study as another storage has it, with all its trials and their reports; gives its record here.

        RUNNING trials come as lost ones. Revisions begin anew.

        Raises:
            ValueError: the name is taken, or the trials are not numbered from 0 without gaps.
        """
        self._check_writable()
        study = restoring.restore(self._server, record, trials, _stamp())
        return self._study_record(self._server.ask(statements.STUDY_BY_ID, {"study": study})[0])

    def check(self) -> list[str]:
        """What is wrong with the database, one line each; empty when all is sound."""
        return self._server.work(lambda connection, again: checking.problems(connection))

    # ------------------------------------------------------------------------------------------------------- trials

    def add(
        self, study: int, draft: Draft, *, worker: str, number: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        rules.check_draft(draft, worker)
        steps = rules.plain_steps(draft.steps)
        self._check_writable()
        is_running, is_finished = draft.state is State.RUNNING, draft.state in rules.FINISHED
        now, stamp = self._clock.now(), _stamp()
        values = dict(zip(statements.NEW_TRIAL_VALUES, rows.new_row(draft, worker, now), strict=True))
        values |= {"study": study, "count": number, "limit": limit, "stamp": stamp, **_measured(steps)}
        values["durable"] = self._is_durable and is_finished
        values["now"] = self._now()
        while True:
            values["owner"] = self._owner.id() if is_running or is_finished else None
            values["domains"] = domains = self._domains_of(study, draft.domains)
            outcome, place = self._server.ask(statements.ADD, values)[0]
            if outcome != "crashed":
                break
            self._mend()
        if outcome == "gone":
            raise self._no_study(study)
        if outcome != "added":
            return None
        if is_running:
            self._held[study, place] = _Held(1, stamp, values["note"], values["attributes"])
        self._seen[study] = max(self._seen.get(study, 0), place + 1)
        return rules.new_record(place, draft, self._domains.mapping_of(domains, draft.domains), worker, now)

    def claim(
        self, study: int, number: int, *, worker: str, until: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        rules.text("worker", worker)
        number, until = index(number), rules.whole(until)
        self._check_writable()
        stamp = _stamp()
        values = {"study": study, "number": number, "worker": worker, "until": until, "limit": limit, "stamp": stamp}
        values |= {"now": self._now(), "started": rows.micros(self._clock.now()), "dead": None}
        while True:
            values["owner"] = self._owner.id()
            outcome, holder, token, host, *row = self._server.ask(statements.CLAIM, values)[0]
            if outcome == "crashed":
                self._mend()
            elif outcome == "held" and values["dead"] != holder and self._owner.is_dead(holder, token, host):
                values["dead"] = holder
            else:
                break
        if outcome == "gone":
            raise self._no_study(study)
        if outcome == "missing":
            raise self._no_trial(study, number, holder)
        if outcome != "claimed":
            return None
        self._server.work(lambda connection, again: self._domains.load(connection, study, [row[1]]))
        self._held[study, number] = _Held(row[3], stamp, row[9], row[10])
        return rows.trial_record(row, self._domains)

    def renew(self, study: int, number: int, attempt: int) -> None:
        number, attempt = index(number), index(attempt)
        self._check_writable()
        held = self._holding(study, number, attempt)
        values = {
            "study": study,
            "number": number,
            "attempt": attempt,
            "claim": held and held.claim,
            "now": self._now(),
        }
        outcome, state, present = self._server.ask(statements.RENEW, values)[0]
        if outcome != "renewed":
            raise self._refused(study, number, attempt, None, (outcome, state, present))
        self._owner.touch()

    def write(self, study: int, number: int | None, attempt: int, update: Update) -> None:
        rules.check_update(update)
        if number is None:
            self._write_study(study, update)
            return
        number, attempt = index(number), index(attempt)
        steps = rules.plain_steps(update.steps)
        note, attributes = rules.plain(update.note), rules.plain(update.attributes)
        touches = rules.touches_record(update)
        self._check_writable()
        values: dict[str, Any] = dict.fromkeys(statements.CHANGED_VALUES)
        values |= rows.changed_columns(update, self._clock.now()) if touches else {}
        values |= {
            "study": study,
            "number": number,
            "attempt": attempt,
            "from": _FROM[update.state],
            **_measured(steps),
        }
        values |= {"stamp": _stamp(), "now": self._now(), "touches": touches, "merges": bool(note or attributes)}
        values["durable"] = self._is_durable and update.state in rules.FINISHED
        held = self._holding(study, number, attempt)
        values["claim"] = held and held.claim
        old = [held.note, held.attributes] if held is not None else [None, None]
        while True:
            values["old_note"], values["old_attributes"] = old
            values["note"], values["attributes"] = new = _merged(old[0], note), _merged(old[1], attributes)
            values["owner"] = self._owner.id() if values["durable"] else None
            if update.domains is not None:
                values["domains"] = self._domains_of(study, update.domains)
            outcome, state, present, *old = self._server.ask(statements.WRITE, values)[0]
            if outcome == "crashed":
                self._mend()
                old = [values["old_note"], values["old_attributes"]]
            elif outcome != "differs":
                break
        if outcome != "written":
            raise self._refused(study, number, attempt, update.state, (outcome, state, present))
        if update.state is not None:
            self._held.pop((study, number), None)
        elif held is not None and values["merges"]:
            self._held[study, number] = replace(held, note=new[0], attributes=new[1])

    def read(self, study: int, after: int = 0) -> Delta:
        study, after = index(study), index(after)
        while True:
            found = self._server.ask(statements.READ, self._reading(study, after))
            if not found:
                raise self._no_study(study)
            _, revision, _, pulse, count, _, _, changed, *_ = found[0]
            if pulse == "crashed":
                self._mend()
            elif count < self._seen.get(study, 0) and not self._read_only:
                self._fill(study)
            else:
                break
        self._seen[study] = count
        record = None
        if after <= 0 or changed > after:
            studies = self._server.ask(statements.STUDY_BY_ID, {"study": study})
            if not studies:
                raise self._no_study(study)
            record = replace(self._study_record(studies[0]), revision=revision)
        trials = [row[1:] for row in found if row[0] == 1]
        if trials:
            self._server.work(
                lambda connection, again: self._domains.load(connection, study, (row[1] for row in trials))
            )
        return Delta(
            revision=revision,
            study=record,
            trials=tuple(rows.trial_record(row, self._domains) for row in trials),
            reports=rows.reports([(row[1], row[7], row[5]) for row in found if row[0] == 2]),
            lost=self._lost([row for row in found if row[0] == 3]),
        )

    def close(self) -> None:
        self._owner.close()
        self._server.close()

    # ------------------------------------------------------------------------------------------------------- helpers

    def _begin(self, connection: psycopg.Connection) -> None:
        """What a new connection begins with."""
        if self._read_only:
            schema.check_readable(connection, self.shown)
        else:
            schema.prepare(connection, self.shown)

    def _check_writable(self) -> None:
        if self._read_only:
            raise StorageReadOnly(f"{self.shown} was opened with read_only=True; open it without, to write.")

    def _now(self) -> float | None:
        return None if self._leases_run_by is None else self._leases_run_by.monotonic()

    def _reading(self, study: int, after: int) -> dict[str, Any]:
        return {
            "study": study,
            "after": after,
            "host": self._owner.host,
            "now": self._now(),
            "writes": not self._read_only,
        }

    def _holding(self, study: int, number: int, attempt: int) -> _Held | None:
        held = self._held.get((study, number))
        return held if held is not None and held.attempt == attempt else None

    def _write_study(self, study: int, update: Update) -> None:
        attributes = rules.plain(update.attributes)
        self._check_writable()
        found = self._server.ask(statements.STUDY_BY_ID, {"study": study})
        if not found:
            raise self._no_study(study)
        if not attributes and update.space is None:
            return
        outcome, old = "", found[0][7]
        values: dict[str, Any] = {"study": study, "stamp": _stamp()}
        values["space"] = None if update.space is None else rules.to_json(dict(update.space))
        while outcome != "written":
            values["old_attributes"], values["attributes"] = old, _merged(old, attributes)
            outcome, old = self._server.ask(statements.WRITE_STUDY, values)[0]
            if outcome == "gone":
                raise self._no_study(study)

    def _domains_of(self, study: int, domains: Any) -> str:
        return self._server.work(lambda connection, again: self._domains.ids(connection, study, domains))

    def _lost(self, leases: Sequence[Row]) -> tuple[int, ...]:
        lost, living = [], set()
        for _, number, host, _, owner, token, _, is_over, *_ in leases:
            if is_over or self._owner.is_dead(owner, token, host):
                lost.append(number)
            if token is not None:
                living.add(token)
        self._owner.forget_others(living)
        return tuple(lost)

    # ----------------------------------------------------------------------------------- after a crash of the server

    def _mend(self) -> None:
        self._server.ask("SELECT honed.mend()")
        self._owner.forget()
        self._domains = rows.DomainTable(PostgresDomains())

    def _fill(self, study: int) -> None:
        values = {
            "study": study,
            "trials": self._seen[study],
            "message": _CRASHED,
            "now": rows.micros(self._clock.now()),
        }
        self._server.ask(statements.FILL, values)

    # -------------------------------------------------------------------------------------------------------- errors

    def _refused(
        self, study: int, number: int, attempt: int, after: State | None, answer: tuple[str, str, int]
    ) -> Exception:
        outcome, state, present = answer
        held = self._holding(study, number, attempt)
        if outcome == "gone":
            return self._no_study(study)
        if outcome == "missing" and held is None:
            return self._no_trial(study, number, present)
        if outcome == "refused":
            try:
                rules.check_write(number, State(state), present, attempt, after)
            except ValueError as error:
                return error
            except StaleLease:
                pass
        return StaleLease(number, attempt)

    def _no_study(self, study: int) -> StudyNotFound:
        names = [record.name for record in self.studies()]
        return StudyNotFound(self._names.get(study, rules.NO_NAME.format(study)), self.shown, names)

    def _no_trial(self, study: int, number: int, count: int) -> Exception:
        found = self._server.ask(statements.STUDY_BY_ID, {"study": study})
        if not found:
            return self._no_study(study)
        return TrialNotFound(rules.no_trial(found[0][1], number, count))

    def _study_record(self, row: Row) -> StudyRecord:
        record = rows.study_record(row)
        self._names[record.id] = record.name
        return record


def _stamp() -> str:
    return secrets.token_hex(8)


def _measured(steps: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    return {"steps": list(steps), "measured": [rules.to_json(values) for values in steps.values()]}


def _merged(old: str | None, change: Mapping[str, Any]) -> str | None:
    """The column with the change in it, as JSON."""
    return rows.text_or_null(rules.merged(rules.from_json(old or "{}"), change)) if change else old
