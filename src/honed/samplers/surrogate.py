"""What a Gaussian process may learn from a history: its trials as arrays, and the hyperparameters of the last refit.

All of it is a function of the history's content: what is remembered here is only kept from being computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from honed.algorithms.ensemble import Hyperparameters, Standing, learn, refit_at
from honed.algorithms.kernels import ConfigKernel
from honed.algorithms.limits import Limit
from honed.algorithms.trust_region import replay
from honed.algorithms.warps import LARGEST, is_constant
from honed.domains import Domain, Scalar
from honed.history import Columns, History
from honed.memo import Memo, digest
from honed.samplers.base import Stream
from honed.samplers.coordinates import Coordinates, columns_of, rows_of, within
from honed.samplers.finals import finals

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
T = TypeVar("T")

memo = Memo(32)
"""What models of this process have learned."""

LEAST_DATA = 4
"""Trials with a loss, fewer than which no model is asked."""

_SUBSET_ABOVE, _REGION_ABOVE, _REGION_DIMENSIONS = 500, 1000, 20
_BEST, _SPREAD, _SPREAD_FROM = 250, 250, 2000
_MOST_CHANGING = 100
_MOST_MEASURED = 300  # trials, of which a constraint is learned

# ------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What a model may learn from, in order of trial numbers.

    Attributes:
        rows: finished trials with a finite loss: their places in ``Columns``.
        paused: params of trials that wait to go on, behind those of ``rows``.
        order: what brings both into the order of their numbers.
        y: [n] losses at the end of a full training, in that order.
        standing: how certain these are, and which trials keep their limits.
        failed: places of the trials whose configuration was to blame.
        pending: params of trials that are under way.
    """

    rows: Ints
    paused: tuple[Mapping[str, Scalar], ...]
    order: Ints
    y: Floats
    standing: Standing
    failed: Ints
    pending: tuple[Mapping[str, Scalar], ...]
    pending_key: bytes


def data_of(history: History, rng: Stream) -> Data:
    """What the model may learn from when it is asked for the trial of ``rng``."""
    columns = history.columns
    ends = finals(history) if columns.losses.shape[1] == 1 else None
    losses = _scalar(columns, rng) if ends is None else ends.losses
    is_value, order = np.isfinite(losses), np.argsort(columns.numbers, kind="stable")
    has_diverged = ~is_value & (columns.states != 2)  # a loss, but not a finite one
    rows = order[is_value[order]]
    failed = order[(columns.is_infeasible | has_diverged)[order]]
    y, spreads, numbers = losses[rows], np.zeros(len(rows)), columns.numbers[rows]
    is_allowed = columns.violations[rows] == 0.0
    paused = () if ends is None else ends.paused
    if ends is not None:
        y, spreads = np.append(y, ends.paused_losses), np.append(ends.spreads[rows], ends.paused_spreads)
        numbers = np.append(numbers, [record.number for record in paused]).astype(np.int64)
        is_allowed = np.append(is_allowed, [record.violation == 0.0 for record in paused]).astype(np.bool_)
    by_number = np.argsort(numbers, kind="stable")
    known = {rng.number, *(record.number for record in paused)}
    pending = tuple(record.params for record in history.unfinished if record.number not in known and record.params)
    text = "\0".join(f"{name}\1{value!r}" for params in pending for name, value in sorted(params.items()))
    return Data(
        rows,
        tuple(record.params for record in paused),
        by_number,
        np.clip(y, -LARGEST, LARGEST)[by_number],
        Standing(spreads[by_number], is_allowed[by_number]),
        failed,
        pending,
        hashlib.blake2b(text.encode(), digest_size=16).digest(),
    )


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
        standing: of these trials.
        learned: places in ``xs`` and ``y`` of the trials that the hyperparameters were learned from.
        measured: for each constraint: where it was measured, the excesses there, and how many of them hyperparameters are
            learned from.
        failed: [f, d] configurations that failed.
        side: of the trust region; None without one.
        key: of all that it depends on.
    """

    coordinates: Coordinates
    hyper: Hyperparameters
    xs: Floats
    y: Floats
    standing: Standing
    learned: Ints
    measured: tuple[tuple[Floats, Floats, int], ...]
    failed: Floats
    side: float | None
    key: bytes

    def limits(self, pending: Floats) -> list[Limit]:
        """The constraints that trials have measured, believing their means at ``pending`` [p, d]."""
        kernel = ConfigKernel(self.coordinates.layout)
        found = []
        for xs, excesses, n in self.measured:
            past = (kernel, xs[:n], excesses[:n])
            theta = memo.get(("limit", digest(*past[1:]), kernel.layout), partial(Limit.learned, *past))
            limit = Limit.conditioned(kernel, theta, xs, excesses, pending)
            found += [] if limit is None else [limit]
        return found


def model_of(history: History, data: Data, domains: Mapping[str, Domain], noise: float | None) -> Model:
    """The model over ``domains``; hyperparameters are learned over those of the joint space."""
    coordinates, xs, failed = _encoded(history, data, history.space.domains)
    used = _used(data.y, xs)
    at = _learned(data, used)
    past = (xs[at], data.y[at])
    hyper = memo.get(
        ("hyper", digest(*past), coordinates.layout, noise), lambda: learn(coordinates.layout, *_subset(*past), noise)
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
    rows = used.rows[_kept(xs[used.rows], data.y[used.rows])]
    measured = _measured(history, coordinates)
    standing = Standing(data.standing.spreads[rows], data.standing.is_allowed[rows])
    arrays = (
        *past,
        xs[rows],
        data.y[rows],
        standing.spreads,
        standing.is_allowed,
        failed,
        np.array([used.side or 0.0]),
    )
    key = digest(*arrays, *(array for triple in measured for array in triple[:2]), _bytes_of(coordinates))
    learned = np.flatnonzero(np.isin(rows, at))
    return Model(coordinates, hyper, xs[rows], data.y[rows], standing, learned, measured, failed, used.side, key)


def _learned(data: Data, used: _Used) -> Ints:
    """The trials that hyperparameters are learned from.

    Predicted losses change with every trial: they are left out where at least as many were measured, so that refits stay
    at their points; otherwise the first ones must do.
    """
    measured = used.rows[data.standing.spreads[used.rows] == 0.0]
    rows = used.rows[: used.refit]
    if len(measured) < len(used.rows):
        is_enough = len(measured) >= max(len(used.rows) / 2, 2 * LEAST_DATA)
        rows = measured[: refit_at(len(measured))] if is_enough else used.rows[: min(used.refit, _MOST_CHANGING)]
    return used.rows if is_constant(data.y[rows]) else rows  # nothing to learn there yet


def _measured(history: History, coordinates: Coordinates) -> tuple[tuple[Floats, Floats, int], ...]:
    """For each constraint the trials that measured it, also those that failed afterwards."""
    columns, found = history.columns, []
    if not columns.constraints:
        return ()
    order = np.argsort(columns.numbers, kind="stable")
    for excesses in columns.excesses.T:
        rows = order[np.isfinite(excesses[order])][-_MOST_MEASURED:]
        xs = within(columns_of(columns, coordinates.domains, history.finished, rows), coordinates.layout)
        found.append((xs, excesses[rows], refit_at(len(rows))))
    return tuple(found)


def _bytes_of(coordinates: Coordinates) -> npt.NDArray[np.uint8]:
    text = repr((coordinates.layout, [(name, str(domain)) for name, domain in coordinates.domains.items()]))
    return np.frombuffer(text.encode(), np.uint8)


def _encoded(history: History, data: Data, domains: Mapping[str, Domain]) -> tuple[Coordinates, Floats, Floats]:
    """The columns of the domains that some trial has a value for, and the trials with a loss and the failed ones there."""
    columns, records = history.columns, history.finished
    domains = {name: domain for name, domain in domains.items() if domain.n_values != 1}
    xs = columns_of(columns, domains, records, data.rows)
    if data.paused:
        xs = np.concatenate([xs, rows_of(domains, data.paused)])
    xs = xs[data.order]
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
    kept = _kept(xs, y)
    return xs[kept], y[kept]


def _kept(xs: Floats, y: Floats) -> Ints:
    if len(y) <= _SUBSET_ABOVE:
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    best, rest = order[:_BEST], order[_BEST:]
    rest = rest[np.linspace(0, len(rest) - 1, min(len(rest), _SPREAD_FROM)).astype(np.int64)]
    filled = np.where(np.isnan(xs), -1.0, xs)
    distance = np.full(len(rest), np.inf)
    chosen = [0]
    while len(chosen) < _SPREAD:  # the farthest point from those chosen, again and again
        distance = np.minimum(distance, ((filled[rest] - filled[rest[chosen[-1]]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return np.unique(np.concatenate([best, rest[chosen]]))
