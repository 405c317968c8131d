"""``honed launch`` as a user meets it: what it prints, what it refuses, and the worker that batch systems start."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

import honed as library
from tests.launchers.objectives import folder_with_script, honed, plain_environment, steps

POSTGRES = "postgresql://me:hunter2@db/x"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_with_script(tmp_path)


def test_help_names_the_engines(folder: Path) -> None:
    text = honed(folder, "launch", "--help").stdout
    assert {"ray", "slurm", "k8s", "worker"} <= set(text.split())
    assert "\n  honed launch ray train.py --workers 8" in text


def test_a_dry_run_prints_and_launches_nothing(folder: Path) -> None:
    common = ("train.py", "--workers", "2", "--trials", "9", "--storage", POSTGRES)
    slurm = honed(folder, "launch", "slurm", *common, "--time", "4h", "--dry-run", "--", "--sampler", "random")
    assert slurm.returncode == 0, slurm.stderr
    assert slurm.stdout.startswith("#!/bin/bash\n#SBATCH ")
    assert " -- --sampler random &" in slurm.stdout
    pods = honed(folder, "launch", "k8s", *common, "--image", "me/train:1")
    assert yaml.safe_load(pods.stdout)["kind"] == "Job"
    assert "kubectl create secret generic honed-storage" in pods.stderr
    actors = honed(folder, "launch", "ray", *common, "--dry-run")
    assert "2 Ray actors" in actors.stdout
    assert "hunter2" not in slurm.stdout + pods.stdout + actors.stdout + slurm.stderr + actors.stderr


def test_wrong_options_of_the_worker_are_found_before_anything_is_submitted(folder: Path) -> None:
    common = ("launch", "slurm", "train.py", "--workers", "2", "--trials", "9", "--time", "4h", "--dry-run")
    misspelt = honed(folder, *common, "--storage", POSTGRES, "--", "--samplr", "random")
    assert misspelt.returncode == 2
    assert "No such option '--samplr'" in misspelt.stderr.replace(
        "No such option: --samplr", "No such option '--samplr'"
    )
    file = honed(folder, *common, "--storage", "honed.db")
    assert file.returncode == 2
    assert "SQLite file" in file.stderr
    assert "honed serve" in file.stderr
    assert honed(folder, *common, "--storage", "honed.db", "--node", "big1").returncode == 0
    short = honed(folder, *common[:-2], "30s", "--dry-run", "--storage", POSTGRES)
    assert short.returncode == 2
    assert "a minute at least" in short.stderr


def test_what_is_missing_here_is_named_in_one_line(folder: Path) -> None:
    common = ("train.py", "--workers", "2", "--trials", "9")
    bare = {"PATH": "/nowhere"}
    slurm = honed(folder, "launch", "slurm", *common, "--time", "4h", "--storage", POSTGRES, **bare)
    assert (slurm.returncode, slurm.stderr.count("\n")) == (3, 1)
    assert "--dry-run" in slurm.stderr
    jobs = honed(
        folder, "launch", "slurm", *common, "--time", "4h", "--storage", POSTGRES, "--submitit", "jobs", **bare
    )
    assert (jobs.returncode, jobs.stderr.count("\n")) == (1, 1), jobs.stderr
    assert "srun" in jobs.stderr
    nowhere = {"RAY_ADDRESS": "", "RAY_TMPDIR": str(folder / "none")}
    ray = honed(folder, "launch", "ray", *common, **nowhere)
    assert (ray.returncode, ray.stderr.count("\n")) == (3, 1), ray.stderr
    assert "ray start --head" in ray.stderr


def test_a_package_that_is_not_installed_is_named_with_the_line_that_installs_it(folder: Path) -> None:
    (folder / "hide").mkdir()
    (folder / "hide" / "sitecustomize.py").write_text("import sys\nsys.modules['ray'] = None\n")
    done = honed(
        folder, "launch", "ray", "train.py", "--workers", "1", "--trials", "1", PYTHONPATH=str(folder / "hide")
    )
    assert done.returncode == 1
    assert 'pip install "honed[ray]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_submission_hands_the_storage_to_the_jobs(folder: Path) -> None:
    (folder / "bin").mkdir()
    sbatch = folder / "bin" / "sbatch"
    sbatch.write_text('#!/bin/sh\ncat > job.sh\necho "Submitted batch job 7, $HONED_STORAGE, $HONED_TOKEN"\n')
    sbatch.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    command = ("launch", "slurm", "train.py", "--workers", "2", "--trials", "9", "--time", "4h", "--storage", POSTGRES)
    done = honed(folder, *command, PATH=path, HONED_TOKEN="t")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Submitted batch job 7, {POSTGRES}, t\n"
    assert "hunter2" not in (folder / "job.sh").read_text()


def test_a_worker_runs_to_the_end_and_its_exit_codes_tell_the_rest(folder: Path) -> None:
    done = honed(folder, "launch", "worker", "train.py:quick", "--trials", "3", "--", "--sampler", "random")
    assert done.returncode == 0, done.stderr
    assert '"reason": "all 3 trials are done"' in done.stdout
    broken = honed(folder, "launch", "worker", "train.py:broken", "--trials", "3", "--study", "b")
    assert broken.returncode == 1
    assert "the worker failed" in broken.stderr
    late = honed(folder, "launch", "worker", "train.py", "--trials", "500", "--timeout", "2", STEP_SECONDS="0.1")
    assert late.returncode == 75, late.stderr
    assert "work is left" in late.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_worker_that_is_told_to_end_says_that_work_is_left(folder: Path, name: str) -> None:
    command = [sys.executable, "-m", "honed", "launch", "worker", "train.py", "--trials", "50"]
    command += ["--", "--sampler", "random"]  # pauses no training: the signal meets one that is under way
    env = plain_environment(STEP_SECONDS="0.1")
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not steps(folder):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.Signals[name])
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    (trial,) = library.load_study("train", storage=folder / "honed.db").trials
    assert trial.state == "waiting"
    assert trial.checkpoint is not None


def commands_of_the_page() -> list[str]:
    """The ``honed`` commands of docs/clusters.md, continued lines joined."""
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("honed ")]


@pytest.mark.parametrize("command", commands_of_the_page())
def test_commands_of_the_page_on_clusters_are_understood(folder: Path, command: str) -> None:
    environment = {"HONED_STORAGE": POSTGRES}
    arguments = shlex.split(command.partition("|")[0].replace('"$HONED_STORAGE"', POSTGRES))[1:]
    if arguments[0] == "launch":
        at = arguments.index("train.py") + 1
        done = honed(folder, *arguments[:at], "--dry-run", *arguments[at:], **environment)
        assert done.returncode == 0, done.stderr
        assert "mnist" in done.stdout
    else:
        options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        known = honed(folder, arguments[0], "--help").stdout
        assert options
        assert all(re.search(rf"{option}\b", known) for option in options), (options, known)


def test_the_page_on_clusters_has_commands_for_every_engine() -> None:
    text = "\n".join(commands_of_the_page())
    assert all(f"honed launch {engine}" in text for engine in ("ray", "slurm", "k8s"))
