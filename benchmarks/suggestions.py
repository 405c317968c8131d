"""What a suggestion costs as a study grows: honed's samplers beside the TPE of Optuna and Rustuna, in one run.

Ten float parameters asked one by one, a bowl as objective, memory storage. Each study grows to the given number of trials; there
the tools take turns, a block of trials each, so that a noisy machine hits all of them alike. The figure is the median over
all trials of all blocks, whole ask + ten suggests + tell.

    python benchmarks/suggestions.py [--samplers random tpe] [--sizes 100 1000 10000] [--blocks 7] [--trials 30]
                                     [--without optuna]

Optuna needs minutes to reach 10,000 trials.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import honed
from benchmarks.overhead import NAMES, Step, measure

SEED = 0
PEERS = ("optuna", "rustuna")


def bowl(ask: Callable[[str, float, float], float]) -> float:
    """The sum of squares of ten parameters."""
    return sum(ask(name, -5.0, 5.0) ** 2 for name in NAMES)


def honed_step(sampler: str) -> Step:
    """One ask + tell of honed."""
    study = honed.create_study("bench", storage="memory", seed=SEED)
    trial = study.ask(sampler)
    study.tell(trial, bowl(trial.suggest_float))

    def step() -> None:
        trial = study.ask()
        study.tell(trial, bowl(trial.suggest_float))

    return step


def optuna_step() -> Step:
    """One ask + tell of Optuna's TPE with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=SEED))

    def step() -> None:
        trial = study.ask()
        study.tell(trial, bowl(trial.suggest_float))

    return step


def rustuna_step() -> Step:
    """One ask + tell of Rustuna's TPE with its defaults."""
    import rustuna

    study = rustuna.create_study(sampler=rustuna.samplers.TPESampler(seed=SEED))

    def step() -> None:
        trial = study.ask()
        study.tell(trial.number, bowl(trial.suggest_float))

    return step


def steps_of(samplers: list[str], without: list[str]) -> dict[str, Step]:
    """Name of a column -> its step; a peer that is not installed, or cannot do this, is left out and named."""
    steps = {f"honed {name}": honed_step(name) for name in samplers}
    for name, make in zip(PEERS, (optuna_step, rustuna_step), strict=True):
        if name in without:
            continue
        try:
            steps[f"{name} tpe"] = make()
        except Exception as error:
            print(f"{name} left out: {type(error).__name__}: {error}")
    return steps


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"], help="names of honed's samplers")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--without", nargs="+", default=[], choices=PEERS, help="peers to leave out")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    steps = steps_of(arguments.samplers, arguments.without)
    reference = f"honed {arguments.samplers[-1]}"
    blocks = f"{arguments.blocks} blocks of {arguments.trials}"
    print(f"median ms for ask + 10 suggests + tell ({blocks}); x: how many times {reference}")
    print(f"{'trials':>8}" + "".join(f"{name:>15}{'x':>7}" for name in steps))
    done = 0
    for size in sorted(arguments.sizes):
        for step in steps.values():
            for _ in range(max(size - done, 0)):
                step()
        medians = measure(steps, arguments.blocks, arguments.trials)
        done = size + arguments.blocks * arguments.trials
        cells = (f"{1e3 * value:15.3f}{value / medians[reference]:7.1f}" for value in medians.values())
        print(f"{size:>8}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
