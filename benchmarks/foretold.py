"""Studies that are asked, as they go on, what they expect of their paused trainings and of the next steps; and what comes.

A study is played by freeze-thaw search, or by halving on random configurations, with one worker. At some costs the history is
kept as it is between two decisions. All trials with a value that are not at their end are asked for their last value; the curve
tells it. The study itself tells what the next full training's worth of steps has brought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from benchmarks.players import RowsInOrder
from benchmarks.rows import Rows
from benchmarks.tables import RowTask
from benchmarks.tables.base import Floats
from honed.domains import Float, Scalar
from honed.explain.advice import LEAST_TRIALS
from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.candidates import Everywhere
from honed.freeze_thaw.insight import Insight
from honed.history import History
from honed.records import Decision, TrialRecord
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.random import Random
from honed.schedulers.asha import ASHA
from honed.schedulers.base import Move, Scheduler
from honed.space import Space
from honed.testing.simulate import CurveTask, Task, Trace, power_law, simulate

COSTS = (2, 5, 10, 20)
"""In full trainings: when a study is asked."""

Law = Callable[[Floats, Floats], Floats]

SEARCHES = ("freeze-thaw", "ASHA")


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A study that was played.

    Attributes:
        moments: the history at each of ``COSTS``, as far as it went.
    """

    task: Task
    search: str
    seed: int
    trace: Trace
    moments: tuple[History, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What one study said at one moment, and what came; smaller values are better.

    Attributes:
        cost: steps so far, in full trainings.
        at: [q] shares of their trainings that the asked trials had done.
        median, low, high, true: [q] of last values.
        chance, is_better: [q] of a new best value at the end.
        expected, came: what the next full training's worth of steps would bring, and brought; None where the advice is
            silent yet.
        likely, has_come: probability of a better value than the best by more than a margin, and whether one came.
        reference: the task's scale: from its optimum to the loss of doing nothing clever.
    """

    cost: int
    at: list[float]
    median: list[float]
    low: list[float]
    high: list[float]
    true: list[float]
    chance: list[float]
    is_better: list[bool]
    expected: float | None
    came: float | None
    likely: float | None
    has_come: bool | None
    reference: float


def play(task: Task, search: str, seed: int) -> Study:
    """Plays a study for the highest of ``COSTS`` and one full training more."""
    watched = _Watched(*_players(task, search), task.total_steps)
    trace = simulate(task, watched, watched, budget_steps=(COSTS[-1] + 1) * task.total_steps, seed=seed)
    return Study(task, search, seed, trace, tuple(watched.moments))


def asked(study: Study) -> list[Foretold]:
    """What the study says at each moment at which it has something to say."""
    found = []
    for cost, history in zip(COSTS, study.moments, strict=False):
        insight = Insight.of(history)
        if insight is not None:
            found.append(_asked(study, cost, history, insight))
    return found


def _asked(study: Study, cost: int, history: History, insight: Insight) -> Foretold:
    task = study.task
    data = insight.data
    numbers = np.flatnonzero((data.at > 0) & (data.at < task.total_steps) & data.has_survived)
    finals = np.array([task.curve(history[n].params, Stream(study.seed, n))[-1] for n in numbers.tolist()])
    numbers, finals = numbers[np.isfinite(finals)], finals[np.isfinite(finals)]  # no number stands for divergence
    said, chance = insight.finals(numbers), insight.chances(numbers)
    now, later = history.n_steps, history.n_steps + task.total_steps
    speaks = (data.at >= data.totals).any() and len(np.unique(data.numbers)) >= LEAST_TRIALS  # as the advice does
    is_asked = speaks and study.search == "freeze-thaw" and later <= study.trace.n_steps
    gain, came = None, None
    if is_asked:
        candidates = Rows(task) if isinstance(task, RowTask) else Everywhere()
        gain = insight.gain(candidates=candidates)
        came = max(study.trace.best_after(now) - study.trace.best_after(later), 0.0)
    return Foretold(
        cost=cost,
        at=(data.at[numbers] / task.total_steps).tolist(),
        median=said.median.tolist(), low=said.low.tolist(), high=said.high.tolist(), true=finals.tolist(),
        chance=chance.tolist(), is_better=(finals < insight.best).tolist(),
        expected=None if gain is None else gain.gain, came=came,
        likely=None if gain is None else gain.chance,
        has_come=None if gain is None or came is None else came > gain.margin,
        reference=task.reference - task.optimum,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- players


def _players(task: Task, search: str) -> tuple[Sampler, Scheduler]:
    is_pool = isinstance(task, RowTask)
    if search == "ASHA":
        return (RowsInOrder(task) if is_pool else Random()), ASHA()
    policy = FreezeThaw(candidates=Rows(task)) if is_pool else FreezeThaw()
    return policy, policy


@dataclass(slots=True, eq=False)
class _Watched:
    """A search that keeps the history at the first decision after each cost."""

    reads_curves: ClassVar[bool] = True
    sampler: Sampler
    scheduler: Scheduler
    total_steps: int
    moments: list[History] = field(default_factory=list)

    def next(self, history: History) -> Move:
        n = len(self.moments)
        if n < len(COSTS) and history.n_steps >= COSTS[n] * self.total_steps:
            self.moments.append(history)
        return self.scheduler.next(history)

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        return self.sampler.suggest(history, space, rng, given)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return self.scheduler.decide(history, trial)


# --------------------------------------------------------------------------------------------------------- synthetic


def synthetic() -> Sequence[CurveTask]:
    """Curves of known laws: powers, exponentials whose speed depends on the configuration, steps, and noise on them."""
    return (
        power_law(2), power_law(4), replace(power_law(2, noise=0.01), name="power law, noise"),
        _task("exponentials", 2, 27, _exponential, 0.0), _task("exponentials, noise", 3, 27, _exponential, 0.01),
        _task("long powers", 4, 100, _long_power, 0.002), _task("falls in steps", 3, 60, _falling_in_steps, 0.003),
        _task("most diverge to chance", 4, 40, _plateau, 0.002),
    )  # fmt: skip


def _level(x: Floats) -> float:
    return float(((x - 0.3) ** 2).mean() / 0.49)


def _exponential(x: Floats, u: Floats) -> Floats:
    return _level(x) + 0.5 * np.exp(-(0.2 + 0.6 * float(x[0])) * 27.0 * u)


def _long_power(x: Floats, u: Floats) -> Floats:
    return 0.05 + 0.4 * _level(x) + (100.0 * u) ** -(0.3 + 0.7 * float(x[-1]))


def _falling_in_steps(x: Floats, u: Floats) -> Floats:
    """A learning rate that is divided at a half and at three quarters of a training."""
    early = 0.3 + 0.7 / (1.0 + 20.0 * u)
    return np.asarray((0.1 + 0.6 * _level(x)) + 0.5 * early * np.where(u < 0.5, 1.0, np.where(u < 0.75, 0.4, 0.25)))


def _plateau(x: Floats, u: Floats) -> Floats:
    """Only a tenth of the configurations learn anything."""
    depth = np.exp(-12.0 * _level(x))
    return np.asarray(0.693 - 0.5 * depth * (1.0 - np.exp(-6.0 * u)))


def _task(name: str, n_params: int, length: int, law: Law, noise: float) -> CurveTask:
    u = np.arange(1, length + 1) / length

    def losses(params: Mapping[str, Scalar], rng: Stream) -> list[float]:
        curve = law(np.array([float(str(value)) for value in params.values()]), u)
        found: list[float] = (curve + rng.generator("noise").normal(0.0, noise, length)).tolist()
        return found

    some = np.random.default_rng(0).random((2000, n_params))
    ends = np.array([law(x, u) for x in [*some, np.full(n_params, 0.3)]])
    return CurveTask(
        name=name, space=Space({f"x{i}": Float(0.0, 1.0) for i in range(n_params)}), total_steps=length,
        losses=losses, optimum=float(ends.min()), reference=float(np.median(ends[:, -1])),
    )  # fmt: skip
