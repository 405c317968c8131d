"""What samplers know of trials in order of merit: finished ones in an order that grows, unfinished ones beside them.

A trial costs O(log n) comparisons and one move of the order's tail; a suggestion costs what it takes out.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.domains import Categorical, Scalar
from honed.encode import coordinate, coordinates
from honed.history import Floats, History, Ints
from honed.history.tables import INFEASIBLE
from honed.records import State, TrialRecord
from honed.samplers.axes import Axes, axes_of
from honed.space import Space

_FIRST_CAPACITY = 64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

Key = tuple[float, int]
"""Loss and number: in this order trials are better than others; the older one of equals comes first."""


def key_of(record: TrialRecord, sign: float, metric: str) -> Key | None:
    """Where a trial stands among the others; None for one of which nothing is known that its configuration is to blame for.

    Complete and stopped trials stand by their value, unfinished ones by what they reported last, infeasible ones last.
    """
    value: float | None
    if record.state is State.FAILED:
        value = math.nan if record.cause in INFEASIBLE else None
    elif record.values is not None:
        value = sign * record.values[0]
    elif record.state is State.PAUSED and record.reports:
        value = sign * record.reports[-1].values.get(metric, math.nan)
    else:
        value = None
    return None if value is None else (math.inf if value != value else value, record.number)


class Ranked:
    """Finished trials in order of merit; grows with every one of them, for ``History.fold``."""

    __slots__ = ("_axes", "_known", "_metric", "_n_tried", "_rows", "_sign", "_tried", "blocks", "keys",
                 "n_finished", "n_valued")  # fmt: skip

    def __init__(self, sign: float, metric: str) -> None:
        self.keys: list[Key] = []
        self.n_finished = self.n_valued = 0
        self._rows: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._sign, self._metric = sign, metric
        # What follows is derived for the joint space of the latest snapshot, and made again for another one.
        self._axes: Axes | None = None
        self.blocks: dict[Any, Any] = {}  # what a sampler wants to keep
        self._known: dict[int, tuple[Mapping[str, Scalar], list[float]]] = {}
        self._tried: set[bytes] = set()
        self._n_tried = 0

    def add(self, record: TrialRecord) -> None:
        """Takes in a finished trial."""
        row, key = self.n_finished, key_of(record, self._sign, self._metric)
        self.n_finished += 1
        if key is None:
            return
        n, at = len(self.keys), bisect_left(self.keys, key)
        if n == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[at + 1 : n + 1] = self._rows[at:n]
        self._rows[at] = row
        self.keys.insert(at, key)
        self.n_valued += key[0] < math.inf

    def axes(self, space: Space) -> Axes:
        """The columns of the joint space."""
        if self._axes is None or self._axes.space is not space:
            self._axes, self._known, self._tried, self._n_tried = axes_of(space), {}, set(), 0
            self.blocks = {}
        return self._axes

    def merit(self, history: History) -> Merit:
        """All trials of a snapshot that something is known of, in order of merit, and the pending ones."""
        rows, unfinished = self._rows[: len(self.keys)], history.unfinished
        if not unfinished:
            return Merit(rows, self.keys, self.n_valued, self.n_finished)
        ranked = [(key_of(record, self._sign, self._metric), i) for i, record in enumerate(unfinished, self.n_finished)]
        pending = [i for key, i in ranked if key is None]
        valued = sorted((key, i) for key, i in ranked if key is not None)
        keys, n_valued = self.keys, self.n_valued
        if valued:
            rows = np.insert(rows, [bisect_left(keys, key) for key, _ in valued], [i for _, i in valued])
            keys = sorted([*keys, *(key for key, _ in valued)])
            n_valued += sum(key[0] < math.inf for key, _ in valued)
        points = np.array([self._coordinates(history.space, record) for record in unfinished])
        return Merit(rows, keys, n_valued, self.n_finished, pending, unfinished, points)

    def tried(self, history: History) -> set[bytes]:
        """The points of all trials; for spaces in which a point can come twice."""
        axes = self.axes(history.space)
        fresh = axes.tidy(history.columns.params[self._n_tried :].copy())
        self._tried.update(row.tobytes() for row in fresh)
        self._n_tried = self.n_finished
        open_ones = [self._coordinates(history.space, record) for record in history.unfinished]
        return self._tried.union(row.tobytes() for row in axes.tidy(np.array(open_ones))) if open_ones else self._tried

    def _coordinates(self, space: Space, record: TrialRecord) -> list[float]:
        """Remembered while the trial has the same params; thousands may be paused."""
        self.axes(space)
        found = self._known.get(record.number)
        if found is None or found[0] is not record.params:
            found = self._known[record.number] = (record.params, coordinates(space, record.params))
        return found[1]


@dataclass(frozen=True, slots=True, eq=False)
class Merit:
    """The trials of one snapshot; an index below ``n_finished`` is a row of ``History.columns``, above an unfinished trial.

    Attributes:
        order: [n] indices, best first; infeasible trials and NaN last.
        keys: theirs.
        n_valued: how many of them have a value.
        pending: indices of unfinished trials that have no value yet.
        unfinished, points: all unfinished trials, [u, d] their coordinates.
    """

    order: Ints
    keys: Sequence[Key]
    n_valued: int
    n_finished: int
    pending: Sequence[int] = ()
    unfinished: Sequence[TrialRecord] = ()
    points: Floats | None = None

    def has_unfinished(self, indices: Ints) -> bool:
        """Whether some of these trials are unfinished; their indices may mean others in the next snapshot."""
        return bool(len(self.unfinished) and len(indices) and indices.max() >= self.n_finished)

    def some(self, history: History, first: int, most: int) -> Ints:
        """At most ``most`` of the trials from the ``first``-th on, by number; the same ones for a long time as trials come.

        A trial's place in the sequence k * golden ratio mod 1 decides (Knuth 1973, 6.4), so that they are spread over time.
        """
        order = self.order[first:]
        if self.has_unfinished(order):
            numbers = np.array([key[1] for key in self.keys[first:]], dtype=np.int64)
        else:
            numbers = history.columns.numbers[order]
        if len(order) > most:
            places = numbers.astype(np.uint64) * _GOLDEN
            chosen = places.argpartition(most)[:most]
            order, numbers = order[chosen], numbers[chosen]
        return order[numbers.argsort()]

    def like(self, history: History, name: str, given: Mapping[str, Scalar], fewest: int) -> Merit:
        """Only the trials that have a parameter, and made the same choices before, as long as at least ``fewest`` are left."""
        places = {known: i for i, known in enumerate(history.space.domains)}
        kept = self._where(~np.isnan(self.coordinates(history, self.order, places[name])))
        for choice, value in given.items():
            if choice not in places or not isinstance(domain := history.space[choice], Categorical):
                continue
            same = kept.coordinates(history, kept.order, places[choice]) == coordinate(domain, value)
            if same.sum() >= fewest:
                kept = kept._where(same)
        return kept

    def _where(self, is_kept: npt.NDArray[np.bool_]) -> Merit:
        keys = [self.keys[i] for i in is_kept.nonzero()[0].tolist()]
        n_valued = int(is_kept[: self.n_valued].sum())
        return replace(self, order=self.order[is_kept], keys=keys, n_valued=n_valued)

    def coordinates(self, history: History, indices: Ints, place: int | None = None) -> Floats:
        """[k, d] the coordinates of trials in the joint space, or [k] one column of them."""
        params, points = history.columns.params, self.points
        if place is not None:
            params, points = params[:, place], None if points is None else points[:, place]
        if points is None:
            return params[indices]
        is_open = indices >= self.n_finished
        found = np.empty((len(indices), *params.shape[1:]))
        found[~is_open] = params[indices[~is_open]]
        found[is_open] = points[indices[is_open] - self.n_finished]
        return found

    def record(self, history: History, index: int) -> TrialRecord:
        """The record of an index."""
        return history.finished[index] if index < self.n_finished else self.unfinished[index - self.n_finished]
