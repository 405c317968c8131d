"""A parameter in words that every tool knows: a choice, a whole number or a real one, its scale, its conditions.

Ordered values are a whole number, their place in the list; what is dense near 1 is its distance from 1 on a log scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from honed.domains import Categorical, Domain, Float, Int, Scalar
from honed.space import Space

Kind = Literal["choice", "int", "float"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter as a peer sees it.

    Attributes:
        values: of a choice, or the ordered values whose place the number is; else empty.
        conditions: parent -> the values for which this one exists.
    """

    name: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_mirrored: bool = False
    values: tuple[Scalar, ...] = ()
    conditions: Mapping[str, tuple[Scalar, ...]] | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether it is a place in a list of ordered values."""
        return self.kind == "int" and bool(self.values)

    def to_ours(self, value: Any) -> Scalar:
        """Our stored value for a peer's; a choice comes as its index."""
        if self.values:
            place: int = round(value)
            return self.values[place]
        if self.kind == "int":
            whole: int = min(max(round(value), int(self.low)), int(self.high))
            return whole
        x: float = min(max(float(value), self.low), self.high)
        return 1.0 - x if self.is_mirrored else x

    def to_theirs(self, value: Any) -> Any:
        """The other way round."""
        if self.values:
            return next(i for i, known in enumerate(self.values) if known == value and type(known) is type(value))
        if self.kind == "int":
            return int(value)
        return min(max(1.0 - value if self.is_mirrored else float(value), self.low), self.high)


def axes_of(space: Space) -> tuple[Axis, ...]:
    """All parameters, parents before what depends on them."""
    return tuple(_axis(name, domain, space.conditions.get(name)) for name, domain in space.domains.items())


def _axis(name: str, domain: Domain, conditions: Mapping[str, tuple[Scalar, ...]] | None) -> Axis:
    if isinstance(domain, Categorical):
        return Axis(name, "choice", values=domain.grid(), conditions=conditions)
    if isinstance(domain, Int) and domain.step == 1 and domain.factor is None:
        return Axis(name, "int", domain.low, domain.high, domain.log is True, conditions=conditions)
    if isinstance(domain, Float) and domain.n_values is None and domain.log != "reverse":
        if domain.log == "near_one":
            return Axis(name, "float", 1.0 - domain.high, 1.0 - domain.low, True, True, conditions=conditions)
        return Axis(name, "float", domain.low, domain.high, domain.log is True, conditions=conditions)
    values = domain.grid()
    return Axis(name, "int", 0, len(values) - 1, values=values, conditions=conditions)


def is_active(axis: Axis, params: Mapping[str, Scalar]) -> bool:
    """Whether the parameter exists beside the params before it."""
    return all(parent in params and params[parent] in wanted for parent, wanted in (axis.conditions or {}).items())


def ours(axes: Sequence[Axis], theirs: Mapping[str, Any]) -> dict[str, Scalar]:
    """Our active params for a peer's."""
    params: dict[str, Scalar] = {}
    for axis in axes:
        if axis.name in theirs and is_active(axis, params):
            params[axis.name] = axis.to_ours(theirs[axis.name])
    return params
