"""Small schedulers and tasks whose every move is known by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from honed import Int, Space
from honed.domains import Scalar
from honed.history import History
from honed.records import Decision, Resume, Start, State, Suggestion, TrialRecord, Wait
from honed.samplers.base import Stream
from honed.schedulers.base import Move
from honed.testing.simulate import CurveTask


@dataclass(frozen=True)
class Counting:
    """Trial n tries x = n."""

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        return Suggestion({"x": rng.number})


@dataclass(frozen=True)
class Two:
    """``n`` trials to step ``first``; then the best one to the end."""

    n: int = 3
    first: int = 2

    def next(self, history: History) -> Move:
        if len(history) < self.n:
            return Start(until=self.first)
        if history.count(State.RUNNING) or history.count(State.COMPLETE):
            return Wait("the others")
        paused = [record for record in history.unfinished if record.state is State.PAUSED]
        best = min(paused, key=lambda record: record.reports[-1].values["value"])
        return Resume(number=best.number)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE


@dataclass(frozen=True)
class Scripted:
    """Moves by turn (the last one is repeated), and decisions by (trial, step)."""

    moves: Sequence[Move]
    decisions: Mapping[tuple[int, int], Decision] = field(default_factory=dict)

    def next(self, history: History) -> Move:
        n_moves = sum(record.attempt for record in history)
        return self.moves[min(n_moves, len(self.moves) - 1)]

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        step = trial.last_step
        assert step is not None
        assert history[trial.number].reports == trial.reports
        return self.decisions.get((trial.number, step), Decision.CONTINUE)


def listed(*curves: Sequence[float], seconds: Sequence[float] = ()) -> CurveTask:
    """A task in which x is the index of a curve."""

    def losses(params: Mapping[str, Scalar], rng: Stream) -> Sequence[float]:
        return curves[int(str(params["x"])) % len(curves)]

    return CurveTask(
        name="listed",
        space=Space(x=Int(0, 100_000)),
        total_steps=len(curves[0]),
        losses=losses,
        optimum=min(loss for curve in curves for loss in curve if not math.isnan(loss)),
        step_seconds=(lambda params: seconds[int(str(params["x"])) % len(seconds)]) if seconds else 1.0,
    )


CURVES = ([9.0, 8.0, 7.0, 6.0], [5.0, 4.5, 4.0, 3.0], [8.0, 6.0, 2.0, 1.0])
