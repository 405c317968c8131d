"""Forked children: each uses the storage as its own, and none keeps its parent's locks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from honed.storage.sqlite import SQLiteStorage
from tests.storage.forks import CHILD_OUTLIVES_PARENT, forks_among_threads

ROOT = Path(__file__).parents[2]

BEGIN = """
import os, sys, signal, threading, time
sys.path.insert(0, "src")
from honed.records import *
from honed.storage.sqlite import SQLiteStorage
storage = SQLiteStorage(sys.argv[1])
study = storage.create_study(StudyRecord(name="x"))[0].id
def cycle():
    trial = storage.add(study, Draft(), worker=str(os.getpid()))
    storage.write(study, trial.number, 1, Update(state=State.COMPLETE, values=(1.0,)))
"""

CHILDREN_WORK = """
cycle()
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        for _ in range(20):
            cycle()
        storage.close()
        os._exit(0)
    children.append(pid)
    cycle()
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
cycle()
storage.close()
"""

FORKS_AMONG_THREADS = forks_among_threads(3, 30)


def start(code: str, path: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + code, str(path)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def numbers(path: Path) -> list[int]:
    storage = SQLiteStorage(path)
    delta = storage.read(1)
    assert delta.lost == ()
    storage.close()
    assert list(path.with_name(path.name + "-workers").iterdir()) == []
    return sorted(trial.number for trial in delta.trials)


def test_parent_and_children_go_on_with_one_storage_object(tmp_path: Path) -> None:
    with start(CHILDREN_WORK, tmp_path / "honed.db") as process:
        assert process.wait(60) == 0
    assert numbers(tmp_path / "honed.db") == list(range(4 * 20 + 6))


def test_forks_while_other_threads_read_and_write(tmp_path: Path) -> None:
    with start(FORKS_AMONG_THREADS, tmp_path / "honed.db") as process:
        assert process.wait(60) == 0
    storage = SQLiteStorage(tmp_path / "honed.db")
    trials = storage.read(1).trials
    assert sorted(trial.number for trial in trials) == list(range(len(trials)))
    assert len({trial.worker for trial in trials}) == 31
    storage.close()


def test_a_child_that_outlives_its_parent_does_not_keep_the_trial(tmp_path: Path) -> None:
    with start(CHILD_OUTLIVES_PARENT, tmp_path / "honed.db") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        storage = SQLiteStorage(tmp_path / "honed.db")
        assert storage.read(1).lost == ()
        process.kill()
        process.wait()
        start_time = time.monotonic()
        assert storage.read(1).lost == (0,)
        assert storage.claim(1, 0, worker="heir") is not None
        assert time.monotonic() - start_time < 1
        storage.close()
        os.killpg(process.pid, 9)
