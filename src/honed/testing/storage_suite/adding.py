"""The contract for new trials: what they keep, their numbers, the limit."""

from __future__ import annotations

import contextlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from honed.domains import Bool, Categorical, Const, Domain, Float, Int, Ordinal, Scalar
from honed.records import Cause, Draft, Report, State, TrialRecord, Update
from honed.storage.base import Storage
from honed.testing.storage_suite.tools import (
    DRAFT,
    FINISHED,
    LR,
    TOLD_DRAFT,
    Fixtures,
    ManualClock,
    Opened,
    add,
    add_in,
    record_of,
    state_update,
)


class AddTests(Fixtures):
    """add, and the limit."""

    def test_a_running_trial_is_the_callers_first_attempt(
        self, storage: Storage, study: int, clock: ManualClock
    ) -> None:
        trial = storage.add(study, replace(DRAFT, until=3, parent=0, checkpoint="c0"), worker="gpu03:7")
        assert trial == TrialRecord(
            number=0,
            state=State.RUNNING,
            params={"lr": 0.01},
            domains=LR,
            attempt=1,
            until=3,
            parent=0,
            checkpoint="c0",
            worker="gpu03:7",
            created=clock.now(),
            started=clock.now(),
        )
        assert storage.read(study).trials == (trial,)

    def test_queued_and_finished_trials(self, storage: Storage, study: int, clock: ManualClock) -> None:
        waiting = add(storage, study, replace(DRAFT, state=State.WAITING))
        assert (waiting.attempt, waiting.started, waiting.finished) == (0, None, None)
        for state in FINISHED:
            trial = add_in(storage, study, state)
            assert (trial.attempt, trial.started, trial.finished) == (0, None, clock.now())
        failed = record_of(storage, study, storage.read(study).trials[-1].number)
        assert (failed.state, failed.cause) == (State.FAILED, Cause.ERROR)

    def test_every_kind_of_content_comes_back_exactly(self, storage: Storage, other: Storage, study: int) -> None:
        params: dict[str, Scalar] = {
            "z": 0.1 + 0.2,
            "a": 5e-324,
            "big": 2**80,
            "neg": -0.0,
            "text": "Grüße\n🙂\x00'\ud800",
            "yes": True,
            "one": 1,
            "none": None,
        }
        domains: dict[str, Domain] = {
            "z": Float(0, 1),
            "a": Float(1e-320, 1.0, log=True),
            "big": Int(16, 512, factor=2),
            "neg": Ordinal(["low", "mid", "high"]),
            "text": Categorical([0, 1, 1.5, "x", None]),
            "yes": Bool(),
            "one": Categorical([1, 2], weights=[1, 3]),
            "none": Const(None),
        }
        note = {"n": math.inf, "list": [1, [2, {"x": None}]], "text": "\u2028", "none": None}
        draft = Draft(
            params=params,
            domains=domains,
            note=note,
            attributes={"1": True},
            steps={3: {"loss": 1e-17}, 1: {"loss": 2}},
        )
        trial = add(storage, study, draft)
        read = other.read(study).trials[0]
        for record in (trial, read):
            assert list(record.params.items()) == list(params.items())
            assert list(map(type, record.params.values())) == list(map(type, params.values()))
            assert str(record.params["neg"]) == "-0.0"
            assert dict(record.domains) == domains
            assert list(record.domains) == list(domains)
            assert record.note == note
            assert record.attributes == {"1": True}
            assert record.reports == ()
        assert other.read(study).reports == (Report(0, 1, {"loss": 2.0}), Report(0, 3, {"loss": 1e-17}))

    def test_nan_and_infinities_stay_what_they_are(self, storage: Storage, other: Storage, study: int) -> None:
        steps = {0: {"value": math.nan, "a": math.inf, "b": -math.inf, "c": 1.0}}
        add(storage, study, Draft(state=State.COMPLETE, values=(math.nan, -math.inf), steps=steps))
        delta = other.read(study)
        assert str(delta.trials[0].values) == "(nan, -inf)"
        assert str(dict(delta.reports[0].values)) == "{'value': nan, 'a': inf, 'b': -inf, 'c': 1.0}"

    def test_equal_domains_are_one_mapping(self, storage: Storage, other: Storage, study: int) -> None:
        for value in (0.1, 0.2):
            add(storage, study, Draft(params={"lr": value}, domains={"lr": Float(1e-4, 1, log=True)}))
        for each in (storage, other):
            first, second = each.read(study).trials
            assert first.domains is second.domains
            assert each.read(study, 1).trials[0].domains is first.domains

    def test_domains_may_differ_from_trial_to_trial(self, storage: Storage, other: Storage, study: int) -> None:
        tried: list[dict[str, Domain]] = [
            {"x": Categorical([0, 1])},
            {"x": Categorical([False, True])},
            {"x": Int(0, 1), "y": Int(0, 1)},
            {"y": Int(0, 1), "x": Int(0, 1)},
            {},
        ]
        for domains in tried:
            add(storage, study, Draft(domains=domains))
        for each in (storage, other):
            assert [list(trial.domains.items()) for trial in each.read(study).trials] == [
                list(domains.items()) for domains in tried
            ]

    def test_nobody_can_change_what_is_stored(self, storage: Storage, study: int) -> None:
        params: dict[str, Scalar] = {"lr": 0.01}
        note: dict[str, Any] = {"points": [1, 2]}
        steps = {0: {"value": 1.0}}
        trial = add(storage, study, Draft(params=params, domains=dict(LR), note=note, steps=steps))
        params["lr"], steps[0]["value"] = 5.0, 5.0
        note["points"].append(3)
        for mapping in (trial.params, trial.note, storage.read(study).reports[0].values):
            with contextlib.suppress(TypeError):
                mapping["x"] = 5  # type: ignore[index]
        storage.read(study).trials[0].note["points"].append(4)
        delta = storage.read(study)
        assert delta.trials[0].params == {"lr": 0.01}
        assert delta.trials[0].note == {"points": [1, 2]}
        assert delta.reports[0].values == {"value": 1.0}

    def test_numbers_are_dense_and_can_be_asked_for(self, storage: Storage, other: Storage, study: int) -> None:
        assert [add(each, study).number for each in (storage, other, storage)] == [0, 1, 2]
        assert storage.add(study, DRAFT, worker="w", number=2) is None
        assert storage.add(study, DRAFT, worker="w", number=4) is None
        trial = other.add(study, DRAFT, worker="w", number=3)
        assert trial is not None
        assert trial.number == 3
        assert storage.read(study).revision == 4

    def test_wrong_drafts_are_refused(self, storage: Storage, study: int) -> None:
        no_json: Any = object()
        wrong = [
            (Draft(state=State.PAUSED), ValueError),
            (Draft(state=State.COMPLETE), ValueError),
            (Draft(state=State.FAILED), ValueError),
            (Draft(steps={-1: {"value": 1.0}}), ValueError),
            (Draft(note={"x": no_json}), TypeError),
            (Draft(params={"x": no_json}), TypeError),
        ]
        for draft, error in wrong:
            with pytest.raises(error):
                storage.add(study, draft, worker="w")
        with pytest.raises(ValueError, match="worker"):
            storage.add(study, DRAFT, worker="\ud800")
        assert storage.read(study).revision == 0

    @pytest.mark.parametrize("state", list(State))
    def test_which_trials_count_for_the_limit(self, storage: Storage, study: int, state: State) -> None:
        add_in(storage, study, state)
        counts = state not in (State.FAILED, State.WAITING)
        assert (storage.add(study, DRAFT, worker="w", limit=1) is None) == counts

    def test_queued_and_failed_trials_are_added_beyond_the_limit(self, storage: Storage, study: int) -> None:
        for state in (State.WAITING, State.FAILED):
            draft = Draft(state=state, cause=Cause.ERROR if state is State.FAILED else None)
            assert storage.add(study, draft, worker="w", limit=0) is not None
        assert storage.add(study, TOLD_DRAFT, worker="w", limit=0) is None

    def test_claims_keep_the_limit(self, storage: Storage, study: int) -> None:
        queued = add_in(storage, study, State.WAITING).number
        paused = add_in(storage, study, State.PAUSED).number
        assert storage.claim(study, queued, worker="w", limit=1) is None
        assert storage.claim(study, paused, worker="w", limit=1) is not None
        assert storage.claim(study, queued, worker="w", limit=2) is not None
        storage.write(study, queued, 1, Update(state=State.WAITING))  # released: it still counts
        assert storage.add(study, DRAFT, worker="w", limit=2) is None
        assert storage.claim(study, queued, worker="w", limit=2) is not None
        storage.write(study, queued, 2, state_update(State.FAILED))
        assert storage.add(study, DRAFT, worker="w", limit=2) is not None

    def test_threads_never_pass_the_limit(self, open: Opened, study: int) -> None:
        storages = [open() for _ in range(6)]

        def work(each: Storage) -> int:
            return sum(each.add(study, DRAFT, worker="w", limit=20) is not None for _ in range(10))

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(work, storages)) == 20
        assert [trial.number for trial in storages[0].read(study).trials] == list(range(20))
