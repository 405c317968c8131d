"""Grid search that ends when every cell was tried, and covers the whole space wherever it is cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from honed.domains import Domain, Float, Int, Scalar
from honed.errors import NoFeasiblePoint, closest
from honed.history import History
from honed.records import Exhausted, Suggestion, Wait
from honed.samplers.base import Proposal, Stream
from honed.samplers.nodes import Node, Status
from honed.samplers.points import dimensions, point
from honed.samplers.tree import Tree, is_joint, is_planned, tree_of, used_up
from honed.space import Space

_MOST_FORBIDDEN = 100_000  # cells that one question may find forbidden


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination exactly once, then it is exhausted; failed ones stay tried.

    The cells are visited in the order of a Halton sequence: each trial takes the untried cell next to its point. What
    was tried is read from the history, so any number of workers share a grid, and a second run goes on with it. Where the
    parameters are discovered, a worker may have to wait until another one's trial has shown what a branch is made of.

    Args:
        points: values along each axis. A number: so many for each ``Float`` and ``Int``, evenly spaced on its scale, both ends
            included. A mapping: a number, or a list of values, for each name. None, and names that a mapping lacks: all
            values of the domain.
    """

    is_exact: ClassVar[bool] = True  # it keeps book itself of what was tried, see combine.fit_for_use

    points: int | Mapping[str, int | Sequence[Any]] | None = None
    _axes: _Axes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.points, Mapping):
            object.__setattr__(self, "points", dict(self.points))
        object.__setattr__(self, "_axes", _axes_of(self.points))

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        self._axes.check(history, space)
        tree = tree_of(history, space, given, rng.number, self._axes)
        if not is_joint(history, space, given):
            return self._complete(tree, history, space, rng, given)
        targets = _targets(history, space, rng, given)
        for _ in range(_MOST_FORBIDDEN):
            if tree.root.status is Status.CLOSED:
                return Exhausted(used_up(tree.n_tried()))
            if tree.root.status is Status.PENDING:
                return Wait("every cell that is known was tried; running trials will show whether there are more")
            params = _descend(tree, space, targets)
            if history.space.is_allowed(params):
                return Suggestion(params)
            tree.forbid(params)
        raise NoFeasiblePoint(
            f"Grid: the rules forbid {_MOST_FORBIDDEN:,} cells in a row; give it fewer points, or a narrower space"
        )

    def _complete(
        self, tree: Tree, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]
    ) -> Suggestion:
        """Values for what a trial that has begun still asks for: free cells where there are some, else any."""
        targets = _targets(history, space, rng, given)
        params = dict(given)
        for depth, (name, domain) in enumerate(space.domains.items(), start=len(given)):
            options = tree.options(params, name, domain)
            values = self._axes(name, domain) or ()
            if options is None:
                order = [values[i] for i in _ordered(len(values), rng.number >> depth)]
            else:
                near = sorted(_nearest(len(values), targets[name]), key=lambda i: options[i][1])
                order = [values[i] for i in near]
            params[name] = next((v for v in order if history.space.is_allowed({**params, name: v})), order[0])
        return Suggestion({name: params[name] for name in space.domains})


def _descend(tree: Tree, space: Space, targets: Mapping[str, float]) -> dict[str, Scalar]:
    """The free cell next to the targets, as far as the tree is known."""
    node: Node | None = tree.root
    params = dict[str, Scalar]()
    while (level := tree.level(node, params)) is not None and is_planned(level, space):
        cells = level.cells or ()
        near = _nearest(len(cells), targets[level.name])
        cell = next((i for i in near if node is None or node.status_of(i) is Status.FREE), 0)
        params[level.name] = cells[cell]
        node = None if node is None else tree.enter(node, cell)
    return params


def _targets(history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> dict[str, float]:
    """The trial's point: name -> coordinate."""
    if rng.round:
        return {name: rng.uniform(name) for name in space.domains}
    places = dict(dimensions(history, space, given))
    units = point("halton", rng.seed, rng.number, max(places.values(), default=0) + 1)
    return {name: units[place] for name, place in places.items()}


def _nearest(n: int, target: float) -> Iterator[int]:
    """All cells of ``n``, the one at ``target`` in [0, 1) first, then by distance from it."""
    middle = min(int(target * n), n - 1)
    side = 1 if target * n - middle >= 0.5 else -1
    yield middle
    for distance in range(1, n):
        for cell in (middle + side * distance, middle - side * distance):
            if 0 <= cell < n:
                yield cell


def _ordered(n: int, first: int) -> list[int]:
    """All cells of ``n``, from the ``first``-th on in an order that jumps about.

    Trials that begin before anything is known are told apart by it: the one with number k takes the (k >> depth)-th cell at
    each depth, so that two of them part somewhere, as long as there are fewer than 2 to the power of the depth.
    """
    step = next(s for s in range(max(1, round(0.618 * n)), n + 2) if _is_coprime(s, n))
    return [(first + i) * step % n for i in range(n)]


def _is_coprime(a: int, b: int) -> bool:
    while b:
        a, b = b, a % b
    return a == 1


# --------------------------------------------------------------------------------------------------------- the axes


@dataclass(frozen=True, slots=True, eq=False)
class _Axes:
    """The cells of each parameter under a grid's settings."""

    points: int | Mapping[str, int | Sequence[Any]] | None

    def __post_init__(self) -> None:
        named = self.points if isinstance(self.points, Mapping) else {"": self.points}
        for name, points in named.items():
            where = f"points[{name!r}]" if name else "points"
            if isinstance(points, int) and not isinstance(points, bool):
                if points < 1:
                    raise ValueError(f"Grid: {where}={points} must be at least 1")
            elif name and (not isinstance(points, Sequence) or isinstance(points, str) or not points):
                raise ValueError(f"Grid: {where}={points!r} must be a number of points or a list of values")
            elif not name and points is not None:
                raise TypeError(
                    f"Grid: points={points!r} must be a number, or a mapping such as {{'lr': 5, 'units': [32, 64]}}"
                )

    def check(self, history: History, space: Space) -> None:
        """Refuses what can never become a grid.

        Raises:
            ValueError: a continuous parameter without points, points that are outside a domain, or for a name that a
                declared space does not have.
        """
        for name, domain in space.domains.items():
            _cells(self, name, domain)
        if isinstance(self.points, Mapping) and len(history.declared):
            for name in self.points:
                if name not in history.space and name not in space:
                    hint = closest(name, history.declared.domains)
                    raise ValueError(f"Grid: points has {name!r}, which is not in the space.{hint}")

    def __call__(self, name: str, domain: Domain) -> tuple[Scalar, ...] | None:
        """The cells of a parameter; None for a domain of former trials that has no grid."""
        try:
            return _cells(self, name, domain)
        except ValueError:
            return None


@lru_cache(maxsize=16)
def _shared_axes(points: int | None) -> _Axes:
    return _Axes(points)


def _axes_of(points: Any) -> _Axes:
    is_simple = points is None or (isinstance(points, int) and not isinstance(points, bool))
    return _shared_axes(points) if is_simple else _Axes(points)


@lru_cache(maxsize=4096)
def _cells(axes: _Axes, name: str, domain: Domain) -> tuple[Scalar, ...]:
    points = axes.points.get(name) if isinstance(axes.points, Mapping) else axes.points
    if not isinstance(axes.points, Mapping) and not isinstance(domain, Float | Int):
        points = None
    if isinstance(points, Sequence):
        try:
            return tuple(dict.fromkeys(domain.to_stored(value) for value in points))
        except ValueError as error:
            raise ValueError(f"Grid: points of {name!r}: {error}") from None
    try:
        return domain.grid(points)
    except ValueError as error:
        raise ValueError(f"Grid: {name!r}: {error}; for example Grid(points={{{name!r}: 5}})") from None
