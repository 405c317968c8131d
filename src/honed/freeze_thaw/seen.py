"""What a history says of its trials' curves, as arrays by trial number; a function of the history's content."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from honed.encode import coordinates
from honed.history import Floats, History, Ints
from honed.history.tables import INFEASIBLE
from honed.records import State, TrialRecord
from honed.samplers.base import Stream
from honed.samplers.coordinates import Coordinates, within
from honed.space import Space

T = TypeVar("T")

_LARGEST = 1e100  # values beyond would overflow in sums of squares
_MOST_ROWS = 20_000

_rows: OrderedDict[int, tuple[object, Space, list[float]]] = OrderedDict()


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What is known of N trials, by number, and of n points of their curves, in the order in which these arrived.

    Attributes:
        coordinates: the columns of X.
        X: [N, d].
        numbers, steps, losses: [n], [n], [n, objectives] finite values only.
        full: the length T of a full training.
        totals: [N] the length of each trial's own training.
        at: [N] the last step that each trial has reported, 0 before.
        paused: numbers of trials that may go on.
        running: numbers of trials under way that X knows.
        untils: [running] up to where.
        has_failed: [N] whether the configuration was to blame for a failure, or breaks a limit.
        has_survived: [N] whether it has a value and did not fail.
        key: digest of all this.
    """

    coordinates: Coordinates
    X: Floats
    numbers: Ints
    steps: Ints
    losses: Floats
    full: int
    totals: Ints
    at: Ints
    paused: Ints
    running: Ints
    untils: Ints
    has_failed: npt.NDArray[np.bool_]
    has_survived: npt.NDArray[np.bool_]
    seed: int
    key: bytes

    def values(self, n: int, turn: int) -> Floats:
        """[n] the first values, one number each; of several objectives in a random direction (ParEGO, Knowles 2006).

        Args:
            turn: another direction for each.
        """
        losses = self.losses[:n]
        if losses.shape[1] == 1:
            return losses[:, 0]
        low, high = losses.min(axis=0), losses.max(axis=0)
        scaled = (losses - low) / np.where(high > low, high - low, 1.0)
        weights = Stream(self.seed, turn).generator("objectives").dirichlet(np.ones(losses.shape[1]))
        return np.asarray((weights * scaled).max(axis=1) + 0.05 * (weights * scaled).sum(axis=1))


def seen(history: History, max_steps: int | None) -> Seen:
    """What ``history`` says.

    Args:
        max_steps: the length of a full training, where it is a setting.
    """
    X, found = _coordinates(history)
    numbers, steps, losses = _points(history)
    known = history.max_steps if max_steps is None else max_steps
    full = max(known or 0, int(steps.max(initial=1)))
    n = len(history)
    totals, at = np.full(n, full, dtype=np.int64), np.zeros(n, dtype=np.int64)
    np.maximum.at(at, numbers, steps)
    has_failed, has_survived = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    has_survived[numbers] = True
    columns = history.columns
    done = columns.numbers
    has_failed[done] = columns.is_infeasible | (columns.violations > 0.0)
    has_diverged = ~np.isfinite(columns.losses).all(axis=1) & (columns.states != 2)
    has_failed[done[has_diverged]] = True
    paused, running, untils = [], [], []
    for record in history.unfinished:
        own = record.note.get("n_steps")
        if isinstance(own, int) and 0 < own:
            totals[record.number] = own if max_steps is None else min(own, max_steps)
        last = record.last_step or 0
        at[record.number] = max(at[record.number], last)
        if record.attributes and record.violation > 0.0:
            has_failed[record.number] = True
        if record.state is State.PAUSED and last < totals[record.number]:
            paused.append(record.number)
        elif record.state is State.RUNNING and (record.params or not X.shape[1]):
            running.append(record.number)
            end = int(totals[record.number])
            untils.append(end if record.until is None else max(min(record.until, end), last, 1))
    has_survived &= ~has_failed
    as_ints = [np.array(values, dtype=np.int64) for values in (paused, running, untils)]
    key = digest(X, numbers, steps, losses, totals, at, *as_ints, has_failed, has_survived)
    key += f"/{full}/{history.study.seed}/{len(history.study.metrics)}/{found.layout}".encode()
    return Seen(
        found, X, numbers, steps, losses, full, totals, at, *as_ints, has_failed, has_survived, history.study.seed, key
    )


def _points(history: History) -> tuple[Ints, Ints, Floats]:
    """All finite values in the order in which they arrived; those of trials that report nothing count at the last step."""
    metrics = history.study.metrics
    curves = [history.curves(metric) for metric in metrics]
    first = curves[0]
    if len(curves) == 1:
        numbers, steps, losses = first.numbers, first.steps, first.losses[:, None]
    else:
        maps = [
            dict(zip(zip(c.numbers.tolist(), c.steps.tolist(), strict=True), c.losses.tolist(), strict=True))
            for c in curves[1:]
        ]
        pairs = list(zip(first.numbers.tolist(), first.steps.tolist(), strict=True))
        rest = [[found.get(pair, np.nan) for found in maps] for pair in pairs]
        losses = np.column_stack([first.losses, np.array(rest).reshape(len(pairs), len(maps))])
        numbers, steps = first.numbers, first.steps
    # What is measured before the first step says nothing of the configuration.
    keep = np.isfinite(losses).all(axis=1) & (steps > 0)
    numbers, steps, losses = numbers[keep], steps[keep], losses[keep]
    columns = history.columns
    is_silent = np.isfinite(columns.losses).all(axis=1) & ~np.isin(columns.numbers, first.numbers)
    if is_silent.any():
        order = np.flatnonzero(is_silent)[np.argsort(columns.numbers[is_silent], kind="stable")]
        last = max(history.max_steps or 1, int(steps.max(initial=1)))
        numbers = np.concatenate([numbers, columns.numbers[order]])
        steps = np.concatenate([steps, np.full(len(order), last)])
        losses = np.concatenate([losses, columns.losses[order]])
    return numbers, steps, np.clip(losses, -_LARGEST, _LARGEST)


def _coordinates(history: History) -> tuple[Floats, Coordinates]:
    """[N, d] of all trials by number, in the columns that some trial has a value for."""
    space, columns = history.space, history.columns
    X = np.full((len(history), len(space)), np.nan)
    X[columns.numbers] = columns.params
    for record in history.unfinished:
        X[record.number] = _row(space, record)
    domains = list(space.domains.items())
    kept = [j for j, (_, domain) in enumerate(domains) if domain.n_values != 1 and not np.isnan(X[:, j]).all()]
    X = X[:, kept]
    asked = ~np.isnan(X).all(axis=1) if kept else np.ones(len(X), dtype=bool)
    found = Coordinates.of(space, dict(domains[j] for j in kept), X[asked])
    return within(X, found.layout), found


def _row(space: Space, record: TrialRecord) -> list[float]:
    """The coordinates of a record's params, kept while the same objects come again."""
    known = _rows.get(id(record.params))
    if known is not None and known[0] is record.params and known[1] is space:
        return known[2]
    row = coordinates(space, record.params)
    _rows[id(record.params)] = (record.params, space, row)
    while len(_rows) > _MOST_ROWS:
        _rows.popitem(last=False)
    return row


def is_to_blame(record: TrialRecord) -> bool:
    """Whether a trial failed by its configuration."""
    return record.state is State.FAILED and record.cause in INFEASIBLE


# ------------------------------------------------------------------------------------------------------------- memo


def digest(*arrays: npt.NDArray[Any]) -> bytes:
    """A fingerprint of arrays and their shapes."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(f"{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.digest()


class Memo:
    """What was made for a key, a function of the key alone: forgetting it changes nothing."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What ``make`` makes, or made before."""
        if key in self._made:
            self._made.move_to_end(key)
            found: T = self._made[key]
            return found
        made = self._made[key] = make()
        while len(self._made) > self._most:
            self._made.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forgets all."""
        self._made.clear()
