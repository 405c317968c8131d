"""The contract for trials that are held: claims, leases, writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from honed.domains import Domain, Float, Int
from honed.errors import StaleLease, StorageError, TrialNotFound
from honed.records import TRANSITIONS, Cause, Draft, Report, State, Update
from honed.storage.base import LEASE_SECONDS, Storage
from honed.testing.storage_suite.tools import (
    DRAFT,
    FINISHED,
    TOLD,
    Fixtures,
    ManualClock,
    Opened,
    add,
    add_in,
    record_of,
    state_update,
)


class HoldTests(Fixtures):
    """claim, renew, write, close."""

    @pytest.mark.parametrize("state", [State.WAITING, State.PAUSED])
    def test_a_claim_makes_a_trial_the_callers(
        self, storage: Storage, other: Storage, study: int, state: State, clock: ManualClock
    ) -> None:
        before = add_in(storage, study, state)
        clock.sleep(5)
        claimed = other.claim(study, before.number, worker="other", until=9)
        assert claimed == replace(
            before,
            state=State.RUNNING,
            attempt=before.attempt + 1,
            worker="other",
            until=9,
            started=before.started or clock.now(),
        )
        assert storage.claim(study, before.number, worker="late") is None
        assert storage.read(study, 1).trials[-1] == claimed
        other.write(study, before.number, before.attempt + 1, TOLD)

    def test_a_claim_without_grant_is_to_the_end(self, storage: Storage, study: int) -> None:
        trial = add(storage, study, Draft(until=3))
        storage.write(study, trial.number, 1, Update(state=State.PAUSED))
        claimed = storage.claim(study, trial.number, worker="w")
        assert claimed is not None
        assert claimed.until is None

    @pytest.mark.parametrize("state", [State.RUNNING, *FINISHED])
    def test_held_and_finished_trials_cannot_be_claimed(self, storage: Storage, study: int, state: State) -> None:
        trial = add_in(storage, study, state)
        revision = storage.read(study).revision
        assert storage.claim(study, trial.number, worker="w") is None
        assert storage.read(study).revision == revision

    def test_one_of_many_threads_gets_the_trial(self, open: Opened, study: int, storage: Storage) -> None:
        add_in(storage, study, State.WAITING)
        storages = [open() for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            claims = list(pool.map(lambda each: each.claim(study, 0, worker="w"), storages))
        assert sum(claim is not None for claim in claims) == 1

    def test_numbers_that_do_not_exist(self, storage: Storage, study: int) -> None:
        add(storage, study)
        for number in (1, -1, 2**40):
            with pytest.raises(TrialNotFound, match="cifar"):
                storage.claim(study, number, worker="w")
            with pytest.raises(TrialNotFound):
                storage.renew(study, number, 1)
            with pytest.raises(TrialNotFound):
                storage.write(study, number, 1, TOLD)

    def test_a_lease_runs_out_and_the_trial_is_claimed(
        self, storage: Storage, other: Storage, study: int, clock: ManualClock
    ) -> None:
        add(storage, study)
        clock.sleep(LEASE_SECONDS - 1)
        assert storage.read(study).lost == other.read(study).lost == ()
        assert other.claim(study, 0, worker="other") is None
        clock.sleep(1)
        assert storage.read(study, 1).lost == other.read(study, 1).lost == (0,)
        claimed = other.claim(study, 0, worker="other")
        assert claimed is not None
        assert (claimed.state, claimed.attempt) == (State.RUNNING, 2)
        assert storage.read(study).lost == ()
        for update in (TOLD, Update(steps={0: {"value": 1.0}}), Update()):
            with pytest.raises(StaleLease):
                storage.write(study, 0, 1, update)
        with pytest.raises(StaleLease):
            storage.renew(study, 0, 1)
        assert storage.read(study).revision == 2
        other.write(study, 0, 2, TOLD)

    @pytest.mark.parametrize("how", ["renew", "report", "empty write"])
    def test_a_lease_is_renewed(self, storage: Storage, study: int, clock: ManualClock, how: str) -> None:
        add(storage, study)
        clock.sleep(LEASE_SECONDS - 1)
        if how == "renew":
            storage.renew(study, 0, 1)
        else:
            storage.write(study, 0, 1, Update(steps={0: {"value": 1.0}} if how == "report" else {}))
        clock.sleep(LEASE_SECONDS - 1)
        assert storage.read(study).lost == ()
        clock.sleep(1)
        assert storage.read(study).lost == (0,)

    def test_a_late_worker_may_go_on_while_nobody_took_its_trial(
        self, storage: Storage, study: int, clock: ManualClock
    ) -> None:
        add(storage, study)
        clock.sleep(2 * LEASE_SECONDS)
        storage.write(study, 0, 1, Update(steps={0: {"value": 1.0}}))
        assert storage.read(study).lost == ()
        storage.write(study, 0, 1, TOLD)

    def test_trials_of_a_closed_owner_are_lost_at_once(self, storage: Storage, open: Opened, study: int) -> None:
        dying = open()
        add(storage, study)
        add(dying, study)
        add(dying, study)
        dying.write(study, 2, 1, TOLD)
        dying.close()
        assert storage.read(study).lost == (1,)
        claimed = storage.claim(study, 1, worker="w")
        assert claimed is not None
        assert claimed.attempt == 2
        assert storage.read(study).lost == ()

    def test_a_closed_storage_says_so(self, storage: Storage, open: Opened, study: int) -> None:
        closed = open()
        closed.close()
        closed.close()
        for call in (
            closed.studies,
            lambda: closed.read(study),
            lambda: closed.add(study, DRAFT, worker="w"),
        ):
            with pytest.raises(StorageError, match="closed"):
                call()
        assert storage.read(study).revision == 0

    def test_what_is_none_stays_as_it_is(self, storage: Storage, study: int, clock: ManualClock) -> None:
        first = add(storage, study, replace(DRAFT, note={"a": 1, "b": 2}, until=3))
        domains: dict[str, Domain] = {"lr": Float(0, 2), "n": Int(1, 4)}
        storage.write(study, 0, 1, Update(params={"lr": 0.5, "n": 2}, domains=domains, note={"b": None, "c": [3]}))
        storage.write(study, 0, 1, Update(attributes={"host": "a"}, checkpoint="c1", until=9, message="slow"))
        storage.write(study, 0, 1, Update(attributes={"gpu": 1}, values=(0.7,)))
        clock.sleep(9)
        storage.write(study, 0, 1, Update(state=State.STOPPED, values=(0.6,), cause=Cause.CANCELLED))
        assert record_of(storage, study, 0) == replace(
            first,
            state=State.STOPPED,
            params={"lr": 0.5, "n": 2},
            domains=domains,
            note={"a": 1, "c": [3]},
            attributes={"host": "a", "gpu": 1},
            checkpoint="c1",
            until=9,
            message="slow",
            values=(0.6,),
            cause=Cause.CANCELLED,
            finished=clock.now(),
        )

    def test_reports_are_kept_and_replaced(self, storage: Storage, other: Storage, study: int) -> None:
        add(storage, study)
        storage.write(study, 0, 1, Update(steps={1: {"value": 1.0, "train": 2.0}, 0: {"value": 3.0}}))
        storage.write(study, 0, 1, Update(steps={1: {"value": 0.5}, 2: {"value": 0.4}}))
        assert other.read(study).reports == (
            Report(0, 0, {"value": 3.0}),
            Report(0, 1, {"value": 0.5}),
            Report(0, 2, {"value": 0.4}),
        )
        delta = other.read(study, 2)
        assert delta.trials == ()
        assert [report.step for report in delta.reports] == [1, 2]

    @pytest.mark.parametrize("before", list(State))
    @pytest.mark.parametrize("after", list(State))
    def test_the_table_of_states_is_enforced(self, storage: Storage, study: int, before: State, after: State) -> None:
        trial = add_in(storage, study, before)
        revision = storage.read(study).revision
        if before.is_finished:
            with pytest.raises(StaleLease):
                storage.write(study, 0, trial.attempt, state_update(after))
        elif after in TRANSITIONS[before] and after is not State.RUNNING:
            storage.write(study, 0, trial.attempt, state_update(after))
            assert record_of(storage, study, 0).state is after
            return
        else:
            with pytest.raises(ValueError, match=rf"{before.value}.*{after.value}"):
                storage.write(study, 0, trial.attempt, state_update(after))
        assert record_of(storage, study, 0).state is before
        assert storage.read(study).revision == revision

    @pytest.mark.parametrize("state", [State.WAITING, State.PAUSED])
    def test_trials_that_nobody_holds(self, storage: Storage, other: Storage, study: int, state: State) -> None:
        trial = add_in(storage, study, state)
        for update in (Update(steps={0: {"value": 1.0}}), Update(attributes={"a": 1}), Update()):
            with pytest.raises(StaleLease):
                storage.write(study, 0, trial.attempt, update)
        with pytest.raises(StaleLease):
            storage.renew(study, 0, trial.attempt)
        with pytest.raises(StaleLease):
            other.write(study, 0, trial.attempt + 1, state_update(State.FAILED))
        other.write(study, 0, trial.attempt, state_update(State.FAILED))
        assert record_of(storage, study, 0).state is State.FAILED

    def test_a_released_trial_is_not_its_workers_any_more(self, storage: Storage, study: int) -> None:
        add(storage, study)
        storage.write(study, 0, 1, Update(state=State.WAITING))
        assert storage.read(study).lost == ()
        with pytest.raises(StaleLease):
            storage.write(study, 0, 1, Update(steps={0: {"value": 1.0}}))
        claimed = storage.claim(study, 0, worker="w")
        assert claimed is not None
        assert claimed.attempt == 2

    def test_wrong_updates_change_nothing(self, storage: Storage, study: int) -> None:
        add(storage, study)
        wrong: list[tuple[Update, type[Exception]]] = [
            (Update(params={"x": 1}), ValueError),
            (Update(domains={}), ValueError),
            (Update(state=State.COMPLETE), ValueError),
            (Update(state=State.FAILED), ValueError),
            (Update(state=State.PAUSED, steps={-1: {"value": 1.0}}), ValueError),
            (Update(values=(1.0,), steps={0: {"value": "high"}}), ValueError),  # type: ignore[dict-item]
            (Update(values=(1.0,), attributes={"x": {1, 2}}), TypeError),
            (Update(message="m", note={"x": object()}), TypeError),
        ]
        for update, error in wrong:
            with pytest.raises(error):
                storage.write(study, 0, 1, update)
        delta = storage.read(study)
        assert (delta.revision, delta.reports) == (1, ())
        assert delta.trials[0].values is None

    def test_a_message_with_undecodable_characters_is_kept_readable(self, storage: Storage, study: int) -> None:
        add(storage, study)
        storage.write(study, 0, 1, Update(state=State.FAILED, cause=Cause.ERROR, message="File 'a\udcff.py'"))
        assert record_of(storage, study, 0).message == r"File 'a\udcff.py'"
