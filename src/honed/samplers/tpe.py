"""The tree-structured Parzen estimator: new trials where good ones are dense and bad ones are not.

For many trials, many workers, choices and conditional parameters, several objectives and constraints that trials measure: a
suggestion takes a fraction of a millisecond.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from honed.algorithms.fronts import good_part
from honed.algorithms.parzen import (
    Kernels,
    draw,
    features,
    log_kernels,
    log_sums,
    make_kernels,
    neighbour_widths,
)
from honed.beliefs import PRIOR, prior_of, trust
from honed.domains import Scalar
from honed.encode import INACTIVE, coordinate
from honed.history import Floats, History, Ints
from honed.records import Suggestion
from honed.samplers.axes import Axes, axes_of, axis_of
from honed.samplers.base import Stream
from honed.samplers.pending import AT_ONCE, Merit, Ranked
from honed.samplers.quasirandom import Sobol
from honed.space import Space

_MOST_GOOD = 25
_HUGE = 1e300
_FEWEST_ALONE = 4  # trials that have a parameter before it is modelled alone
_LEAST_WIDTH = 0.04  # of a kernel; a parameter of few values smooths over one neighbour at least
_UNIFORM_CANDIDATES = 0.2
_MORE_IF_FINITE = 4  # times as many candidates where most of them may have been tried
_BELIEF = 10.0  # beliefs weigh as this many trials (pi-BO, Hvarfner et al. 2022, arXiv 2204.11051)


@dataclass(frozen=True, slots=True)
class TPE:
    """TPE (Bergstra et al. 2011, NeurIPS 24), multivariate, with weights by improvement (Watanabe 2023, arXiv 2304.11127).

    It learns from complete and stopped trials by their values, from paused ones by what they reported last; running trials
    and configurations that cannot work repel. With several objectives the good trials are the first fronts, cut and weighted
    by volume (MOTPE, Ozaki et al. 2022, JAIR 73); each constraint that trials measure has densities of its own (c-TPE,
    Watanabe, Hutter 2023, arXiv 2211.14411).

    Args:
        n_startup: trials before it begins; until then Sobol points.
        good_share: which part of the trials is called good, at most 25 of them.
        n_candidates: points drawn for a suggestion, of which the best is taken. More are greedier.
        prior_weight: weight of the uniform density against one good trial.
        n_bad: bad trials that are looked at; of more, a sample by number.
    """

    n_startup: int = 10
    good_share: float = 0.1
    n_candidates: int = 24
    prior_weight: float = 1.0
    n_bad: int = 64

    def __post_init__(self) -> None:
        for name, least in (("n_startup", 1), ("n_candidates", 1), ("n_bad", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"TPE: {name}={value!r} must be a whole number of at least {least}")
        if not 0.0 < self.good_share < 1.0:
            raise ValueError(f"TPE: good_share={self.good_share!r} must lie between 0 and 1, such as 0.1")
        if not 0.0 < self.prior_weight < math.inf:
            raise ValueError(f"TPE: prior_weight={self.prior_weight!r} must be above 0, such as 1.0")

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        study, joint = history.study, history.space
        n_kept = self.n_bad + _MOST_GOOD + AT_ONCE
        ranked = history.fold(("merit", n_kept), lambda: Ranked(study, n_kept), Ranked.add)
        merit = ranked.merit(history)
        if len(merit.order) < self.n_startup:
            return Sobol().suggest(history, space, rng, given)
        task = _Task(history, ranked, ranked.axes(joint), merit)
        if space is joint and not given:
            return Suggestion(self._whole(task, rng))
        params: Mapping[str, Scalar] | None = None
        if len(space) == 1:
            params = self._alone(task, space, rng, given)
        elif not joint.domains.keys().isdisjoint(space.domains):
            params = self._part(task, space, rng, given)
        return Sobol().suggest(history, space, rng, given) if params is None else Suggestion(params)

    def _whole(self, task: _Task, rng: Stream) -> dict[str, Scalar]:
        """A new trial."""
        space, model = task.axes.space, self._model(task)
        point = self._best(task, model, rng, task.ranked.tried(task.history) if task.axes.is_finite else None)
        params = task.axes.params(point.tolist())
        if not model.has_gaps:
            return params
        is_rare = np.isnan(model.good.points).all(axis=1) & (point == point)
        names = tuple(space.domains)
        for name in [names[column] for column in is_rare.nonzero()[0].tolist()]:  # a branch that no good trial took
            rest = {other: value for other, value in params.items() if other != name}
            params |= self._alone(task, Space({name: space[name]}), rng, rest) or {}
        return space.active(params)  # a parent may have changed

    def _alone(self, task: _Task, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """One parameter of a trial, by the trials that have it; None where they are too few."""
        name = next(iter(space.domains))
        if name not in task.history.space:
            return None
        known = task.merit.like(task.history, name, given, _FEWEST_ALONE)
        return self._part(replace(task, merit=known), space, rng, given) if len(known.order) >= _FEWEST_ALONE else None

    def _part(self, task: _Task, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Some parameters, beside those that are given; a domain of one value counts as given."""
        joint = task.history.space
        held = {name: domain.grid()[0] for name, domain in space.domains.items() if domain.n_values == 1}
        fixed = {name: value for name, value in {**given, **held}.items() if name in joint}
        axes = axes_of(space.with_domains({name: joint[name] for name in fixed}))
        task = replace(task, axes=axes, fixed=fixed)
        params = axes.params(self._best(task, self._model(task), rng, None).tolist())
        return {name: (params | held)[name] for name in space.domains if name in params or name in held}

    # ------------------------------------------------------------------------------------------------- the densities

    def _model(self, task: _Task) -> _Model:
        """The densities for a task."""
        merit = task.merit
        split = self._split(task)
        without = split.good
        if task.history.columns.constraints:
            without = np.concatenate([without, _forbidden_better(task, split.good)])
        good = task.block("good", split.good, split.weights, self.prior_weight)
        at_once = 1 if task.axes.is_finite else AT_ONCE
        others = merit.some(task.history, without, self.n_bad, at_once)
        bad = [task.block("bad", others, None, 1.0)]
        if merit.pending:
            bad.append(task.fresh(np.array(merit.pending, dtype=np.int64)))
        weights = np.append(split.weights, self.prior_weight)
        shares = weights * ((1.0 - _UNIFORM_CANDIDATES) / weights.sum())
        shares[-1] += _UNIFORM_CANDIDATES
        pairs = [_Pair(good, bad, len(split.good) / len(merit.order)), *self._limits(task)]
        return _Model(pairs, shares, len(split.good) > 0 and math.isnan(good.points.sum()))

    def _split(self, task: _Task) -> _Split:
        """The good trials and their weights."""
        merit, history = task.merit, task.history
        n_known = bisect_left(merit.keys, (math.inf,)) if history.columns.constraints else merit.n_valued
        n_good = min(math.ceil(self.good_share * n_known), _MOST_GOOD)
        if n_good > merit.n_valued:  # too few are feasible: good are also those that are nearly so
            return _Split(merit.order[:n_good], np.ones(n_good))
        if n_good and len(history.study.directions) > 1:
            return _split_by_fronts(task, n_good)
        if n_good and merit.keys[0][1] == merit.keys[merit.n_valued - 1][1]:  # all alike: only away from what was tried
            n_good = 0
        losses = [key[1] for key in merit.keys[: min(n_good + 1, merit.n_valued)]]
        return _Split(merit.order[:n_good], _improvements(losses, n_good))

    def _limits(self, task: _Task) -> list[_Pair]:
        """For each constraint the densities of trials that keep it, or nearly so, and of the others."""
        columns, merit = task.history.columns, task.merit
        pairs = []
        for name in sorted(columns.constraints):
            rows = merit.order[merit.order < merit.n_finished]
            excesses = columns.excesses[rows, columns.constraints.index(name)]
            is_measured = excesses == excesses  # a trial that did not measure it says nothing
            rows, excesses = rows[is_measured], excesses[is_measured]
            n = len(rows)
            n_good = max(int((excesses <= 0.0).sum()), math.ceil(self.good_share * n))
            if n_good == n:
                continue
            rows = rows[np.lexsort((columns.numbers[rows], excesses))]
            parts = [merit.spread_out(task.history, part, self.n_bad) for part in (rows[:n_good], rows[n_good:])]
            blocks = [task.block(f"{name}/{i}", part, None, 1.0) for i, part in enumerate(parts)]
            pairs.append(_Pair(blocks[0], blocks[1:], n_good / n))
        return pairs

    def _best(self, task: _Task, model: _Model, rng: Stream, tried: set[bytes] | None) -> Floats:
        """The best of the candidates; the best untried one where there is one."""
        axes, good, shares = task.axes, model.good, model.shares
        n = self.n_candidates if tried is None else self.n_candidates * _MORE_IF_FINITE
        name = "tpe" if task.is_whole else "/".join(("tpe", *axes.space.domains))
        units = rng.uniforms(name, (len(axes.axes) + 1, n))
        point = task.fixed_point() if task.fixed else None
        if point is not None:
            shares = _given_shares(good, axes, point)
        candidates, chosen = draw(good, shares, units)
        if axes.snapped:
            axes.snap(candidates.T)
        if point is not None:
            candidates = np.where(np.isnan(point), candidates, point)
        elif axes.discovered and model.has_gaps:
            _hide(candidates, good.points, chosen, list(axes.discovered))
        if axes.conditions:
            axes.deactivate(candidates.T)
        scores = _scores(task, model, candidates)
        winner = int(scores.argmax())
        if tried is not None:
            ranking = np.argsort(-scores, kind="stable").tolist()
            winner = next((i for i in ranking if candidates[:, i].tobytes() not in tried), winner)
        best: Floats = candidates[:, winner]
        return best


def _scores(task: _Task, model: _Model, candidates: Floats) -> Floats:
    """[m] how promising candidates are: log ratios of densities, and what the user believes."""
    right = features(task.axes.columns, candidates)
    sums = log_sums(log_kernels(model.blocks, right), model.sizes)
    scores: Floats = sums[0] - sums[1]
    if len(model.pairs) > 1:
        scores = np.sum([pair.log_ratio(sums[2 * i] - sums[2 * i + 1]) for i, pair in enumerate(model.pairs)], axis=0)
    attributes = task.history.study.attributes
    if attributes and PRIOR in attributes:
        prior = prior_of(task.history)
        if prior is not None:
            weight = trust(task.history, prior) * _BELIEF / max(len(task.merit.order), _BELIEF)
            scores += weight * prior.log_density(task.axes.space.domains, task.axes.encoded(candidates.T))
    return scores


def _given_shares(good: Kernels, axes: Axes, point: Floats) -> Floats:
    """[k] how often each kernel draws a candidate, where some columns are given: as likely as they are under it."""
    logs = log_kernels([good], features(axes.columns, point))[:, 0]
    likelihoods = np.exp(logs - logs.max())
    shares: Floats = likelihoods * ((1.0 - _UNIFORM_CANDIDATES) / likelihoods.sum())
    shares[-1] += _UNIFORM_CANDIDATES
    return shares


def _hide(candidates: Floats, sources: Floats, chosen: Ints, columns: list[int]) -> None:
    """Candidates lack the columns that their source lacks, where nobody has declared when these are active."""
    n = sources.shape[1]
    is_hidden = np.isnan(sources[columns][:, np.minimum(chosen, n - 1)]) & (chosen < n)
    if is_hidden.any():
        candidates[columns] = np.where(is_hidden, np.nan, candidates[columns])


def _split_by_fronts(task: _Task, n_good: int) -> _Split:
    """The good trials of several objectives."""
    merit = task.merit
    rows = merit.order[: merit.n_valued]
    rows = rows[merit.numbers(task.history, rows).argsort()]
    losses = merit.losses(task.history, rows)
    is_known = (losses < math.inf).all(axis=1)
    rows, losses = rows[is_known], losses[is_known]
    chosen, weights = good_part(losses, min(n_good, len(rows)))
    return _Split(rows[chosen], weights)


def _forbidden_better(task: _Task, good: Ints) -> Ints:
    """The trials beyond a constraint that are as good as good ones: what speaks against them is the constraint alone."""
    merit, history = task.merit, task.history
    if len(good) > merit.n_valued or not len(good):
        return merit.order[:0]
    others = merit.order[merit.n_valued : bisect_left(merit.keys, (math.inf,))]
    is_beaten = (merit.losses(history, good)[:, None] < merit.losses(history, others)).all(axis=2)
    is_worse = is_beaten.all(axis=0) if len(history.study.directions) == 1 else is_beaten.any(axis=0)
    return others[~is_worse]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is asked for: the columns, the trials to learn from, and what is given."""

    history: History
    ranked: Ranked
    axes: Axes
    merit: Merit
    fixed: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return self.axes.space is self.history.space

    def points(self, indices: Ints) -> Floats:
        """[d, k] the trials' coordinates in the columns."""
        joint, axes, history = self.history.space, self.axes, self.history
        found = self.merit.coordinates(history, indices)
        if not self.is_whole:
            place = {name: i for i, name in enumerate(joint.domains)}
            columns = []
            for name, domain in axes.space.domains.items():
                if name in joint and domain == joint[name]:
                    columns.append(found[:, place[name]])
                else:  # another domain than the study's latest
                    records = (self.merit.record(history, i) for i in indices.tolist())
                    values = [coordinate(domain, r.params[name]) if name in r.params else INACTIVE for r in records]
                    columns.append(np.array(values))
            found = np.stack(columns, axis=1)
        return np.ascontiguousarray(axes.tidy(found).T)

    def block(self, place: str, indices: Ints, weights: Floats | None, prior: float) -> Kernels:
        """The kernels of trials, and the uniform one; remembered for the joint space, where they often stay the same."""
        if not self.is_whole or self.merit.has_unfinished(indices):
            return self.fresh(indices, weights, prior)
        key = indices.tobytes() + (b"" if weights is None else weights.tobytes())
        found = self.ranked.blocks.get(place)
        if found is None or found[0] != key:
            found = self.ranked.blocks[place] = (key, self.fresh(indices, weights, prior))
        return found[1]

    def fresh(self, indices: Ints, weights: Floats | None = None, prior: float = 0.0) -> Kernels:
        """The kernels of trials, and the uniform one if it has a weight."""
        columns, points = self.axes.columns, self.points(indices)
        widths = neighbour_widths(points[columns.numeric], np.maximum(self.axes.cells, _LEAST_WIDTH))
        return make_kernels(points, widths, np.ones(len(indices)) if weights is None else weights, columns, prior)

    def fixed_point(self) -> Floats:
        """[d, 1] the coordinates of what is given, NaN elsewhere."""
        domains = self.axes.space.domains
        found = [axis_of(domains[n]).unit(self.fixed[n]) if n in self.fixed else INACTIVE for n in domains]
        return np.array(found)[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """The good trials, and their weights with mean 1."""

    good: Ints
    weights: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Two densities, each with a prior: good kernels, and blocks of bad ones.

    Attributes:
        share: which part of the trials is good.
    """

    good: Kernels
    bad: Sequence[Kernels]
    share: float

    def log_ratio(self, difference: Floats) -> Floats:
        """[m] of the good density to that of all trials: 1 / (share + (1 - share) g / l), Watanabe and Hutter (2023, eq. 7).

        Args:
            difference: log l - log g, of densities times the weights of their kernels.
        """
        if self.share >= 1.0:
            return np.zeros(len(difference))
        mass = math.log(self.good.mass / sum(block.mass for block in self.bad))
        if self.share <= 0.0:
            return difference - mass
        ratio: Floats = -np.logaddexp(math.log(self.share), math.log1p(-self.share) + mass - difference)
        return ratio


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """The densities of the objectives, then those of each constraint.

    Attributes:
        shares: [n_good + 1] how often each good kernel draws a candidate.
        has_gaps: whether some good trials lack some columns.
    """

    pairs: Sequence[_Pair]
    shares: Floats
    has_gaps: bool

    @property
    def good(self) -> Kernels:
        return self.pairs[0].good

    @property
    def blocks(self) -> list[Kernels]:
        return [block for pair in self.pairs for block in (pair.good, *pair.bad)]

    @property
    def sizes(self) -> list[int]:
        """How many kernels the densities have: good, bad, good, bad, ..."""
        return [n for pair in self.pairs for n in (pair.good.size, sum(block.size for block in pair.bad))]


def _improvements(losses: Sequence[float], n_good: int) -> Floats:
    """[n_good] weights with mean 1: half by the gain over the best trial that is not good, half alike."""
    if not n_good or losses[0] < -_HUGE or losses[-1] > _HUGE:  # the sum of the gains could overflow
        return np.ones(n_good)
    gains = [losses[-1] - loss for loss in losses[:n_good]]
    total = sum(gains)
    if total <= 0.0:
        return np.ones(n_good)
    return np.array([0.5 + 0.5 * n_good * gain / total for gain in gains])
