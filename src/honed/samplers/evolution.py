"""Two simple evolutions: differences of points for numbers, ageing and mutation for architectures."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from honed.domains import Scalar
from honed.history import Floats, History
from honed.records import Suggestion, TrialRecord
from honed.samplers.axes import Axes, axes_of
from honed.samplers.base import Stream
from honed.samplers.generations import (
    WORST,
    Merit,
    at_random,
    filled,
    is_single,
    key_of,
    merit_of,
    point_of,
    random_point,
    reflected,
    sign_of,
    stepped,
    suggestion,
)
from honed.space import Space

Strategy = Literal["rand", "current-to-best"]

_FEWEST = 4  # a base, a target, and two to take the difference of
_CHOICE_MUTATION = 0.05


@dataclass(frozen=True, slots=True)
class DifferentialEvolution:
    """Differential evolution (Storn, Price 1997): a good point plus the difference of two others, crossed with its target.

    Trial ``k`` challenges member ``k mod population_size`` and takes its place if it is at least as good; so there are no
    generations to wait for. Robust on rugged numeric landscapes from a few hundred trials on; choices take the base's
    value or that of the difference. Where a parameter is not active in a parent, its coordinate is drawn at random. A trial
    that violates measured constraints is as good as its violation is small, and worse than all that keep them.

    Args:
        population_size: by default twice the number of parameters, between 10 and 40.
        strategy: "rand" starts from a random member (rand/1/bin), "current-to-best" from the target on the way to the best
            one (current-to-best/1/bin), which is faster and narrower.
        scale: of differences (F).
        crossover: how probably a coordinate is taken from the new point (CR).
    """

    population_size: int | None = None
    strategy: Strategy = "current-to-best"
    scale: float = 0.6
    crossover: float = 0.8

    most_objectives: ClassVar[int] = 1

    def __post_init__(self) -> None:
        n = self.population_size
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < _FEWEST):
            raise ValueError(
                f"DifferentialEvolution: population_size={n!r} must be a whole number of at least {_FEWEST}"
            )
        if self.strategy not in ("rand", "current-to-best"):
            raise ValueError(
                f"DifferentialEvolution: strategy={self.strategy!r} is unknown; use 'rand', 'current-to-best'"
            )
        for name, value in (("scale", self.scale), ("crossover", self.crossover)):
            if not isinstance(value, int | float) or not 0.0 < value <= (2.0 if name == "scale" else 1.0):
                raise ValueError(f"DifferentialEvolution: {name}={value!r} must be above 0 and at most 1 (scale: 2)")

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        if is_single(history, space, given):
            return at_random(space, rng)
        size = self.population_size or min(max(2 * len(space), 10), 40)
        members = history.fold(
            ("de", size, key_of(space)), lambda: _Members(axes_of(space), size, sign_of(history)), _Members.add
        )
        target = rng.number % size
        if rng.number < size or len(members.known) < _FEWEST:
            return at_random(space, rng)
        return suggestion(members.axes, self._challenger(members, target, rng), {"challenges": target})

    def _challenger(self, members: _Members, target: int, rng: Stream) -> Floats:
        generator, axes = rng.generator("de"), members.axes
        others = [slot for slot in sorted(members.known) if slot != target]
        picked = generator.permutation(len(others))[:3]
        base, plus, minus = (filled(axes, members.known[others[i]][2], rng) for i in picked)
        current = filled(axes, members.known[target][2], rng) if target in members.known else base
        if self.strategy == "rand":
            start = base
        else:
            best = filled(axes, min(members.known.values(), key=lambda known: known[:2])[2], rng)
            start = current + self.scale * (best - current)
            base = best
        is_choice = np.array([axis.prior is not None for axis in axes.axes])
        mutant = reflected(start + self.scale * (plus - minus))
        differs = is_choice & (plus != minus) & (generator.random(len(base)) < self.scale)
        mutant = np.where(is_choice, np.where(differs, plus, base), mutant)
        is_new = is_choice & (generator.random(len(base)) < _CHOICE_MUTATION)
        mutant = np.where(is_new, random_point(axes, rng), mutant)
        is_crossed = generator.random(len(base)) < self.crossover
        is_crossed[generator.integers(len(base))] = True
        return np.where(is_crossed, mutant, current)


class _Members:
    """The best trial of each slot; a slot has every ``size``-th trial number, so that the order of finishing plays no part."""

    def __init__(self, axes: Axes, size: int, sign: float) -> None:
        self.axes = axes
        self.known: dict[int, tuple[Merit, int, Floats]] = {}
        self._size, self._sign = size, sign

    def add(self, record: TrialRecord) -> None:
        """Takes in a finished trial; of equal ones the later stays."""
        merit, slot = merit_of(record, self._sign), record.number % self._size
        if merit is None or merit == WORST:
            return
        held = self.known.get(slot)
        if held is None or (merit, -record.number) < held[:2]:
            self.known[slot] = (merit, -record.number, point_of(self.axes, record.params))


# ------------------------------------------------------------------------------------------------ regularized evolution


@dataclass(frozen=True, slots=True)
class RegularizedEvolution:
    """Regularized (ageing) evolution (Real, Aggarwal, Huang, Le 2018, arXiv 1802.01548): for architectures and choices.

    The best of a random sample of the latest trials gets one of its parameters changed; what is old is forgotten, so a
    lucky result does not rule for ever. Conditional parameters are at home: only active ones change, and what a change
    makes active is drawn at random. Numbers move by a step of about a tenth of their range. Measured constraints count
    before the loss.

    Args:
        population_size: how many of the latest finished trials count; so many trials are random at first.
        sample_size: how many of them compete.
    """

    population_size: int = 40
    sample_size: int = 10

    most_objectives: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name, n, least in (("population_size", self.population_size, 2), ("sample_size", self.sample_size, 1)):
            if isinstance(n, bool) or not isinstance(n, int) or n < least:
                raise ValueError(f"RegularizedEvolution: {name}={n!r} must be a whole number of at least {least}")
        if self.sample_size > self.population_size:
            text = f"sample_size={self.sample_size} is above population_size={self.population_size}; make it smaller"
            raise ValueError(f"RegularizedEvolution: {text}")

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        if is_single(history, space, given):
            return at_random(space, rng)
        latest = history.fold(
            ("evolution", self.population_size), lambda: _Latest(self.population_size, sign_of(history)), _Latest.add
        ).trials
        if rng.number < self.population_size or not latest:
            return at_random(space, rng)
        generator = rng.generator("evolution")
        rivals = generator.permutation(len(latest))[: self.sample_size]
        parent = min((latest[i] for i in rivals), key=lambda entry: (entry[0], entry[1].number))[1]
        axes = axes_of(space)
        point = point_of(axes, parent.params)
        changeable = [i for i, axis in enumerate(axes.axes) if not np.isnan(point[i]) and axis.domain.n_values != 1]
        child = filled(axes, point, rng)
        if changeable:
            i = changeable[int(generator.integers(len(changeable)))]
            child[i] = stepped(axes.axes[i], child[i], 0.1, generator)
        return suggestion(axes, child, {"mutated": parent.number})


class _Latest:
    """The latest finished trials with a value."""

    def __init__(self, size: int, sign: float) -> None:
        self.trials: deque[tuple[Merit, TrialRecord]] = deque(maxlen=size)
        self._sign = sign

    def add(self, record: TrialRecord) -> None:
        """Takes in a finished trial."""
        merit = merit_of(record, self._sign)
        if merit is not None and merit < WORST:
            self.trials.append((merit, record))
