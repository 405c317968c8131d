"""A storage that another process keeps locked for longer than it may: trainings go on, and no told result is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from honed.ask_tell import AskTell
from honed.checkpoints.directory import DirectoryStore
from honed.domains import Float
from honed.errors import StorageLocked
from honed.events import Event, Notice
from honed.pending import merge
from honed.records import State, StudyRecord, TrialRecord, Update
from honed.samplers.random import Random
from honed.schedulers.full import Full
from honed.storage.locks import WriteLock
from honed.storage.sqlite import SQLiteStorage
from honed.trial import Trial
from tests.flows.storage_workers import processes


class Steered:
    """A clock that goes when it is told to."""

    seconds = 1000.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Worker:
    """A connection to the one study of a file, and what it said."""

    def __init__(self, folder: Path, name: str = "outage") -> None:
        self.said: list[str] = []
        self.clock = Steered()
        self.storage = SQLiteStorage(folder / "honed.db", lock_seconds=0.1)
        study, _ = self.storage.create_study(StudyRecord(name=name))
        store = DirectoryStore(folder / "checkpoints")
        self.flow = AskTell(
            self.storage, study, lambda history: (Random(), Full()), worker=name, clock=self.clock, listen=self.hear,
            checkpoints=store,
        )  # fmt: skip

    def hear(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.said.append(event.text)

    def ask(self) -> Trial:
        trial = self.flow.ask()
        assert isinstance(trial, Trial)
        trial.suggest("x", Float(0, 1))
        return trial

    def report(self, trial: Trial, step: int, value: float) -> None:
        """Reports one second after the last time."""
        self.clock.seconds += 1
        trial.report(value, step=step)

    def record(self, number: int = 0) -> TrialRecord:
        return self.flow.refresh()[number]

    def close(self) -> None:
        self.flow.close()
        self.storage.close()


@contextmanager
def worker(folder: Path, name: str = "outage") -> Iterator[Worker]:
    made = Worker(folder, name)
    try:
        yield made
    finally:
        made.close()


def hold(path: str, held: Any, free: Any) -> None:
    lock = WriteLock(Path(path), "honed.db")
    lock.acquire()
    held.set()
    free.wait()


@contextmanager
def outage(folder: Path) -> Iterator[None]:
    """Another process has the write lock."""
    context = processes()
    held, free = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(str(folder / "honed.db-lock"), held, free), daemon=True)
    holder.start()
    try:
        assert held.wait(60)
        yield
    finally:
        free.set()
        holder.join()


def save(trial: Trial, step: int) -> None:
    with trial.checkpoint(step) as directory:
        (directory / "n").write_text(str(step))


def told(value: float) -> Update:
    return Update(state=State.COMPLETE, values=(value,))


def test_reports_are_kept_while_the_storage_is_away_and_the_user_is_told_once(tmp_path: Path) -> None:
    with worker(tmp_path) as mine:
        trial = mine.ask()
        mine.report(trial, 1, 0.9)
        with outage(tmp_path):
            for step in (2, 3, 4):
                mine.report(trial, step, 1.0 / step)
            trial.annotate("epochs", 4)
            assert [report.step for report in mine.record().reports] == [1]
        mine.report(trial, 5, 0.2)
        assert [report.step for report in mine.record().reports] == [1, 2, 3, 4, 5]
        assert mine.record().attributes == {"epochs": 4}
        assert len(mine.said) == 2
        assert mine.said[0].startswith("Trial 0 goes on, its reports are written later: No write lock on")
        assert mine.said[1] == "The storage is back; the reports of trial 0 are written."
        mine.flow.tell(0, told(0.2))
        assert mine.record().state is State.COMPLETE


def test_a_checkpoint_made_meanwhile_is_named_later_and_the_one_before_stays_until_then(tmp_path: Path) -> None:
    with worker(tmp_path) as mine:
        trial = mine.ask()
        save(trial, 1)
        with outage(tmp_path):
            save(trial, 2)
        assert str(mine.record().checkpoint).endswith("s000001-a1")
        assert len(mine.flow.checkpoints.keys()) == 2
        mine.clock.seconds += 60
        save(trial, 3)
        key = mine.record().checkpoint
        assert str(key).endswith("s000003-a1")
        assert (mine.flow.checkpoints.load(str(key)) / "n").read_text() == "3"


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_result_that_cannot_be_told_is_kept_and_merged_by_the_next_run(tmp_path: Path, goes_on: bool) -> None:
    with worker(tmp_path) as mine:
        trial = mine.ask()
        with outage(tmp_path):
            mine.report(trial, 1, 0.5)
            with pytest.raises(StorageLocked, match="The result of trial 0 is kept in") as caught:
                mine.flow.tell(0, told(float("nan") if goes_on else 0.5))
            assert "the next run of this study on this machine merges it" in str(caught.value)
            (kept,) = (tmp_path / "checkpoints").glob("honed-pending-*.json")
            assert str(kept) in str(caught.value)
            assert merge(mine.flow) == 0  # it is still away
            assert kept.exists()
        assert mine.record().state is State.RUNNING
        if goes_on:
            assert merge(mine.flow) == 1
    with worker(tmp_path) as mine:
        assert merge(mine.flow) == (not goes_on)
        record = mine.record()
        assert (record.state, record.attempt, record.params) == (State.COMPLETE, 1, trial.params)
        assert [report.values for report in record.reports] == [{"value": 0.5}]
        assert not kept.exists()
        assert merge(mine.flow) == 0


def test_a_kept_result_of_a_trial_that_was_taken_over_is_put_aside(tmp_path: Path) -> None:
    with worker(tmp_path) as mine:
        mine.ask()
        with outage(tmp_path), pytest.raises(StorageLocked):
            mine.flow.tell(0, told(0.5))
    with worker(tmp_path) as other:
        again = other.ask()
        assert (again.number, again.attempt) == (0, 2)
        other.flow.tell(0, told(0.25))
        assert merge(other.flow) == 0
        assert "too late" in other.said[-1]
        assert other.record().value == 0.25
        assert [path.suffix for path in (tmp_path / "checkpoints").glob("honed-pending-*")] == [".superseded"]


def test_a_kept_result_counts_though_the_trial_was_given_back_afterwards(tmp_path: Path) -> None:
    """As when the tell fails, the storage comes back, and the run's end gives back all that it holds."""
    with worker(tmp_path) as mine:
        mine.ask()
        attempt = mine.record().attempt
        with outage(tmp_path), pytest.raises(StorageLocked):
            mine.flow.tell(0, told(0.5))
        mine.storage.write(mine.flow.study.id, 0, attempt, Update(state=State.WAITING))
    with worker(tmp_path) as other:
        assert merge(other.flow) == 1
        assert (other.record().state, other.record().value) == (State.COMPLETE, 0.5)


def test_files_of_other_studies_and_broken_ones_are_left_alone(tmp_path: Path) -> None:
    with worker(tmp_path) as mine:
        mine.ask()
        with outage(tmp_path), pytest.raises(StorageLocked):
            mine.flow.tell(0, told(0.5))
    (kept,) = (tmp_path / "checkpoints").glob("honed-pending-*.json")
    elsewhere = tmp_path / "elsewhere"  # a study of the same name and number, in another file
    (elsewhere / "checkpoints").mkdir(parents=True)
    kept.rename(elsewhere / "checkpoints" / kept.name)
    torn = elsewhere / "checkpoints" / "honed-pending-1-t00001-a1-x.json"
    torn.write_text('{"study": ')
    with worker(elsewhere) as other:
        other.ask()
        assert merge(other.flow) == 0
        assert other.record().state is State.RUNNING
        assert other.said == [
            f"{torn} holds no result that can be read (Expecting value: line 1 column 11 (char 10)); it is left where it is."
        ]
    assert len(os.listdir(elsewhere / "checkpoints")) == 2


def test_a_result_without_a_place_to_keep_it_stands_in_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker(tmp_path) as mine:
        mine.ask()
        gone = tmp_path / "gone"
        gone.mkdir()
        (tmp_path / "checkpoints").write_text("no folder")
        with outage(tmp_path):
            monkeypatch.chdir(gone)
            gone.rmdir()
            with pytest.raises(StorageLocked, match=r'this is it: .*"values": \[0\.5\]'):
                mine.flow.tell(0, told(0.5))
            monkeypatch.chdir(tmp_path)
