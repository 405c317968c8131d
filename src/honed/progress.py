"""How far one training is: counted in epochs and iterations, written by the training, read by displays.

A training only adds to the numbers of a ``Position``; a display reads them from its own thread when it likes, so that
watching costs the training nothing. ``track`` moves a position along with any loop or data loader; ``progress_lines``
turns one into text::

         total [############################......................] 57.17%
    this epoch [###################################...............] 71.73%
           134 iter, 5 epoch / 10 epochs
        31.547 iters/sec. Estimated time to finish: 0:00:03.181785.

Rate and remaining time are those of this run of the trial: what was done before it was resumed does not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

FULL_WIDTH = 50
"""Characters of a bar where the terminal has room."""

_AROUND_BAR = len("this epoch [] 100.00%")
_EPSILON = 1e-9  # a step that misses an integer by rounding alone

T = TypeVar("T")


class Timer(Protocol):
    """What tracking needs of a clock."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...


@dataclass(slots=True)
class Position:
    """Where a training is; the training writes it, displays read it.

    Attributes:
        n_steps: steps (epochs) of the whole training; None where unknown.
        step: steps done so far, with the part of the current one: 5.7173 is 71.73 % into the sixth.
        iteration: batches so far in this run of the trial.
        first_step: the value of ``step`` when this run of the trial began (0, or where it was resumed).
        started: monotonic seconds at the first iteration or step; 0 before.
        current: steps done when the current one began; None where nobody says, then each tracked loop is one step.
        sized: whether the length of the current step is known, so that ``step`` moves within it.
        n_reports: how often this run of the trial has reported.
    """

    n_steps: int | None = None
    step: float = 0.0
    iteration: int = 0
    first_step: float = 0.0
    started: float = 0.0
    current: float | None = None
    sized: bool = True
    n_reports: int = 0

    def begin(self, done: float, now: float) -> None:
        """A step begins: ``done`` steps lie behind it, ``now`` is in monotonic seconds.

        Only the first loop tracked in a step counts; a later one (over the validation data) passes unseen.
        """
        if not self.started:
            self.started = now
        self.step = self.current = done


# ------------------------------------------------------------------------------------------------------ as text


def bar_width(columns: int) -> int:
    """How wide a bar may be on a terminal of so many columns: 50, or what fits; 0 where no bar does."""
    room = columns - _AROUND_BAR
    return min(FULL_WIDTH, room) if room >= 5 else 0


def progress_lines(position: Position, seconds: float, width: int = FULL_WIDTH) -> list[str]:
    """The two bars, the counts, and the rate with the time that is left.

    A bar without a known length is left out. Before the first batch (and in a training that counts no batches) the
    unit is the epoch.

    Args:
        position: how far the training is.
        seconds: since ``position.started``.
        width: characters of a bar (``bar_width``); 0 gives percentages only.
    """
    lines = []
    if position.n_steps:
        lines.append(_bar("total", position.step / position.n_steps, width))
    if position.iteration and position.sized:
        lines.append(_bar("this epoch", _part_of_epoch(position), width))
    unit, rate = _rate(position, seconds)
    speed = f"{_digits(rate):>10} {unit}s/sec."
    if position.n_steps:
        left = _seconds_left(position, seconds)
        speed += f" Estimated time to finish: {'unknown' if left is None else timedelta(seconds=left)}."
    return [*lines, _counts(position), speed]


def progress_line(position: Position, seconds: float, width: int = 20) -> str:
    """The same on one line, for a screen that shows several trainings.

    ``[###########.........] 57.17%, 5 of 10 epochs, 31.547 iters/sec, 0:00:03 left``
    """
    parts = []
    done = math.floor(position.step + _EPSILON)
    if position.n_steps:
        fraction = min(max(position.step / position.n_steps, 0.0), 1.0)
        parts += [f"{_hashes(fraction, width)}{fraction:6.2%}", f"{done} of {position.n_steps} epochs"]
    else:
        parts.append(_counts(position).strip())
    unit, rate = _rate(position, seconds)
    if rate:
        parts.append(f"{_digits(rate)} {unit}s/sec")
    left = _seconds_left(position, seconds)
    if left is not None:
        parts.append(f"{timedelta(seconds=round(left))} left")
    return ", ".join(parts)


def _bar(label: str, fraction: float, width: int) -> str:
    fraction = min(max(fraction, 0.0), 1.0)
    return f"{label:>10} {_hashes(fraction, width)}{fraction:6.2%}"


def _hashes(fraction: float, width: int) -> str:
    if width < 1:
        return ""
    n = int(fraction * width + _EPSILON)
    return f"[{'#' * n}{'.' * (width - n)}] "


def _part_of_epoch(position: Position) -> float:
    step = position.step
    if position.n_steps and step >= position.n_steps:
        return 1.0
    if position.current is not None and 0 <= step - position.current <= 1:
        return step - position.current
    return step - math.floor(step + _EPSILON)


def _counts(position: Position) -> str:
    epochs = f"{math.floor(position.step + _EPSILON)} epoch"
    of = f" / {position.n_steps} epochs" if position.n_steps else ""
    if not position.iteration:
        return f"{epochs.removesuffix(' epoch'):>10} epoch{of}"
    if not of and not position.sized and position.step == 0:
        return f"{position.iteration:10} iter"
    return f"{position.iteration:10} iter, {epochs}{of}"


def _rate(position: Position, seconds: float) -> tuple[str, float]:
    """Unit and how many of it were done in a second."""
    unit, done = ("iter", position.iteration) if position.iteration else ("epoch", _steps_done(position))
    return unit, done / seconds if seconds > 0 else 0.0


def _steps_done(position: Position) -> float:
    return max(position.step - position.first_step, 0.0)


def _digits(rate: float) -> str:
    """Five significant digits."""
    return f"{rate:.5g}" if rate < 99_999.5 else f"{rate:.0f}"


def _seconds_left(position: Position, seconds: float) -> float | None:
    """Remaining iterations divided by the rate, which is the same as remaining steps divided by theirs."""
    if not position.n_steps:
        return None
    remaining, done = max(position.n_steps - position.step, 0.0), _steps_done(position)
    if remaining == 0:
        return 0.0
    if done == 0 or seconds <= 0:
        return None
    left = remaining / done * seconds
    return left if left < timedelta.max.total_seconds() else None


# ----------------------------------------------------------------------------------------------------- tracking


def track(iterable: Iterable[T], position: Position, *, n_samples: int | None = None, clock: Timer) -> Tracked[T]:
    """Wraps a loop or a data loader: it yields the same and moves ``position`` through the current epoch.

    An epoch is measured in samples where their number is known (``n_samples``, or the length and batch size of a
    PyTorch-like loader), else in batches (``len(iterable)``), else only batches are counted. Never raises anything of
    its own, and may be looped over again for the next epoch.

    Args:
        n_samples: samples of one epoch. The size of a batch is then its first dimension; an iterable without a
            length may run through many epochs.
    """
    return Tracked(iterable, position, n_samples, clock)


class Tracked(Generic[T]):
    """An iterable that moves a position; made by ``track``."""

    __slots__ = ("_clock", "_iterable", "_n_samples", "_position")

    def __init__(self, iterable: Iterable[T], position: Position, n_samples: int | None, clock: Timer) -> None:
        self._iterable = iterable
        self._position = position
        self._n_samples = n_samples
        self._clock = clock

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]  # its own TypeError is the right one

    def __iter__(self) -> Iterator[T]:
        position = self._position
        if not position.started and not position.iteration:
            position.started = self._clock.monotonic()
        first = position.current
        if first is None:
            first = float(math.ceil(position.step - _EPSILON))
        elif position.step >= first + 1:  # another loop of an epoch that is through
            yield from self._iterable
            return
        length = _length(self._iterable)
        total, size = _measure(self._iterable, self._n_samples, length)
        position.sized = total is not None
        end = math.inf if length is None and position.current is None else first + 1
        seen = 0
        for batch in self._iterable:
            yield batch
            position.iteration += 1
            if total is not None:
                seen += size or _batch_size(batch)
                position.sized = seen > 0
                position.step = min(first + seen / total, end)
        position.step = max(position.step, first + 1)


def _measure(iterable: object, n_samples: int | None, length: int | None) -> tuple[int | None, int]:
    """What an epoch amounts to, and how much of it a batch is; 0: look at the batch."""
    if n_samples is not None and n_samples > 0:
        return n_samples, 0
    size = getattr(iterable, "batch_size", None)
    if hasattr(iterable, "dataset") and isinstance(size, int) and size > 0 and length:
        n = _length(getattr(iterable, "sampler", None))  # shorter than the data set in distributed training
        n = _length(iterable.dataset) if n is None else n
        if n is not None and length in (n // size, -(-n // size)):
            return min(n, length * size), size  # less than n where the last, smaller batch is dropped
    return (length, 1) if length else (None, 1)


def _length(thing: object) -> int | None:
    try:
        return len(thing)  # type: ignore[arg-type]
    except Exception:  # no length, or one that cannot be told: a loader over a stream raises TypeError here
        return None


def _batch_size(batch: Any) -> int:
    """The first dimension of what a loader yields; 0 where there is none to be seen."""
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 0
    if isinstance(batch, Mapping):
        return next((size for value in batch.values() if (size := _batch_size(value))), 0)
    if isinstance(batch, list | tuple) and batch:
        first = batch[0]
        return _batch_size(first) if hasattr(first, "shape") or isinstance(first, list | tuple) else len(batch)
    return 0
