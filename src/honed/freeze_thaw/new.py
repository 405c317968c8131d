"""What new configurations promise: at the length that a training is expected to have, or each at its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from honed.algorithms.curve_ensemble import CurveEnsemble, NewScores
from honed.freeze_thaw.seen import Seen
from honed.history import Floats, Ints

_MOST_LENGTHS = 6


class Scores(Protocol):
    """Log EI of new configurations at the ends of their trainings."""

    def quick(self, xs: Floats, /) -> Floats:
        """[c] under the most probable hyperparameters."""
        ...

    def full(self, xs: Floats, /) -> Floats:
        """[c] averaged over hyperparameters."""
        ...


def scores_of_new(data: Seen, model: CurveEnsemble, most: int | None = None) -> Scores:
    """What scores new configurations at the ends of their trainings.

    Where a parameter is the length and a step means the same in all trainings, a configuration is judged at its own; trainings
    that are stretched all end at the same time, and the model sees the length among the params.

    Args:
        most: the steps that a new training can have, where they are few.
    """
    if data.length is None or data.times.new >= 0:
        return model.for_new(data.usual if most is None else min(data.usual, most))
    domain = list(data.coordinates.domains.values())[data.length]
    if domain.n_values is not None and domain.n_values <= _MOST_LENGTHS:
        known = np.array(domain.grid(), dtype=np.float64)
    else:
        low, high = (max(float(str(domain.decode(unit))), 1.0) for unit in (0.0, 1.0))
        known = np.geomspace(low, high, _MOST_LENGTHS)
    lengths = np.unique(np.maximum(np.round(known), 1.0).astype(np.int64))
    if most is not None:
        lengths = np.unique(np.minimum(lengths, most))
    return _ByLength(data, lengths, [model.for_new(int(length)) for length in lengths])


@dataclass(frozen=True, slots=True, eq=False)
class _ByLength:
    """Scores at several lengths [k]; between two of them in proportion to logarithms."""

    data: Seen
    lengths: Ints
    scores: Sequence[NewScores]

    def quick(self, xs: Floats, /) -> Floats:
        return self._mixed(xs, [scores.quick(xs) for scores in self.scores])

    def full(self, xs: Floats, /) -> Floats:
        return self._mixed(xs, [scores.full(xs) for scores in self.scores])

    def _mixed(self, xs: Floats, values: Sequence[Floats]) -> Floats:
        k = len(self.lengths)
        place = np.interp(np.log(self.data.lengths_at(xs)), np.log(self.lengths), np.arange(k))
        low = np.minimum(place.astype(np.int64), max(k - 2, 0))
        share, rows, stacked = place - low, np.arange(len(xs)), np.stack(values)
        return np.asarray((1.0 - share) * stacked[low, rows] + share * stacked[np.minimum(low + 1, k - 1), rows])
