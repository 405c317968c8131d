"""Workers under Slurm by way of submitit, for those who have its settings and log folders already.

submitit keeps the job as a file of its own (a pickle, which it makes and reads); the job holds settings and no code, and
takes the worker's end through submitit's signal: ``checkpoint`` ends the worker gently and asks for another job if work is
left.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from honed.errors import HonedError, StorageError
from honed.launchers.command import Work, standing
from honed.launchers.keeper import MARGIN_SECONDS, Keeper
from honed.launchers.slurm import Job, SubmissionFailed
from honed.optional import require

_MOST_TIMEOUTS = 10_000  # submitit gives up after three by default; here each one moves the study on


class WorkerFailed(HonedError):
    """The worker of a job failed; the message ends with its last lines."""


@dataclass(slots=True)
class Task:
    """What submitit runs in a job: one worker, kept alive.

    Attributes:
        environment: what the worker's environment must hold besides the job's own.
    """

    work: Work
    grace: float
    environment: Mapping[str, str]
    _keeper: Keeper | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __call__(self) -> str:
        """Runs the worker to its end; returns the reason."""
        environment = {**os.environ, **self.environment}
        keeper = self._keeper = Keeper(self.work, environment=environment, output=_relay, grace=self.grace)
        thread = self._thread = threading.Thread(target=keeper.run, name="honed keeper")
        thread.start()
        thread.join()  # signals are handled meanwhile
        if keeper.status.state == "failed":
            raise WorkerFailed(f"{keeper.status.reason}. Its last words:\n{keeper.last_words}")
        return keeper.status.reason

    def checkpoint(self) -> Any:
        """What submitit calls before the job must end: another job, or None when nothing is left."""
        if self._keeper is not None and self._thread is not None:
            self._keeper.stop()
            self._thread.join()
        try:
            is_done = standing(self.work).is_done(self.work.trials)
        except StorageError:
            is_done = False
        again = Task(self.work, self.grace, self.environment)
        return None if is_done else require("submitit", "slurm").helpers.DelayedSubmission(again)


def submit(job: Job, folder: str, environment: Mapping[str, str], cluster: str = "slurm") -> list[str]:
    """Submits one job for each worker; returns their ids.

    Args:
        job: what to run.
        folder: where submitit keeps its files and the logs.
        environment: of the workers, besides the jobs' own.
        cluster: "slurm", or "local" for this machine.

    Raises:
        SubmissionFailed: there is no Slurm here, or it refused the job.
    """
    submitit = require("submitit", "slurm")
    task = Task(job.work, job.grace - MARGIN_SECONDS, environment)  # Slurm kills what is left after its grace
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, slurm_max_num_timeout=_MOST_TIMEOUTS)
        executor.update_parameters(**parameters(job))
        with executor.batch():
            jobs = [executor.submit(task) for _ in range(job.share.workers)]
    except (RuntimeError, submitit.core.utils.FailedSubmissionError) as error:
        raise SubmissionFailed(f"submitit cannot submit the jobs: {error}") from error
    return [str(each.job_id) for each in jobs]


def parameters(job: Job) -> dict[str, Any]:
    """The job in submitit's words."""
    gpus, cpus = job.share.whole("Slurm")
    found = {
        "name": "honed",
        "timeout_min": max(round(job.seconds / 60), 1),
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": cpus,
        "gpus_per_node": gpus,
        "slurm_mem": job.share.memory,
        "slurm_partition": job.partition,
        "slurm_account": job.account,
        "slurm_signal_delay_s": int(job.grace),
        "slurm_setup": list(job.setup) or None,
        "slurm_array_parallelism": job.at_once,
        "slurm_additional_parameters": {"nodelist": job.node} if job.node else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _relay(line: bytes) -> None:
    sys.stdout.write(line.decode(errors="replace"))
    sys.stdout.flush()
