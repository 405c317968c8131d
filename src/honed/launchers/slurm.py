"""Workers under Slurm: the text of a job array, one worker each, and its submission.

The story of one job: shortly before its wall time, or when it is pre-empted, Slurm sends USR1 to the script, the script
hands it to the worker, the worker saves a checkpoint, gives its trial back and ends with 75, and the script queues its own
job again. The worker also knows the time that is left, so it begins no step that could not be saved.
"""

from __future__ import annotations

import math
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from honed.durations import seconds as duration
from honed.errors import HonedError
from honed.launchers.command import STORAGE_VARIABLE, Share, Work, has_secret
from honed.launchers.keeper import MARGIN_SECONDS

_SLURM_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")
_PLAIN = re.compile(r"[A-Za-z0-9_.,:+%@/=\[\]-]+")
_AGAIN = 75


class SubmissionFailed(HonedError):
    """Slurm refused the job; the message is Slurm's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An array of jobs, one worker each.

    Attributes:
        seconds: wall time of one job.
        grace: seconds before its end at which Slurm sends USR1.
        setup: lines of shell that run before the worker.
        at_once: at most so many jobs run at the same time.
        node: the one machine that they run on; None: wherever there is place.
    """

    work: Work
    share: Share
    seconds: float
    grace: float = 120.0
    setup: tuple[str, ...] = ()
    partition: str | None = None
    account: str | None = None
    at_once: int | None = None
    node: str | None = None
    requeue: bool = True

    def __post_init__(self) -> None:
        """Checks what Slurm would refuse only in the queue, or understand otherwise."""
        if self.seconds < 60 or self.grace < 2 * MARGIN_SECONDS or self.seconds < 2 * self.grace:
            raise ValueError(
                f"time={self.seconds:g} s with grace={self.grace:g} s: a job needs a minute at least, and twice its grace, "
                f"which is {2 * MARGIN_SECONDS:g} s or more"
            )
        for name in ("partition", "account"):
            _check_plain(name, getattr(self, name))
        if self.node is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", self.node):
            raise ValueError(f"node={self.node!r} must be the name of one machine")
        _check_plain("memory", self.share.memory)
        if any("\0" in line for line in self.setup):
            raise ValueError("setup: a line of shell has no NUL in it")
        if any(option.partition("=")[0] in ("--timeout", "--json", "--grace") for option in self.work.options):
            raise ValueError("options: --timeout and --grace follow from the job's time and grace; leave them out")


def parse_time(text: str) -> float:
    """Seconds in ``4h``, ``1h30m``, or in Slurm's own ``90`` (minutes), ``4:00:00``, ``1-12``, ``1-12:30:00``."""
    found = _SLURM_TIME.fullmatch(text.strip())
    if found is None:
        value = duration(text, "time")
        assert value is not None
        return value
    parts = [int(part) for part in found["parts"].split(":")]
    if found["days"] is not None:  # then hours come first, else minutes do, if there are less than three parts
        units = (3600, 60, 1)
    else:
        units = (3600, 60, 1) if len(parts) == 3 else (60, 1, 0)
    return float(86400 * int(found["days"] or 0) + sum(a * b for a, b in zip(parts, units, strict=False)))


def script(job: Job) -> str:
    """The batch script."""
    return "\n".join([*_directives(job), "", *_preparation(job), "", *_life(job)]) + "\n"


def submit(program: str, text: str, environment: Mapping[str, str]) -> str:
    """Hands the script to ``sbatch``; returns what it says.

    Raises:
        SubmissionFailed: it was refused.
    """
    done = subprocess.run(
        [program], input=text, env=dict(environment), capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise SubmissionFailed(f"sbatch refused the job: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


# ------------------------------------------------------------------------------------------------- parts of the script


def _directives(job: Job) -> list[str]:
    gpus, cpus = job.share.whole("Slurm")
    last = job.share.workers - 1
    at_once = "" if job.at_once is None else f"%{job.at_once}"
    minutes, seconds = divmod(math.ceil(job.seconds), 60)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", job.work.study)[:50].strip("-") or "study"
    options: dict[str, object] = {
        "job-name": f"honed-{name}",
        "array": f"0-{last}{at_once}",
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": cpus,
        "gpus-per-node": gpus or None,
        "mem": job.share.memory,
        "time": f"{minutes // 60}:{minutes % 60:02}:{seconds:02}",
        "signal": f"B:USR1@{math.ceil(job.grace)}",
        "partition": job.partition,
        "account": job.account,
        "nodelist": job.node,
        "output": f"honed-{name}-%A_%a.log",
        "open-mode": "append",
    }
    lines = [f"#SBATCH --{key}={value}" for key, value in options.items() if value is not None]
    return ["#!/bin/bash", *lines, "#SBATCH --requeue" if job.requeue else "#SBATCH --no-requeue"]


def _preparation(job: Job) -> list[str]:
    storage = job.work.storage
    if has_secret(storage):  # a script can be read by others, and Slurm keeps a copy
        lines = [f': "${{{STORAGE_VARIABLE}:?export {STORAGE_VARIABLE} with the address of the storage, then submit}}"']
    else:
        lines = [f"export {STORAGE_VARIABLE}={shlex.quote(storage)}"]
    return [*lines, *job.setup]


def _life(job: Job) -> list[str]:
    grace = math.ceil(job.grace)
    head = shlex.join(job.work.kept(f"--grace={grace - MARGIN_SECONDS:g}"))
    tail = " ".join(["", *map(shlex.quote, job.work.tail)])
    lines = [
        "# The worker ends by itself when only the grace is left.",
        f"left=$(({math.floor(job.seconds) - grace} - SECONDS))",
        'if [ -n "${SLURM_JOB_END_TIME:-}" ]; then',
        f"    left=$((SLURM_JOB_END_TIME - $(date +%s) - {grace}))",
        "fi",
        "",
        "is_cancelled= worker=",
        "trap 'kill -s USR1 \"$worker\"' USR1",
        "# scancel, or a pre-emption after which Slurm itself queues the job again",
        "trap 'is_cancelled=1; kill -s TERM \"$worker\"' TERM",
        "",
        f'{head} --timeout="$((left > 1 ? left : 1))"{tail} &',
        "worker=$!",
        'while kill -0 "$worker" 2>/dev/null; do',
        '    wait "$worker"  # a signal ends this wait, not the worker',
        "done",
        'wait "$worker"',
        "code=$?",
    ]
    if job.requeue:
        lines += [
            f'if [ "$code" -eq {_AGAIN} ] && [ -z "$is_cancelled" ]; then',
            '    scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" && exit 0',
            "fi",
        ]
    return [*lines, 'exit "$code"']


def _check_plain(name: str, value: str | None) -> None:
    """Refuses what would end the line of a directive, or be read as another option."""
    if value is not None and (not _PLAIN.fullmatch(value) or value.startswith("-")):
        raise ValueError(f"{name}={value!r} must be made of letters, digits and _ . , : + % @ / = [ ] - alone")
