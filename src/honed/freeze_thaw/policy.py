"""``FreezeThaw``: continue one of the paused trainings, or begin a new one? Whatever promises most at the end.

Log EI at the last step decides, neither divided by cost nor at several horizons, which were worse (docs/decisions). New and
paused trials are scored by one model. A trial first gets r0 steps, then a quarter more each time. A few decisions do
without the model (``insurance``), so that a study whose model is wrong does what asynchronous halving does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from honed.algorithms.curve_ensemble import CurveEnsemble, NewScores
from honed.costs import costs_of
from honed.domains import Scalar
from honed.freeze_thaw.budget import LEAST_FIRST, Budget, budget_of, first_slice
from honed.freeze_thaw.candidates import Candidates, Everywhere, leaders
from honed.freeze_thaw.insurance import is_insured, is_promoting, promotion
from honed.freeze_thaw.model import model_of
from honed.freeze_thaw.new import scores_of_new
from honed.freeze_thaw.seen import Seen, seen
from honed.freeze_thaw.slices import horizons, last_chance, next_slice, picked
from honed.freeze_thaw.start import adapted
from honed.history import Floats, History, Ints
from honed.memo import Memo
from honed.records import Decision, Resume, Start, State, Suggestion, TrialRecord, Wait
from honed.samplers.base import Stream
from honed.samplers.points import dimensions, point
from honed.schedulers.base import Move
from honed.schedulers.moves import queued, start
from honed.schedulers.settings import check_first, check_whole
from honed.space import Space

_RESCORED, _KEPT = 64, 256
_MOST_PAUSED = 60
_ALONE = 256  # candidates for a parameter that is asked for alone

_ranked_memo, _model_memo = Memo(8), Memo(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeThaw:
    """One model of all learning curves decides what to train next, and how far: sampler and scheduler in one.

    For trainings that report at each epoch, in ten steps or more, and can be resumed. Give the same object as ``sampler`` and as
    ``scheduler``.

    Attributes:
        min_steps: what a new trial gets first; by default 3, or a twentieth of a full training, and twice that where so few
            steps turn out not to tell the order at later ones.
        max_steps: the length of a full training; by default what trials announce by ``trial.steps(n)``.
        n_startup: trials that are begun before the model is asked.
        insurance: the share of decisions that are made without the model.
        candidates: where new configurations come from.
    """

    reads_curves: ClassVar[bool] = True
    """Steps are points of a learning curve; it is not for studies in which they are folds or repeats."""

    min_steps: int | None = None
    max_steps: int | None = None
    n_startup: int = 8
    insurance: float = 0.06
    candidates: Candidates = field(default_factory=Everywhere)

    def __post_init__(self) -> None:
        check_first("FreezeThaw", self.min_steps, self.max_steps)
        check_whole("FreezeThaw", "n_startup", self.n_startup, 1)
        if isinstance(self.insurance, bool) or not isinstance(self.insurance, int | float):
            raise TypeError(f"FreezeThaw: insurance must be a number, got {self.insurance!r}; write insurance=0.06")
        if not 0 <= self.insurance < 1:
            raise ValueError(
                f"FreezeThaw: insurance={self.insurance} must lie from 0 to below 1; .06 is one in sixteen"
            )

    # ------------------------------------------------------------------------------------------------- scheduler

    def next(self, history: History) -> Move:
        if self.max_steps is None and history.max_steps is None:
            return self._next_without_length(history)
        data = seen(history, self.max_steps)
        full = data.usual
        first = min(self.min_steps or first_slice(full), full)
        begun = adapted(history, first, full) if self.min_steps is None else first
        until = None if begun >= full else begun
        if queued(history) is not None:
            return start(history, until)
        costs = costs_of(history)
        if len(data.over):
            return Resume(number=int(data.over[0]))
        budget = budget_of(history, first, full, costs)
        urgent = last_chance(history, data, budget, first, costs)
        if urgent is not None:
            return urgent
        is_due = budget is not None and budget.n_to_start > 0 and budget.is_closing
        if history.may_start and (len(history) < self.n_startup or is_due):
            return Start(until=until)
        resumed = self._resumed(history, data, budget, first)
        if resumed is not None:
            return resumed
        if not history.may_start and history.count(State.RUNNING):
            return Wait("paused trials may go on when a running one has reported")
        return Start(until=until)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE

    def _next_without_length(self, history: History) -> Move:
        """Until a trial has said how long a training is, or has reached its end."""
        first = self.min_steps or LEAST_FIRST
        if queued(history) is not None:
            return start(history, first)
        if history.count(State.PAUSED):
            oldest = next(record.number for record in history.unfinished if record.state is State.PAUSED)
            return Resume(number=oldest)
        if not history.may_start and history.count(State.RUNNING):
            return Wait("the length of a training is not known yet")
        return Start(until=None if len(history) else first)

    def _resumed(self, history: History, data: Seen, budget: Budget | None, first: int) -> Resume | None:
        """The paused trial to go on with; None to begin a new one."""
        if not len(data.paused):
            return None
        if budget is not None and budget.free <= 0 and not history.may_start:
            return _leader_to_end(history, data)
        if not (budget is not None and budget.is_closing) and is_insured(history, self.insurance):
            promoted = promotion(history, data, first)
            if promoted is not None and is_promoting(history):
                return promoted
            if history.may_start:
                return None
        model = self._model(data)
        if model is not None:
            return self._chosen(history, data, model, budget, first)
        if history.may_start:
            return None
        leader = int(data.paused[np.argmin(data.last_values()[data.paused])])
        return next_slice(data, leader, budget, first, costs_of(history))

    def _chosen(
        self, history: History, data: Seen, model: CurveEnsemble, budget: Budget | None, first: int
    ) -> Resume | None:
        """The paused trial that promises more than all others and than any new one."""
        rows, costs = _paused(data), costs_of(history)
        ends = horizons(data, rows, budget, costs)
        if budget is not None and budget.is_last:
            best = int(np.argmin(model.means(rows, ends)))
            return data.granted(int(rows[best]), int(ends[best]))
        scores = model.log_ei(rows, ends)
        most = None if budget is None else budget.share
        may_start = history.may_start and not (budget is not None and budget.is_closing)
        if may_start and self._score_of_new(data, model, most) >= scores.max():
            return None
        return next_slice(data, picked(history, data, rows, scores, costs), budget, first, costs)

    # --------------------------------------------------------------------------------------------------- sampler

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        is_whole = not given and space.domains.keys() == history.space.domains.keys()
        is_begin = len(history) < self.n_startup
        if is_begin or (is_whole and is_insured(history, self.insurance)):
            return Suggestion(_quasi_random(history, space, rng, given), {} if is_begin else {"insurance": True})
        data = seen(history, self.max_steps)
        model = self._model(data)
        free = [name for name, domain in data.coordinates.domains.items() if name in space and space[name] == domain]
        if model is None or not free:
            return Suggestion(_quasi_random(history, space, rng, given))
        if is_whole:
            ranked = self._ranked(data, model, rng.number)[0]
            if rng.round >= len(ranked):
                return Suggestion(_quasi_random(history, space, rng, given))
            chosen = data.coordinates.params(ranked[rng.round], free)
        else:
            chosen = _completed(data, model, rng, given, free)
        return Suggestion(_with_the_rest(chosen, data, space, rng))

    # ----------------------------------------------------------------------------------------------------- model

    def _model(self, data: Seen) -> CurveEnsemble | None:
        """The model that believes what is under way."""

        def made() -> CurveEnsemble | None:
            model = model_of(data)
            if model is None:
                return None
            return model.believing(data.running, data.untils, Stream(data.seed, len(data.xs)).generator("fantasies"))

        return _model_memo.get(data.key, made)

    def _ranked(self, data: Seen, model: CurveEnsemble, number: int) -> tuple[Floats, Floats]:
        """New configurations [k, d], the best first, and their scores at the end of a training."""

        def made() -> tuple[Floats, Floats]:
            draw = Stream(data.seed, number).generator("candidates")
            points = self.candidates.points(data, model, draw)
            if not len(points):
                return points, np.zeros(0)
            at_end = scores_of_new(data, model)
            quick = at_end.quick(points)
            order = np.argsort(-quick, kind="stable")
            best = points[order[:_RESCORED]]
            climbed = at_end if isinstance(at_end, NewScores) else model.for_new(data.usual)
            best = np.concatenate([best, self.candidates.improved(data, model, climbed, best)])
            scores = at_end.full(best)
            place = np.argsort(-scores, kind="stable")
            rest = order[_RESCORED:_KEPT]
            return np.concatenate([best[place], points[rest]]), np.concatenate([scores[place], quick[rest]])

        return _ranked_memo.get((data.key, number, self.candidates), made)

    def _score_of_new(self, data: Seen, model: CurveEnsemble, most: int | None) -> float:
        """Of the best new configuration, with so many steps at most."""
        points, scores = self._ranked(data, model, len(data.xs))
        if not len(points):
            return -math.inf  # nothing new is left
        if most is not None and most < data.usual:
            return float(scores_of_new(data, model, most).full(points[:_RESCORED]).max())
        return float(scores[0])


# ------------------------------------------------------------------------------------------------------------ moves


def _paused(data: Seen) -> Ints:
    """The most promising paused trials; what breaks a limit goes on only where nothing keeps them."""
    rows = data.paused[np.lexsort((data.last_values()[data.paused], data.has_failed[data.paused]))][:_MOST_PAUSED]
    keeps = ~data.has_failed[rows]
    return rows[keeps] if keeps.any() else rows


def _leader_to_end(history: History, data: Seen) -> Resume | None:
    """The best paused trial, to its end, when a study would be over without any full training."""
    if history.count(State.RUNNING) or data.has_full:
        return None
    return Resume(number=int(data.paused[np.argmin(data.last_values()[data.paused])]))


# ------------------------------------------------------------------------------------------------------ suggestions


def _completed(
    data: Seen, model: CurveEnsemble, rng: Stream, given: Mapping[str, Scalar], free: list[str]
) -> dict[str, Scalar]:
    """Values for what a trial asks for beside what it has: the best of some draws, the rest as given."""
    coordinates = data.coordinates
    leader = leaders(data, model)[0]
    own = coordinates.row(given)
    xs = np.tile(np.where(np.isnan(own), leader, own), (_ALONE, 1))
    drawn = coordinates.at(rng.generator("/".join(free)).random((_ALONE, len(own))))
    columns = [j for j, name in enumerate(coordinates.domains) if name in free]
    xs[:, columns] = drawn[:, columns]
    best = int(np.argmax(scores_of_new(data, model).quick(xs)))
    return coordinates.params(xs[best], free)


def _with_the_rest(chosen: dict[str, Scalar], data: Seen, space: Space, rng: Stream) -> dict[str, Scalar]:
    """The chosen values, and draws for names that the model does not know; what is switched off is left out."""
    known = data.coordinates.domains
    params = {
        name: chosen[name] if name in chosen else domain.decode(rng.uniform(name))
        for name, domain in space.domains.items()
        if name in chosen or name not in known
    }
    return space.active(params)


def _quasi_random(history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    if rng.round or not len(space):
        return space.active({name: domain.decode(rng.uniform(name)) for name, domain in space.domains.items()})
    places = dict(dimensions(history, space, given))
    units = point("sobol", rng.seed, rng.number, max(places.values()) + 1)
    return space.active({name: domain.decode(units[places[name]]) for name, domain in space.domains.items()})
