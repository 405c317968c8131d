"""Objectives that the tests of this folder run in processes of their own: ``python -m tests.flows.workers MODE ...``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import honed


def bowl(trial: honed.Trial) -> float:
    return sum(trial.suggest_float(f"x{i}", -1, 1) ** 2 for i in range(3))


def join(storage: str, n_trials: int) -> None:
    """One of several workers on one study."""
    study = honed.create_study("shared", storage=storage, seed=0)
    study.optimize(bowl, "random", n_trials, progress="plain", report=False)


def grid(storage: str) -> None:
    """One of several workers that exhaust a conditional grid which nobody has declared."""

    def objective(trial: honed.Trial) -> float:
        kind = trial.suggest_categorical("kind", ["a", "b", "c"])
        value = float(trial.suggest_int("n", 1, 3))
        if kind == "c":
            value += trial.suggest_int("m", 1, 3)
        time.sleep(0.01)
        return value

    study = honed.create_study("grid", storage=storage, seed=0)
    study.optimize(objective, "grid", progress="plain", report=False)


def slow(storage: str, marks: str, steps: int) -> None:
    """Leaves a mark for each step, so that a test can kill or interrupt it at a chosen one."""

    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in trial.steps(steps):
            trial.report(x + step, step=step)
            Path(marks, f"{os.getpid()}-{trial.number}-{trial.attempt}-{step}").touch()
            time.sleep(0.05)
        return x

    study = honed.create_study("slow", storage=storage, seed=0)
    study.optimize(objective, "random", 3, progress="plain")


def deaf(storage: str, marks: str) -> None:
    """A training without steps: it cannot be cut short."""

    def objective(trial: honed.Trial) -> float:
        Path(marks, f"{trial.number}-begun").touch()
        time.sleep(1.0)
        return float(trial.number)

    study = honed.create_study("slow", storage=storage, seed=0)
    study.optimize(objective, "random", 50, progress="plain")


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    match mode:
        case "join":
            join(arguments[0], int(arguments[1]))
        case "grid":
            grid(arguments[0])
        case "slow":
            slow(arguments[0], arguments[1], int(arguments[2]))
        case "deaf":
            deaf(arguments[0], arguments[1])
