"""Batch scripts: two golden ones, and scripts that run in bash, where Slurm's signals reach the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import honed
from honed.launchers.command import Share, Work
from honed.launchers.slurm import Job, SubmissionFailed, parse_time, script, submit
from honed.records import State
from tests.launchers.objectives import folder_with_script, plain_environment, steps

GOLDEN = Path(__file__).parent / "golden"
NASTY = 'it\'s "my" $(touch broken) `touch broken`;\ntouch broken # -- \\ ü %'


def job(storage: str = "http://login1:8484", options: tuple[str, ...] = (), study: str = "mnist", **settings) -> Job:
    work = Work(
        target="train.py", storage=storage, study=study, trials=100, options=options, python="/opt/env/bin/python"
    )
    share = settings.pop("share", Share(workers=8))
    found: dict[str, Any] = {"work": work, "share": share, "seconds": 4 * 3600.0} | settings
    return Job(**found)


EVERYTHING: dict[str, Any] = {
    "storage": "postgresql://me:secret@db/tuning",
    "options": ("--sampler", "random", "--metric", "val loss"),
    "study": "it's ready",
    "share": Share(workers=16, gpus=2, cpus=6, memory="64G"),
    "seconds": 36 * 3600.0 + 90,
    "grace": 300.0,
    "setup": ("module load cuda/12.4", "source env/bin/activate"),
    "partition": "gpu,long",
    "account": "lab-7",
    "at_once": 4,
    "node": "node7",
    "requeue": False,
}


@pytest.mark.parametrize(("name", "settings"), [("plain", {}), ("everything", EVERYTHING)])
def test_scripts_are_as_they_were(name: str, settings: dict) -> None:
    path = GOLDEN / f"slurm_{name}.sh"
    text = script(job(**settings))
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    assert "secret" not in text
    subprocess.run(["bash", "-n", str(path)], check=True)


class Cluster:
    """A folder of programs that stand for Slurm's, and a script that runs as one of its jobs."""

    def __init__(self, folder: Path, made: Job) -> None:
        self.folder = folder_with_script(folder)
        (folder / "bin").mkdir()
        self.program("scontrol", 'echo "$@" >> requeued')
        (folder / "job.sh").write_text(script(made))

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        slurm = {"SLURM_JOB_ID": "42", "SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": "3", "PATH": path}
        env = plain_environment(STEP_SECONDS="0.1", **slurm, **environment)
        return subprocess.Popen(
            ["bash", "job.sh"], cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    @property
    def requeued(self) -> str:
        path = self.folder / "requeued"
        return path.read_text() if path.exists() else ""


def real_job(folder: Path, trials: int, objective: str = "objective", study: str = "mnist", **settings) -> Job:
    work = Work(
        target=f"train.py:{objective}",
        storage=str(folder / "honed.db"),
        study=study,
        trials=trials,
        options=("--sampler", "random"),
        python=sys.executable,
    )
    found: dict[str, Any] = {"work": work, "share": Share(workers=1), "seconds": 4 * 3600.0, "grace": 60.0} | settings
    return Job(**found)


def until_steps(folder: Path, n_steps: int) -> None:
    end = time.monotonic() + 60
    while len(steps(folder)) < n_steps:
        assert time.monotonic() < end, "the training did not begin in time"
        time.sleep(0.02)


def test_usr1_reaches_the_worker_and_the_job_queues_itself_again(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, real_job(tmp_path, trials=2))
    process = cluster.start()
    until_steps(tmp_path, 2)
    process.send_signal(signal.SIGUSR1)  # to the script alone, as --signal=B: does
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert cluster.requeued == "requeue 41_3\n", output
    (trial,) = honed.load_study("mnist", storage=tmp_path / "honed.db").trials
    assert trial.state is State.WAITING
    assert trial.checkpoint is not None

    again = cluster.start()  # what Slurm does then
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output
    assert cluster.requeued == "requeue 41_3\n"
    done = [(number, step) for number, _, step, *_ in steps(tmp_path)]
    assert sorted(done) == sorted((str(number), str(step)) for number in range(2) for step in range(1, 9)), output
    assert all(int(total) == sum(range(int(step) + 1)) for _, _, step, total, *_ in steps(tmp_path))


def test_a_cancelled_job_does_not_come_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, real_job(tmp_path, trials=2))
    process = cluster.start()
    until_steps(tmp_path, 1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    assert cluster.requeued == ""


def test_the_worker_ends_itself_before_the_wall_time(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, real_job(tmp_path, trials=1000))
    process = cluster.start(SLURM_JOB_END_TIME=str(int(time.time()) + 60 + 4))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert cluster.requeued == "requeue 41_3\n"
    assert honed.load_study("mnist", storage=tmp_path / "honed.db").history.count(State.RUNNING) == 0


def test_a_bug_ends_the_job_with_its_code_and_without_a_requeue(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, real_job(tmp_path, trials=2, objective="broken"))
    process = cluster.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "shape mismatch" in output
    assert cluster.requeued == ""


def test_names_cannot_break_out_of_the_script(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, real_job(tmp_path, trials=2, objective="quick", study=NASTY, setup=("export SEEN=1",)))
    process = cluster.start()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert honed.load_study(NASTY, storage=tmp_path / "honed.db").history.n_counted == 2
    assert not (tmp_path / "broken").exists()
    header = [line for line in (tmp_path / "job.sh").read_text().splitlines() if line.startswith("#SBATCH")]
    assert not any("$" in line or '"' in line for line in header)


def test_a_storage_with_a_password_comes_from_the_environment(tmp_path: Path) -> None:
    made = job(storage="postgresql://me:secret@db/x")
    done = subprocess.run(
        ["bash", "-c", script(made)], env=plain_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "export HONED_STORAGE with the address of the storage" in done.stderr


def test_submission_says_what_sbatch_said(tmp_path: Path) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f"#!/bin/sh\ncat > {tmp_path}/received\necho Submitted batch job 4711 for $HONED_STORAGE\n")
    sbatch.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "HONED_STORAGE": "there"}
    assert submit(str(sbatch), "text\n", environment) == "Submitted batch job 4711 for there"
    assert (tmp_path / "received").read_text() == "text\n"
    sbatch.write_text("#!/bin/sh\ncat > /dev/null\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
    with pytest.raises(SubmissionFailed, match="invalid partition"):
        submit(str(sbatch), "text\n", environment)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"partition": "a b"}, "partition='a b' must be made of letters"),
        ({"partition": "a\n#SBATCH --uid=0"}, "partition="),
        ({"account": "--x"}, "account='--x'"),
        ({"node": "node[01-02]"}, "node="),
        ({"share": Share(workers=1, memory="1G\n")}, "memory="),
        ({"share": Share(workers=1, gpus=0.5)}, "whole cards"),
        ({"seconds": 30.0}, "a minute at least"),
        ({"seconds": 100.0, "grace": 90.0}, "twice its grace"),
        ({"options": ("--timeout=3",)}, "leave them out"),
    ],
)
def test_what_slurm_would_misunderstand_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        script(job(**settings))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4h", 14400),
        ("1h30m", 5400),
        ("90", 5400),
        ("90:30", 5430),
        ("4:00:00", 14400),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-00:00:01", 86401),
    ],
)
def test_wall_times_as_slurm_and_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


def test_a_wall_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="time='soon'"):
        parse_time("soon")
