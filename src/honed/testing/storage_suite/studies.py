"""The contract for studies, and for reading what has changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from honed.errors import StudyNotFound
from honed.records import Delta, Draft, Report, State, StudyRecord, TrialRecord, Update
from honed.storage.base import Storage
from honed.testing.storage_suite.tools import DRAFT, TOLD, Fixtures, ManualClock, Opened, add


class StudyTests(Fixtures):
    """create_study, studies, delete_study, read."""

    def test_a_study_is_created_once_and_then_found(self, storage: Storage, other: Storage, clock: ManualClock) -> None:
        draft = StudyRecord(
            name="größe 🙂 'x' \"y\" %; --",
            directions=("minimize", "maximize"),
            metrics=("loss", "accuracy"),
            seed=2**70,
            summary="last",
            space={"lr": {"type": "float", "low": 1e-4, "high": 1.0}},
            attributes={"owner": "ada", "list": [1, {"a": None}]},
        )
        created, is_new = storage.create_study(draft)
        assert is_new
        assert created.id > 0
        assert created == replace(draft, id=created.id, created=clock.now())
        assert other.create_study(StudyRecord(name=draft.name, seed=5)) == (created, False)
        assert list(other.studies()) == [created]

    def test_studies_stand_in_order_of_creation_with_their_revision(self, storage: Storage) -> None:
        assert list(storage.studies()) == []
        ids = [storage.create_study(StudyRecord(name=name))[0].id for name in ("b", "c", "a")]
        add(storage, ids[1])
        assert [(study.id, study.name, study.revision) for study in storage.studies()] == [
            (ids[0], "b", 0),
            (ids[1], "c", 1),
            (ids[2], "a", 0),
        ]

    def test_threads_race_to_create_one_study(self, open: Opened) -> None:
        storages = [open() for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda each: each.create_study(StudyRecord(name="x")), storages))
        assert sum(is_new for _, is_new in answers) == 1
        assert len({record.id for record, _ in answers}) == 1

    def test_a_deleted_study_is_gone_for_all_owners(self, storage: Storage, other: Storage, study: int) -> None:
        kept = storage.create_study(StudyRecord(name="kept"))[0].id
        add(storage, kept)
        trial = add(other, study)
        other.write(study, trial.number, 1, Update(steps={0: {"value": 1.0}}))
        storage.delete_study(study)
        calls: list[Callable[[Storage], object]] = [
            lambda each: each.read(study),
            lambda each: each.add(study, DRAFT, worker="w"),
            lambda each: each.claim(study, 0, worker="w"),
            lambda each: each.renew(study, 0, 1),
            lambda each: each.write(study, 0, 1, TOLD),
            lambda each: each.write(study, None, 0, Update(attributes={"a": 1})),
            lambda each: each.delete_study(study),
        ]
        for call in calls:
            for each in (storage, other):
                with pytest.raises(StudyNotFound):
                    call(each)
        assert [each.name for each in storage.studies()] == ["kept"]
        assert len(storage.read(kept).trials) == 1

    def test_the_name_of_a_deleted_study_is_free_but_not_its_id(self, storage: Storage, study: int) -> None:
        add(storage, study)
        storage.delete_study(study)
        again, is_new = storage.create_study(StudyRecord(name="cifar"))
        assert is_new
        assert again.id != study
        assert storage.read(again.id) == Delta(revision=0, study=again)

    def test_a_study_that_is_not_there_is_named(self, storage: Storage, study: int) -> None:
        with pytest.raises(StudyNotFound, match="cifar"):
            storage.read(study + 1)

    def test_a_change_of_the_study_itself(self, storage: Storage, other: Storage, study: int) -> None:
        storage.write(study, None, 0, Update(attributes={"a": 1, "b": {"c": [2]}}, space={"lr": {"type": "float"}}))
        storage.write(study, None, 7, Update(attributes={"a": None, "d": "x"}, values=(1.0,)))
        storage.write(study, None, 0, Update())
        delta = other.read(study)
        assert delta.revision == 2
        assert delta.study is not None
        assert delta.study.attributes == {"b": {"c": [2]}, "d": "x"}
        assert delta.study.space == {"lr": {"type": "float"}}
        assert delta.study.revision == 2
        assert other.read(study, 1).study == delta.study
        assert other.read(study, 2).study is None
        add(storage, study)
        assert other.read(study, 2).study is None

    def test_a_delta_has_each_changed_trial_once_by_its_last_change(self, storage: Storage, study: int) -> None:
        for _ in range(3):
            add(storage, study)
        storage.write(study, 1, 1, Update(attributes={"a": 1}))
        storage.write(study, 0, 1, TOLD)
        storage.write(study, 1, 1, Update(attributes={"a": 2}))
        delta = storage.read(study)
        assert delta.revision == 6
        assert [trial.number for trial in delta.trials] == [2, 0, 1]
        assert delta.trials[2].attributes == {"a": 2}
        assert delta.study is not None
        assert delta.study.revision == 6
        assert [trial.number for trial in storage.read(study, 3).trials] == [0, 1]
        assert [trial.number for trial in storage.read(study, 5).trials] == [1]
        assert storage.read(study, 6) == Delta(revision=6)

    def test_deltas_add_up_to_the_whole(self, storage: Storage, other: Storage, study: int) -> None:
        trials: dict[int, TrialRecord] = {}
        reports: dict[tuple[int, int], Report] = {}
        revision = 0
        for i in range(12):
            add(storage, study)
            storage.write(study, i, 1, Update(steps={s: {"value": float(s)} for s in range(i % 4)}))
            if i % 3:
                storage.write(study, i - 1, 1, Update(state=State.PAUSED, steps={1: {"value": -1.0}}))
            if i % 2:
                delta = other.read(study, revision)
                assert delta.revision > revision
                revision = delta.revision
                trials.update({trial.number: trial for trial in delta.trials})
                reports.update({(report.number, report.step): report for report in delta.reports})
        whole = storage.read(study)
        assert trials == {trial.number: trial for trial in whole.trials}
        assert reports == {(report.number, report.step): report for report in whole.reports}

    def test_studies_do_not_see_each_others_trials(self, storage: Storage, study: int) -> None:
        second = storage.create_study(StudyRecord(name="second"))[0].id
        add(storage, study)
        add(storage, second, Draft(steps={0: {"value": 1.0}}))
        assert len(storage.read(study).trials) == 1
        assert storage.read(study).reports == ()
        assert [report.number for report in storage.read(second).reports] == [0]

    def test_threads_share_one_storage(self, storage: Storage, study: int) -> None:
        def work(_: int) -> list[int]:
            numbers = []
            for _ in range(10):
                trial = add(storage, study)
                storage.write(study, trial.number, 1, Update(steps={0: {"value": 1.0}}))
                storage.write(study, trial.number, 1, TOLD)
                storage.read(study, storage.read(study).revision - 1)
                numbers.append(trial.number)
            return numbers

        with ThreadPoolExecutor(6) as pool:
            numbers = [number for done in pool.map(work, range(6)) for number in done]
        assert sorted(numbers) == list(range(60))
        delta = storage.read(study)
        assert {trial.state for trial in delta.trials} == {State.COMPLETE}
        assert (len(delta.reports), delta.revision) == (60, 180)
