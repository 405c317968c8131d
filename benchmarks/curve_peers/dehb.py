"""DEHB by its own ask and tell; a configuration asked again at the next fidelity goes on from its checkpoint."""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks.curve_peers.base import Grant, asked_as, in_our_words
from benchmarks.players import Setting
from benchmarks.tables import RowTask
from honed.domains import Categorical, Float, Int

ETA, WORST = 3, 1e9


class Tool:
    """One study; the smallest fidelity is that which its own rungs give from one step on."""

    def __init__(self, task: RowTask, setting: Setting) -> None:
        from dehb import DEHB

        self.task = task
        folder = tempfile.mkdtemp(prefix="dehb-")  # it must write somewhere
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self._dehb: Any = DEHB(
            cs=space(task, setting.seed), min_fidelity=1, max_fidelity=task.total_steps, eta=ETA, seed=setting.seed,
            n_workers=1, save_freq="end", output_path=folder, log_level="CRITICAL",
        )  # fmt: skip

    def ask(self) -> Grant | None:
        job = self._dehb.ask()
        until = min(max(1, round(job["fidelity"])), self.task.total_steps)
        return Grant(in_our_words(self.task, dict(job["config"])), until, job)

    def report(self, grant: Grant, step: int, loss: float) -> bool:
        return True

    def end(self, grant: Grant, losses: Sequence[float]) -> None:
        last = losses[-1] if math.isfinite(losses[-1]) else WORST
        self._dehb.tell(grant.note, {"fitness": last, "cost": len(losses)})


def space(task: RowTask, seed: int) -> Any:
    """The task's space in ConfigSpace's words."""
    from ConfigSpace import (
        CategoricalHyperparameter,
        ConfigurationSpace,
        UniformFloatHyperparameter,
        UniformIntegerHyperparameter,
    )

    found = ConfigurationSpace(seed=seed)
    for name, domain in task.space.domains.items():
        if isinstance(domain, Float):
            low, high = (domain.low, domain.high) if domain.log != "near_one" else (1 - domain.high, 1 - domain.low)
            found.add(UniformFloatHyperparameter(asked_as(name, domain), low, high, log=bool(domain.log)))
        elif isinstance(domain, Int):
            found.add(UniformIntegerHyperparameter(name, domain.low, domain.high, log=bool(domain.log)))
        else:
            assert isinstance(domain, Categorical)
            found.add(CategoricalHyperparameter(name, list(domain.grid())))
    return found
