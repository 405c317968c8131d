"""What a study, and the run that asks, may spend: the part of a decision that no trial tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be spent, as a worker knows it when it asks; None is no limit.

    Attributes:
        trials: of the whole study.
        steps: of all trials together.
        train_seconds: of training, all trials together, over all workers and runs (``gpu_hours``).
        run_seconds: of the present run, from its start to its end (``timeout``).
        seconds_left: of the present run.
        worker: who asks; where it runs stands before the first colon.
    """

    trials: int | None = None
    steps: int | None = None
    train_seconds: float | None = None
    run_seconds: float | None = None
    seconds_left: float | None = None
    worker: str | None = None

    @property
    def host(self) -> str | None:
        """Where the worker runs that asks."""
        return None if self.worker is None else self.worker.partition(":")[0]


UNLIMITED = Allowance()
