"""Many writers and a reader on one file: no error, nothing missing, nobody waits long."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from honed.records import State, StudyRecord
from honed.storage.sqlite import SQLiteStorage
from tests.flows.storage_workers import contend, poll, processes

N_PROCESSES, N_TRIALS, N_REPORTS = 32, 50, 10


def test_32_writers_and_a_polling_reader(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    storage = SQLiteStorage(path)
    study = storage.create_study(StudyRecord(name="contention"))[0].id
    context = processes()
    barrier, answers, reads, stop = context.Barrier(N_PROCESSES), context.Queue(), context.Queue(), context.Event()
    reader = context.Process(target=poll, args=(path, stop, reads), daemon=True)
    arguments = (path, N_TRIALS, N_REPORTS, barrier, answers)
    workers = [context.Process(target=contend, args=arguments, daemon=True) for _ in range(N_PROCESSES)]
    for process in (reader, *workers):
        process.start()
    longest = [answers.get(timeout=100) for _ in workers]
    stop.set()
    assert [each for each in longest if not isinstance(each, float)] == []
    assert max(longest) < 5
    n_reads = reads.get(timeout=20)
    assert isinstance(n_reads, int), n_reads
    assert n_reads >= 5
    for process in (reader, *workers):
        process.join()
    delta = storage.read(study)
    n = N_PROCESSES * N_TRIALS
    assert sorted((trial.number, trial.value) for trial in delta.trials) == [(i, float(i)) for i in range(n)]
    assert {trial.state for trial in delta.trials} == {State.COMPLETE}
    assert len(delta.reports) == n * N_REPORTS
    assert all(report.values == {"value": report.number + report.step / 10} for report in delta.reports)
    storage.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["honed.db", "honed.db-lock", "honed.db-workers"]
    assert list((tmp_path / "honed.db-workers").iterdir()) == []
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
