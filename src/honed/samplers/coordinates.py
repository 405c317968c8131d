"""A space as the columns of a model: which are numbers, which values they may take, and when they are active.

Declared conditions are followed. Names that a define-by-run objective asks for only sometimes have none: a condition
is inferred where the trials so far agree with "active for these values of that parameter".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from honed.algorithms.kernels import Layout
from honed.algorithms.optimize_acquisition import Region
from honed.domains import Categorical, Domain, Ordinal, Scalar
from honed.encode import coordinate
from honed.history import Columns
from honed.records import TrialRecord
from honed.space import Space

Floats = npt.NDArray[np.float64]

FEW = 16
"""A parameter with at most this many values is searched value by value."""

_MOST_CELLS = 1000  # more values than this are searched as a continuum, and snapped at the end
_FARTHEST = 1.0  # coordinates of values outside today's range are cut at this distance


@dataclass(frozen=True, slots=True)
class Condition:
    """Column ``child`` is active where column ``parent`` has one of these coordinates."""

    child: int
    parent: int
    allowed: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The columns of a model.

    Attributes:
        domains: by name, in the order of the columns.
        layout: what each column is.
        grids: allowed coordinates of each column; None for a continuum.
        conditions: parents before their children.
    """

    domains: Mapping[str, Domain]
    layout: Layout
    grids: tuple[Floats | None, ...]
    conditions: tuple[Condition, ...]

    @staticmethod
    def of(space: Space, domains: Mapping[str, Domain], xs: Floats) -> Coordinates:
        """The columns of ``domains`` with the trials xs [n, d]."""
        names = list(domains)
        declared = _declared(space, domains)
        known = {condition.child for condition in declared}
        n_choices = tuple(len(d.labels) if isinstance(d, Categorical) else 0 for d in domains.values())
        is_missing = [bool(column.any()) for column in np.isnan(xs).T]
        is_conditional = tuple(is_missing[j] or j in known for j in range(len(names)))
        grids = tuple(_grid(domain) for domain in domains.values())
        parents = [j for j, grid in enumerate(grids) if grid is not None and len(grid) <= FEW]
        found = [*declared, *(c for j in range(len(names)) if j not in known and (c := _inferred(xs, j, parents)))]
        return Coordinates(domains, Layout(n_choices, is_conditional), grids, tuple(found))

    def row(self, params: Mapping[str, Scalar]) -> Floats:
        """[d] of params; NaN where they lack a name."""
        values = [coordinate(d, params[name]) if name in params else np.nan for name, d in self.domains.items()]
        row: Floats = within(np.array([values]), self.layout)[0]
        return row

    def canonical(self, xs: Floats) -> Floats:
        """The points with NaN where a parameter is not active."""
        if not self.conditions:
            return xs
        xs = xs.copy()
        for condition in self.conditions:
            x = xs[:, condition.parent]
            distance = np.abs(x[:, None] - condition.allowed)
            xs[~(np.nan_to_num(distance, nan=1.0) < 1e-6).any(axis=1), condition.child] = np.nan
        return xs

    def at(self, units: Floats) -> Floats:
        """The allowed points [m, d] that uniform points stand for: each domain's own density."""
        xs = units.copy()
        for j, (domain, grid) in enumerate(zip(self.domains.values(), self.grids, strict=True)):
            if grid is None:
                continue
            if isinstance(domain, Categorical):
                index = np.searchsorted(_cumulative(domain), units[:, j], side="right")
            elif isinstance(domain, Ordinal):
                index = (units[:, j] * len(grid)).astype(np.int64)
            else:
                index = np.searchsorted(0.5 * (grid[1:] + grid[:-1]), units[:, j])
            xs[:, j] = grid[np.clip(index, 0, len(grid) - 1)]
        return xs

    def region(self, free: Sequence[str], held: Floats, low: Floats, high: Floats) -> Region:
        """Where to search: the columns of ``free`` between the bounds, the others at ``held`` [d]."""
        low, high = low.copy(), high.copy()
        few = []
        for j, (name, grid) in enumerate(zip(self.domains, self.grids, strict=True)):
            if name not in free:
                low[j] = high[j] = held[j]
            elif grid is not None and len(grid) <= FEW:
                few.append(j)
        return Region(low, high, self.grids, few, self.canonical)

    def bounds(self) -> tuple[Floats, Floats]:
        """The lowest and the highest coordinates [d]."""
        low = np.array([0.0 if grid is None else grid[0] for grid in self.grids])
        high = np.array([1.0 if grid is None else grid[-1] for grid in self.grids])
        return low, high

    def params(self, x: Floats, free: Sequence[str]) -> dict[str, Scalar]:
        """The stored values of ``free`` at a point, without those that are not active."""
        named = zip(self.domains.items(), x.tolist(), strict=True)
        return {name: _value(domain, c) for (name, domain), c in named if name in free and not np.isnan(c)}


def columns_of(
    columns: Columns, domains: Mapping[str, Domain], records: Sequence[TrialRecord], rows: npt.NDArray[np.int64]
) -> Floats:
    """The coordinates [n, d] of finished trials under ``domains``.

    Args:
        records: all finished trials, for names whose domain is not the joint one.
        rows: which of them, in order.
    """
    places = {name: i for i, name in enumerate(columns.space.domains)}
    xs = np.full((len(rows), len(domains)), np.nan)
    for j, (name, domain) in enumerate(domains.items()):
        if name in places and (domain is columns.space[name] or domain == columns.space[name]):
            xs[:, j] = columns.params[rows, places[name]]
            continue
        for i, row in enumerate(rows.tolist()):
            if name in records[row].params:
                xs[i, j] = coordinate(domain, records[row].params[name])
    return xs


def rows_of(domains: Mapping[str, Domain], configurations: Sequence[Mapping[str, Scalar]]) -> Floats:
    """The coordinates [n, d] of params; NaN where they lack a name."""
    xs = np.full((len(configurations), len(domains)), np.nan)
    for i, params in enumerate(configurations):
        for j, (name, domain) in enumerate(domains.items()):
            if name in params:
                xs[i, j] = coordinate(domain, params[name])
    return xs


def within(xs: Floats, layout: Layout) -> Floats:
    """The points with numbers cut a little outside the unit interval."""
    numbers = layout.numbers
    xs[:, numbers] = np.clip(xs[:, numbers], -_FARTHEST, 1.0 + _FARTHEST)
    return xs


def _value(domain: Domain, x: float) -> Scalar:
    if isinstance(domain, Categorical):
        return domain.labels[round(x)]
    if isinstance(domain, Ordinal):
        return domain.labels[round(x * (len(domain.labels) - 1))]
    return domain.decode(min(max(x, 0.0), 1.0))


def _grid(domain: Domain) -> Floats | None:
    if isinstance(domain, Categorical) and domain.weights is not None:
        return np.flatnonzero(domain.weights).astype(np.float64)
    n = domain.n_values
    if n is None or (n > _MOST_CELLS and not isinstance(domain, Categorical | Ordinal)):
        return None
    return np.array([domain.encode(value) for value in domain.grid()])


def _cumulative(domain: Categorical) -> Floats:
    """The upper ends of the shares of the choices that may be drawn."""
    weights = [weight for weight in (domain.weights or [1.0] * len(domain.labels)) if weight > 0]
    return np.array(list(accumulate(weights))) / sum(weights)


def _declared(space: Space, domains: Mapping[str, Domain]) -> list[Condition]:
    places = {name: j for j, name in enumerate(domains)}
    found = []
    for child, when in space.conditions.items():
        for parent, wanted in when.items():
            if child in places and parent in places:
                allowed = np.array([coordinate(domains[parent], value) for value in wanted])
                found.append(Condition(places[child], places[parent], allowed))
    return sorted(found, key=lambda condition: condition.child)


def _inferred(xs: Floats, child: int, parents: Sequence[int]) -> Condition | None:
    """The first earlier one of ``parents`` whose values decide whether ``child`` is active, in all trials."""
    is_active = ~np.isnan(xs[:, child])
    if is_active.all() or not is_active.any():
        return None
    for parent in parents:
        if parent >= child:
            break
        x = xs[:, parent]
        values = np.unique(x[is_active])
        values = values[~np.isnan(values)]
        others = x[~is_active]
        if not np.isnan(x[is_active]).any() and not np.isin(values, others).any():
            return Condition(child, parent, values)
    return None
