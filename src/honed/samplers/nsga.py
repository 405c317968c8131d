"""Genetic search for several objectives: parents from the best trials so far, children by crossover and mutation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from honed.algorithms.genetic import Ints, crossover, merit, mutate, select, select_by_niche
from honed.domains import Scalar
from honed.history import Floats, History
from honed.records import Direction, State, Suggestion, TrialRecord
from honed.samplers.axes import Axes, axes_of
from honed.samplers.base import Stream
from honed.samplers.generations import at_random, filled, is_single, key_of, point_of, random_point, stepped, suggestion
from honed.space import Space

_MOST = 1e300
_EXCHANGE = 0.5
_SHARE, _FEWEST = 4, 10  # the best quarter has children while there are few trials: the best 50 of 60 are no selection
_FEWEST_SELECTED = 50  # small generations are forgotten several at a time, which costs less and loses nothing
_SAME = 1e-12
_STEP = 0.1

Select = Callable[[Floats, int, Floats], Ints]


@dataclass(frozen=True, slots=True)
class NSGA2:
    """NSGA-II (Deb, Pratap, Agarwal, Meyarivan 2002), for two or three objectives and many trials; it never waits.

    Each trial has two parents from the best trials so far, by non-domination rank and then by how empty their
    neighbourhood is; trials that keep all measured constraints come before those that do not, and of these the smaller
    violation wins. Choices are exchanged and mutate to any other one. Where a parameter is not active in a parent, the
    other parent's value counts, or a random one.

    Args:
        population_size: how many of the best trials are parents, but at most a quarter of all (and at least 10); half as many
            trials are random at first.
        crossover: how probably a child has two parents rather than one.
        eta: of crossover and mutation; the larger, the nearer are children to their parents.
        mutation: how probably each parameter mutates; by default 1 / number of parameters.
    """

    population_size: int = 50
    crossover: float = 0.9
    eta: float = 20.0
    mutation: float | None = None

    def __post_init__(self) -> None:
        _check("NSGA2", self)

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        return _suggest(_Breeder("nsga2", self, select), history, space, rng, given)


@dataclass(frozen=True, slots=True)
class NSGA3:
    """NSGA-III (Deb, Jain 2014), for four and more objectives, where nearly all trials are equally good by rank.

    As ``NSGA2``, but those trials stay that lie nearest to reference directions which are spread evenly over the objectives,
    and parents are drawn from them at random.

    Args:
        population_size: as for ``NSGA2``; there are about as many reference directions.
        crossover: as for ``NSGA2``.
        eta: as for ``NSGA2``.
        mutation: as for ``NSGA2``.
    """

    population_size: int = 50
    crossover: float = 0.9
    eta: float = 20.0
    mutation: float | None = None

    def __post_init__(self) -> None:
        _check("NSGA3", self)

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        return _suggest(_Breeder("nsga3", self, select_by_niche), history, space, rng, given)


def _check(name: str, settings: NSGA2 | NSGA3) -> None:
    n = settings.population_size
    if isinstance(n, bool) or not isinstance(n, int) or n < 4:
        raise ValueError(f"{name}: population_size={n!r} must be a whole number of at least 4")
    if not isinstance(settings.eta, int | float) or settings.eta <= 0.0:
        raise ValueError(f"{name}: eta={settings.eta!r} must be a number above 0, such as 20")
    for setting, value in (("crossover", settings.crossover), ("mutation", settings.mutation)):
        if value is not None and (not isinstance(value, int | float) or not 0.0 <= value <= 1.0):
            raise ValueError(f"{name}: {setting}={value!r} must be a probability from 0 to 1")


@dataclass(frozen=True, slots=True)
class _Breeder:
    """What the two have in common.

    Attributes:
        select: who of many stay.
    """

    name: str
    settings: NSGA2 | NSGA3
    select: Select


def _suggest(breeder: _Breeder, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
    if is_single(history, space, given):
        return at_random(space, rng)
    size, directions = breeder.settings.population_size, history.study.directions
    pool = history.fold(
        (breeder.name, size, key_of(space)),
        lambda: _Pool(axes_of(space), size, directions, breeder.select),
        _Pool.add,
    )
    parents = pool.parents()
    if rng.number < size // 2 or len(parents.points) < 2:
        return at_random(space, rng)
    generator = rng.generator(breeder.name)
    first, second = _pair(parents, breeder.name == "nsga2", generator)
    child = _child(breeder.settings, pool.axes, parents.points[first], parents.points[second], rng)
    note = {"generation": pool.n_generations, "parents": [int(parents.numbers[first]), int(parents.numbers[second])]}
    return suggestion(pool.axes, child, {breeder.name: note})


def _pair(parents: _Parents, competes: bool, rng: np.random.Generator) -> tuple[int, int]:
    """Two different parents; by binary tournaments, or any."""
    order = rng.permutation(len(parents.points))
    if not competes or len(order) < 4:
        return int(order[0]), int(order[1])
    better = [min(order[i : i + 2], key=lambda row: (parents.ranks[row], -parents.crowding[row])) for i in (0, 2)]
    return int(better[0]), int(better[1])


def _child(settings: NSGA2 | NSGA3, axes: Axes, a: Floats, b: Floats, rng: Stream) -> Floats:
    generator = rng.generator("child")
    is_active = ~np.isnan(a)
    a, b = np.where(np.isnan(a), b, a), np.where(np.isnan(b), a, b)
    a, b = filled(axes, a, rng), filled(axes, b, rng)
    free = np.array([axis.domain.n_values != 1 for axis in axes.axes])
    is_choice = np.array([axis.prior is not None for axis in axes.axes])
    share = 1.0 / max(int(free.sum()), 1) if settings.mutation is None else settings.mutation
    child = a.copy()
    if generator.random() < settings.crossover:
        crossed = crossover(np.where(is_choice, 0.0, a), np.where(is_choice, 0.0, b), settings.eta, generator)[0]
        exchanged = np.where(generator.random(len(a)) < _EXCHANGE, a, b)
        child = np.where(is_choice, exchanged, crossed)
    child = _mutated(axes, child, settings.eta, share, rng, generator)
    visible, seen = np.flatnonzero(free & is_active), np.array([child, a])
    axes.snap(seen)
    if visible.size and (np.abs(seen[0] - seen[1])[visible] < _SAME).all():  # a copy teaches nothing
        i = int(generator.choice(visible))
        child[i] = stepped(axes.axes[i], child[i], _STEP, generator)
    return child


def _mutated(axes: Axes, x: Floats, eta: float, share: float, rng: Stream, generator: np.random.Generator) -> Floats:
    is_choice = np.array([axis.prior is not None for axis in axes.axes])
    numbers = mutate(np.where(is_choice, 0.0, x), eta, share, generator)
    is_new = generator.random(len(x)) < share
    return np.where(is_choice, np.where(is_new, random_point(axes, rng, "/mutation"), x), numbers)


class _Row:
    """A finished trial: losses [m], and by how much it violates constraints; most of them never become parents."""

    __slots__ = ("_point", "losses", "number", "params", "violation")

    def __init__(self, record: TrialRecord, losses: Floats) -> None:
        self.number, self.params, self.violation = record.number, record.params, record.violation
        self.losses = losses
        self._point: Floats | None = None

    def point(self, axes: Axes) -> Floats:
        """[d]."""
        if self._point is None:
            self._point = point_of(axes, self.params)
        return self._point


@dataclass(frozen=True, slots=True, eq=False)
class _Parents:
    """Who may have children: numbers [n], points [n, d], ranks [n], crowding distances [n]."""

    numbers: Ints
    points: Floats
    ranks: Ints
    crowding: Floats


class _Pool:
    """The best trials of all generations so far, and those that have finished since; grows with every finished trial.

    A generation is as many finished trials as there are parents.
    """

    def __init__(self, axes: Axes, size: int, directions: tuple[Direction, ...], choose: Select) -> None:
        self.axes = axes
        self.n_generations = 0
        self._size, self._select = size, choose
        self._block = size * max(_FEWEST_SELECTED // size, 1)
        self._signs = np.array([1.0 if direction == "minimize" else -1.0 for direction in directions])
        self._rows: list[_Row] = []
        self._n_new = self._n_told = 0
        self._parents: _Parents | None = None

    def add(self, record: TrialRecord) -> None:
        """Takes in a finished trial; what has no value is not among the parents."""
        if record.state is State.FAILED or record.values is None or any(v != v for v in record.values):
            return
        losses = np.clip(self._signs * np.array(record.values, dtype=np.float64), -_MOST, _MOST)
        self._rows.append(_Row(record, losses))
        self._n_new += 1
        self._n_told += 1
        self._parents = None
        self.n_generations = self._n_told // self._size
        if self._n_new == self._block:
            self._rows = self._best(self._size)
            self._n_new = 0

    def parents(self) -> _Parents:
        """The best so far."""
        if self._parents is None:
            rows = self._best(min(max(self._n_told // _SHARE, _FEWEST), self._size))
            found, distance = merit(*self._arrays(rows))
            points = np.array([row.point(self.axes) for row in rows]).reshape(len(rows), len(self.axes.axes))
            numbers = np.array([row.number for row in rows], dtype=np.int64)
            self._parents = _Parents(numbers, points, found, distance)
        return self._parents

    def _arrays(self, rows: list[_Row]) -> tuple[Floats, Floats]:
        losses = np.array([row.losses for row in rows]).reshape(len(rows), len(self._signs))
        return losses, np.array([row.violation for row in rows])

    def _best(self, n: int) -> list[_Row]:
        """In order of their numbers before selection, so that the order of finishing within a generation plays no part."""
        rows = sorted(self._rows, key=lambda row: row.number)
        if len(rows) <= n:
            return rows
        losses, violations = self._arrays(rows)
        return [rows[i] for i in self._select(losses, n, violations)]
