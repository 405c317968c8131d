"""What a halving scheduler costs before it runs: trials and steps of every rung, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRung:
    """One rung of one bracket.

    Attributes:
        bracket: number of the bracket, as in ``record.note["bracket"]``.
        step: up to which its trials are trained.
        n_trials: how many reach it.
        n_steps: what it costs: the steps between the rung below and this one, over all its trials.
    """

    bracket: int
    step: int
    n_trials: int
    n_steps: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The rungs of a halving scheduler, bracket by bracket.

    Attributes:
        max_steps: the length of a full training.
    """

    rungs: tuple[PlannedRung, ...]
    max_steps: int

    @property
    def n_trials(self) -> int:
        """How many trials are started."""
        first = {rung.bracket: rung.n_trials for rung in reversed(self.rungs)}
        return sum(first.values())

    @property
    def n_steps(self) -> int:
        """All steps together, each paid once: paused trainings go on."""
        return sum(rung.n_steps for rung in self.rungs)

    @property
    def n_steps_restarting(self) -> int:
        """All steps together where no checkpoint is saved and every promotion begins again at step 0."""
        return sum(rung.n_trials * rung.step for rung in self.rungs)

    @property
    def n_full(self) -> int:
        """How many trials are trained to the end."""
        return sum(rung.n_trials for rung in self.rungs if rung.step >= self.max_steps)

    def __str__(self) -> str:
        """The table, with one line for each rung."""
        head = f"{'bracket':>7} {'step':>6} {'trials':>7} {'new steps':>10}"
        lines = [f"{r.bracket:>7} {r.step:>6} {r.n_trials:>7,} {r.n_steps:>10,}" for r in self.rungs]
        full = self.n_trials * self.max_steps
        total = f"{self.n_trials:,} trials, {self.n_steps:,} steps of {full:,} ({self.n_steps / max(full, 1):.0%})"
        return "\n".join([head, *lines, total])


def planned(bracket: int, steps: Sequence[int], counts: Sequence[int]) -> list[PlannedRung]:
    """The rungs of one bracket: ``counts[i]`` trials reach ``steps[i]``."""
    below = [0, *steps]
    return [
        PlannedRung(bracket=bracket, step=step, n_trials=n, n_steps=n * (step - below[i]))
        for i, (step, n) in enumerate(zip(steps, counts, strict=True))
    ]


def known_length(owner: str, setting: int | None, max_steps: int | None) -> int:
    """The length of a full training for a plan: the argument, or else the setting."""
    length = setting if max_steps is None else max_steps
    if length is None:
        raise ValueError(f"{owner}.plan(): the length of a full training is not known; write plan(max_steps=27)")
    return length
