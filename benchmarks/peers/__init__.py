"""Who plays: honed's samplers and those of other packages, as they install.

A tool is a few lines that translate a space, ask and tell. All see the same tasks and are told the same values; each gets
parameters in its own words (integers, log scales, categories, orders, conditions, as far as it has them).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from benchmarks.peers import hebo, hyperopt, optuna, ours, rustuna, smac
from benchmarks.peers.base import Beside, Enter, Played, play
from benchmarks.problems import Problem
from honed.auto import SAMPLERS

__all__ = ["Method", "missing", "own", "several", "single", "version_of"]

PACKAGES = {"optuna": "Optuna", "rustuna": "rustuna", "hyperopt": "hyperopt", "smac": "SMAC3", "hebo": "HEBO"}
"""Module of a peer -> how it is called."""


@dataclass(frozen=True, slots=True)
class Method:
    """One row of a table.

    Attributes:
        package: the module it comes from.
        beside: who plays with several workers; None where nobody does.
    """

    package: str
    enter: Enter
    beside: Beside | None = None

    def play(self, problem: Problem, seed: int, n: int, n_workers: int = 1) -> Played:
        """A study of ``n`` trials.

        Raises:
            ValueError: several workers are wanted, and this method plays with one.
        """
        if n_workers == 1:
            return play(self.enter, problem, seed, n)
        if self.beside is None:
            raise ValueError(f"n_workers={n_workers}: {self.package}'s methods play with 1 worker here")
        return self.beside(problem, seed, n, n_workers)


def single() -> dict[str, Method]:
    """Name -> who plays problems of one objective; tools that are not installed are left out."""
    found = {f"honed {name}": Method("honed", ours.by(name)) for name in ("auto", *SAMPLERS) if name != "grid"}
    found |= {f"Optuna {name}": Method("optuna", optuna.by(make)) for name, make in optuna.SINGLE.items()}
    found |= {f"rustuna {name}": Method("rustuna", rustuna.by(make)) for name, make in rustuna.SINGLE.items()}
    found["hyperopt TPE"] = Method("hyperopt", hyperopt.enter)
    found["SMAC3"] = Method("smac", smac.by(""))
    found["SMAC3 BB"] = Method("smac", smac.by("BB"))
    found["HEBO"] = Method("hebo", hebo.enter)
    return _installed(found)


def several() -> dict[str, Method]:
    """Name -> who plays problems of several objectives."""
    names = ("random", "sobol", "nsga2", "nsga3", "tpe", "gp", "auto")
    found = {f"honed {name}": Method("honed", ours.by(name)) for name in names}
    found |= {f"Optuna {name}": Method("optuna", optuna.by(make)) for name, make in optuna.SEVERAL.items()}
    found |= {f"rustuna {name}": Method("rustuna", rustuna.by(make)) for name, make in rustuna.SEVERAL.items()}
    return _installed(found)


def own() -> dict[str, Method]:
    """Name -> honed's methods for one objective or several, with any number of workers; times mean nothing (``ours.Memory``)."""
    return {
        f"honed {name}": Method("honed", ours.by(name, _MEMORY), ours.beside(name, _MEMORY))
        for name in ("auto", *SAMPLERS)
    }


_MEMORY = ours.Memory()


def missing() -> list[str]:
    """The peers that are not installed, by name."""
    return [name for module, name in PACKAGES.items() if not importlib.util.find_spec(module)]


def version_of(package: str) -> str:
    """Which version of a package plays."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _installed(methods: dict[str, Method]) -> dict[str, Method]:
    return {name: method for name, method in methods.items() if importlib.util.find_spec(method.package)}
