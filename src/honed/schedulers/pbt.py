"""Population-based training: losers go on from a winner's checkpoint, with other hyperparameters.

Jaderberg et al. 2017, arXiv 1711.09846. A population is trained side by side and pauses at every interval. There a trial among
the worst fifth by value at that step is stopped, and a new one takes its place: it starts from the checkpoint of one of
the best fifth, with that one's params, the listed ones perturbed or drawn again. So schedules are found, not only
values; ``record.parent`` and the note tell the line of every trial. It is greedy: good for long trainings and large
populations, bad where early gains mislead.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from honed.algorithms.rungs import ordered
from honed.domains import Categorical, Domain, Float, Int, Scalar
from honed.errors import closest
from honed.history import History, Ints
from honed.records import Decision, Direction, Resume, Start, State, TrialRecord, Wait
from honed.schedulers.base import Move
from honed.schedulers.moves import full_length, paused, queued
from honed.schedulers.ranking import Compare, Ranking
from honed.schedulers.settings import check_between, check_whole

_LOG_SHIFT = 0.08  # of the range; 1.2 on a scale of one decade


@dataclass(frozen=True, slots=True, kw_only=True)
class PBT:
    """A population whose losers are replaced by changed copies of its winners.

    The note of a trial has ``member`` (its place in the population), ``generation`` (how many copies back to a fresh start) and
    ``replaces`` (the loser). When all members are finished, the next population begins.

    Attributes:
        params: names of the parameters that may change during a training; all others stay the parent's.
        population: how many trials are trained side by side.
        interval: steps between two comparisons; by default a twentieth of a full training, and at least 3.
        quantile: share of losers, and of winners.
        resample: probability that a parameter is drawn anew instead of perturbed.
        factor: a number is multiplied or divided by it; on a logarithmic scale it moves by 0.08 of the range.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        metric, direction, compare: what is compared (``Ranking``).
    """

    starts_from_parents: ClassVar[bool] = True
    """Checkpoints of its trials may be wanted by others: nobody removes them at once."""

    params: Sequence[str]
    population: int = 16
    interval: int | None = None
    quantile: float = 0.2
    resample: float = 0.25
    factor: float = 1.2
    max_steps: int | None = None
    metric: str | None = None
    direction: Direction | None = None
    compare: Compare = "value"

    def __post_init__(self) -> None:
        names = self.params
        if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"PBT: params={names!r} must list the parameters that may change; write params=['lr']")
        object.__setattr__(self, "params", tuple(names))
        check_whole("PBT", "population", self.population, 2)
        check_whole("PBT", "interval", self.interval, 1, may_be_none=True)
        check_whole("PBT", "max_steps", self.max_steps, 1, may_be_none=True)
        check_between("PBT", "quantile", self.quantile, 0, 0.5 + 1e-9, "quantile=0.2 replaces the worst fifth")
        check_between("PBT", "resample", self.resample, -1e-9, 1 + 1e-9, "write resample=0.25")
        check_between("PBT", "factor", self.factor, 1, math.inf, "write factor=1.2")
        self._ranking()

    def next(self, history: History) -> Move:
        first = self._above(history, 0)
        number = queued(history)
        if number is not None:
            return Resume(number=number, until=first)
        if history.may_start:
            loser = self._unreplaced(history)
            if loser is not None:
                return self._replacement(history, loser)
        n_alive = history.n_counted - history.count(State.STOPPED)
        fresh = Start(until=first, note={"member": n_alive % self.population, "generation": 0})
        if history.may_start and (n_alive == 0 or n_alive % self.population):
            return fresh
        grants = paused(history)
        rows = np.flatnonzero(grants >= 0)
        if len(rows):
            step = int(grants[rows].min())
            number = self._best_of(history, rows[grants[rows] == step], step)
            return Resume(number=number, until=self._above(history, step))
        if history.count(State.RUNNING):
            return Wait("the population is being trained")
        return fresh

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        step, ranking = trial.last_step, self._ranking()
        if not step or step % self._interval(history) or not ranking.has(history, trial.reports[-1]):
            return Decision.CONTINUE
        own, others = ranking.among(history, trial, step)
        n_losers = math.floor((len(others) + 1) * self.quantile + 1e-9)
        is_loser = int((others > own).sum()) < n_losers and bool((others < own).any())
        return Decision.STOP if is_loser else Decision.CONTINUE

    def _ranking(self) -> Ranking:
        return Ranking(self.metric, self.direction, self.compare)

    def _interval(self, history: History) -> int:
        return self.interval or max(3, math.ceil((full_length(history, self.max_steps) or 0) / 20))

    def _best_of(self, history: History, numbers: Ints, step: int) -> int:
        """The best first: those likely to be stopped come last and are judged against all, with one worker too."""
        ranked = self._ranking().at(history, step)
        scores = np.full(len(history), np.inf)
        scores[ranked.numbers] = ranked.scores
        return int(numbers[ordered(scores[numbers], numbers)[0]])

    def _above(self, history: History, step: int) -> int | None:
        """The grant above a step: the next comparison, or None for the end."""
        interval, full = self._interval(history), full_length(history, self.max_steps)
        grant = (step // interval + 1) * interval
        return None if full is not None and grant >= full else grant

    def _unreplaced(self, history: History) -> TrialRecord | None:
        """The first trial that was stopped or failed and that nobody has replaced yet."""
        lost, n_replaced = history.fold("pbt", _nothing_learnt, _learn)
        n = n_replaced[0] + sum("replaces" in record.note for record in history.unfinished)
        return history[lost[n]] if n < len(lost) else None

    def _replacement(self, history: History, loser: TrialRecord) -> Start:
        note = {"member": loser.note.get("member", 0), "replaces": loser.number}
        rng = random.Random(f"{history.study.seed}/{len(history)}/pbt")
        parent = self._winner(history, loser, rng)
        if parent is None:
            return Start(until=self._above(history, 0), note=note | {"generation": 0})
        reached = parent.until if parent.state is State.PAUSED else None
        if reached is None:  # it is running: its latest checkpoint lies where it paused last
            interval, last = self._interval(history), parent.last_step or 0
            reached = last // interval * interval
        return Start(
            until=self._above(history, reached),
            parent=parent.number,
            params=self._explored(history, parent, rng),
            note=note | {"generation": parent.note.get("generation", 0) + 1},
        )

    def _winner(self, history: History, loser: TrialRecord, rng: random.Random) -> TrialRecord | None:
        """One of the best at the step where the loser ended that can still be copied: it has a checkpoint and steps to go."""
        step = (loser.last_step or 0) // self._interval(history) * self._interval(history)
        ranked = self._ranking().at(history, step)
        standings = history.standings()
        may = (standings.are(State.RUNNING) | standings.are(State.PAUSED))[ranked.numbers] & (ranked.scores < np.inf)
        numbers, scores = ranked.numbers[may], ranked.scores[may]
        in_order = (history[int(numbers[row])] for row in ordered(scores, numbers).tolist())
        alive = [record for record in in_order if record.checkpoint is not None]
        if not alive:
            return None
        return alive[rng.randrange(max(1, math.floor(len(alive) * self.quantile + 1e-9)))]

    def _explored(self, history: History, parent: TrialRecord, rng: random.Random) -> dict[str, Scalar]:
        params = dict(parent.params)
        for name in self.params:
            if name not in history.space:
                known = ", ".join(history.space.domains)
                raise ValueError(
                    f"PBT: params names {name!r}, which no trial has asked for; there are: {known}."
                    + closest(name, history.space.domains)
                )
            if name in params:
                params[name] = explore(history.space[name], params[name], rng, self.resample, self.factor)
        return params


def explore(domain: Domain, value: Scalar, rng: random.Random, resample: float, factor: float) -> Scalar:
    """Another value of the domain: drawn anew with probability ``resample``, else one step away.

    A choice without order is kept or drawn anew. A number is multiplied or divided by ``factor``; where the scale is not linear,
    and for ordered choices, it moves by 0.08 of the range; by one value of the domain at least.
    """
    is_fresh, upwards, unit = rng.random() < resample, rng.random() < 0.5, rng.random()
    if is_fresh or not domain.contains(value):
        return domain.decode(unit)
    if isinstance(domain, Categorical):
        return value
    here = domain.encode(value)
    if isinstance(domain, Float | Int) and not domain.log and isinstance(value, int | float):
        target = value * factor if upwards else value / factor
        moved: Scalar = domain.decode(domain.encode(min(max(target, domain.low), domain.high)))
    else:
        moved = domain.decode(min(max(here + (_LOG_SHIFT if upwards else -_LOG_SHIFT), 0.0), 1.0))
    n = domain.n_values
    if moved == value and n is not None and n > 1:  # less than one value away
        moved = domain.decode(min(max(here + (1.0 if upwards else -1.0) / (n - 1), 0.0), 1.0))
    return moved


def _nothing_learnt() -> tuple[list[int], list[int]]:
    return [], [0]


def _learn(state: tuple[list[int], list[int]], record: TrialRecord) -> None:
    lost, n_replaced = state
    if record.state is not State.COMPLETE:
        lost.append(record.number)
    n_replaced[0] += "replaces" in record.note
