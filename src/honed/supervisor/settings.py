"""How many worker processes, on what, and what one training may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from honed.checkpoints.sizes import parse_size
from honed.durations import seconds


@dataclass(frozen=True, slots=True)
class Workers:
    """Worker processes on this machine; ``optimize(workers=Workers(4, recycle_after=20))``.

    Args:
        n: how many; "auto": one for each GPU slot, without GPUs one for each core.
        threads: of each worker's numerical libraries (OMP_NUM_THREADS and the like); by default the cores are shared out. What
            the environment says already stays.
        recycle_after: trials after which a worker makes place for a fresh process, so that no leak lives long.
        setup: called in each worker process before its first trial, to load data or warm something up.
    """

    n: int | Literal["auto"] = "auto"
    threads: int | None = None
    recycle_after: int | None = None
    setup: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        if self.n != "auto" and (isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1):
            raise ValueError(f"workers={self.n!r} must be a whole number of at least 1, or 'auto'")
        for name in ("threads", "recycle_after"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"Workers: {name}={value!r} must be a whole number of at least 1, or None")
        if self.setup is not None and not callable(self.setup):
            raise TypeError(f"Workers: setup={self.setup!r} must be a function without arguments")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLimits:
    """What one training may use; a training beyond is killed with all its processes, and has FAILED.

    Attributes:
        seconds: from the start of a training, or of its continuation after a pause.
        silent_seconds: without a report or a step.
        bytes: memory of the worker process and its children.
    """

    seconds: float | None = None
    silent_seconds: float | None = None
    bytes: int | None = None

    @property
    def are_set(self) -> bool:
        """Whether there is anything to watch."""
        return (self.seconds, self.silent_seconds, self.bytes) != (None, None, None)


def trial_limits(
    trial_timeout: float | str | None, no_report_timeout: float | str | None, trial_memory: int | str | None
) -> TrialLimits:
    """The limits as ``optimize`` is given them: ``"2h"``, ``"20m"``, ``"8GB"``, or plain numbers.

    Raises:
        ValueError: naming the argument.
    """
    limits = TrialLimits(
        seconds=seconds(trial_timeout, "trial_timeout"),
        silent_seconds=seconds(no_report_timeout, "no_report_timeout"),
        bytes=None if trial_memory is None else parse_size(trial_memory, "trial_memory", of="memory"),
    )
    for name, value in (("trial_timeout", limits.seconds), ("no_report_timeout", limits.silent_seconds)):
        if value is not None and value <= 0:
            raise ValueError(f"{name}={value:g} must be more than 0 seconds, or None for no limit")
    return limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the workers of a run are, and what each training may use.

    Attributes:
        workers: how many, and how they are set up.
        gpus_per_trial: share of a card, or whole cards; 0 leaves cards alone.
        limits: of a training.
    """

    workers: Workers
    gpus_per_trial: float
    limits: TrialLimits


def plan(workers: int | Literal["auto"] | Workers, gpus_per_trial: float, limits: TrialLimits) -> Plan | None:
    """The plan of a run; None where the caller's own process does: one worker, nothing that must be killed or needs a card.

    Raises:
        ValueError: a number that makes no sense.
    """
    if workers == 1 and not gpus_per_trial and not limits.are_set:
        return None
    crew = workers if isinstance(workers, Workers) else Workers(workers)
    return Plan(workers=crew, gpus_per_trial=gpus_per_trial, limits=limits)


def n_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_environment(threads: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that hold numerical libraries to so many threads; what is set already stays."""
    return {name: str(threads) for name in _THREADS if name not in environment}
