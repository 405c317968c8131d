"""Random calls by several owners: each storage must answer as the memory storage does, word for word."""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from honed.domains import Bool, Categorical, Float, Int, Ordinal
from honed.errors import HonedError
from honed.records import Cause, Draft, State, StudyRecord, Update
from honed.storage.base import Storage
from honed.storage.memory import MemoryStorage
from honed.storage.postgres import PostgresStorage
from honed.storage.sqlite import SQLiteStorage
from honed.testing.storage_suite import ManualClock
from honed.testing.storage_suite.tools import state_update
from tests.storage.postgres_server import wipe

NAMES = st.sampled_from(["a", "b", "größe"])
STUDIES = st.sampled_from([1, 1, 1, 1, 1, 1, 1, 2, 3])
PICKS = st.integers(0, 40)  # which of the trials; at times one that does not exist
OFFSETS = st.sampled_from([0, 0, 0, 0, 1, -1])  # from the attempt that may write
OWNERS = st.integers(0, 2)
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
JSON = st.recursive(
    SCALARS | FLOATS,
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(max_size=2), x, max_size=2),
    max_leaves=3,
)
NOTES = st.dictionaries(st.sampled_from(["k", "l", "m"]), JSON, max_size=2)
DOMAINS = st.dictionaries(
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(
        [Float(0, 1), Int(0, 1), Bool(), Categorical([0, 1]), Ordinal(["s", "l"]), Float(1e-3, 1, log=True)]
    ),
    max_size=3,
)
PARAMS = st.dictionaries(st.sampled_from(["x", "y", "z"]), SCALARS, max_size=3)
VALUES = st.none() | st.tuples(FLOATS)
STEPS = st.dictionaries(st.integers(-1, 5), st.dictionaries(st.sampled_from(["value", "loss"]), FLOATS), max_size=2)
SMALL = st.none() | st.integers(0, 5)
TEXTS = st.none() | st.text(max_size=5)
CAUSES = st.none() | st.sampled_from(Cause)
DRAFTS = st.builds(
    Draft,
    state=st.sampled_from(State) | st.just(State.RUNNING),
    params=PARAMS,
    domains=DOMAINS,
    values=VALUES,
    steps=STEPS,
    until=SMALL,
    parent=SMALL,
    note=NOTES,
    attributes=NOTES,
    cause=CAUSES,
    message=TEXTS,
)
UPDATES = st.builds(
    Update,
    steps=STEPS,
    state=st.none() | st.sampled_from(State),
    values=VALUES,
    until=SMALL,
    checkpoint=st.none() | st.sampled_from(["c1", "c2"]),
    note=NOTES,
    attributes=NOTES,
    cause=CAUSES,
    message=TEXTS,
)


def plain(answer: Any) -> Any:
    """What two answers are compared by: exact types and values, NaN equal to itself."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return type(answer).__name__, [plain(getattr(answer, f.name)) for f in dataclasses.fields(answer) if f.init]
    if isinstance(answer, Mapping):
        return [(key, plain(value)) for key, value in answer.items()]
    if isinstance(answer, list | tuple):
        return [plain(each) for each in answer]
    return type(answer).__name__, str(answer)


class Alike(RuleBasedStateMachine):
    """Two storages with three owners each get the same calls; one is the memory storage."""

    def begin(self) -> None:
        """Makes a place for the other storage."""
        raise NotImplementedError

    def end(self) -> None:
        """Removes it."""

    def open_one(self) -> Storage:
        """One more owner of the other storage."""
        raise NotImplementedError

    @initialize()
    def start(self) -> None:
        self.begin()
        self.clock = ManualClock()
        self.turn = 0
        first = MemoryStorage(clock=self.clock)
        self.memory: list[Storage] = [
            first,
            *(MemoryStorage(clock=self.clock, beside=first) for _ in range(2)),
        ]
        self.others: list[Storage] = [self.open_one() for _ in range(3)]
        self.call(0, lambda each: each.create_study(StudyRecord(name="a")))
        for state in (State.RUNNING, State.WAITING, State.RUNNING):
            self.call(2, lambda each, state=state: each.add(1, Draft(state=state), worker="w"))  # type: ignore[misc]

    def call(self, owner: int, verb: Callable[[Storage], Any]) -> Any:
        wanted, got = (self.answer(verb, storages[owner]) for storages in (self.memory, self.others))
        assert plain(got) == plain(wanted)
        return wanted

    @staticmethod
    def answer(verb: Callable[[Storage], Any], storage: Storage) -> Any:
        try:
            return verb(storage)
        except HonedError as error:
            return type(error)
        except (ValueError, TypeError) as error:
            return type(error), str(error)

    @rule(owner=OWNERS, name=NAMES, attributes=NOTES)
    def create_study(self, owner: int, name: str, attributes: Any) -> None:
        self.call(owner, lambda each: each.create_study(StudyRecord(name=name, attributes=attributes)))

    @rule(owner=OWNERS, study=STUDIES, doubt=st.integers(0, 4))
    def delete_study(self, owner: int, study: int, doubt: int) -> None:
        if doubt == 0:
            self.call(owner, lambda each: each.delete_study(study))

    @rule(owner=OWNERS, study=STUDIES, draft=DRAFTS, number=SMALL, limit=SMALL)
    def add(self, owner: int, study: int, draft: Draft, number: int | None, limit: int | None) -> None:
        self.call(owner, lambda each: each.add(study, draft, worker=f"w{owner}", number=number, limit=limit))

    @rule(
        owner=OWNERS,
        study=STUDIES,
        state=st.sampled_from([State.RUNNING, State.WAITING]),
        domains=DOMAINS,
    )
    def add_simply(self, owner: int, study: int, state: State, domains: Any) -> None:
        self.call(owner, lambda each: each.add(study, Draft(state=state, domains=domains), worker=f"w{owner}"))

    @rule(owner=OWNERS, study=STUDIES, pick=PICKS, until=SMALL, limit=st.none() | st.integers(0, 8))
    def claim(self, owner: int, study: int, pick: int, until: int | None, limit: int | None) -> None:
        number, _ = self.trial(study, pick)
        self.call(owner, lambda each: each.claim(study, number, worker=f"w{owner}", until=until, limit=limit))

    @rule(owner=OWNERS, study=STUDIES, pick=PICKS)
    def claim_what_is_free(self, owner: int, study: int, pick: int) -> None:
        delta = self.answer(lambda each: each.read(study), self.memory[0])
        free = [] if isinstance(delta, type) else [*delta.lost]
        if not isinstance(delta, type):
            free += [trial.number for trial in delta.trials if trial.state in (State.WAITING, State.PAUSED)]
        if free:
            self.call(owner, lambda each: each.claim(study, free[pick % len(free)], worker=f"w{owner}"))

    @rule(owner=OWNERS, study=STUDIES, pick=PICKS, offset=OFFSETS)
    def renew(self, owner: int, study: int, pick: int, offset: int) -> None:
        number, attempt = self.trial(study, pick)
        self.call(owner, lambda each: each.renew(study, number, attempt + offset))

    @rule(owner=OWNERS, study=STUDIES, pick=PICKS, offset=OFFSETS, update=UPDATES)
    def write(self, owner: int, study: int, pick: int, offset: int, update: Update) -> None:
        number, attempt = self.trial(study, pick)
        self.call(owner, lambda each: each.write(study, number, attempt + offset, update))

    @rule(owner=OWNERS, study=STUDIES, pick=PICKS, params=PARAMS, domains=DOMAINS, steps=STEPS)
    def write_params(self, owner: int, study: int, pick: int, params: Any, domains: Any, steps: Any) -> None:
        number, attempt = self.trial(study, pick)
        update = Update(params=params, domains=domains, steps=steps)
        self.call(owner, lambda each: each.write(study, number, attempt, update))

    @rule(owner=OWNERS, study=STUDIES, pick=PICKS, state=st.sampled_from(State))
    def change_state(self, owner: int, study: int, pick: int, state: State) -> None:
        number, attempt = self.trial(study, pick)
        self.call(owner, lambda each: each.write(study, number, attempt, state_update(state)))

    def trial(self, study: int, pick: int) -> tuple[int, int]:
        """Number and attempt of a trial, or of the one after the last."""
        delta = self.answer(lambda each: each.read(study), self.memory[0])
        if isinstance(delta, type) or not delta.trials or pick == 40:
            return 9, 1
        trial = delta.trials[pick % len(delta.trials)]
        return trial.number, trial.attempt

    @rule(owner=OWNERS, study=STUDIES, attributes=NOTES, space=st.none() | NOTES)
    def write_study(self, owner: int, study: int, attributes: Any, space: Any) -> None:
        self.call(owner, lambda each: each.write(study, None, 0, Update(attributes=attributes, space=space)))

    @rule(owner=OWNERS, study=STUDIES, after=st.integers(-1, 20))
    def read(self, owner: int, study: int, after: int) -> None:
        self.call(owner, lambda each: each.read(study, after))

    @rule(seconds=st.sampled_from([1.0, 20.0, 59.0, 60.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(owner=st.integers(1, 2))
    def an_owner_ends_and_another_begins(self, owner: int) -> None:
        self.memory[owner].close()
        self.others[owner].close()
        self.call(owner, lambda each: each.studies())
        self.memory[owner] = MemoryStorage(clock=self.clock, beside=self.memory[0])  # type: ignore[arg-type]
        self.others[owner] = self.open_one()

    @precondition(lambda self: hasattr(self, "others"))
    @invariant()
    def the_owners_see_the_same(self) -> None:
        owner = self.turn = (self.turn + 1) % 3
        for study in self.call(owner, lambda each: each.studies()):
            self.call(owner, lambda each, number=study.id: each.read(number))  # type: ignore[misc]

    def teardown(self) -> None:
        for storage in (*getattr(self, "memory", []), *getattr(self, "others", [])):
            storage.close()
        self.end()


class SQLiteIsMemory(Alike):
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="honed-"))

    def open_one(self) -> Storage:
        return SQLiteStorage(self.folder / "honed.db", durability="fast", clock=self.clock)

    def end(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


class PostgresIsMemory(Alike):
    url = ""

    def begin(self) -> None:
        wipe(self.url)

    def open_one(self) -> Storage:
        return PostgresStorage(self.url, durability="fast", clock=self.clock)


@pytest.fixture(scope="class")
def _database(_shared_database: str) -> None:
    PostgresIsMemory.url = _shared_database


TestSQLiteIsMemory = SQLiteIsMemory.TestCase
TestSQLiteIsMemory.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestPostgresIsMemory = pytest.mark.usefixtures("_database")(PostgresIsMemory.TestCase)
TestPostgresIsMemory.settings = settings(TestSQLiteIsMemory.settings, max_examples=20)
