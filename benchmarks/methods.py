"""The methods of the quality program by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.optuna_players import PRUNERS, optuna_player
from benchmarks.players import Played, Player, Setting, honed_player
from benchmarks.tables import RowTask
from benchmarks.tables.base import Floats
from honed.algorithms.curve_ensemble import CurveEnsemble, NewScores
from honed.algorithms.optimize_acquisition import untried
from honed.encode import coordinates
from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.seen import Seen
from honed.schedulers.asha import ASHA
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.schedulers.pasha import PASHA
from honed.schedulers.stopping import EpochRule, Median

MIN_STEPS = 3


def schedulers() -> dict[str, Callable[[RowTask], Scheduler]]:
    """Name -> a scheduler of honed for a task; the factor is 3 everywhere, Hyperband's smallest first rung is 1 step."""
    return {
        "random": lambda task: Full(),
        "3-Epoch": lambda task: EpochRule(k=3),
        "5-Epoch": lambda task: EpochRule(k=5),
        "Median": lambda task: Median(min_steps=max(MIN_STEPS, math.ceil(0.05 * task.total_steps))),
        "SHA": lambda task: SuccessiveHalving(min_steps=MIN_STEPS, max_steps=task.total_steps),
        "ASHA": lambda task: ASHA(min_steps=MIN_STEPS, max_steps=task.total_steps),
        "PASHA": lambda task: PASHA(min_steps=MIN_STEPS, max_steps=task.total_steps),
        "Hyperband": lambda task: Hyperband(max_steps=task.total_steps),
    }


def methods() -> dict[str, Player]:
    """Name -> who plays."""
    players = {name: honed_player(make) for name, make in schedulers().items()}
    players["freeze-thaw"] = play_freeze_thaw
    for sampler in ("random", "TPE"):
        for pruner in PRUNERS:
            name = f"Optuna {sampler}" + ("" if pruner == "none" else f" + {pruner}")
            players[name] = optuna_player(sampler, pruner)
    return players


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a pool as candidates of freeze-thaw."""

    task: RowTask

    def points(self, data: Seen, model: CurveEnsemble, draw: np.random.Generator) -> Floats:
        """The rows that were not tried."""
        return untried(self._units(), data.xs)

    def improved(self, data: Seen, model: CurveEnsemble, scores: NewScores, best: Floats) -> Floats:
        """None: there are no others."""
        return best[:0]

    def _units(self) -> Floats:
        if self.task not in _UNITS:
            _UNITS[self.task] = np.array([coordinates(self.task.space, row) for row in self.task.rows])
        return _UNITS[self.task]


_UNITS: dict[RowTask, Floats] = {}


def play_freeze_thaw(task: RowTask, setting: Setting) -> Played:
    """Freeze-thaw: in pool mode it chooses among the rows, in continuous mode anywhere in the space."""
    policy = FreezeThaw(candidates=Rows(task)) if setting.mode == "pool" else FreezeThaw()
    return honed_player(lambda _: policy, policy)(task, setting)
