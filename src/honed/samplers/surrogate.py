"""What a Gaussian process may learn from a history: its trials as arrays, and the hyperparameters of the last refit.

All of it is a function of the history's content: what is remembered here is only kept from being computed again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from honed.algorithms.ensemble import Hyperparameters, learn, refit_at
from honed.algorithms.trust_region import replay
from honed.algorithms.warps import is_constant
from honed.domains import Domain, Scalar
from honed.history import Columns, History
from honed.samplers.base import Stream
from honed.samplers.coordinates import Coordinates, columns_of, within

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
T = TypeVar("T")

LEAST_DATA = 4
"""Trials with a loss, fewer than which no model is asked."""

_SUBSET_ABOVE, _REGION_ABOVE, _REGION_DIMENSIONS = 500, 1000, 20
_BEST, _SPREAD, _SPREAD_FROM = 250, 250, 2000
_LARGEST = 1e100  # losses beyond would overflow in sums of squares

# ------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What a model may learn from, in order of trial numbers.

    Attributes:
        rows, y: finished trials with a finite loss: their places in ``Columns``, and the losses.
        failed: places of the trials whose configuration was to blame.
        pending: params of trials that are under way.
    """

    rows: Ints
    y: Floats
    failed: Ints
    pending: tuple[Mapping[str, Scalar], ...]
    pending_key: bytes


def data_of(history: History, rng: Stream) -> Data:
    """What the model may learn from when it is asked for the trial of ``rng``."""
    columns = history.columns
    losses = _scalar(columns, rng)
    is_value, order = np.isfinite(losses), np.argsort(columns.numbers, kind="stable")
    has_diverged = ~is_value & (columns.states != 2)  # a loss, but not a finite one
    rows = order[is_value[order]]
    failed = order[(columns.is_infeasible | has_diverged)[order]]
    pending = tuple(record.params for record in history.unfinished if record.number != rng.number and record.params)
    text = "\0".join(f"{name}\1{value!r}" for params in pending for name, value in sorted(params.items()))
    y = np.clip(losses[rows], -_LARGEST, _LARGEST)
    return Data(rows, y, failed, pending, hashlib.blake2b(text.encode(), digest_size=16).digest())


def _scalar(columns: Columns, rng: Stream) -> Floats:
    """The losses [n]; of several objectives a random direction for each trial (ParEGO, Knowles 2006)."""
    losses = columns.losses
    if losses.shape[1] == 1 or not len(losses):
        return losses[:, 0]
    finite = np.isfinite(losses).all(axis=1)
    if not finite.any():
        return np.full(len(losses), np.nan)
    low, high = losses[finite].min(axis=0), losses[finite].max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (losses - low) / np.where(high > low, high - low, 1.0)
        weights = rng.generator("objectives").dirichlet(np.ones(losses.shape[1]))
        scalar: Floats = (weights * scaled).max(axis=1) + 0.05 * (weights * scaled).sum(axis=1)
    return np.where(finite, scalar, np.nan)


# ------------------------------------------------------------------------------------------------------------ model


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Hyperparameters, and the data that the surrogate is conditioned on.

    Attributes:
        xs, y: [n, d], [n] the trials that the surrogate sees.
        failed: [f, d] configurations that failed.
        side: of the trust region; None without one.
        key: of all that it depends on.
    """

    coordinates: Coordinates
    hyper: Hyperparameters
    xs: Floats
    y: Floats
    failed: Floats
    side: float | None
    key: bytes


def model_of(history: History, data: Data, domains: Mapping[str, Domain], noise: float | None) -> Model:
    """The model over ``domains``; hyperparameters are learned over those of the joint space."""
    coordinates, xs, failed = _encoded(history, data, history.space.domains)
    used = _used(data.y, xs)
    at = used.rows[: used.refit]
    if is_constant(data.y[at]):  # nothing to learn there yet
        at = used.rows
    past = (xs[at], data.y[at])
    hyper = remembered(
        ("hyper", _digest(*past), coordinates.layout, noise), lambda: learn(coordinates.layout, *_subset(*past), noise)
    )
    if domains != history.space.domains:
        before = coordinates
        coordinates, xs, failed = _encoded(history, data, domains)
        kinds = [[n > 0 for n in c.layout.n_choices] for c in (before, coordinates)]
        if list(before.domains) == list(coordinates.domains) and kinds[0] == kinds[1]:
            hyper = replace(hyper, kernel=replace(hyper.kernel, layout=coordinates.layout))
        else:
            past = (xs[at], data.y[at])
            hyper = learn(coordinates.layout, *_subset(*past), noise)
    xs, y = _subset(xs[used.rows], data.y[used.rows])
    key = _digest(*past, xs, y, failed, np.array([used.side or 0.0]), _bytes_of(coordinates))
    return Model(coordinates, hyper, xs, y, failed, used.side, key)


def _bytes_of(coordinates: Coordinates) -> npt.NDArray[np.uint8]:
    text = repr((coordinates.layout, [(name, str(domain)) for name, domain in coordinates.domains.items()]))
    return np.frombuffer(text.encode(), np.uint8)


def _encoded(history: History, data: Data, domains: Mapping[str, Domain]) -> tuple[Coordinates, Floats, Floats]:
    """The columns of the domains that some trial has a value for, and the trials with a loss and the failed ones there."""
    columns, records = history.columns, history.finished
    domains = {name: domain for name, domain in domains.items() if domain.n_values != 1}
    xs = columns_of(columns, domains, records, data.rows)
    seen = [j for j in range(len(domains)) if not np.isnan(xs[:, j]).all()]
    domains = {name: domain for j, (name, domain) in enumerate(domains.items()) if j in seen}
    xs, failed = xs[:, seen], columns_of(columns, domains, records, data.failed)
    coordinates = Coordinates.of(history.space, domains, np.concatenate([xs, failed]))
    return coordinates, within(xs, coordinates.layout), within(failed, coordinates.layout)


@dataclass(frozen=True, slots=True, eq=False)
class _Used:
    """Which trials with a loss are used, how many of them at the last refit, and the side of the trust region."""

    rows: Ints
    refit: int
    side: float | None


def _used(y: Floats, xs: Floats) -> _Used:
    n, d = xs.shape
    if n <= _REGION_ABOVE and d <= _REGION_DIMENSIONS:
        return _Used(np.arange(n), refit_at(n), None)
    region = replay(y, d, min(2 * d, 50))
    rows = np.arange(region.begun, n)
    if len(rows) < 2 * LEAST_DATA or is_constant(y[rows]):  # a new region begins with the earlier knowledge
        rows = np.arange(n)
    return _Used(rows, refit_at(len(rows)), region.side)


def _subset(xs: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The best trials and others that are far from each other, in their order; all, if they are not too many."""
    if len(y) <= _SUBSET_ABOVE:
        return xs, y
    order = np.argsort(y, kind="stable")
    best, rest = order[:_BEST], order[_BEST:]
    rest = rest[np.linspace(0, len(rest) - 1, min(len(rest), _SPREAD_FROM)).astype(np.int64)]
    filled = np.where(np.isnan(xs), -1.0, xs)
    distance = np.full(len(rest), np.inf)
    chosen = [0]
    while len(chosen) < _SPREAD:  # the farthest point from those chosen, again and again
        distance = np.minimum(distance, ((filled[rest] - filled[rest[chosen[-1]]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    kept = np.unique(np.concatenate([best, rest[chosen]]))
    return xs[kept], y[kept]


# ------------------------------------------------------------------------------------------------------------- memo

_MOST_REMEMBERED = 32
memo: OrderedDict[Any, Any] = OrderedDict()


def remembered(key: Any, make: Callable[[], T]) -> T:
    """What ``make`` made for this key: a function of the key alone, so that forgetting it changes nothing."""
    found = memo.get(key)
    if found is None:
        found = memo[key] = make()
        while len(memo) > _MOST_REMEMBERED:
            memo.popitem(last=False)
    return found


def _digest(*arrays: npt.NDArray[Any]) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(f"{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.digest()
