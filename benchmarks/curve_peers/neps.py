"""NePS by its own ask and tell; a configuration asked again at the next fidelity goes on from its checkpoint.

Its freeze-thaw method, ifBO, is not among them: its surrogate's weights are no part of the package.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.curve_peers.base import Enter, Grant, asked_as, in_our_words
from benchmarks.players import Setting
from benchmarks.tables import RowTask
from honed.domains import Categorical, Float, Int

FIDELITY = "epochs"
ETA, MIN_STEPS = 3, 3


class Tool:
    """One study of one of its optimizers; they draw from the global generators, which are seeded here."""

    def __init__(self, optimizer: str, task: RowTask, setting: Setting) -> None:
        import torch
        from neps.optimizers import load_optimizer
        from neps.optimizers.ask_and_tell import AskAndTell

        random.seed(setting.seed)
        np.random.seed(setting.seed)  # noqa: NPY002 (NePS draws from it)
        torch.manual_seed(setting.seed)
        self.task = task
        settings = {"eta": ETA}
        self._neps: Any = AskAndTell(load_optimizer((optimizer, settings), space=space(task))[0])

    def ask(self) -> Grant | None:
        trial = self._neps.ask()
        until = min(max(1, int(trial.config[FIDELITY])), self.task.total_steps)
        return Grant(in_our_words(self.task, trial.config), until, trial)

    def report(self, grant: Grant, step: int, loss: float) -> bool:
        return True

    def end(self, grant: Grant, losses: Sequence[float]) -> None:
        last = losses[-1]
        self._neps.tell(grant.note, last if math.isfinite(last) else ArithmeticError("the training diverged"))


def by(optimizer: str) -> Enter:
    """One of its optimizers by name."""
    return lambda task, setting: Tool(optimizer, task, setting)


def space(task: RowTask) -> Any:
    """The task's space in NePS's words, its epochs from the first rung of the other methods on."""
    import neps

    found: dict[str, Any] = {FIDELITY: neps.HPOInteger(MIN_STEPS, task.total_steps, is_fidelity=True)}
    for name, domain in task.space.domains.items():
        if isinstance(domain, Float):
            low, high = (domain.low, domain.high) if domain.log != "near_one" else (1 - domain.high, 1 - domain.low)
            found[asked_as(name, domain)] = neps.HPOFloat(low, high, log=bool(domain.log))
        elif isinstance(domain, Int):
            found[name] = neps.HPOInteger(domain.low, domain.high, log=bool(domain.log))
        else:
            assert isinstance(domain, Categorical)
            found[name] = neps.HPOCategorical(list(domain.grid()))
    return neps.SearchSpace(found)
