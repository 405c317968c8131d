"""How often a training is saved though nobody pauses it: often enough to lose little, rarely enough to cost little.

What a crash costs is the time since the last checkpoint; what saving costs is known from the last one. Saving when that
many times its duration has passed keeps its share of the time bounded, for models that save in a millisecond and for those
that need a minute. The first step is always saved: it tells the duration, and that saving works at all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Saved:
    """The last checkpoint of a training, saved or resumed from.

    Attributes:
        step: steps done then.
        at: monotonic seconds when it was done.
        seconds: how long saving took; 0 for one that was resumed from.
    """

    step: int
    at: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When to save between pauses.

    Args:
        every: save after so many steps; None goes by the time that saving takes.
        share: at most about this share of the time is spent on saving.
    """

    every: int | None = None
    share: float = 0.05

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"every={self.every} must be 1 or more steps, or None to go by the time that saving takes")
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0 and at most 1, such as 0.05")

    def is_due(self, step: int, last: Saved | None, now: float) -> bool:
        """Whether to save after a step.

        Args:
            step: steps done.
            last: None when this trial has no checkpoint.
            now: monotonic seconds.
        """
        if last is not None and step <= last.step:
            return False
        if self.every is not None:
            return step - (0 if last is None else last.step) >= self.every
        return last is None or now - last.at >= last.seconds / self.share
