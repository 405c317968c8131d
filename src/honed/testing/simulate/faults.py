"""Trouble on demand: trainings that raise, workers that die, at steps that are planned or drawn.

Everything is a function of (seed, trial, step, attempt): the same study has the same accidents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from honed.samplers.base import Stream

Fault = Literal["fail", "kill"]
"""``fail``: the objective raises, the trial is FAILED. ``kill``: the worker dies without a word, the trial is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Which steps do not end well. Such a step is paid, and nothing of it is reported or saved.

    Args:
        fail: probability that a step raises.
        kill: probability that a worker dies in a step; it is replaced at once.
        checkpoint_every: steps between the checkpoints of a running trial; a pause always saves one.
        planned: (trial, step) -> what happens at the first attempt to train that step.
    """

    fail: float = 0.0
    kill: float = 0.0
    checkpoint_every: int = 1
    planned: Mapping[tuple[int, int], Fault] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.fail >= 0.0 and self.kill >= 0.0 and self.fail + self.kill <= 1.0):
            raise ValueError(f"Faults: fail={self.fail} and kill={self.kill} must be probabilities, at most 1 together")
        if self.checkpoint_every < 1:
            raise ValueError(f"Faults: checkpoint_every={self.checkpoint_every} must be at least 1")

    def at(self, rng: Stream, step: int, attempt: int, *, is_first: bool) -> Fault | None:
        """What happens to a trial while it trains ``step``.

        Args:
            rng: the trial's.
            is_first: whether it has never trained this step before.
        """
        if is_first and (planned := self.planned.get((rng.number, step))):
            return planned
        if not self.fail and not self.kill:
            return None
        draw = rng.uniform(f"fault/{step}/{attempt}")
        if draw < self.fail:
            return "fail"
        return "kill" if draw < self.fail + self.kill else None
