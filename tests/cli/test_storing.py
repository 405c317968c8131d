"""`honed storage` as a user meets it: what it says, what it leaves, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from honed.records import StudyRecord
from honed.storage import schema
from honed.storage.sqlite import SQLiteStorage
from honed.storage.url import open_storage
from tests.fixtures.make_storage import FOLDER

RELEASED = FOLDER / f"schema-{len(schema.MIGRATIONS)}.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(RELEASED, tmp_path / "a.db")
    return tmp_path


def honed(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HONED_")} | environment
    command = [sys.executable, "-m", "honed", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def names(folder: Path, file: str) -> list[str]:
    with closing(SQLiteStorage(folder / file, read_only=True)) as storage:
        return [study.name for study in storage.studies()]


def test_copy_says_what_it_copied_and_what_not(folder: Path) -> None:
    done = honed(folder, "storage", "copy", "a.db", "b.db", "--rename", "größe=size")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "Copied 'größe' as 'size': 8 trials, 3 reports; 1 running, which count as interrupted in the copy.\n"
        "Copied 'empty': 0 trials, 0 reports.\n"
    )
    assert done.stderr == (
        "Checkpoints are files and were not copied; to go on with paused trainings, copy "
        f"{folder}/a.db-checkpoints to {folder}/b.db-checkpoints.\n"
    )
    assert names(folder, "b.db") == ["size", "empty"]
    done = honed(folder, "storage", "copy", "a.db", "b.db", "--study", "größe")
    assert (done.returncode, done.stderr.count("Checkpoints")) == (0, 1)
    assert names(folder, "b.db") == ["size", "empty", "größe"]


def test_backup_makes_one_file(folder: Path) -> None:
    done = honed(folder, "storage", "backup", "copy.db", HONED_STORAGE="a.db")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Backed up a.db to copy.db, ")
    assert names(folder, "copy.db") == ["größe", "empty"]
    done = honed(folder, "storage", "backup", "-s", "a.db")
    assert done.returncode == 0, done.stderr
    (dated,) = folder.glob("a-20*-*.db")
    assert f"to {dated}" in done.stdout
    done = honed(folder, "storage", "backup", "copy.db", "-s", "a.db")
    assert (done.returncode, done.stderr) == (
        1,
        "honed: copy.db is there already; name another file, or replace it with --force\n",
    )


def test_upgrade_and_check_a_file_that_needs_nothing(folder: Path) -> None:
    before = (folder / "a.db").read_bytes()
    done = honed(folder, "storage", "upgrade", "-s", "a.db")
    assert done.stdout == f"a.db has schema {len(schema.MIGRATIONS)}, the latest; nothing to do.\n"
    assert (folder / "a.db").read_bytes() == before
    done = honed(folder, "storage", "check", "-s", "sqlite:///a.db")
    assert (done.returncode, done.stdout) == (0, "sqlite:///a.db is sound.\n")


def test_check_ends_with_1_where_something_is_wrong(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "a.db", isolation_level=None)) as file:
        file.execute("DELETE FROM leases")
    said = "study 'größe', trial 5 is running without a lease: nobody would ever go on with it"
    done = honed(folder, "storage", "check", "-s", "a.db")
    assert (done.returncode, f"WRONG {said}\n1 found." in done.stdout) == (1, True)
    done = honed(folder, "storage", "check", "-s", "a.db", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"storage": "a.db", "ok": False, "problems": [said]}
    (folder / "text.db").write_text("no database " * 9)
    done = honed(folder, "storage", "check", "-s", "text.db")
    assert (done.returncode, "it is no SQLite database" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["copy", "a.db", "c.db", "--study", "emty"], 3, "No study 'emty' in a.db. Did you mean 'empty'?"),
        (["copy", "none.db", "c.db"], 3, "none.db does not exist; there is nothing to read."),
        (
            ["copy", "a.db", "a.db"],
            1,
            "a.db has a study 'größe' already; nothing was written. Give the copy another name",
        ),
        (["copy", "a.db", "c.db", "--rename", "x"], 1, "--rename x must be OLD=NEW"),
        (["copy", "a.db", "http://127.0.0.1:9"], 3, "takes new trials, but no copies of old ones"),
        (["backup", "none/c.db", "-s", "a.db"], 3, "Create it first: mkdir -p none"),
        (["upgrade", "-s", "c.db"], 3, "c.db does not exist; name another file with --storage"),
        (["upgrade", "-s", "http://127.0.0.1:9"], 3, "run this where `honed serve` runs"),
        (["check", "-s", "http://127.0.0.1:9"], 3, "run this where `honed serve` runs"),
        (["check", "-s", "c.db"], 3, "c.db does not exist; name another file with --storage"),
    ],
)
def test_mistakes_get_one_line_and_make_no_file(folder: Path, arguments: list[str], code: int, said: str) -> None:
    done = honed(folder, "storage", *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), (done.returncode, done.stderr)
    assert done.stderr.count("\n") == 1
    assert not (folder / "c.db").exists()


def test_doctor_looks_at_a_server(wiped: str, tmp_path: Path) -> None:
    with closing(open_storage(wiped)) as storage:
        storage.create_study(StudyRecord(name="s"))
    answer = honed(tmp_path, "doctor", "--storage", wiped)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "ok    server " in answer.stdout
    assert "ok    integrity " in answer.stdout
    gone = honed(tmp_path, "doctor", "--storage", "postgresql://nobody:secret@127.0.0.1:1/none?connect_timeout=1")
    assert gone.returncode == 1
    assert "WRONG server" in gone.stdout
    assert "secret" not in gone.stdout + gone.stderr
