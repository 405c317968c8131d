"""Which checkpoints nobody needs any more, as pure functions of the rows of trials.

A checkpoint is needed when a row says so: it is the latest of a trial that runs, waits or is paused; a new trial will start
from it (its parent's, until it has one of its own); its trial is among the best, or pinned by the user
(``attributes["pinned"]``). Nothing else is asked: no clock of another machine, no lists kept on the side.

What if a worker saves a checkpoint right now, whose row is not written yet, or the rows in hand are old? Three facts make
every answer safe, however old keys and rows are:

1. Attempts only grow, and the storage refuses writes of older ones. A key of an attempt before the row's can be named no more.
2. Within an attempt steps grow, and a row never goes back. A key before the named one can be named no more.
3. All other keys may be on their way to a row, and stay: later ones of a running trial, those of later attempts, and those
   of trials that the rows do not know yet.

One race is left: a child added a moment ago, by a worker that saw an older row of its parent, may name the parent's last
checkpoint but one. ``ripe`` therefore waits a minute between the first sight of garbage and its removal.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from honed.checkpoints.base import Position, parse_key
from honed.checkpoints.sizes import format_size
from honed.errors import DiskBudgetTooSmall

PINNED = "pinned"
RIPE_SECONDS = 60.0
_RUNNING, _PAUSED, _COMPLETE = "running", "paused", "complete"
_OPEN = {"waiting", _RUNNING, _PAUSED}


class Measured(Protocol):
    """One report of a trial."""

    @property
    def step(self) -> int:
        """Where it was measured."""
        ...

    @property
    def values(self) -> Mapping[str, float]:
        """Metric -> value."""
        ...


class Row(Protocol):
    """What must be known of a trial; ``TrialRecord`` has it all."""

    @property
    def number(self) -> int:
        """The trial."""
        ...

    @property
    def state(self) -> str:
        """Where it is in its life."""
        ...

    @property
    def attempt(self) -> int:
        """The latest attempt."""
        ...

    @property
    def checkpoint(self) -> str | None:
        """The key it names."""
        ...

    @property
    def parent(self) -> int | None:
        """The trial from whose checkpoint it starts."""
        ...

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the user left with it."""
        ...

    @property
    def values(self) -> tuple[float, ...] | None:
        """Its final values."""
        ...

    @property
    def reports(self) -> Sequence[Measured]:
        """Its curve, in order of steps."""
        ...


# ------------------------------------------------------------------------------------------------ what is needed


def unreferenced(keys: Iterable[str], rows: Iterable[Row], *, study: int, best: Collection[int] = ()) -> list[str]:
    """Keys of this study that no row needs, now or later.

    Args:
        best: numbers of finished trials that keep their checkpoints, such as ``best_trials``.
    """
    by_number = {row.number: row for row in rows}
    needed = _needed(by_number, best, _OPEN)
    garbage = []
    for key in keys:
        position = parse_key(key)
        row = by_number.get(position.number) if position.study == study else None
        if row is not None and key not in needed and not _may_be_named(position, row):
            garbage.append(key)
    return garbage


def of_deleted_studies(keys: Iterable[str], studies: Collection[int]) -> list[str]:
    """Keys of studies that are no more; list the keys first and read the studies afterwards."""
    return [key for key in keys if parse_key(key).study not in studies]


def ripe(
    garbage: Iterable[str], seen: Mapping[str, float], now: float, *, seconds: float = RIPE_SECONDS
) -> tuple[list[str], dict[str, float]]:
    """Which garbage has been seen long enough ago to be removed, and what to remember for the next time.

    Args:
        seen: the second answer of the last call, at first empty.
        now: monotonic seconds.
    """
    first_seen = {key: seen.get(key, now) for key in garbage}
    return [key for key, then in first_seen.items() if now - then >= seconds], first_seen


def best_trials(rows: Iterable[Row], n: int, directions: Sequence[str] = ("minimize",)) -> list[int]:
    """Numbers of the best complete trials that have a checkpoint.

    With several objectives those come first that the fewest others dominate: n^2 comparisons, so leave out rows whose
    checkpoint is gone.
    """
    losses = {
        row.number: tuple(_loss(value, d) for value, d in zip(row.values, directions, strict=True))
        for row in rows
        if row.state == _COMPLETE and row.checkpoint is not None and row.values is not None
    }
    if len(directions) == 1:
        return sorted(losses, key=lambda number: (losses[number], number))[:n]
    n_better = {number: sum(_dominates(other, loss) for other in losses.values()) for number, loss in losses.items()}
    return sorted(losses, key=lambda number: (math.inf in losses[number], n_better[number], number))[:n]


def _needed(rows: Mapping[int, Row], best: Collection[int], states: Collection[str]) -> set[str]:
    """Keys that are kept for the sake of trials in these states, of children, of the best, and of pins."""
    needed = set()
    for row in rows.values():
        if row.state in states or row.number in best or row.attributes.get(PINNED):
            needed.add(row.checkpoint)
        parent = None if row.parent is None else rows.get(row.parent)
        if row.state in _OPEN and parent is not None and _is_unborn(row):
            needed |= {row.checkpoint, parent.checkpoint}
    return {key for key in needed if key is not None}


def _is_unborn(row: Row) -> bool:
    """Whether a trial has saved nothing of its own yet."""
    return row.checkpoint is None or parse_key(row.checkpoint).number != row.number


def _may_be_named(position: Position, row: Row) -> bool:
    """Whether the row of a key's trial may name it later."""
    if position.attempt != row.attempt or row.state != _RUNNING:
        return position.attempt > row.attempt
    return row.checkpoint is None or _is_unborn(row) or position > parse_key(row.checkpoint)


def _loss(value: float, direction: str) -> float:
    """Smaller is better, NaN the worst."""
    if math.isnan(value):
        return math.inf
    return -value if direction == "maximize" else value


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


# ------------------------------------------------------------------------------------------- what does not fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much room there is.

    Attributes:
        budget: bytes that the checkpoints of the study may take; None is no limit.
        free: bytes that are free on the disk now; None is not asked.
        reserve: bytes that must stay free, for the next checkpoints of all workers.
    """

    budget: int | None = None
    free: int | None = None
    reserve: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """Which paused trials will continue.

    Attributes:
        likely: number -> the larger, the likelier.
        is_chance: whether these are probabilities, that may be told to the user.
    """

    likely: Mapping[int, float]
    is_chance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What has to go.

    Attributes:
        keys: trial -> key of the checkpoint that it loses.
        n_bytes: room that this makes.
        text: a sentence for the user; empty when there is room enough.
    """

    keys: Mapping[int, str] = field(default_factory=dict)
    n_bytes: int = 0
    text: str = ""


def prospects(rows: Iterable[Row], metric: str, direction: str = "minimize") -> Prospects:
    """By rank: the share of trials that were not better when they had come as far as the paused one has."""
    rows = list(rows)
    at_step: dict[int, list[float]] = {}
    for row in rows:
        for report in row.reports:
            at_step.setdefault(report.step, []).append(_loss(report.values.get(metric, math.nan), direction))
    likely = {}
    for row in rows:
        if row.state == _PAUSED and row.reports:
            last = row.reports[-1]
            loss, all_losses = _loss(last.values.get(metric, math.nan), direction), at_step[last.step]
            likely[row.number] = sum(other >= loss for other in all_losses) / len(all_losses)
            if loss == math.inf:
                likely[row.number] = 0.0
    return Prospects(likely=likely)


def over_budget(
    keys: Mapping[str, int],
    rows: Iterable[Row],
    limits: Limits,
    expected: Prospects,
    *,
    study: int,
    best: Collection[int] = (),
) -> Removal:
    """Which paused trials lose their checkpoints so that the others fit: those that will hardly continue go first.

    Trials that run or wait, the best, pinned ones, and parents of trials that have not begun are never touched. For each
    trial in the answer, first write its row, naming its attempt (so that nobody resumes it), and then delete the key; if
    that write is refused, somebody has just resumed it and the key must stay.

    Args:
        keys: with sizes, without those that are garbage anyway.

    Raises:
        DiskBudgetTooSmall: not even one checkpoint fits.
    """
    sizes = {key: size for key, size in keys.items() if parse_key(key).study == study}
    if limits.budget is not None and limits.budget < max(sizes.values(), default=0):
        largest = max(sizes.values())
        raise DiskBudgetTooSmall(
            f"The disk budget of {format_size(limits.budget)} holds no checkpoint: one of this study takes "
            f"{format_size(largest)}. Give at least that for each worker and each trial that is paused."
        )
    by_number = {row.number: row for row in rows}
    protected = _needed(by_number, best, _OPEN - {_PAUSED})
    candidates = [
        (expected.likely.get(row.number, 0.0), len(row.reports), -row.number, row)
        for row in by_number.values()
        if row.state == _PAUSED and row.checkpoint in sizes and row.checkpoint not in protected
    ]
    used, gone, worst = sum(sizes.values()), dict[int, str](), 0.0
    excess = _excess(limits, used)
    n_bytes = 0
    for likely, _, _, row in sorted(candidates, key=lambda candidate: candidate[:3]):
        if n_bytes >= excess or row.checkpoint is None:
            break
        gone[row.number] = row.checkpoint
        n_bytes += sizes[row.checkpoint]
        worst = max(worst, likely)
    chance = f"with {_percent(worst)} chance to continue" if expected.is_chance else "least likely to continue"
    text = _sentence(limits, used, len(gone), n_bytes, chance) if excess > 0 else ""
    return Removal(keys=gone, n_bytes=n_bytes, text=text)


def _excess(limits: Limits, used: int) -> int:
    """Bytes that must go."""
    over = 0 if limits.budget is None else used - limits.budget
    short = 0 if limits.free is None else limits.reserve - limits.free
    return max(over, short, 0)


def _percent(chance: float) -> str:
    """The next whole percentage above the largest of some chances."""
    return f"< {math.floor(100 * chance) + 1} %"


def _sentence(limits: Limits, used: int, n: int, n_bytes: int, chance: str) -> str:
    is_short = limits.free is not None and limits.free < limits.reserve
    if is_short and limits.free is not None:
        why = f"Disk has {format_size(limits.free)} left"
    else:
        why = f"Checkpoints took {format_size(used)} of {format_size(limits.budget or 0)}"
    what = f"removed {n} paused checkpoint{'' if n == 1 else 's'} {chance} ({format_size(n_bytes)})" if n else ""
    if n_bytes >= _excess(limits, used):
        return f"{why}; {what}."
    rest = "what is left belongs to running, pinned and the best trials, and nothing else can go"
    return f"{why}; {what}; {rest}." if what else f"{why}; {rest}."
