"""A study that a test kills: ``python killed.py STORAGE SECONDS`` runs it from where it is to its end.

Attributes of the search are the same for everybody who goes on with it, and values depend on params and step alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import honed

STEPS, TOTAL = 20, 90


def run(storage: str | Path, seconds: float = 0.0) -> honed.Study:
    """The study after its last step.

    Args:
        storage: where it is kept.
        seconds: how long a step takes.
    """

    def curve(trial: honed.Trial) -> None:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        trial.track(state=np.random.default_rng(trial.number))
        for epoch in trial.steps(STEPS):
            time.sleep(seconds)
            trial.report((x - 0.3) ** 2 + (y - 0.6) ** 2 + (0.2 + x) / epoch)

    study = honed.load_study("killed", storage=storage)
    study.optimize(curve, honed.FreezeThaw(n_startup=4, insurance=0.3), total_steps=TOTAL, progress="quiet")
    return study


if __name__ == "__main__":
    run(sys.argv[1], float(sys.argv[2]))
