"""Independent draws from each domain's own density: the honest baseline of every comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from honed.domains import Scalar
from honed.history import History
from honed.records import Suggestion
from honed.samplers.base import Stream
from honed.space import Space


@dataclass(frozen=True, slots=True)
class Random:
    """Random search: uniform on each domain's scale, choices by their weights (Bergstra, Bengio 2012, JMLR 13)."""

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        draw = rng.uniform
        drawn = {name: domain.decode(draw(name)) for name, domain in space.domains.items()}
        return Suggestion(space.active(drawn) if space.conditions else drawn)
