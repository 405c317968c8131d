"""The methods of the quality program by name."""

from __future__ import annotations

import math
from collections.abc import Callable

from benchmarks.curve_peers import curve_peers
from benchmarks.optuna_players import PRUNERS, optuna_player
from benchmarks.players import Player, honed_player
from benchmarks.rows import play_auto, play_freeze_thaw
from benchmarks.tables import RowTask
from honed.schedulers.asha import ASHA
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.schedulers.pasha import PASHA
from honed.schedulers.stopping import EpochRule, Median

MIN_STEPS = 3

_PACKAGES = {
    "Optuna": "optuna",
    "Syne Tune": "syne-tune",
    "DEHB": "dehb",
    "NePS": "neural-pipeline-search",
}  # by the first words of a method's name


def played_by(method: str) -> str:
    """The package that plays a method."""
    return next((package for words, package in _PACKAGES.items() if method.startswith(words)), "honed")


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
    players |= {"freeze-thaw": play_freeze_thaw, "auto": play_auto}
    for sampler in ("random", "TPE"):
        for pruner in PRUNERS:
            name = f"Optuna {sampler}" + ("" if pruner == "none" else f" + {pruner}")
            players[name] = optuna_player(sampler, pruner)
    return players | curve_peers()
