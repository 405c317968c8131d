"""Many writers and a reader on one storage: no error, nothing missing, nobody waits long."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from honed.records import State, StudyRecord
from honed.storage.url import open_storage
from tests.flows.storage_workers import contend, poll, processes

N_PROCESSES, N_TRIALS, N_REPORTS = 32, 50, 10


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "honed.db")


@pytest.mark.parametrize("kind", ["file", "database"])
def test_32_writers_and_a_polling_reader(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    target: str = request.getfixturevalue(kind)
    storage: Any = open_storage(target)
    study = storage.create_study(StudyRecord(name="contention"))[0].id
    context = processes()
    barrier, answers, reads, stop = context.Barrier(N_PROCESSES), context.Queue(), context.Queue(), context.Event()
    reader = context.Process(target=poll, args=(target, stop, reads), daemon=True)
    arguments = (target, N_TRIALS, N_REPORTS, barrier, answers)
    workers = [context.Process(target=contend, args=arguments, daemon=True) for _ in range(N_PROCESSES)]
    for process in (reader, *workers):
        process.start()
    longest = [answers.get(timeout=100) for _ in workers]
    stop.set()
    assert [each for each in longest if not isinstance(each, float)] == []
    assert max(longest) < 5
    n_reads = reads.get(timeout=20)
    assert isinstance(n_reads, int), n_reads
    assert n_reads >= 3
    for process in (reader, *workers):
        process.join()
    delta = storage.read(study)
    n = N_PROCESSES * N_TRIALS
    assert sorted((trial.number, trial.value) for trial in delta.trials) == [(i, float(i)) for i in range(n)]
    assert {trial.state for trial in delta.trials} == {State.COMPLETE}
    assert len(delta.reports) == n * N_REPORTS
    assert all(report.values == {"value": report.number + report.step / 10} for report in delta.reports)
    assert storage.check() == []
    storage.close()
    if kind == "file":
        assert sorted(each.name for each in tmp_path.iterdir()) == ["honed.db", "honed.db-lock", "honed.db-workers"]
        assert list((tmp_path / "honed.db-workers").iterdir()) == []
        connection = sqlite3.connect(target)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
