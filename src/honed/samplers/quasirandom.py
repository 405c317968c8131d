"""Quasi-random search: the trials of a study fill the space more evenly than independent draws, wherever it is cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from honed.domains import Scalar
from honed.history import History
from honed.records import Suggestion
from honed.samplers.base import Stream
from honed.samplers.points import Kind, dimensions, point
from honed.space import Space


@dataclass(frozen=True, slots=True)
class Sobol:
    """Sobol' points, the most even ones; a power of two of trials is best (Owen 1998; Joe, Kuo 2008).

    Args:
        scramble: randomises the points by the study's seed and keeps their evenness; without it all studies try the
            same points.
    """

    scramble: bool = True

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        return Suggestion(_params("sobol", self.scramble, space, rng, dict(dimensions(history, space, given))))


@dataclass(frozen=True, slots=True)
class Halton:
    """Halton points: as even for any number of trials, best below ten parameters (Halton 1960).

    Args:
        scramble: as for ``Sobol``.
    """

    scramble: bool = True

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        return Suggestion(_params("halton", self.scramble, space, rng, dict(dimensions(history, space, given))))


def _params(kind: Kind, scramble: bool, space: Space, rng: Stream, places: Mapping[str, int]) -> dict[str, Scalar]:
    """The values at a trial's point; ``places`` are the dimensions of the parameters."""
    if rng.round:  # the point was refused: any other one
        return space.active({name: domain.decode(rng.uniform(name)) for name, domain in space.domains.items()})
    units = point(kind, rng.seed if scramble else None, rng.number, max(places.values(), default=0) + 1)
    return space.active({name: domain.decode(units[places[name]]) for name, domain in space.domains.items()})
