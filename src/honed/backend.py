"""What stands behind a trial: a port of few calls, so that one objective runs in a study, on other ranks, or on fixed values."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from honed.algorithms.schedules import Kept
from honed.domains import Domain, Scalar


class TrialBackend(Protocol):
    """What stands behind a trial."""

    def suggest(self, name: str, domain: Domain) -> Scalar:
        """The stored value for a parameter that is asked for the first time in this trial."""
        ...

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        """Takes the metrics of one step; True when the training should end here."""
        ...

    def annotate(self, key: str, value: Any) -> None:
        """Keeps a JSON value with the trial."""
        ...

    def tracks(self) -> None:
        """The training has named its state: it can be paused and resumed from now on."""
        ...

    def should_stop(self) -> bool:
        """Whether the training should end: at its grant, stopped by a rule, out of time, interrupted, or taken over."""
        ...

    def resume(self) -> Resumed:
        """Where the training goes on, and how far."""
        ...

    def begin(self, n_steps: int, schedule: Kept | None = None) -> None:
        """A training of so many steps begins, or goes on; its learning rates may be made for this length."""
        ...

    def end_step(self, step: int) -> bool:
        """A step is done; True when a checkpoint should be written now."""
        ...

    def checkpoint(self, step: int) -> AbstractContextManager[Path]:
        """An empty directory that becomes the trial's checkpoint when the block ends without an error."""
        ...


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a training goes on.

    Attributes:
        step: steps done before; 0 at a fresh start.
        directory: the checkpoint after that step.
        until: the step up to which it may go now; None is to its end.
    """

    step: int = 0
    directory: Path | None = None
    until: int | None = None
