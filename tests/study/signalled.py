"""Trainings that tests send signals to, in processes of their own: ``python -m tests.study.signalled MODE FOLDER [GRACE]``.

A training leaves a mark ``MODE-step-N-PID`` when a step begins, and waits inside odd steps, or step 3, for a file ``go``.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import honed
from honed.clock import SYSTEM_CLOCK
from honed.events import Event, Notice, RunEnded
from honed.search import connect
from honed.storage.sqlite import SQLiteStorage
from honed.worker import Limits, run

N_STEPS = 6
folder = Path()


class Weights:
    """What a training tracks: how often it was trained."""

    n = 0

    def state_dict(self) -> dict[str, Any]:
        return {"n": self.n}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n = state["n"]


def mark(text: str) -> None:
    (folder / text).touch()


def wait_for_go() -> None:
    while not (folder / "go").exists():
        time.sleep(0.005)


def steps(trial: honed.Trial) -> float:
    weights = Weights()
    trial.track(weights=weights)
    for step in trial.steps(N_STEPS):
        mark(f"step-{step}-{os.getpid()}")
        if step % 2:
            wait_for_go()
        weights.n += 1
        trial.report(weights.n, step=step)
    return weights.n


def own(trial: honed.Trial) -> float:
    """A loop of one's own that saves a file."""
    n = 0
    if trial.resume_directory is not None:
        n = int((trial.resume_directory / "n.txt").read_text())
    for step in range(trial.resumed_from_step + 1, N_STEPS + 1):
        mark(f"step-{step}-{os.getpid()}")
        if step == 3:
            wait_for_go()
        n += 1
        trial.report(n, step=step)
        if trial.should_checkpoint(step):
            with trial.checkpoint(step) as directory:
                (directory / "n.txt").write_text(str(n))
        if trial.should_stop():
            break
    return n


def deaf(trial: honed.Trial) -> float:
    mark(f"step-3-{os.getpid()}")
    wait_for_go()
    return 7.0


def broken(trial: honed.Trial) -> float:
    mark(f"step-3-{os.getpid()}")
    wait_for_go()
    raise RuntimeError("a worker of the data loader was killed by signal: Terminated")


def hang(trial: honed.Trial) -> float:
    return _hanging(trial, lambda: threading.Event().wait())


def hang_in_c(trial: honed.Trial) -> float:
    """Where no handler of Python's ever runs: in a mutex that is locked twice."""
    mutex, libc = ctypes.create_string_buffer(128), ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    return _hanging(trial, lambda: libc.pthread_mutex_lock(mutex))


def _hanging(trial: honed.Trial, wait: Callable[[], object]) -> float:
    weights = Weights()
    trial.track(weights=weights)
    for step in trial.steps(N_STEPS):
        if step == 3 and trial.attempt == 1:
            mark(f"step-3-{os.getpid()}")
            wait()
        mark(f"step-{step}-{os.getpid()}")
        weights.n += 1
        trial.report(weights.n, step=step)
    return weights.n


def forked(trial: honed.Trial) -> float:
    """Ends a forked child as data loaders do; gives the code with which it ended."""
    mark(f"step-3-{os.getpid()}")
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(30)
    return float(child.exitcode or 0)


OBJECTIVES = {f.__name__: f for f in (steps, own, deaf, broken, hang, hang_in_c, forked)}


def hear(event: Event) -> None:
    if isinstance(event, Notice):
        sys.stderr.write(event.text + "\n")
        if "current trial is given back" in event.text:
            mark(f"heard-{os.getpid()}")
    if isinstance(event, RunEnded):
        sys.stdout.write(event.reason)


if __name__ == "__main__":
    mode, place, *grace = sys.argv[1:]
    folder = Path(place)
    storage = SQLiteStorage(folder / "honed.db")
    record = honed.create_study("signalled", storage=storage, seed=0).record
    flow = connect(storage, record, listen=hear)
    limits = Limits(n_trials=2 if mode == "deaf" else 1)
    run(flow, OBJECTIVES[mode], limits, clock=SYSTEM_CLOCK, listen=hear, grace=float(grace[0]) if grace else 60.0)
    sys.stdout.write(" and on")
