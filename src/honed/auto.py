"""What ``sampler="auto"`` means: the first rule that fits, and its reason in one line.

A pure function of the space, the budget, the workers and the history, so that a study that goes on makes the same choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honed.domains import Categorical
from honed.errors import closest
from honed.freeze_thaw import FreezeThaw
from honed.history import STATES, History
from honed.records import State
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
    "freeze-thaw": FreezeThaw,
}
"""Samplers by name."""

_FEW_TRIALS = 10
_MOST_SOBOL_DIMENSIONS = 21_201
_MOST_PROCESS_TRIALS, _MOST_PROCESS_DIMENSIONS, _MOST_PROCESS_WORKERS = 250, 20, 32
_MOST_CATEGORIES = 1 / 3  # of the parameters, up to which Gaussian processes are asked
_MOST_FRONT_OBJECTIVES = 3
_MOST_CMA_DIMENSIONS = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """Who decides, and why: ``reason`` is a sentence for the user."""

    sampler: Sampler
    scheduler: Scheduler
    reason: str


def look(n_finished: int) -> int:
    """How many finished trials the rules look at: 0, 1, 2, 4, 8, ... and 250 of them; in between a choice stays."""
    latest = 1 << (n_finished.bit_length() - 1) if n_finished else 0
    return max(latest, _MOST_PROCESS_TRIALS) if n_finished >= _MOST_PROCESS_TRIALS else latest


def choose(space: Space, history: History, n_trials: int | None, n_workers: int) -> Choice:
    """Sampler and scheduler for a study: the first rule that fits.

    Args:
        space: the joint space as it is known now.
        history: what was tried.
        n_trials: the study's total; None without a limit.
        n_workers: how many trials run at once.
    """
    case = _Case.of(space, history, n_trials, n_workers)
    return _evenly(case) or (_one(case) if case.n_objectives == 1 else _several(case))


@dataclass(frozen=True, slots=True)
class _Case:
    """What the rules look at.

    Attributes:
        n: parameters.
        n_choices, n_conditional: how many of them are unordered choices, and how many exist only under conditions.
        size: configurations of a finite space with at most ``n_trials`` of them.
    """

    n: int
    n_choices: int
    n_conditional: int
    n_objectives: int
    n_finished: int
    n_trials: int | None
    n_workers: int
    size: int | None
    is_declared: bool

    @staticmethod
    def of(space: Space, history: History, n_trials: int | None, n_workers: int) -> _Case:
        domains = {name: domain for name, domain in space.domains.items() if domain.n_values != 1}
        seen = look(history.n_finished)
        choices = [name for name, d in domains.items() if isinstance(d, Categorical) and len(d.labels) > 2]
        return _Case(
            n=len(space),
            n_choices=len(choices),
            n_conditional=len(domains.keys() & (space.conditions.keys() | _sometimes_missing(history, seen))),
            n_objectives=len(history.study.directions),
            n_finished=seen,
            n_trials=n_trials,
            n_workers=n_workers,
            size=space.n_configurations(most=n_trials) if len(space) and n_trials is not None else None,
            is_declared=len(history.declared) == len(space),
        )

    @property
    def parameters(self) -> str:
        return "1 parameter" if self.n == 1 else f"{self.n:,} parameters"

    @property
    def trials(self) -> str:
        if self.n_trials is None:
            return "any number of trials"
        return f"{self.n_trials:,} trial{'s' if self.n_trials != 1 else ''}"

    @property
    def is_for_processes(self) -> bool:
        """Whether most parameters are what a Gaussian process is good at."""
        hard = max(self.n_choices, self.n_conditional)
        return self.n <= _MOST_PROCESS_DIMENSIONS and hard <= _MOST_CATEGORIES * self.n

    @property
    def what_is_hard(self) -> str:
        """Why a Gaussian process is not asked."""
        if self.n_workers > _MOST_PROCESS_WORKERS:
            return f"{self.n_workers} workers"
        if self.n > _MOST_PROCESS_DIMENSIONS:
            return self.parameters
        if self.n_conditional >= self.n_choices:
            return f"{self.n_conditional} of {self.parameters} conditional"
        return f"{self.n_choices} of {self.parameters} unordered choices"


def _sometimes_missing(history: History, n: int) -> set[str]:
    """Parameters that one of the first ``n`` trials lacks and another before had; failed trials may not have come to it."""
    columns = history.columns
    is_missing = np.isnan(columns.params[:n][columns.states[:n] != STATES.index(State.FAILED)])
    seen = np.logical_or.accumulate(~is_missing, axis=0)
    return {name for name, lacks in zip(columns.space.domains, (is_missing & seen).any(axis=0), strict=True) if lacks}


def _evenly(case: _Case) -> Choice | None:
    """Where no model can help: what can be tried completely, what is too short, what is not known yet."""
    if case.size is not None:
        combinations = f"{case.size:,} combination{'s' if case.size != 1 else ''}"
        so_far = "" if case.is_declared else " so far"
        grid = Countable(Grid(), otherwise=Sobol())
        return Choice(grid, Full(), f"{combinations}{so_far}, {case.trials}: trying each once.")
    if case.n > _MOST_SOBOL_DIMENSIONS:
        return Choice(Random(), Full(), f"{case.parameters}, more than Sobol points have dimensions: random search.")
    if case.n_trials is not None and case.n_trials < _FEW_TRIALS:
        what = f"{case.trials}, {case.parameters}" if case.n else case.trials
        return Choice(Sobol(), Full(), f"{what}: no model can help; spreading them evenly.")
    return None


def _one(case: _Case) -> Choice:
    """One objective."""
    if case.n_workers > _MOST_PROCESS_WORKERS or not case.is_for_processes:
        return Choice(TPE(), Full(), f"{case.what_is_hard}: TPE.")
    if case.n_finished < _MOST_PROCESS_TRIALS:
        reason = f"{case.parameters}, {case.trials}: Gaussian process."
        if case.n_trials is None or case.n_trials > _MOST_PROCESS_TRIALS:
            reason = f"{case.parameters}, {case.trials}: Gaussian process for the first {_MOST_PROCESS_TRIALS}."
        return Choice(GP(), Full(), reason)
    after = f"Trial {_MOST_PROCESS_TRIALS}: switching from Gaussian process to"
    if not case.n_choices and not case.n_conditional and 1 < case.n <= _MOST_CMA_DIMENSIONS:
        return Choice(CMAES(), Full(), f"{after} CMA-ES, started at the best tenth.")
    return Choice(TPE(), Full(), f"{after} TPE.")


def _several(case: _Case) -> Choice:
    """Several objectives."""
    objectives = f"{case.n_objectives} objectives, {case.trials}"
    if case.n_finished >= _MOST_PROCESS_TRIALS:
        evolution, name = (NSGA2(), "NSGA-II") if case.n_objectives <= _MOST_FRONT_OBJECTIVES else (NSGA3(), "NSGA-III")
        return Choice(evolution, Full(), f"{objectives}: evolution ({name}) from trial {_MOST_PROCESS_TRIALS} on.")
    if case.n_workers > _MOST_PROCESS_WORKERS or not case.is_for_processes:
        reason = f"{objectives}, {case.what_is_hard}: TPE by Pareto rank."
        return Choice(TPE(), Full(), reason)
    if case.n_objectives > _MOST_FRONT_OBJECTIVES:
        how = "Gaussian processes on random mixtures of the objectives (ParEGO)"
    else:
        how = "Gaussian processes on the Pareto front"
    return Choice(GP(), Full(), f"{objectives}: {how}.")


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
