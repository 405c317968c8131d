"""Many processes open a file that does not exist, at the same instant: one schema, one study, no error."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.flows.storage_workers import processes, storm

N_PROCESSES, N_ROUNDS = 64, 20


def test_64_processes_create_one_study_in_a_new_file(tmp_path: Path) -> None:
    context = processes()
    barrier, answers = context.Barrier(N_PROCESSES), context.Queue()
    workers = [
        context.Process(target=storm, args=(tmp_path, N_ROUNDS, barrier, answers), daemon=True)
        for _ in range(N_PROCESSES)
    ]
    for worker in workers:
        worker.start()
    got = [answers.get(timeout=60) for _ in range(N_PROCESSES * N_ROUNDS)]
    for worker in workers:
        worker.join()
    for i in range(N_ROUNDS):
        opened = [(number, is_new) for round_, number, is_new in got if round_ == i]
        assert {number for number, _ in opened} == {1}
        assert sum(is_new for _, is_new in opened) == 1
        connection = sqlite3.connect(tmp_path / f"{i}.db")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT id, name FROM studies").fetchall() == [(1, "storm")]
        assert connection.execute("SELECT study, revision FROM counters").fetchall() == [(1, 0)]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.close()
