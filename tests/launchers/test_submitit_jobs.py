"""Workers by way of submitit: its local executor runs real jobs, pre-empts them, and starts them again."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import submitit

import honed
from honed.launchers.command import Share, Work
from honed.launchers.slurm import Job
from honed.launchers.submitted import Task, parameters, submit
from honed.records import State
from tests.launchers.objectives import folder_with_script, steps

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # submitit starts a process and does not wait for it


def work(folder: Path, trials: int, objective: str = "objective") -> Work:
    folder_with_script(folder)
    return Work(
        target=str(folder / f"train.py:{objective}"),
        storage=str(folder / "honed.db"),
        study="s",
        trials=trials,
        options=("--sampler=random",),
        python=sys.executable,
    )


def test_jobs_run_to_the_end_of_the_study(tmp_path: Path) -> None:
    made = Job(work=work(tmp_path, 6), share=Share(workers=2), seconds=3600.0)
    ids = submit(made, str(tmp_path / "jobs"), {"STEP_SECONDS": "0.02"}, cluster="local")
    assert len(set(ids)) == 2
    results: list[Any] = [submitit.LocalJob(tmp_path / "jobs", number).result() for number in ids]
    assert results == ["all 6 trials are done"] * 2
    assert honed.load_study("s", storage=tmp_path / "honed.db").history.count(State.COMPLETE) == 6


def test_a_preempted_job_saves_its_trial_and_is_started_again(tmp_path: Path) -> None:
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    executor.update_parameters(timeout_min=5)
    job: Any = executor.submit(Task(work(tmp_path, 2), 20.0, {"STEP_SECONDS": "0.1"}))
    end = time.monotonic() + 60
    while len(steps(tmp_path)) < 3:
        assert time.monotonic() < end
        time.sleep(0.02)
    # To the job's own process: its controller starts it again when it ends with the code for that.
    (task,) = [child for child in _children(job._process.pid) if "_submit" in " ".join(child.cmdline())]
    task.send_signal(submitit.JobEnvironment._usr_sig())
    assert job.result() == "all 2 trials are done"
    trials = honed.load_study("s", storage=tmp_path / "honed.db").trials
    assert [trial.state for trial in trials] == [State.COMPLETE] * 2
    assert sorted(trial.attempt for trial in trials) == [1, 2]
    assert len({(number, step) for number, _, step, *_ in steps(tmp_path)}) == len(steps(tmp_path)) == 16


def _children(pid: int) -> list[Any]:
    import psutil

    return psutil.Process(pid).children(recursive=True)


def test_a_failing_script_fails_the_job_with_its_last_words(tmp_path: Path) -> None:
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    job: Any = executor.submit(Task(work(tmp_path, 2, "broken"), 20.0, {}))
    with pytest.raises(submitit.core.utils.FailedJobError, match="shape mismatch"):
        job.result()


def test_settings_in_words_of_submitit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    srun = tmp_path / "srun"  # submitit looks whether it is there
    srun.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = Job(
        work=work(tmp_path, 2),
        share=Share(workers=4, gpus=2, cpus=6, memory="64G"),
        seconds=4 * 3600.0,
        grace=300.0,
        setup=("module load cuda",),
        partition="gpu",
        account="lab",
        at_once=2,
        node="node7",
    )
    found = parameters(made)
    executor: Any = submitit.AutoExecutor(tmp_path / "jobs", cluster="slurm")
    executor.update_parameters(**found)
    text = executor._executor._make_submission_file_text("command", "uid")
    for line in (
        "--time=240",
        "--cpus-per-task=6",
        "--gpus-per-node=2",
        "--mem=64G",
        "--partition=gpu",
        "--account=lab",
        "--nodelist=node7",
        "--signal=USR2@300",
    ):
        assert f"#SBATCH {line}\n" in text
    assert "module load cuda\n" in text
    assert found["slurm_array_parallelism"] == 2
