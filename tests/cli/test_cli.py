"""The command line as a user, and as a program, meets it: real processes, exit codes, stdout and stderr."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import honed

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.suggest_categorical("kind", ["a", "b"]) == "b":
        x += trial.suggest_int("n", 1, 3)
    for step in trial.steps(2):
        trial.report(x + step, train_loss=x)

def broken(trial):
    raise RuntimeError("shape mismatch")

def endless(trial):
    import time, pathlib
    for step in trial.steps(10_000):
        pathlib.Path("begun").touch()
        time.sleep(0.02)
        trial.report(1.0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


def honed(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed", *arguments]
    env = {key: value for key, value in os.environ.items() if not key.startswith("HONED_")}
    return subprocess.run(
        command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=60, env=env, check=False
    )


@pytest.fixture
def tuned(folder: Path) -> Path:
    done = honed(folder, "run", "train.py", "--trials", "12", "--seed", "1", "--sampler", "random")
    assert done.returncode == 0, done.stderr
    return folder


def test_run_writes_the_report_to_stdout_and_progress_to_stderr(folder: Path) -> None:
    done = honed(folder, "run", "train.py:objective", "--trials", "3", "--seed", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Study statistics:\n  Number of finished trials: 3\n")
    assert "Best trial:\nValue: " in done.stdout
    assert done.stderr.count(" finished with value: ") == 3
    again = honed(folder, "run", "train.py", "--trials", "3")
    assert "All 3 trials are done" in again.stderr
    more = honed(folder, "run", "train.py", "--more", "2", "--json")
    result = json.loads(more.stdout)
    assert result["reason"] == "all 5 trials are done"
    assert result["study"] == "train"
    assert set(result["best"]["params"]) >= {"x", "kind"}


def test_studies_show_and_best(tuned: Path) -> None:
    (row,) = json.loads(honed(tuned, "studies", "--json").stdout)
    assert (row["study"], row["n_trials"], row["states"]["complete"]) == ("train", 12, 12)
    table = honed(tuned, "studies").stdout.splitlines()
    assert table[0].split()[:2] == ["study", "trials"]
    assert table[1].split()[:3] == ["train", "12", "12"]
    best = json.loads(honed(tuned, "best", "--json").stdout)
    assert best["values"] == [row["best"]["value"]]
    assert honed(tuned, "best", "train").stdout.startswith(f"Trial {best['number']}: ")
    shown = honed(tuned, "show", "train").stdout
    assert "Best trial:" in shown
    everything = json.loads(honed(tuned, "show", "train", "--json").stdout)
    assert len(everything["trials"]) == 12
    one = honed(tuned, "show", "train", "--trial", "0").stdout
    assert one.startswith("Trial 0: complete")
    assert "step 2: value" in one
    assert "Float(0..1)" in one


def test_export(tuned: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(honed(tuned, "export").stdout)))
    assert len(rows) == 12
    assert {"number", "state", "value", "params.x", "params.kind", "params.n"} <= set(rows[0])
    lines = honed(tuned, "export", "train", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(12))
    assert json.loads(lines[0])["reports"][1]["step"] == 2
    done = honed(tuned, "export", "-o", "trials.parquet")
    assert done.returncode == 0, done.stderr
    assert "12 trials written to trials.parquet" in done.stderr
    import pandas as pd

    assert len(pd.read_parquet(tuned / "trials.parquet")) == 12


def test_doctor_is_content_with_a_sound_storage_and_not_with_another_file(tuned: Path) -> None:
    done = honed(tuned, "doctor")
    assert done.returncode == 0, done.stdout
    assert "integrity" in done.stdout
    assert "12 complete" in done.stdout
    assert json.loads(honed(tuned, "doctor", "--json").stdout)["ok"] is True
    done = honed(tuned, "doctor", "--storage", "train.py")
    assert done.returncode == 1
    assert "WRONG" in done.stdout
    assert honed(tuned, "doctor", "--storage", "nothing.db").returncode == 3


def test_delete_asks_first(tuned: Path) -> None:
    assert honed(tuned, "delete", "train", stdin="n\n").returncode == 1
    assert len(json.loads(honed(tuned, "studies", "--json").stdout)) == 1
    done = honed(tuned, "delete", "train", "--yes")
    assert done.stdout == "Deleted 'train', 12 trials.\n"
    assert honed(tuned, "studies").stdout == "honed.db has no study yet.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["stuides"], 2, "No such command 'stuides'. Did you mean 'studies'?"),
        (["run", "trian.py"], 2, "there is no file 'trian.py'"),
        (["run", "train.py:objectiv"], 2, "has no function 'objectiv'. Did you mean 'objective'?"),
        (["run", "train.py", "--trials", "0"], 2, "0 is not in the range"),
        (["run", "train.py", "--scheduler", "ahsa"], 2, "Did you mean 'asha'"),
        (["run", "train.py", "--sampler", "gird"], 2, "Did you mean 'grid'"),
        (["run", "train.py:broken", "--study", "broken", "--trials", "3"], 1, "RuntimeError: shape mismatch"),
        (["show", "tarin"], 3, "No study 'tarin' in honed.db. Did you mean 'train'?"),
        (["show", "train", "--trial", "99"], 3, "study 'train' has no trial 99; it has 12, from 0"),
        (["studies", "--storage", "none.db"], 3, "none.db"),
        (["export", "--format", "parquet"], 2, "name a file with --output"),
    ],
)
def test_mistakes_get_one_line_and_an_exit_code(tuned: Path, arguments: list[str], code: int, message: str) -> None:
    done = honed(tuned, *arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""


def test_ctrl_c_ends_with_130_and_the_trial_goes_on_next_time(folder: Path) -> None:
    command = [sys.executable, "-m", "honed", "run", "train.py:endless", "--trials", "2"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not (folder / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert json.loads(honed(folder, "studies", "--json").stdout)[0]["states"]["waiting"] == 1


def test_help_tells_every_command_and_the_exit_codes(folder: Path) -> None:
    text = honed(folder, "--help").stdout
    for verb in ("run", "studies", "show", "best", "export", "delete", "doctor", "storage", "serve"):
        assert f"  {verb} " in text
        assert honed(folder, verb, "--help").returncode == 0
    assert "130 interrupted" in text
