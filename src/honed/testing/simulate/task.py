"""What a simulated study trains: curves that are known beforehand, and how long a step takes.

``Task`` is the protocol, for recorded curves of real trainings as well; ``CurveTask`` makes one of a function, and
``power_law`` is a small family whose optimum is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from honed.domains import Float, Scalar
from honed.history import Floats
from honed.samplers.base import Stream
from honed.space import Space

Curve = Callable[[Mapping[str, Scalar], Stream], Sequence[float]]
"""The losses of a whole training, from params and the randomness of the trial."""


@runtime_checkable
class Task(Protocol):
    """A training whose learning curves are known.

    Attributes:
        name: for tables and messages.
        space: what may be tried.
        total_steps: steps of a full training.
        optimum: the lowest loss that any configuration has at any step.
        reference: the loss of doing nothing clever (chance, or a median), which counts as a regret of 1.
    """

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> Space: ...
    @property
    def total_steps(self) -> int: ...
    @property
    def optimum(self) -> float: ...
    @property
    def reference(self) -> float: ...

    def curve(self, params: Mapping[str, Scalar], rng: Stream) -> Sequence[float]:
        """The loss after each step, [total_steps]; NaN from where a training diverges.

        Args:
            params: stored values (labels of choices).
            rng: the trial's; all noise comes from it, so that a trial has one curve however often it is resumed.
        """
        ...

    def seconds(self, params: Mapping[str, Scalar]) -> float:
        """How long one step takes."""
        ...


@runtime_checkable
class LengthTask(Task, Protocol):
    """A task whose trainings differ in length; ``total_steps`` are those of the longest.

    Attributes:
        schedule: the learning-rate schedule that is made for each training's own length; None where there is none.
    """

    @property
    def schedule(self) -> str | None: ...

    def length(self, params: Mapping[str, Scalar]) -> int:
        """The steps of a full training with these params."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveTask:
    """A task made of functions.

    Args:
        losses: what ``curve`` answers with.
        step_seconds: the duration of a step, or a function of the params.
        lengths: the steps of a training, where they depend on the params; ``losses`` has as many values then.
        schedule: of learning rates, where it is made for each training's length.
    """

    name: str
    space: Space
    total_steps: int
    losses: Curve
    optimum: float = 0.0
    reference: float = 1.0
    step_seconds: float | Callable[[Mapping[str, Scalar]], float] = 1.0
    lengths: Callable[[Mapping[str, Scalar]], int] | None = None
    schedule: str | None = None

    def length(self, params: Mapping[str, Scalar]) -> int:
        return self.total_steps if self.lengths is None else self.lengths(params)

    def curve(self, params: Mapping[str, Scalar], rng: Stream) -> Sequence[float]:
        return self.losses(params, rng)

    def seconds(self, params: Mapping[str, Scalar]) -> float:
        return self.step_seconds(params) if callable(self.step_seconds) else self.step_seconds


def power_law(n_params: int = 2, total_steps: int = 27, *, noise: float = 0.0) -> CurveTask:
    """Curves that fall as a power of the step to a level which is a bowl in the params.

    loss(x, t) = level + (1 - level) t^-(0.4 + 0.6 level), level = mean (x_i - 0.3)^2 / 0.49: a low level is reached
    slowly, so that what is best at first is not best after ten steps.

    Args:
        n_params: number of parameters, each in [0, 1].
        noise: standard deviation of what is added to every loss.
    """
    steps = np.arange(1, total_steps + 1, dtype=np.float64)

    def falling(level: Floats | float) -> Floats:
        curve: Floats = level + (1.0 - level) * steps ** -(0.4 + 0.6 * level)
        return curve

    def losses(params: Mapping[str, Scalar], rng: Stream) -> list[float]:
        level = sum((float(x) - 0.3) ** 2 for x in params.values() if x is not None) / (0.49 * n_params)
        curve = falling(level)
        if noise:
            curve += rng.generator("noise").normal(0.0, noise, total_steps)
        return curve.tolist()  # type: ignore[no-any-return]

    return CurveTask(
        name=f"power law, {n_params} parameters",
        space=Space({f"x{i}": Float(0.0, 1.0) for i in range(n_params)}),
        total_steps=total_steps,
        losses=losses,
        optimum=float(falling(np.linspace(0.0, 1.0, 1001)[:, None]).min()),
    )


def normalised_regret(task: Task, loss: float) -> float:
    """How far a loss is from the task's optimum: 0 there, 1 at the reference and beyond, and for NaN."""
    if math.isnan(loss):
        return 1.0
    return min(max((loss - task.optimum) / (task.reference - task.optimum), 0.0), 1.0)
