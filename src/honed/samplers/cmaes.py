"""CMA-ES: a Gaussian that follows the good trials, generation by generation; for many trials of numeric parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from honed.algorithms.cma import Beginning, Draw, Layout, Progress, Schedule, from_middle, from_points, usual_size
from honed.domains import Scalar
from honed.history import Floats, History, Ints
from honed.records import Suggestion, TrialRecord
from honed.samplers.axes import Axes, axes_of
from honed.samplers.base import Stream
from honed.samplers.generations import (
    WORST,
    Key,
    Member,
    Merit,
    at_random,
    fingerprint,
    is_single,
    key_of,
    merit_of,
    point_of,
    sign_of,
    suggestion,
)
from honed.space import Space

_NAME = "cmaes"
_GOOD_SHARE = 0.1  # gamma of arXiv 2012.06932
_SAME = 1e-9
_OLDEST = 4  # generations; later members would pull a Gaussian back that has moved on
_MOST_CELLS = 200  # a number with more values is as good as continuous


@dataclass(frozen=True, slots=True)
class CMAES:
    """CMA-ES with restarts (Hansen 2016, arXiv 1604.00772; ``honed.algorithms.cma``).

    Strong from a few hundred trials on, for up to about 100 numeric parameters that matter together. Whole numbers, steps and
    choices take part, with a margin that keeps each value possible. Where a parameter is not active, its draw counts as if it
    had been used, which moves its mean at random; a start from known trials takes the middle of its range.

    A generation is told as soon as it has enough members that are done, in whatever order; more workers than members draw
    further members, and those that are done a little late count for the next generations. Failed members count as worst, and
    those that violate measured constraints as worse than all that keep them. A space that changes begins a new run, from the
    best of what is known. Trials that stay paused are no members: it is meant for full trainings.

    Args:
        population_size: members of a generation; by default 4 + 3 log(number of parameters).
        sigma: the first step size, as a share of each range.
        warm_start: begins at the best tenth of the trials that were done before, where there are at least ten.
        restarts: begins anew, with larger and smaller populations in turn, when nothing gets better.
        adapt_learning_rate: for noisy objectives on numeric parameters: slower steps where ranks contradict each other.
    """

    population_size: int | None = None
    sigma: float = 0.25
    warm_start: bool = True
    restarts: bool = True
    adapt_learning_rate: bool = False

    most_objectives: ClassVar[int] = 1

    def __post_init__(self) -> None:
        n = self.population_size
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 4):
            raise ValueError(f"CMAES: population_size={n!r} must be a whole number of at least 4, or None to choose it")
        if not isinstance(self.sigma, int | float) or not 0.0 < self.sigma <= 1.0:
            raise ValueError(f"CMAES: sigma={self.sigma!r} must be above 0 and at most 1, such as 0.25")

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        if is_single(history, space, given):
            return at_random(space, rng)
        key = key_of(space)
        run = history.fold((_NAME, self, key), lambda: _Run(self, space, key, history), _Run.add)
        run.sync(history)
        if not run.columns.layout.n_columns:
            return at_random(space, rng)
        member = run.next_member(history, rng.round)
        point = run.columns.point(run.draw(member))
        return suggestion(run.axes, point, member.note(_NAME, run.tag))


class _Columns:
    """The columns of a space as those of a strategy, and back."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        numbers = [(i, axis) for i, axis in enumerate(axes.axes) if axis.prior is None]
        snapped = {i for i, axis in numbers if axis.units is not None and len(axis.units) <= _MOST_CELLS}
        self._numbers = [i for i, _ in numbers if i not in snapped] + sorted(snapped)
        self._labels: dict[int, Ints] = {}  # the choices that may be drawn, for those columns that have several
        for i, axis in enumerate(axes.axes):
            if axis.prior is not None and np.count_nonzero(axis.prior) > 1:
                self._labels[i] = np.flatnonzero(axis.prior)
        priors = [np.asarray(axes.axes[i].prior)[labels] for i, labels in self._labels.items()]
        cells = [np.asarray(axes.axes[i].units) for i in sorted(snapped)]
        self.layout = Layout(len(numbers) - len(snapped), cells, [prior / prior.sum() for prior in priors])

    def point(self, drawn: Draw) -> Floats:
        """The coordinates [d] of a draw."""
        v, c = drawn
        point = np.array([0.0 if axis.prior is None else float(axis.prior.argmax()) for axis in self._axes.axes])
        point[self._numbers] = np.clip(v, 0.0, 1.0)
        for (i, labels), choice in zip(self._labels.items(), c, strict=True):
            point[i] = labels[choice]
        return point

    def seen(self, point: Floats, drawn: Draw | None) -> Draw:
        """What a strategy is told of a trial at ``point``.

        Args:
            drawn: from which the trial was made; counts where the trial does not contradict it, and where the parameter was not
                active. Without it inactive numbers are in the middle.
        """
        v = np.where(np.isnan(point[self._numbers]), 0.5, point[self._numbers])
        c = np.array([self._index(point[i], labels) for i, labels in self._labels.items()], dtype=np.int64)
        if drawn is None:
            return v, np.where(c < 0, 0, c)
        planned = self.point(drawn)
        self._axes.snap(planned[None, :])
        is_kept = np.isnan(point) | (np.abs(point - planned) < _SAME)
        return np.where(is_kept[self._numbers], drawn[0], v), np.where(c < 0, drawn[1], c)

    def _index(self, at: float, labels: Ints) -> int:
        found = np.flatnonzero(labels == at)
        return int(found[0]) if len(found) else -1


class _Run:
    """The run on one space, found again from the finished trials; grows with every one of them."""

    def __init__(self, sampler: CMAES, space: Space, key: Key, history: History) -> None:
        self.tag = fingerprint(key)
        self.axes = axes_of(space)
        self.columns = _Columns(self.axes)
        self._sampler, self._sign, self._seed = sampler, sign_of(history), history.study.seed
        self._waiting: list[tuple[Member, TrialRecord]] = []
        self._begun: int | None = None
        self._is_settled = False  # a member says when the run has begun
        self._size = sampler.population_size or (
            usual_size(self.columns.layout) if self.columns.layout.n_columns else 4
        )
        self._schedule = Schedule(self._size, sampler.sigma)
        self._restart = self._n_drawn = 0
        self._progress: Progress | None = None
        self._told: list[tuple[Merit, Member, Draw]] = []
        self._drawn: dict[tuple[int, int], Draw] = {}

    def add(self, record: TrialRecord) -> None:
        """Takes in a finished trial."""
        member = Member.of(record, _NAME, self.tag)
        if member is not None:
            self._waiting.append((member, record))

    def sync(self, history: History) -> None:
        """Begins the run if need be, and tells the generations that are complete by now."""
        if not self.columns.layout.n_columns:
            return
        if not self._is_settled:
            members = [member for member, _ in self._waiting] or self._unfinished(history)
            begun = members[0].begun if members else history.n_finished
            self._is_settled = bool(members)
            if begun != self._begun:
                self._begun = begun
                self._progress = self._started(self._beginning(history.finished[:begun]), self._size)
        for member, record in self._waiting:
            self._take(member, record)
        self._waiting.clear()

    def next_member(self, history: History, round_: int) -> Member:
        """The place of the next trial in the open generation."""
        assert self._begun is not None
        here = (self._restart, self._generation)
        n_running = sum(1 for m in self._unfinished(history) if (m.restart, m.generation) == here)
        return Member(self._begun, *here, self._n_drawn + n_running, round_)

    def draw(self, member: Member) -> Draw:
        """The draw of a member of the open generation."""
        assert self._progress is not None
        place = (member.index, member.round)
        if place not in self._drawn:
            self._drawn[place] = self._progress.draw(member.seed(self._seed))
        return self._drawn[place]

    @property
    def _generation(self) -> int:
        return 0 if self._progress is None else self._progress.n_generations

    def _unfinished(self, history: History) -> list[Member]:
        found = (Member.of(record, _NAME, self.tag) for record in history.unfinished)
        return [member for member in found if member is not None]

    def _take(self, member: Member, record: TrialRecord) -> None:
        """A member is done; one that comes a little late stands in for one of the open generation."""
        assert self._progress is not None
        age = self._generation - member.generation
        if member.restart != self._restart or age > _OLDEST:
            return
        self._n_drawn += age == 0
        merit = merit_of(record, self._sign)
        if merit is None:
            return  # another one is drawn in its place
        drawn = None if age else self.draw(member)
        self._told.append((merit, member, self.columns.seen(point_of(self.axes, record.params), drawn)))
        if len(self._told) == self._progress.size:
            self._tell()

    def _tell(self) -> None:
        progress = self._progress
        assert progress is not None
        ordered = sorted(self._told, key=lambda entry: entry[:2])
        progress.tell([drawn for _, _, drawn in ordered], [merit for merit, _, _ in ordered])
        self._told, self._drawn, self._n_drawn = [], {}, 0
        if progress.has_ended and self._sampler.restarts:
            self._restart += 1
            rng = np.random.default_rng([self._seed & (2**64 - 1), self._restart])
            size, sigma = self._schedule.restart(progress.n_generations * progress.size, rng)
            mean = rng.random(self.columns.layout.n_numbers)
            self._progress = self._started(from_middle(self.columns.layout, sigma, mean), size)

    def _started(self, beginning: Beginning, size: int) -> Progress:
        return Progress(self.columns.layout, beginning, size, adapts=self._sampler.adapt_learning_rate)

    def _beginning(self, before: Iterable[TrialRecord]) -> Beginning:
        """The first distribution, from the best tenth of the trials done before."""
        merits = ((merit_of(record, self._sign), record) for record in before if self._sampler.warm_start)
        known = [(merit, record) for merit, record in merits if merit is not None and merit < WORST]
        n_good = int(len(known) * _GOOD_SHARE)
        if not n_good:
            return from_middle(self.columns.layout, self._sampler.sigma)
        good = sorted(known, key=lambda entry: (entry[0], entry[1].number))[:n_good]
        seen = [self.columns.seen(point_of(self.axes, record.params), None) for _, record in good]
        return from_points(self.columns.layout, np.array([v for v, _ in seen]), np.array([c for _, c in seen]))
