"""What one ask + tell costs as a study grows: honed beside Optuna and Rustuna, in one run.

Random sampler, ten float parameters asked one by one. Each study grows to the given number of trials; there the tools
take turns, a block of trials each, so that a noisy machine hits all of them alike. The figure is the median over all
trials of all blocks, whole ask + ten suggests + tell.

    python benchmarks/overhead.py [--sizes 100 1000 10000] [--storages memory sqlite] [--blocks 7] [--trials 30]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import honed

NAMES = [f"x{i}" for i in range(10)]
Step = Callable[[], None]


def honed_step(target: str) -> Step:
    """One ask + tell of honed."""
    study = honed.create_study("bench", storage=target, seed=0)
    trial = study.ask("random")  # chooses the sampler
    study.tell(trial, 0.0)

    def step() -> None:
        trial = study.ask()
        study.tell(trial, sum(trial.suggest_float(name, -5, 5) for name in NAMES))

    return step


def optuna_step(target: str) -> Step:
    """One ask + tell of Optuna."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None if target == "memory" else f"sqlite:///{target}"
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))

    def step() -> None:
        trial = study.ask()
        study.tell(trial, sum(trial.suggest_float(name, -5, 5) for name in NAMES))

    return step


def rustuna_step(target: str) -> Step:
    """One ask + tell of Rustuna."""
    import rustuna

    storage = None if target == "memory" else rustuna.storages.SQLite3Storage(target)
    study = rustuna.create_study(storage=storage, sampler=rustuna.samplers.RandomSampler(seed=0))

    def step() -> None:
        trial = study.ask()
        study.tell(trial.number, sum(trial.suggest_float(name, -5, 5) for name in NAMES))

    return step


TOOLS: dict[str, Callable[[str], Step]] = {"honed": honed_step, "optuna": optuna_step, "rustuna": rustuna_step}


def measure(steps: dict[str, Step], blocks: int, trials: int) -> dict[str, float]:
    """Median seconds of one step of each tool; the tools take turns."""
    seconds: dict[str, list[float]] = {tool: [] for tool in steps}
    for _ in range(blocks):
        for tool, step in steps.items():
            for _ in range(trials):
                begun = time.perf_counter()
                step()
                seconds[tool].append(time.perf_counter() - begun)
    return {tool: statistics.median(values) for tool, values in seconds.items()}


def study_of(storage: str, folder: Path, arguments: Any) -> None:
    """Prints one table: a storage, all sizes."""
    steps: dict[str, Step] = {}
    for tool, make in TOOLS.items():
        try:
            steps[tool] = make("memory" if storage == "memory" else str(folder / f"{tool}.db"))
        except Exception as error:  # a peer that is not installed, or cannot do this, is left out and named
            print(f"  {tool} left out: {type(error).__name__}: {error}")
    print(f"\n{storage}: median ms for ask + 10 suggests + tell ({arguments.blocks} blocks of {arguments.trials})")
    print(f"{'trials':>8}" + "".join(f"{tool:>12}" for tool in steps) + f"{'optuna/honed':>14}")
    done = 0
    for size in sorted(arguments.sizes):
        for step in steps.values():
            for _ in range(max(size - done, 0)):
                step()
        medians = measure(steps, arguments.blocks, arguments.trials)
        done = size + arguments.blocks * arguments.trials
        ratio = f"{medians['optuna'] / medians['honed']:14.1f}" if "optuna" in medians else ""
        print(f"{size:>8}" + "".join(f"{1e3 * medians[tool]:12.4f}" for tool in steps) + ratio, flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--storages", nargs="+", default=["memory", "sqlite"], choices=["memory", "sqlite"])
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=Path(), help="a folder on the disk to measure")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"Python {sys.version.split()[0]}; honed {honed.__version__}, durability full")
    for storage in arguments.storages:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            study_of(storage, Path(folder), arguments)


if __name__ == "__main__":
    main()
