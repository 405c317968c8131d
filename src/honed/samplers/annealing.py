"""Simulated annealing: a walk near the incumbent, in ever smaller steps."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from honed.domains import Scalar
from honed.history import History
from honed.records import Suggestion, TrialRecord
from honed.samplers.axes import axes_of
from honed.samplers.base import Stream
from honed.samplers.generations import (
    WORST,
    Merit,
    at_random,
    filled,
    is_single,
    merit_of,
    point_of,
    sign_of,
    stepped,
    suggestion,
)
from honed.space import Space

_NARROWEST = 0.02  # of the first step


@dataclass(frozen=True, slots=True)
class Annealing:
    """Simulated annealing (Kirkpatrick, Gelatt, Vecchi 1983), a local search that first accepts worse trials and then fewer.

    The temperature after n finished trials is 1 / (1 + n / half_life). It scales the steps, the share of parameters that
    change at once, and how much worse a trial may be to become the incumbent; worse is counted in ranks, so the scale of
    the losses plays no part, and measured constraints count before the loss. A plain method for spaces in which neighbours
    are alike, and a baseline for others.

    Args:
        width: standard deviation of the first steps, as a share of each range.
        half_life: finished trials until the temperature is a half.
        n_startup: random trials at first.
        tolerance: share of the trials that may lie between the incumbent and a worse one which is accepted with
            probability 1/e at temperature 1.
    """

    width: float = 0.25
    half_life: float = 25.0
    n_startup: int = 10
    tolerance: float = 0.2

    most_objectives: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("width", "half_life", "tolerance"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0.0 < value < math.inf:
                raise ValueError(f"Annealing: {name}={value!r} must be a number above 0")
        if isinstance(self.n_startup, bool) or not isinstance(self.n_startup, int) or self.n_startup < 1:
            raise ValueError(f"Annealing: n_startup={self.n_startup!r} must be a whole number of at least 1")

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        if is_single(history, space, given):
            return at_random(space, rng)
        walk = history.fold(("annealing", self), lambda: _Walk(self, sign_of(history), history.study.seed), _Walk.add)
        if walk.incumbent is None or rng.number < self.n_startup:
            return at_random(space, rng)
        axes, generator = axes_of(space), rng.generator("annealing")
        temperature = self.temperature(history.n_finished)
        point = filled(axes, point_of(axes, walk.incumbent[1].params), rng)
        changeable = [i for i, axis in enumerate(axes.axes) if axis.domain.n_values != 1]
        if changeable:
            is_moved = generator.random(len(changeable)) < max(temperature, 1.0 / len(changeable))
            is_moved[generator.integers(len(changeable))] = True
            width = self.width * max(temperature, _NARROWEST)
            for i in np.array(changeable)[is_moved]:
                point[i] = stepped(axes.axes[i], point[i], width, generator)
        return suggestion(axes, point, {"near": walk.incumbent[1].number})

    def temperature(self, n_finished: int) -> float:
        """From 1 towards 0."""
        return 1.0 / (1.0 + n_finished / self.half_life)


class _Walk:
    """Where the walk is after the trials so far, in the order in which they finished."""

    def __init__(self, sampler: Annealing, sign: float, seed: int) -> None:
        self.incumbent: tuple[Merit, TrialRecord] | None = None
        self._sampler, self._sign, self._seed = sampler, sign, seed
        self._merits: list[Merit] = []
        self._n = 0

    def add(self, record: TrialRecord) -> None:
        """Takes in a finished trial."""
        self._n += 1
        merit = merit_of(record, self._sign)
        if merit is None or merit == WORST:
            return
        insort(self._merits, merit)
        if self.incumbent is None or merit <= self.incumbent[0] or self._is_accepted(merit, record.number):
            self.incumbent = (merit, record)

    def _is_accepted(self, merit: Merit, number: int) -> bool:
        assert self.incumbent is not None
        between = bisect_left(self._merits, merit) - bisect_left(self._merits, self.incumbent[0])
        allowed = self._sampler.tolerance * self._sampler.temperature(self._n)
        chance = math.exp(-between / len(self._merits) / allowed)
        return Stream(self._seed, number).uniform("annealing/accept") < chance
