"""What samplers know of trials in order of merit: finished ones in an order that grows, unfinished ones beside them.

A trial costs O(log n) comparisons and one move of the order's tail; a suggestion costs what it takes out.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.domains import Categorical, Scalar
from honed.encode import coordinate, coordinates
from honed.history import Floats, History, Ints
from honed.history.tables import INFEASIBLE, signs_of
from honed.records import State, StudyRecord, TrialRecord
from honed.samplers.axes import Axes, axes_of
from honed.space import Space

_FIRST_CAPACITY = 64
_MANY = 64
AT_ONCE = 4  # this saves half of the time at a hundred trials, and costs nothing on analytic functions
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1
_VALUED = (0.0, math.inf, -1)  # keys below are those of feasible trials with a value

Key = tuple[float, float, int]
"""Violation, loss of the first objective and number: in this order trials are better; the older one of equals comes first."""


def key_of(record: TrialRecord, sign: float, metric: str) -> Key | None:
    """Where a trial stands among the others; None for one of which nothing is known that its configuration is to blame for.

    Complete and stopped trials stand by their value, unfinished ones by what they reported last. Those that violate
    constraints come after all that do not, and last the ones that could not work.
    """
    if record.state is State.FAILED:
        return (math.inf, math.inf, record.number) if record.cause in INFEASIBLE else None
    if record.values is not None:
        value = sign * record.values[0]
    elif record.state is State.PAUSED and record.reports:
        value = sign * record.reports[-1].values.get(metric, math.nan)
    else:
        return None
    return record.violation, math.inf if value != value else value, record.number


def losses_of(study: StudyRecord, record: TrialRecord) -> list[float]:
    """The latest values of an unfinished trial, turned so that smaller is better; NaN where there is none."""
    values = record.reports[-1].values if record.reports else {}
    signed = zip(signs_of(study.directions), study.metrics, strict=True)
    return [sign * values.get(metric, math.nan) for sign, metric in signed]


class Ranked:
    """Finished trials in order of merit; grows with every one of them, for ``History.fold``.

    Args:
        study: whose trials.
        n_kept: how many trials ``Merit.some`` can take out, with those it leaves out, without a look at all of them.
    """

    __slots__ = ("_axes", "_known", "_metric", "_n_kept", "_n_tried", "_rows", "_sign", "_spread", "_tried", "blocks",
                 "keys", "n_finished")  # fmt: skip

    def __init__(self, study: StudyRecord, n_kept: int) -> None:
        self.keys: list[Key] = []
        self.n_finished = 0
        self._rows: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._sign, self._metric = signs_of(study.directions)[0], study.metrics[0]
        self._n_kept = n_kept
        self._spread: list[tuple[int, int, int]] = []  # place, number and row of the trials with the least places
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
        place = record.number * _GOLDEN & _WORD
        if n < self._n_kept or place < self._spread[-1][0]:
            insort(self._spread, (place, record.number, row))
            del self._spread[self._n_kept :]

    def axes(self, space: Space) -> Axes:
        """The columns of the joint space."""
        if self._axes is None or self._axes.space is not space:
            self._axes, self._known, self._tried, self._n_tried = axes_of(space), {}, set(), 0
            self.blocks = {}
        return self._axes

    def merit(self, history: History) -> Merit:
        """All trials of a snapshot that something is known of, in order of merit, and the pending ones."""
        rows, unfinished = self._rows[: len(self.keys)], history.unfinished
        n_valued = bisect_left(self.keys, _VALUED)
        if not unfinished:
            return Merit(rows, self.keys, n_valued, self.n_finished, self._spread)
        ranked = [(key_of(record, self._sign, self._metric), i) for i, record in enumerate(unfinished, self.n_finished)]
        pending = [i for key, i in ranked if key is None]
        valued = sorted((key, i) for key, i in ranked if key is not None)
        points = np.array([self._coordinates(history.space, record) for record in unfinished])
        if not valued:
            return Merit(rows, self.keys, n_valued, self.n_finished, self._spread, pending, unfinished, points)
        rows = np.insert(rows, [bisect_left(self.keys, key) for key, _ in valued], [i for _, i in valued])
        keys = sorted([*self.keys, *(key for key, _ in valued)])
        return Merit(rows, keys, bisect_left(keys, _VALUED), self.n_finished, None, pending, unfinished, points)

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
        order: [n] indices, best first; after those with a value the infeasible ones.
        keys: theirs.
        n_valued: how many of them have a value and violate no constraint.
        spread: place, number and index of some trials, with the least places; None where nobody has kept them.
        pending: indices of unfinished trials that have no value yet.
        unfinished, points: all unfinished trials, [u, d] their coordinates.
    """

    order: Ints
    keys: Sequence[Key]
    n_valued: int
    n_finished: int
    spread: Sequence[tuple[int, int, int]] | None = None
    pending: Sequence[int] = ()
    unfinished: Sequence[TrialRecord] = ()
    points: Floats | None = None

    def has_unfinished(self, indices: Ints) -> bool:
        """Whether some of these trials are unfinished; their indices may mean others in the next snapshot."""
        return bool(len(self.unfinished) and len(indices) and indices.max() >= self.n_finished)

    def some(self, history: History, without: Ints, most: int, at_once: int = 1) -> Ints:
        """At most ``most`` of the other trials, by number; the same ones for a long time as trials come.

        A trial's place in the sequence k * golden ratio mod 1 decides (Knuth 1973, 6.4), so that they are spread over time.

        Args:
            without: trials to leave out.
            at_once: where there are many trials, the newest wait until there are so many of them (``AT_ONCE`` at most), so that
                what is made of the others may be kept.
        """
        n = len(history)
        limit = n - n % at_once if n >= _MANY else n
        if self.spread is not None and (
            len(self.spread) == len(self.order) or len(self.spread) >= most + len(without) + AT_ONCE
        ):
            left_out = set(without.tolist())
            found = [(n, i) for _, n, i in self.spread if n < limit and i not in left_out][:most]
            return np.array([index for _, index in sorted(found)], dtype=np.int64)
        order = self.order[np.isin(self.order, without, invert=True)]
        order = order[self.numbers(history, order) < limit]
        return self.spread_out(history, order, most)

    def spread_out(self, history: History, indices: Ints, most: int) -> Ints:
        """At most ``most`` of these trials, by number, spread over time."""
        numbers = self.numbers(history, indices)
        if len(indices) > most:
            places = numbers.astype(np.uint64) * np.uint64(_GOLDEN)
            chosen = places.argpartition(most)[:most]
            indices, numbers = indices[chosen], numbers[chosen]
        return indices[numbers.argsort()]

    def numbers(self, history: History, indices: Ints) -> Ints:
        """[k] the trials' numbers."""
        if self.has_unfinished(indices):
            return np.array([self.record(history, index).number for index in indices.tolist()], dtype=np.int64)
        return history.columns.numbers[indices]

    def losses(self, history: History, indices: Ints) -> Floats:
        """[k, m] the trials' losses, with plus infinity for NaN."""
        found = history.columns.losses
        if self.has_unfinished(indices):
            found = np.concatenate([found, [losses_of(history.study, record) for record in self.unfinished]])
        found = found[indices]
        return np.where(np.isnan(found), np.inf, found)

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
        return replace(self, order=self.order[is_kept], keys=keys, n_valued=n_valued, spread=None)

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
