"""Params as coordinates: the numbers that models, plots and importances work with.

A numeric or ordinal parameter becomes a number in [0, 1] on its domain's scale; a categorical the index of its choice.
Old trials may lie outside today's domain: a number beyond the range keeps its coordinate below 0 or above 1, a choice that
was removed is -1. NaN means "not active", or that the value has no place on the scale (0 on a logarithm, a text).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from honed.domains import Categorical, Domain, Float, Ordinal, Scalar
from honed.space import Space

INACTIVE = math.nan
UNKNOWN_CHOICE = -1.0


def coordinate(domain: Domain, value: Scalar) -> float:
    """The coordinate of one stored value, also of one that the domain does not contain (any more)."""
    if type(domain) is Float and type(value) is float:  # most are: no need to look further
        return domain.encode(value)
    if isinstance(domain, Categorical | Ordinal):
        return domain.encode(value) if domain.contains(value) else UNKNOWN_CHOICE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return INACTIVE
    try:
        return domain.encode(value)
    except OverflowError:  # a whole number beyond all floats
        return INACTIVE


def coordinates(space: Space, params: Mapping[str, Scalar]) -> list[float]:
    """One coordinate for each name of the space, in its order; NaN where the parameter is not active."""
    return [coordinate(domain, params[name]) if name in params else INACTIVE for name, domain in space.domains.items()]


def params_at(space: Space, units: Sequence[float]) -> dict[str, Scalar]:
    """The active params at a point of the unit cube: each domain's own density for a uniform point."""
    drawn = {name: domain.decode(u) for (name, domain), u in zip(space.domains.items(), units, strict=True)}
    return space.active(drawn)
