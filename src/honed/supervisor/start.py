"""From what ``optimize`` was told to running workers: GPUs and cores are shared out, the job is packed."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from honed import gpus
from honed.ask_tell import AskTell
from honed.checkpoints.base import CheckpointStore
from honed.checkpoints.directory import DirectoryStore
from honed.errors import StorageError
from honed.events import Listener, Notice
from honed.search import Search, remember
from honed.storage.base import Storage
from honed.storage.url import address, describe
from honed.supervisor.crew import Crew
from honed.supervisor.job import Job, pack, weight_notice
from honed.supervisor.loop import Site, Supervisor
from honed.supervisor.process import WORKER_VARIABLE
from honed.supervisor.settings import Plan, n_cores, thread_environment
from honed.worker import Objective


def address_for_workers(storage: Storage) -> str:
    """What worker processes open the storage with.

    Raises:
        StorageError: it lives in this process only.
    """
    found = address(storage)
    if found is None:
        raise StorageError(
            f"Worker processes cannot share the storage {describe(storage)!r}: it lives in this process. Leave storage= out "
            "(./honed.db), name a file or a URL, or use workers=1 without limits for trials."
        )
    return found


def refuse_nesting() -> None:
    """Stops a script that starts workers from starting them again in each worker.

    Raises:
        RuntimeError: this is a worker process.
    """
    if WORKER_VARIABLE in os.environ:
        raise RuntimeError(
            "optimize(workers=...) was called in a worker process: a module that it imports starts a search when it is "
            'imported. Put that call under: if __name__ == "__main__":'
        )


def supervise(flow: AskTell, objective: Objective, search: Search, plan: Plan, listen: Listener) -> str:
    """Runs a search in worker processes until it is done; returns the reason in words.

    Args:
        flow: the caller's connection to the study; the workers make their own.
        objective: what they run.
        search: who decides, and when it ends.
        plan: what the workers are.
        listen: receives what happens in all of them.

    Raises:
        StorageError: they cannot share the storage.
        GpusTaken: other runs hold the cards.
        Exception: what the objective raised, as ``on_error`` says.
        SystemExit: the run was terminated by a signal, and all trials were given back.
    """
    refuse_nesting()
    target, limits, history = address_for_workers(flow.storage), search.limits, flow.refresh()
    n_left = None if limits.n_trials is None else limits.n_trials - history.n_counted + len(history.lost)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="honed-workers-")))
        environments = stack.enter_context(_places(plan, n_left))
        search = replace(search, n_workers=len(environments))
        remember(flow, search)
        job = Job(
            objective=objective,
            search=search,
            address=target,
            durability=getattr(flow.storage, "durability", "full"),
            study=flow.study.name,
            space=history.declared if len(history.declared) else None,
            checkpoints=_folder(flow.checkpoints),
            checkpoint_budget=flow.checkpoint_budget,
            setup=plan.workers.setup,
            recycle_after=plan.workers.recycle_after,
        )
        packed = pack(job, folder)
        for text in (weight_notice(job, packed, len(environments)), _crowd_notice(len(environments), plan)):
            if text is not None:
                listen(Notice(level="info", text=text))
        supervisor = Supervisor(
            Site(flow.storage, flow.study, flow.clock, listen),
            Crew(environments, packed, _write if len(environments) > 1 else _write_alone),
            plan.limits,
            deadline=math.inf if limits.timeout is None else flow.clock.monotonic() + limits.timeout,
            grace=search.grace,
            n_trials=limits.n_trials,
        )
        stack.enter_context(_signals(supervisor))
        reason = supervisor.run()
    if reason.startswith("terminated"):
        raise SystemExit(0)
    return reason


@contextlib.contextmanager
def _places(plan: Plan, n_left: int | None) -> Iterator[Sequence[Mapping[str, str]]]:
    """The environment of each worker, while their GPUs are held."""
    workers, share = plan.workers, plan.gpus_per_trial
    n = None if workers.n == "auto" else workers.n
    if n is None and not share and gpus.cards(os.environ):
        share = 1.0
    if n is None and not share:
        n = n_cores()
    if n is not None and n_left is not None:
        n = min(n, max(n_left, 1))
    with contextlib.ExitStack() as stack:
        slots: Sequence[Mapping[str, str]] = [{}] * (n or 0)
        if share:
            reserved = stack.enter_context(gpus.reserve(n, share, environment=os.environ))
            slots = [slot.environment for slot in reserved.slots][: None if n_left is None else max(n_left, 1)]
        threads = workers.threads or max(n_cores() // len(slots), 1)
        yield [{**thread_environment(threads, os.environ), **slot} for slot in slots]


def _crowd_notice(n: int, plan: Plan) -> str | None:
    """A sentence when there are more workers than cores."""
    cores = n_cores()
    if n <= cores or plan.gpus_per_trial:
        return None
    shared = f"{cores} core{'s' if cores != 1 else ''}"
    return f"{n} workers share {shared}: good for trainings that wait, slow for those that compute."


def _folder(checkpoints: CheckpointStore) -> str:
    """Where the workers find the checkpoints, too."""
    if not isinstance(checkpoints, DirectoryStore):
        raise StorageError(
            f"Worker processes cannot share {checkpoints!r}; name a folder: create_study(checkpoints=...)"
        )
    return str(checkpoints.root)


def _write(index: int, line: str, is_error: bool) -> None:
    _write_alone(index, f"worker {index}: {line}", is_error)


def _write_alone(index: int, line: str, is_error: bool) -> None:
    stream = sys.stderr if is_error else sys.stdout
    with contextlib.suppress(Exception):  # closed, or broken: no reason to end a training
        stream.write(line + "\n")
        stream.flush()


@contextlib.contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    """Ctrl-C and SIGTERM go to the workers by way of the supervisor."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        supervisor.interrupt()

    def terminate(signum: int, frame: FrameType | None) -> None:
        supervisor.terminate(signal.Signals(signum).name)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    for number in (signal.SIGTERM, signal.SIGUSR1):
        if signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
