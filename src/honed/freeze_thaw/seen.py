"""What a history says of its trials' curves, as arrays by trial number; a function of the history's content."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from honed.algorithms.curve_noise import averaged
from honed.algorithms.curve_times import CurveTimes
from honed.algorithms.kernels import Layout
from honed.algorithms.warps import LARGEST
from honed.domains import Float
from honed.encode import coordinates
from honed.freeze_thaw.lengths import Announced, Lengths, announced_by, lengths
from honed.history import Floats, History, Ints
from honed.memo import Facts, Memo, digest
from honed.records import Resume, State, TrialRecord
from honed.samplers.base import Stream
from honed.samplers.combine import FIXED
from honed.samplers.coordinates import Coordinates, within
from honed.space import Space

T = TypeVar("T")

_MOST_LEADING = 100
_LENGTH = "(length)"  # the column with the logarithm of a training's length


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Seen:
    """What is known of N trials, by number, and of n points of their curves, in the order in which these arrived.

    Attributes:
        coordinates: the columns of ``xs``.
        xs: [N, d] configurations.
        numbers, steps, losses: [n], [n], [n, objectives] finite values only; where curves are noisy, means of several.
        places: [n] the steps at which the model sees them: the middle of what a mean is of.
        reported: [n, objectives] the values as they came.
        full: the length T of a full training, the longest.
        times: when in its training each point of a curve is.
        length: the column that is the length of a training; None where no parameter is.
        at: [N] the last step that each trial has reported, 0 before.
        paused: numbers of trials that may go on.
        has_full: whether a trial is COMPLETE, at the length that trainings have by now.
        over: numbers of paused trials that have all steps which a training has by now: it was made shorter.
        running: numbers of trials under way whose configuration is known.
        untils: [running] up to where.
        has_failed: [N] whether the configuration was to blame for a failure, or breaks a limit.
        has_survived: [N] whether it has a value and did not fail.
        fixed: [d] what new configurations are held at; NaN where they are free.
        key: digest of all this.
    """

    coordinates: Coordinates
    xs: Floats
    numbers: Ints
    steps: Ints
    losses: Floats
    places: Floats
    reported: Floats
    full: int
    times: CurveTimes
    length: int | None
    at: Ints
    paused: Ints
    has_full: bool
    over: Ints
    running: Ints
    untils: Ints
    has_failed: npt.NDArray[np.bool_]
    has_survived: npt.NDArray[np.bool_]
    fixed: Floats
    seed: int
    key: bytes

    @property
    def is_averaged(self) -> bool:
        """Whether ``losses`` are means, as curves are noisy."""
        return self.losses is not self.reported

    @property
    def totals(self) -> Ints:
        """[N] the length of each trial's own training."""
        return self.times.totals

    @property
    def usual(self) -> int:
        """The length that a training yet to begin is expected to have."""
        return self.times.usual

    @property
    def own_columns(self) -> int:
        """How many columns are parameters; the length of a training may stand behind them."""
        return len(self.coordinates.domains) - (_LENGTH in self.coordinates.domains)

    def lengths_at(self, xs: Floats) -> Ints:
        """[c] the lengths that new configurations [c, d] would have."""
        if self.length is None:
            return np.full(len(xs), self.usual)
        name = list(self.coordinates.domains)[self.length]
        values = [self.coordinates.params(x, [name]).get(name, self.usual) for x in xs]
        return np.clip(np.array(values, dtype=np.int64), 1, None)

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

    def granted(self, number: int, until: int) -> Resume:
        """Going on with a trial, up to a step or its end.

        Where trainings differ in length, one that is not the longest gets a number: it may turn out to be longer by now.
        """
        end = int(self.totals[number])
        return Resume(number=number, until=None if until >= end == self.full else min(until, end))

    def leading(self) -> Ints:
        """Numbers of the trials [100] with the best last values, without those that failed where others have values."""
        rows = np.flatnonzero(self.has_survived)
        if not len(rows):
            rows = np.unique(self.numbers)
        if len(rows) > _MOST_LEADING:
            rows = np.sort(rows[np.argsort(self.last_values()[rows], kind="stable")[:_MOST_LEADING]])
        return rows

    def last_values(self) -> Floats:
        """[N] the last value of each trial; infinite without one."""
        steps = np.zeros(len(self.xs), dtype=np.int64)
        np.maximum.at(steps, self.numbers, self.steps)
        is_last = self.steps == steps[self.numbers]
        lasts = np.full(len(self.xs), np.inf)
        lasts[self.numbers[is_last]] = self.values(len(self.numbers), 0)[is_last]
        return lasts


def seen(history: History, max_steps: int | None) -> Seen:
    """What ``history`` says.

    Args:
        max_steps: the length of a full training, where it is a setting.
    """
    return _seen.of(history, max_steps)


def _seen_of(history: History, max_steps: int | None) -> Seen:
    xs, found = _coordinates(history)
    numbers, steps, reported = _points(history)
    losses, places = averaged(numbers, steps, reported) or (reported, steps.astype(np.float64))
    known = history.max_steps if max_steps is None else max_steps
    full = max(known or 0, int(steps.max(initial=1)))
    n = len(history)
    at = np.zeros(n, dtype=np.int64)
    np.maximum.at(at, numbers, steps)
    has_failed, has_survived = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    has_survived[numbers] = True
    columns = history.columns
    done = columns.numbers
    has_failed[done] = columns.is_infeasible | (columns.violations > 0.0)
    has_diverged = ~np.isfinite(columns.losses).all(axis=1) & (columns.states != 2)
    has_failed[done[has_diverged]] = True
    open_ = _open(history)
    said = dict(zip(open_.number.tolist(), _said.all_of(history.unfinished), strict=True))
    own = lengths(history, said, full, max_steps)
    ends = own.times.totals[open_.number]
    at[open_.number] = np.maximum(at[open_.number], open_.last)
    has_failed[open_.number[open_.is_beyond]] = True
    has_survived &= ~has_failed
    stands, is_at_end = open_.is_paused & open_.is_sound, open_.last >= ends
    is_over = (ends < open_.own) & (max_steps is None)
    runs = open_.is_running & (open_.has_params | (xs.shape[1] == 0))
    untils = np.where(open_.until < 0, ends, np.maximum(np.minimum(open_.until, ends), np.maximum(open_.last, 1)))
    paused, over = open_.number[stands & ~is_at_end], open_.number[stands & is_at_end & is_over]
    under_way = (paused, over, open_.number[runs], untils[runs])
    fixed, (xs, found) = _fixed(history, found, own), _with_lengths(xs, found, own)
    times, length = own.times, None if own.parameter is None else _place(found, own.parameter)
    key = digest(xs, numbers, steps, losses, times.totals, at, *under_way, has_failed, has_survived, fixed)
    key += f"/{full}/{history.study.seed}/{len(history.study.metrics)}/{found.layout}/{length}".encode() + times.key
    return Seen(
        coordinates=found, xs=xs, numbers=numbers, steps=steps, losses=losses, places=places, reported=reported,
        full=full, times=times, length=length, at=at,
        paused=under_way[0], has_full=own.has_full, over=under_way[1], running=under_way[2], untils=under_way[3],
        has_failed=has_failed, has_survived=has_survived, fixed=fixed, seed=history.study.seed, key=key,
    )  # fmt: skip


class _Open(NamedTuple):
    """What is read of unfinished trials, as arrays [m].

    Attributes:
        number: of the trial.
        own: the length that it has announced, or 0.
        last: the last step that it has reported, 0 before.
        until: up to where it is granted; -1 to the end.
        is_beyond: whether it breaks a limit.
        is_sound: whether what it reported last is finite, or not known.
        is_paused, is_running: its state.
        has_params: whether it has asked for any.
    """

    number: Ints
    own: Ints
    last: Ints
    until: Ints
    is_beyond: npt.NDArray[np.bool_]
    is_sound: npt.NDArray[np.bool_]
    is_paused: npt.NDArray[np.bool_]
    is_running: npt.NDArray[np.bool_]
    has_params: npt.NDArray[np.bool_]


def _open(history: History) -> _Open:
    metrics = history.study.metrics
    rows = _facts.all_of(history.unfinished, metrics)
    table = np.array(rows, dtype=np.int64).reshape(len(rows), len(_Open._fields)).T
    return _Open(*table[:4], *(table[4:] > 0))


def _facts_of(record: TrialRecord, metrics: Sequence[str]) -> tuple[int, ...]:
    """One column of ``_Open``."""
    values = record.reports[-1].values if record.reports else {}
    return (
        record.number,
        _said.of(record).n_steps,
        record.last_step or 0,
        -1 if record.until is None else record.until,
        bool(record.attributes) and record.violation > 0.0,
        all(math.isfinite(values.get(metric, 0.0)) for metric in metrics),
        record.state is State.PAUSED,
        record.state is State.RUNNING,
        bool(record.params),
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
    has_reported = np.zeros(len(history), dtype=bool)
    has_reported[first.numbers] = True
    is_silent = np.isfinite(columns.losses).all(axis=1) & ~has_reported[columns.numbers]
    if is_silent.any():
        order = np.flatnonzero(is_silent)[np.argsort(columns.numbers[is_silent], kind="stable")]
        last = max(history.max_steps or 1, int(steps.max(initial=1)))
        numbers = np.concatenate([numbers, columns.numbers[order]])
        steps = np.concatenate([steps, np.full(len(order), last)])
        losses = np.concatenate([losses, columns.losses[order]])
    return numbers, steps, np.clip(losses, -LARGEST, LARGEST)


def _fixed(history: History, columns: Coordinates, own: Lengths) -> Floats:
    """[d] what the study's user has fixed, and the length that new trainings are expected to have."""
    values = history.study.attributes.get(FIXED) or {}
    domains = columns.domains
    fixed = columns.row({name: domains[name].to_stored(value) for name, value in values.items() if name in domains})
    return fixed if own.column is None else np.append(fixed, own.new)


def _with_lengths(xs: Floats, columns: Coordinates, own: Lengths) -> tuple[Floats, Coordinates]:
    """With a column for the logarithm of the length, where the model needs one."""
    if own.column is None:
        return xs, columns
    layout = Layout((*columns.layout.n_choices, 0), (*columns.layout.is_conditional, False))
    domains = {**columns.domains, _LENGTH: Float(0.0, 1.0)}
    wider = replace(columns, domains=domains, layout=layout, grids=(*columns.grids, None))
    return within(np.column_stack([xs, own.column]), layout), wider


def _place(columns: Coordinates, name: str) -> int | None:
    names = list(columns.domains)
    return names.index(name) if name in names else None


def _coordinates(history: History) -> tuple[Floats, Coordinates]:
    """[N, d] of all trials by number, in the columns that some trial has a value for."""
    space, columns = history.space, history.columns
    xs = np.full((len(history), len(space)), np.nan)
    xs[columns.numbers] = columns.params
    unfinished = history.unfinished
    if unfinished:
        rows = _rows.all_of((record.params for record in unfinished), space)
        xs[[record.number for record in unfinished]] = rows
    domains = list(space.domains.items())
    is_missing = np.isnan(xs)
    is_asked = ~is_missing.all(axis=0)
    kept = [j for j, (_, domain) in enumerate(domains) if is_asked[j] and domain.n_values != 1]
    xs, is_missing = xs[:, kept], is_missing[:, kept]
    has_any = ~is_missing.all(axis=1)
    asked = xs[has_any] if kept else xs
    key = (id(space), tuple(kept), digest(asked) if is_missing[has_any].any() else b"")
    known = _columns.get(key, lambda: (space, Coordinates.of(space, dict(domains[j] for j in kept), asked)))
    found = known[1]
    return within(xs, found.layout), found


def _row_of(params: Mapping[str, Any], space: Space) -> list[float]:
    return coordinates(space, params)


_rows = Facts(20_000, _row_of)
_said: Facts[TrialRecord, Announced] = Facts(8192, lambda record, _: announced_by(record))
_facts = Facts(8192, _facts_of)  # of thousands of paused trials few change between two decisions
_seen = Facts(2, _seen_of)  # a decision asks several times
_columns = Memo(16)  # by the space's identity, which the entry keeps alive
