"""The columns that density samplers work with: numbers on the unit interval, snapped to what exists, and choices.

As in ``honed.encode``, but for ordinals: their choices lie in the middle of equal cells, (i + 1/2) / n, as whole numbers do, so
that a uniform draw takes each of them equally often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from honed.algorithms.parzen import Choices, Columns
from honed.domains import Categorical, Domain, Ordinal, Scalar
from honed.encode import INACTIVE, UNKNOWN_CHOICE, coordinate
from honed.history import Floats
from honed.space import Space

_MOST_SNAPPED = 2_000  # beyond, neighbouring values are so close that decoding does what snapping would


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One domain as a column.

    Attributes:
        values: of a domain with few values, or ().
        units: [n] where they lie, for numbers and ordinals.
        borders: [n - 1] between them.
        prior: [n] probabilities, for unordered choices.
    """

    domain: Domain
    values: tuple[Scalar, ...] = ()
    units: Floats | None = None
    borders: Floats | None = None
    prior: Floats | None = None

    def unit(self, value: Scalar) -> float:
        """The coordinate of a stored value, also of one that the domain does not contain (any more)."""
        at = coordinate(self.domain, value)
        if isinstance(self.domain, Ordinal):
            return INACTIVE if at == UNKNOWN_CHOICE else (at * (len(self.values) - 1) + 0.5) / len(self.values)
        return at

    def value(self, unit: float) -> Scalar:
        """The stored value at a coordinate."""
        if self.prior is not None:
            return self.values[int(unit)]
        if self.borders is not None:
            return self.values[int(self.borders.searchsorted(unit))]
        return self.domain.decode(unit)


@lru_cache(maxsize=4_096)
def axis_of(domain: Domain) -> Axis:
    """The column of a domain."""
    n = domain.n_values
    if isinstance(domain, Categorical):
        shares = np.asarray(domain.weights or (1.0,) * len(domain.labels))
        return Axis(domain, domain.grid(), prior=shares / shares.sum())
    if n is None or n > _MOST_SNAPPED:
        return Axis(domain)
    values = domain.grid()
    units = (np.arange(n) + 0.5) / n
    if not isinstance(domain, Ordinal):
        units = np.array([domain.encode(value) for value in values])
    return Axis(domain, values, units, (units[1:] + units[:-1]) / 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """The columns of a space.

    Attributes:
        columns: numbers and ordinals, and choices.
        snapped: the numeric ones with few values.
        ordinals: column and number of choices.
        cells: [numeric, 1] the width of a cell in each numeric column; 0 where there are many values.
        conditions: column, and for each parent its column and the wanted coordinates.
        is_finite: whether all columns have few values.
        discovered: columns whose conditions nobody has declared.
    """

    space: Space
    axes: tuple[Axis, ...]
    columns: Columns
    snapped: tuple[tuple[int, Axis], ...]
    ordinals: tuple[tuple[int, int], ...]
    cells: Floats
    conditions: tuple[tuple[int, tuple[tuple[int, tuple[float, ...]], ...]], ...]
    is_finite: bool
    discovered: tuple[int, ...]

    def tidy(self, points: Floats) -> Floats:
        """Coordinates of a history (``honed.encode``) as coordinates here: [n, d], changed in place."""
        for column, n in self.ordinals:
            at = points[:, column]
            points[:, column] = np.where(at == UNKNOWN_CHOICE, np.nan, (at * (n - 1) + 0.5) / n)
        numbers = points[:, self.columns.numeric]  # a view, or a copy where there are choices
        np.maximum(numbers, 0.0, out=numbers)
        np.minimum(numbers, 1.0, out=numbers)
        if self.columns.choices:
            points[:, self.columns.numeric] = numbers
        return points

    def encoded(self, points: Floats) -> Floats:
        """Coordinates here as those of a history (``honed.encode``): [n, d]."""
        if not self.ordinals:
            return points
        found = points.copy()
        for column, n in self.ordinals:
            found[:, column] = (points[:, column] * n - 0.5) / max(n - 1, 1)
        return found

    def snap(self, points: Floats) -> None:
        """Moves points [n, d] to values that exist."""
        for column, axis in self.snapped:
            assert axis.units is not None
            assert axis.borders is not None
            points[:, column] = axis.units[axis.borders.searchsorted(points[:, column])]

    def deactivate(self, points: Floats) -> None:
        """Makes columns NaN where their declared conditions do not hold."""
        for column, parents in self.conditions:
            is_active = np.ones(len(points), dtype=bool)
            for parent, wanted in parents:
                is_active &= np.isclose(points[:, parent, None], wanted, rtol=0.0, atol=1e-9).any(axis=1)
            points[~is_active, column] = np.nan

    def params(self, point: Iterable[float]) -> dict[str, Scalar]:
        """The stored values at a point; a NaN has none."""
        named = zip(self.space.domains, self.axes, point, strict=True)
        return {name: axis.value(at) for name, axis, at in named if at == at}


def axes_of(space: Space) -> Axes:
    """The columns of a space, in its order."""
    axes = tuple(map(axis_of, space.domains.values()))
    place = {name: i for i, name in enumerate(space.domains)}
    conditions = tuple(
        (place[name], tuple((place[p], tuple(axes[place[p]].unit(v) for v in wanted)) for p, wanted in when.items()))
        for name, when in _in_order(space)
    )
    choices = tuple(Choices(i, axis.prior) for i, axis in enumerate(axes) if axis.prior is not None)
    numeric = np.array([i for i, axis in enumerate(axes) if axis.prior is None], dtype=np.int64)
    cells = [1.0 / len(axis.values) if axis.values else 0.0 for axis in axes if axis.prior is None]
    declared = set(space.declared)
    return Axes(
        space=space,
        axes=axes,
        columns=Columns(numeric if choices else slice(None), choices),
        snapped=tuple((i, axis) for i, axis in enumerate(axes) if axis.borders is not None),
        ordinals=tuple((i, len(axis.values)) for i, axis in enumerate(axes) if isinstance(axis.domain, Ordinal)),
        cells=np.array(cells).reshape(-1, 1),
        conditions=conditions,
        is_finite=all(axis.values for axis in axes),
        discovered=tuple(i for name, i in place.items() if name not in declared),
    )


def _in_order(space: Space) -> Iterable[tuple[str, Mapping[str, tuple[Scalar, ...]]]]:
    """The conditions, parents first."""
    return ((name, space.conditions[name]) for name in space.domains if name in space.conditions)
