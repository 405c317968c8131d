"""Garbage collection: what a row needs, or may name later, is never removed, however old the rows in hand are."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from honed.checkpoints.base import checkpoint_key
from honed.checkpoints.collect import (
    Limits,
    Prospects,
    best_trials,
    of_deleted_studies,
    over_budget,
    prospects,
    ripe,
    unreferenced,
)
from honed.errors import DiskBudgetTooSmall
from honed.records import Report, State, TrialRecord

STUDY = 3
GB = 10**9


def key(number: int, step: int, attempt: int = 1) -> str:
    return checkpoint_key(STUDY, number, step, attempt)


def trial(
    number: int, state: State, checkpoint: str | None = None, *, attempt: int = 1, curve: tuple[float, ...] = (), **more
) -> TrialRecord:
    reports = tuple(Report(number, step, {"loss": value}) for step, value in enumerate(curve, 1))
    return TrialRecord(number=number, state=state, checkpoint=checkpoint, attempt=attempt, reports=reports, **more)


# ------------------------------------------------------------------------------------------------- what is needed


def test_only_the_latest_of_open_trials_is_kept():
    rows = [
        trial(0, State.RUNNING, key(0, 5)),
        trial(1, State.PAUSED, key(1, 3)),
        trial(2, State.WAITING, key(2, 2)),
        trial(3, State.COMPLETE, key(3, 9)),
        trial(4, State.FAILED, key(4, 1)),
        trial(5, State.STOPPED, key(5, 1)),
    ]
    keys = [key(n, s) for n in range(6) for s in (1, 2, 3, 5, 9)]
    kept = set(keys) - set(unreferenced(keys, rows, study=STUDY))
    assert kept == {key(0, 5), key(0, 9), key(1, 3), key(2, 2)}  # 0 at 9: its row may be about to name it


def test_the_best_and_the_pinned_are_kept():
    rows = [
        trial(0, State.COMPLETE, key(0, 9), values=(0.5,)),
        trial(1, State.COMPLETE, key(1, 9), values=(0.1,)),
        trial(2, State.STOPPED, key(2, 9), attributes={"pinned": True}),
        trial(3, State.STOPPED, key(3, 9), attributes={"pinned": False}),
        trial(4, State.COMPLETE, None, values=(0.0,)),
    ]
    best = best_trials(rows, 1)
    assert best == [1]
    assert unreferenced([key(n, 9) for n in range(4)], rows, study=STUDY, best=best) == [key(0, 9), key(3, 9)]


def test_the_best_in_any_direction():
    rows = [
        trial(n, State.COMPLETE, key(n, 1), values=values)
        for n, values in enumerate([(1.0, 1.0), (2.0, 2.0), (3.0, 0.0), (math.nan, 9.0), (1.0, 1.0)])
    ]
    assert best_trials(rows, 2, ["maximize", "minimize"]) == [2, 0]
    assert best_trials(rows, 9, ["minimize", "maximize"]) == [0, 1, 4, 2, 3]
    single = [replace(row, values=row.values[:1]) for row in rows if row.values]
    assert best_trials(single, 9) == [0, 4, 1, 2, 3]
    assert best_trials(single, 2, ["maximize"]) == [2, 1]


def test_a_parent_is_kept_until_its_child_has_saved():
    parent = trial(0, State.STOPPED, key(0, 9))
    child = trial(1, State.RUNNING, parent=0)
    assert unreferenced([key(0, 9), key(0, 5)], [parent, child], study=STUDY) == [key(0, 5)]
    started = replace(child, checkpoint=key(0, 5))  # it began from an older one
    assert unreferenced([key(0, 9), key(0, 5)], [parent, started], study=STUDY) == []
    saved = replace(child, checkpoint=key(1, 10))
    assert unreferenced([key(0, 9), key(0, 5), key(1, 10)], [parent, saved], study=STUDY) == [key(0, 9), key(0, 5)]
    failed = replace(child, state=State.FAILED)
    assert unreferenced([key(0, 9)], [parent, failed], study=STUDY) == [key(0, 9)]


def test_what_may_be_named_next_is_kept():
    running = trial(0, State.RUNNING, key(0, 5, 2), attempt=2)
    keys = [key(0, 4, 1), key(0, 9, 1), key(0, 4, 2), key(0, 5, 2), key(0, 6, 2), key(0, 1, 3)]
    assert unreferenced(keys, [running], study=STUDY) == [key(0, 4, 1), key(0, 9, 1), key(0, 4, 2)]
    paused = replace(running, state=State.PAUSED)
    assert unreferenced(keys, [paused], study=STUDY) == [key(0, 4, 1), key(0, 9, 1), key(0, 4, 2), key(0, 6, 2)]


def test_other_studies_and_unknown_trials_are_left_alone():
    keys = [checkpoint_key(9, 0, 1, 1), key(7, 1)]
    assert unreferenced(keys, [trial(0, State.FAILED)], study=STUDY) == []
    assert of_deleted_studies(keys, {STUDY}) == [checkpoint_key(9, 0, 1, 1)]


def test_garbage_ripens():
    now, seen = ripe(["a", "b"], {}, 100.0)
    assert now == []
    now, seen = ripe(["b", "c"], seen, 159.0)
    assert now == []
    now, seen = ripe(["a", "b", "c"], seen, 161.0)
    assert now == ["b"]  # a was needed in between
    assert seen == {"a": 161.0, "b": 100.0, "c": 159.0}


class Collecting(RuleBasedStateMachine):
    """Workers save and name checkpoints, die and take over, while somebody collects by an old list and old rows."""

    numbers = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, TrialRecord] = {}
        self.store: set[str] = set()
        self.unnamed: dict[int, str] = {}  # what the owner of a trial has saved, and its row will name next
        self.listed: list[str] = []
        self.known: list[TrialRecord] = []

    @initialize()
    def begin(self) -> None:
        self.start(None, False)

    def running(self, number: int) -> TrialRecord | None:
        row = self.rows.get(number)
        return row if row is not None and row.state is State.RUNNING else None

    @rule(parent=st.none() | numbers, is_told=st.booleans())
    def start(self, parent: int | None, is_told: bool) -> None:
        number = len(self.rows)
        above = None if parent is None else self.rows.get(parent)
        if number > 2 or (above is not None and above.state.is_finished):
            return
        self.rows[number] = trial(
            number,
            State.RUNNING,
            above.checkpoint if above and is_told else None,  # or found at its parent's row
            parent=above.number if above else None,
        )

    @rule(number=numbers, ahead=st.integers(1, 3))
    def save(self, number: int, ahead: int) -> None:
        row = self.running(number)
        if row is None:
            return
        own = [
            k for k in self.store | {row.checkpoint} if k and f"/t{number:05d}/" in k and k.endswith(f"-a{row.attempt}")
        ]
        last = max((int(k.split("/s")[1].split("-")[0]) for k in own), default=0)
        self.unnamed[number] = key(number, last + ahead, row.attempt)
        self.store.add(self.unnamed[number])

    @rule(
        number=numbers,
        state=st.sampled_from([State.RUNNING, State.PAUSED, State.COMPLETE, State.STOPPED, State.WAITING]),
    )
    def name(self, number: int, state: State) -> None:
        row = self.running(number)
        if row is not None:
            checkpoint = self.unnamed.pop(number, row.checkpoint)
            values = (float((5 * number + row.attempt) % 7),) if state is State.COMPLETE else None
            self.rows[number] = replace(row, checkpoint=checkpoint, state=state, values=values)

    @rule(number=numbers)
    def claim(self, number: int) -> None:
        """Resumed, or taken over from a dead worker, whose unnamed checkpoint nobody will ever name."""
        row = self.rows.get(number)
        if row is not None and not row.state.is_finished:
            self.unnamed.pop(number, None)
            self.rows[number] = replace(row, state=State.RUNNING, attempt=row.attempt + 1)

    @rule(number=numbers)
    def pin(self, number: int) -> None:
        row = self.rows.get(number)
        if row is not None and (not row.state.is_finished or number in best_trials(self.rows.values(), 2)):
            self.rows[number] = replace(row, attributes={"pinned": True})

    @rule(keys=st.booleans(), rows=st.booleans())
    def look(self, keys: bool, rows: bool) -> None:
        self.listed = sorted(self.store) if keys else self.listed
        self.known = list(self.rows.values()) if rows else self.known

    @rule(keys=st.booleans(), rows=st.booleans())
    def collect(self, keys: bool, rows: bool) -> None:
        self.look(keys, rows)
        self.store -= set(unreferenced(self.listed, self.known, study=STUDY, best=best_trials(self.known, 2)))

    @invariant()
    def what_rows_need_is_there(self) -> None:
        best = best_trials(self.rows.values(), 2)
        for row in self.rows.values():
            is_needed = not row.state.is_finished or row.number in best or row.attributes.get("pinned")
            if is_needed and row.checkpoint is not None:
                assert row.checkpoint in self.store
            if not row.state.is_finished and row.checkpoint is None and row.parent is not None:
                above = self.rows[row.parent].checkpoint
                assert above is None or above in self.store
        for saved in self.unnamed.values():
            assert saved in self.store

    def teardown(self) -> None:
        """Looked at afresh, all that remains is needed by somebody."""
        for number in self.rows:
            self.name(number, State.PAUSED if number else State.STOPPED)
        self.collect(True, True)
        self.what_rows_need_is_there()
        assert self.store <= {row.checkpoint for row in self.rows.values()}
        before = set(self.store)
        self.collect(True, True)
        assert self.store == before


TestCollecting = Collecting.TestCase
TestCollecting.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# ------------------------------------------------------------------------------------------------ what does not fit


def paused(number: int, *curve: float, **more) -> TrialRecord:
    return trial(number, State.PAUSED, key(number, len(curve)), curve=curve, **more)


ROWS = [
    paused(0, 0.9),
    paused(1, 0.8, 0.7),
    paused(2, 0.5, 0.4),
    paused(3, 0.6, 0.9),
    trial(4, State.RUNNING, key(4, 2), curve=(0.4, 0.3)),
    trial(5, State.COMPLETE, key(5, 3), curve=(0.3, 0.2, 0.1), values=(0.1,)),
]
SIZES = {row.checkpoint: 2 * GB for row in ROWS if row.checkpoint}
EXPECTED = prospects(ROWS, "loss")


def gone(limits: Limits, rows=ROWS, sizes=SIZES, expected=EXPECTED, best=(5,)) -> list[int]:
    return list(over_budget(sizes, rows, limits, expected, study=STUDY, best=best).keys)


def test_prospects_are_ranks_at_the_step_that_was_reached():
    assert EXPECTED.likely == {0: 1 / 6, 1: 2 / 5, 2: 3 / 5, 3: 1 / 5}
    flipped = prospects([*ROWS, paused(6, math.nan), paused(7)], "loss", "maximize")
    assert flipped.likely[3] == 1.0
    assert flipped.likely[6] == 0.0
    assert 7 not in flipped.likely
    assert prospects(ROWS, "accuracy").likely == {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}


def test_room_enough():
    removal = over_budget(SIZES, ROWS, Limits(budget=12 * GB, free=5, reserve=5), EXPECTED, study=STUDY)
    assert removal.keys == {}
    assert removal.text == ""


def test_the_least_likely_go_first():
    assert gone(Limits(budget=11 * GB)) == [0]
    assert gone(Limits(budget=8 * GB)) == [0, 3]
    assert gone(Limits(free=0, reserve=5 * GB)) == [0, 3, 1]
    removal = over_budget(SIZES, ROWS, Limits(budget=9 * GB), EXPECTED, study=STUDY, best=[5])
    assert removal.keys == {0: key(0, 1), 3: key(3, 2)}
    assert removal.n_bytes == 4 * GB
    assert removal.text == (
        "Checkpoints took 12 GB of 9.0 GB; removed 2 paused checkpoints least likely to continue (4.0 GB)."
    )


def test_chances_are_told():
    expected = Prospects(likely={0: 0.5, 1: 0.013, 2: 0.0, 3: 0.9}, is_chance=True)
    limits = Limits(free=31 * GB // 10, reserve=7 * GB)
    assert over_budget(SIZES, ROWS, limits, expected, study=STUDY, best=[5]).text == (
        "Disk has 3.1 GB left; removed 2 paused checkpoints with < 2 % chance to continue (4.0 GB)."
    )


def test_running_ones_the_best_and_the_pinned_stay():
    removal = over_budget(SIZES, ROWS, Limits(budget=2 * GB), EXPECTED, study=STUDY, best=[5])
    assert list(removal.keys) == [0, 3, 1, 2]
    assert removal.text == (
        "Checkpoints took 12 GB of 2.0 GB; removed 4 paused checkpoints least likely to continue (8.0 GB); "
        "what is left belongs to running, pinned and the best trials, and nothing else can go."
    )
    pinned = [replace(row, attributes={"pinned": True}) for row in ROWS]
    removal = over_budget(SIZES, pinned, Limits(budget=2 * GB), EXPECTED, study=STUDY, best=[5])
    assert removal.keys == {}
    assert removal.text.startswith("Checkpoints took 12 GB of 2.0 GB; what is left belongs to running")


def test_parents_of_trials_that_have_not_begun_stay():
    child = trial(6, State.RUNNING, parent=0)
    assert gone(Limits(budget=8 * GB), [*ROWS, child]) == [3, 1]
    waiting = trial(6, State.WAITING, key(3, 2), parent=3, attempt=0)
    assert gone(Limits(budget=8 * GB), [*ROWS, waiting]) == [0, 1]


def test_a_budget_below_one_checkpoint_is_refused():
    with pytest.raises(DiskBudgetTooSmall, match=r"The disk budget of 1\.0 GB holds no checkpoint: .* takes 2\.0 GB"):
        gone(Limits(budget=GB))


def test_only_this_study_counts():
    others = {checkpoint_key(9, 0, 1, 1): 100 * GB}
    assert gone(Limits(budget=12 * GB), sizes={**SIZES, **others}) == []
