"""Samplers by name, with their default settings."""

from __future__ import annotations

from honed.errors import closest
from honed.freeze_thaw import FreezeThaw
from honed.samplers.annealing import Annealing
from honed.samplers.base import Sampler
from honed.samplers.cmaes import CMAES
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.gp import GP
from honed.samplers.grid import Grid
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE

SAMPLERS = {
    "random": Random,
    "grid": Grid,
    "sobol": Sobol,
    "halton": Halton,
    "gp": GP,
    "tpe": TPE,
    "cmaes": CMAES,
    "de": DifferentialEvolution,
    "annealing": Annealing,
    "evolution": RegularizedEvolution,
    "nsga2": NSGA2,
    "nsga3": NSGA3,
    "freeze-thaw": FreezeThaw,
}
"""Samplers by name."""


def named(name: str) -> Sampler:
    """The sampler of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in SAMPLERS:
        known = ", ".join(repr(known) for known in ("auto", *SAMPLERS))
        raise ValueError(f"sampler={name!r} is unknown; use one of {known}, or a Sampler.{closest(name, SAMPLERS)}")
    sampler: Sampler = SAMPLERS[name]()
    return sampler
