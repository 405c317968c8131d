"""The methods of the quality program by name."""

from __future__ import annotations

from benchmarks.optuna_players import PRUNERS, optuna_player
from benchmarks.players import Player, honed_player
from honed.schedulers.full import Full

MIN_STEPS, REDUCTION_FACTOR = 3, 3


def methods() -> dict[str, Player]:
    """Name -> who plays."""
    players: dict[str, Player] = {
        "random": honed_player(lambda task: Full()),
    }
    for sampler in ("random", "TPE"):
        for pruner in PRUNERS:
            name = f"Optuna {sampler}" + ("" if pruner == "none" else f" + {pruner}")
            players[name] = optuna_player(sampler, pruner)
    return players
