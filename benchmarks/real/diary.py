"""What happens in a study of real trainings: every epoch with its time, and the best network so far on the test part."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.real.tasks import CHANCE, Task, Training, digits

Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch that was trained.

    Attributes:
        at: seconds since the study began, when it was over.
        number: of the trial.
        step: epochs of the trial that are done.
        error: on the validation part; NaN where the training has diverged.
    """

    at: float
    number: int
    step: int
    error: float


@dataclass(slots=True)
class Diary:
    """Trains for a study and keeps what happened; what is after the last second does not count.

    Attributes:
        seconds: how long the study may take.
        training_seconds: of these, in building, training and validating networks.
        test_error: of the network that was best on the validation part, as it was then.
        params: of its trial.
    """

    task: Task
    seed: int
    seconds: float
    now: Now = time.perf_counter
    epochs: list[Epoch] = field(default_factory=list)
    training_seconds: float = 0.0
    test_error: float = CHANCE
    params: dict[str, Any] = field(default_factory=dict)
    best: Epoch | None = None
    _begun: float = math.nan

    def begin(self) -> None:
        """Starts the clock."""
        self._begun = self.now()

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.now() - self._begun >= self.seconds

    def build(self, trial: Any) -> Training:
        """A trial's training, at its beginning; trials of the same number begin with the same random numbers."""
        data = digits(self.seed)
        begun = self.now()
        training = self.task.build(trial, data, 1_000 * self.seed + trial.number)
        self.training_seconds += self.now() - begun
        return training

    def train(self, training: Training, trial: Any, step: int) -> float:
        """Trains for an epoch; the error on the validation part."""
        data, begun = digits(self.seed), self.now()
        training.epoch()
        error = training.error(data.validation)
        now = self.now()
        if now - self._begun > self.seconds:  # an epoch that ends too late is worth nothing
            self.training_seconds += max(self._begun + self.seconds - begun, 0.0)
            return error
        self.training_seconds += now - begun
        epoch = Epoch(now - self._begun, trial.number, step, error)
        self.epochs.append(epoch)
        if not math.isnan(error) and (self.best is None or error < self.best.error):
            self.best, self.params = epoch, dict(trial.params)
            self.test_error = training.error(data.test)
        return error
