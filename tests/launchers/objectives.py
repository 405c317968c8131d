"""What the launchers' tests train, written into a folder of their own; each line of ``steps.log`` is one step that was run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = '''
import os, pathlib, time

class Weights:
    """A model and optimizer in one number: the sum of all steps it has taken."""

    def __init__(self):
        self.total = 0

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]

HERE = pathlib.Path(__file__).parent
SECONDS = float(os.environ.get("STEP_SECONDS", "0.05"))
STEPS = int(os.environ.get("STEPS", "8"))

def note(line):
    with open(HERE / "steps.log", "a") as log:
        log.write(line + "\\n")

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    weights = Weights()
    trial.track(weights=weights)
    for step in trial.steps(STEPS):
        time.sleep(SECONDS)
        weights.total += step
        note(f"{trial.number} {trial.attempt} {step} {weights.total} {os.getpid()} "
             f"{os.environ.get('CUDA_VISIBLE_DEVICES', '-')} {os.environ.get('HONED_NODE', '-')}")
        trial.report(x + weights.total, step=step)

def quick(trial):
    return trial.suggest_float("x", 0, 1)

def broken(trial):
    raise RuntimeError("shape mismatch")

def deadly(trial):
    """Kills its worker in the first life."""
    flag = HERE / "died"
    if trial.number == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), 9)
    return trial.suggest_float("x", 0, 1)
'''


def folder_with_script(folder: Path) -> Path:
    (folder / "train.py").write_text(SCRIPT)
    return folder


def plain_environment(**more: str) -> dict[str, str]:
    """This environment without honed's own variables."""
    return {key: value for key, value in os.environ.items() if not key.startswith("HONED_")} | more


def honed(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honed", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env=plain_environment(**environment),
        check=False,
    )


def steps(folder: Path) -> list[list[str]]:
    """What was run so far: number, attempt, step, total, pid, cards, node."""
    log = folder / "steps.log"
    return [line.split() for line in log.read_text().splitlines() if line.count(" ") == 6] if log.exists() else []
