"""Tiny trainings under a scheduler, by several processes some of which are killed.

``python -m tests.flows.scheduler_workers STORAGE LOGS SCHEDULER N_TRIALS N_STEPS N_WORKERS N_KILLS SEED``

One process imports everything, forks the workers, kills some at random moments and forks others in their place.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import honed
from honed import live
from honed.checkpoints.directory import DirectoryStore
from honed.checkpoints.pace import Pace
from honed.schedulers.additive import AdditiveHalving
from honed.schedulers.asha import ASHA
from honed.schedulers.base import Scheduler
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.schedulers.pasha import PASHA

SCHEDULERS: dict[str, Any] = {
    "halving": SuccessiveHalving(min_steps=1),
    "additive": AdditiveHalving(n_trials=9),
    "hyperband": Hyperband(),
    "asha": ASHA(min_steps=1),
    "pasha": PASHA(min_steps=1),
}


class Past:
    """The state of a training that remembers its own steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        return {"steps": list(self.steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = list(state["steps"])


class Log:
    """One file for each process; a line is on the disk before the next step begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = os.open(folder / f"{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *words: object) -> None:
        os.write(self.file, (" ".join(map(str, words)) + "\n").encode())
        os.fsync(self.file)


def loss(x: float, step: int) -> float:
    """Curves that cross: the early order is right about half the time."""
    return (x - 0.3) ** 2 + random.Random(f"{x} {step}").random() / (2 + step)


def work(storage: str, folder: str, scheduler: Scheduler, n_trials: int, n_steps: int, *, seconds: float) -> None:
    """One worker; ``seconds`` is what a step takes."""
    log = Log(Path(folder))

    def objective(trial: honed.Trial) -> None:
        x, past = trial.suggest_float("x", 0, 1), Past()
        trial.track(past=past)
        for step in trial.steps(n_steps):
            past.steps.append(str(step))
            log.write(trial.number, trial.attempt, step, ",".join(past.steps))
            time.sleep(seconds)
            trial.report(loss(x, step), step=step)

    study = honed.create_study("rungs", storage=storage, seed=3)
    study.optimize(objective, "random", n_trials, scheduler=scheduler, progress="plain", report=False)
    study.close()


def supervise(
    storage: str, folder: str, name: str, n_trials: int, n_steps: int, n_workers: int, n_kills: int, seed: int
) -> int:
    """Runs workers until all are done; returns how many were killed."""
    live.PACE = Pace(every=1)  # each step is saved, so that a kill costs one step at most
    rng, n_killed, workers = random.Random(seed), 0, set[int]()

    def fork() -> None:
        pid = os.fork()
        if pid:
            workers.add(pid)
            return
        code = 1
        try:
            work(storage, folder, SCHEDULERS[name], n_trials, n_steps, seconds=0.1 if n_kills else 0.0)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)

    for _ in range(n_workers):
        fork()
    while workers:
        if n_killed < n_kills:
            time.sleep(rng.uniform(0.05, 0.25))
            os.kill(rng.choice(sorted(workers)), signal.SIGKILL)
        pid, status = os.waitpid(-1, 0)
        workers.remove(pid)
        if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
            n_killed += 1
            fork()
        elif status:
            raise SystemExit(f"worker {pid} ended with status {status}")
    return n_killed


def die_at_the_grant(storage: str) -> None:
    """A worker that is killed when its report of the granted step is stored, but nothing of the pause."""

    def objective(trial: honed.Trial) -> None:
        x = trial.suggest_float("x", 0, 1)
        for step in range(1, 4):
            if step == 3:
                time.sleep(0.6)  # the next report is written at once
            trial.report(loss(x, step), step=step)
        os.kill(os.getpid(), signal.SIGKILL)

    study = honed.create_study("fidelity", storage=storage, seed=3)
    study.optimize(objective, "random", 1, scheduler=ASHA(max_steps=9), progress="plain", report=False)


def die_when(storage: str, verb: str, n: str) -> None:
    """A worker that is killed when its n-th checkpoint is saved and not named yet, or about to be deleted."""
    live.PACE = Pace(every=1)
    original, n_calls = getattr(DirectoryStore, verb), 0

    def call(*arguments: Any) -> None:
        nonlocal n_calls
        n_calls += 1
        if verb == "save":
            original(*arguments)
        if n_calls == int(n):
            os.kill(os.getpid(), signal.SIGKILL)
        if verb == "delete":
            original(*arguments)

    setattr(DirectoryStore, verb, call)
    study = honed.create_study("fidelity", storage=storage, seed=3)

    def objective(trial: honed.Trial) -> None:
        x, past = trial.suggest_float("x", 0, 1), Past()
        trial.track(past=past)
        for step in trial.steps(9):
            past.steps.append(str(step))
            trial.report(loss(x, step), step=step)

    study.optimize(objective, "random", 1, progress="plain", report=False)


if __name__ == "__main__":
    storage, folder, name, *numbers = sys.argv[1:]
    sys.stdout.write(str(supervise(storage, folder, name, *map(int, numbers))))
