"""What ``sampler="auto"`` means: the first rule that fits, and its reason in one line.

A pure function of the space, the budget, the workers and the history, so that a study that goes on makes the same choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from honed.errors import closest
from honed.history import History
from honed.samplers.annealing import Annealing
from honed.samplers.base import Sampler
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import Countable
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.gp import GP
from honed.samplers.grid import Grid
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.space import Space

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
}
"""Samplers by name."""

_FEW_TRIALS = 10
_MOST_SOBOL_DIMENSIONS = 21_201


@dataclass(frozen=True, slots=True)
class Choice:
    """Who decides, and why: ``reason`` is a sentence for the user."""

    sampler: Sampler
    scheduler: Scheduler
    reason: str


def choose(space: Space, history: History, n_trials: int | None, n_workers: int) -> Choice:
    """Sampler and scheduler for a study.

    Args:
        space: the joint space as it is known now.
        history: what was tried.
        n_trials: the study's total; None without a limit.
        n_workers: how many trials run at once.
    """
    n, scheduler = len(space), Full()
    parameters = "1 parameter" if n == 1 else f"{n:,} parameters"
    trials = "any number of trials" if n_trials is None else f"{n_trials:,} trial{'s' if n_trials != 1 else ''}"
    size = space.n_configurations(most=n_trials) if n and n_trials is not None else None
    if size is not None:
        combinations = f"{size:,} combination{'s' if size != 1 else ''}"
        so_far = "" if len(history.declared) == n else " so far"
        grid = Countable(Grid(), otherwise=Sobol())
        return Choice(grid, scheduler, f"{combinations}{so_far}, {trials}: trying each once.")
    if n > _MOST_SOBOL_DIMENSIONS:
        return Choice(Random(), scheduler, f"{parameters}, more than Sobol points have dimensions: random search.")
    if n_trials is not None and n_trials < _FEW_TRIALS:
        why = "no model can help; spreading them evenly"
        return Choice(Sobol(), scheduler, f"{trials}, {parameters}: {why}." if n else f"{trials}: {why}.")
    return Choice(
        Sobol(), scheduler, f"{trials}, {parameters}: spreading them evenly (Sobol points, which do not learn)."
    )


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
