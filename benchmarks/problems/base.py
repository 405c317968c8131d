"""A problem: a space, what a trial is told there, and how good a study was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.tables import RowTask
from benchmarks.tables.base import Floats
from honed.algorithms.hypervolume import hypervolume
from honed.domains import Scalar
from honed.samplers.base import Stream
from honed.space import Space, random_params

Params = Mapping[str, Scalar]
Values = tuple[float, ...]

N_REFERENCE = 2_000
"""Random configurations whose median is the reference of a function."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What samplers are compared on.

    Attributes:
        tell: the values that a trial of these params is told, and what the params are worth without the luck of the trial.
        loss: from what trials were told and are worth, both [n, m] in their order, how much a study missed: 0 is the
            optimum, or the whole hypervolume.
        pool: the rows among which a suggestion takes the nearest free one; None where params are taken as they are.
    """

    name: str
    space: Space
    tell: Callable[[Params, Stream], tuple[Values, Values]]
    loss: Callable[[Floats, Floats], float]
    n_objectives: int = 1
    pool: RowTask | None = None

    def moved(self, params: Params, taken: list[int]) -> Params:
        """In pool mode: the nearest row that no trial has yet, which is taken now."""
        if self.pool is None:
            return params
        free = np.ones(len(self.pool.rows), dtype=bool)
        free[taken] = False
        taken.append(self.pool.nearest(params, free))
        return self.pool.rows[taken[-1]]


@dataclass(frozen=True, slots=True)
class Regret:
    """How far what looks best is from the optimum: 0 there, 1 at the reference or beyond."""

    optimum: float
    reference: float

    def __call__(self, told: Floats, worth: Floats) -> float:
        leader = int(np.argmin(np.where(np.isnan(told[:, 0]), np.inf, told[:, 0])))
        share = (float(worth[leader, 0]) - self.optimum) / (self.reference - self.optimum)
        return min(max(share, 0.0), 1.0) if share == share else 1.0


@dataclass(frozen=True, slots=True)
class MissedVolume:
    """The share of the hypervolume of the best known front that the trials do not dominate.

    Attributes:
        reference: [m] worse than what counts.
        volume: of the best known front.
    """

    reference: tuple[float, ...]
    volume: float

    def __call__(self, told: Floats, worth: Floats) -> float:
        return max(1.0 - hypervolume(worth, np.array(self.reference)) / self.volume, 0.0)


def of_measure(
    name: str, space: Space, measure: Callable[[Params], float], *, optimum: float, noise: float = 0.0
) -> Problem:
    """A function of params, if wished with Gaussian noise that belongs to the trial.

    Args:
        noise: its standard deviation, as a share of the way from the optimum to the reference.
    """
    reference = float(np.median([measure(params) for params in random_params(space, N_REFERENCE)]))
    deviation = noise * (reference - optimum)

    def tell(params: Params, rng: Stream) -> tuple[Values, Values]:
        value = measure(params)
        luck = deviation * float(rng.generator("noise").standard_normal()) if deviation else 0.0
        return (value + luck,), (value,)

    return Problem(name, space, tell, Regret(optimum, reference))
