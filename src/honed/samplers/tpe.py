"""The tree-structured Parzen estimator: new trials where good ones are dense and bad ones are not.

For many trials, many workers, choices and conditional parameters: a suggestion takes a fraction of a millisecond.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.parzen import (
    Kernels,
    draw,
    features,
    log_densities,
    log_kernels,
    make_kernels,
    neighbour_widths,
)
from honed.domains import Scalar
from honed.encode import INACTIVE, coordinate
from honed.history import Floats, History, Ints
from honed.records import Suggestion
from honed.samplers.axes import Axes, axes_of, axis_of
from honed.samplers.base import Stream
from honed.samplers.pending import Merit, Ranked
from honed.samplers.quasirandom import Sobol
from honed.space import Space

_MOST_GOOD = 25
_HUGE = 1e300
_FEWEST_ALONE = 4  # trials that have a parameter before it is modelled alone
_LEAST_WIDTHS = (0.2, 0.03, 0.03)  # in turns: every third trial looks at the landscape from afar
_UNIFORM_CANDIDATES = 0.2
_MORE_IF_FINITE = 4  # times as many candidates where most of them may have been tried


@dataclass(frozen=True, slots=True)
class TPE:
    """TPE (Bergstra et al. 2011, NeurIPS 24), multivariate, with weights by improvement (Watanabe 2023, arXiv 2304.11127).

    It learns from complete and stopped trials by their values, from paused ones by what they reported last; running trials
    and configurations that cannot work repel. Several objectives: by the first one.

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
        sign = 1.0 if study.directions[0] == "minimize" else -1.0
        ranked = history.fold(("merit",), lambda: Ranked(sign, study.metrics[0]), Ranked.add)
        merit = ranked.merit(history)
        if len(merit.order) < self.n_startup:
            return Sobol().suggest(history, space, rng, given)
        least = _LEAST_WIDTHS[rng.number % len(_LEAST_WIDTHS)]
        task = _Task(history, ranked, ranked.axes(joint), merit, least)
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
        is_rare = np.isnan(model.good.points[:-1]).all(axis=0) & (point == point)
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
        """The two densities for a task."""
        merit = task.merit
        n_good = min(math.ceil(self.good_share * merit.n_valued), _MOST_GOOD)
        if n_good and merit.keys[0][0] == merit.keys[merit.n_valued - 1][0]:  # all alike: only away from what was tried
            n_good = 0
        losses = np.array([key[0] for key in merit.keys[: n_good + 1]])
        weights = np.append(_improvements(losses, n_good), self.prior_weight)
        good = task.block(merit.order[:n_good], weights)
        bad = [task.block(merit.some(task.history, n_good, self.n_bad), None)]
        if merit.pending:
            bad.append(task.fresh(np.array(merit.pending, dtype=np.int64)))
        shares = weights * ((1.0 - _UNIFORM_CANDIDATES) / weights.sum())
        shares[-1] += _UNIFORM_CANDIDATES
        has_gaps = n_good > 0 and bool(np.isnan(good.points[:-1]).any())
        return _Model(good, bad, shares, has_gaps)

    def _best(self, task: _Task, model: _Model, rng: Stream, tried: set[bytes] | None) -> Floats:
        """The best of the candidates; the best untried one where there is one."""
        axes, good, shares = task.axes, model.good, model.shares
        n = self.n_candidates if tried is None else self.n_candidates * _MORE_IF_FINITE
        name = "tpe" if task.is_whole else "/".join(("tpe", *axes.space.domains))
        units = rng.generator(name).random((n, len(axes.axes) + 1))
        point = task.fixed_point() if task.fixed else None
        if point is not None:
            shares = _given_shares(good, axes, point)
        candidates, chosen = draw(good, shares, units)
        if axes.snapped:
            axes.snap(candidates)
        if point is not None:
            candidates = np.where(np.isnan(point), candidates, point)
        elif axes.discovered and model.has_gaps:
            _hide(candidates, good.points[chosen], list(axes.discovered), chosen < len(shares) - 1)
        if axes.conditions:
            axes.deactivate(candidates)
        left = features(axes.columns, candidates)
        scores = log_densities([good], left) - log_densities(model.bad, left)
        winner = int(scores.argmax())
        if tried is not None:
            ranking = np.argsort(-scores, kind="stable").tolist()
            winner = next((i for i in ranking if candidates[i].tobytes() not in tried), winner)
        best: Floats = candidates[winner]
        return best


def _given_shares(good: Kernels, axes: Axes, point: Floats) -> Floats:
    """[k] how often each kernel draws a candidate, where some columns are given: as likely as they are under it."""
    logs = log_kernels(good, features(axes.columns, point[None]))[0]
    likelihoods = np.exp(logs - logs.max())
    shares: Floats = likelihoods * ((1.0 - _UNIFORM_CANDIDATES) / likelihoods.sum())
    shares[-1] += _UNIFORM_CANDIDATES
    return shares


def _hide(candidates: Floats, sources: Floats, columns: list[int], has_source: npt.NDArray[np.bool_]) -> None:
    """Candidates lack the columns that their source lacks, where nobody has declared when these are active."""
    is_hidden = np.isnan(sources[:, columns]) & has_source[:, None]
    if is_hidden.any():
        candidates[:, columns] = np.where(is_hidden, np.nan, candidates[:, columns])


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is asked for: the columns, the trials to learn from, the least width of a kernel, and what is given."""

    history: History
    ranked: Ranked
    axes: Axes
    merit: Merit
    least: float
    fixed: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return self.axes.space is self.history.space

    def points(self, indices: Ints) -> Floats:
        """[k, d] the trials' coordinates in the columns."""
        joint, axes, history = self.history.space, self.axes, self.history
        found = self.merit.coordinates(history, indices)
        if self.is_whole:
            return axes.tidy(found)
        place = {name: i for i, name in enumerate(joint.domains)}
        columns = []
        for name, domain in axes.space.domains.items():
            if name in joint and domain == joint[name]:
                columns.append(found[:, place[name]])
            else:  # another domain than the study's latest
                records = (self.merit.record(history, i) for i in indices.tolist())
                values = [coordinate(domain, r.params[name]) if name in r.params else INACTIVE for r in records]
                columns.append(np.array(values))
        return axes.tidy(np.stack(columns, axis=1))

    def block(self, indices: Ints, weights: Floats | None) -> Kernels:
        """The kernels of trials, and the uniform one; remembered for the joint space, where they often stay the same."""
        if not self.is_whole or self.merit.has_unfinished(indices):
            return self.fresh(indices, weights, has_prior=True)
        place = (weights is None, self.least)
        key = indices.tobytes() + (b"" if weights is None else weights.tobytes())
        found = self.ranked.blocks.get(place)
        if found is None or found[0] != key:
            found = self.ranked.blocks[place] = (key, self.fresh(indices, weights, has_prior=True))
        return found[1]

    def fresh(self, indices: Ints, weights: Floats | None = None, *, has_prior: bool = False) -> Kernels:
        """The kernels of trials."""
        n, columns = len(indices), self.axes.columns
        points = np.full((n + has_prior, len(self.axes.axes)), np.nan)
        points[:n] = self.points(indices)
        widths = np.ones(points[:, columns.numeric].shape)
        if n:
            widths[:n] = neighbour_widths(points[:n, columns.numeric], self.least)
        return make_kernels(points, widths, np.ones(len(points)) if weights is None else weights, columns)

    def fixed_point(self) -> Floats:
        """[d] the coordinates of what is given, NaN elsewhere."""
        domains = self.axes.space.domains
        return np.array([axis_of(domains[n]).unit(self.fixed[n]) if n in self.fixed else INACTIVE for n in domains])


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """Two densities: good kernels and their prior, and blocks of bad ones with theirs.

    Attributes:
        shares: [n_good + 1] how often each good kernel draws a candidate.
        has_gaps: whether some good trials lack some columns.
    """

    good: Kernels
    bad: Sequence[Kernels]
    shares: Floats
    has_gaps: bool


def _improvements(losses: Floats, n_good: int) -> Floats:
    """[n_good] weights with mean 1: half by the gain over the best trial that is not good, half alike."""
    if not n_good or losses[0] < -_HUGE or losses[-1] > _HUGE:  # the sum of the gains could overflow
        return np.ones(n_good)
    gains = losses[-1] - losses[:n_good]
    total = float(gains.sum())
    if total <= 0.0:
        return np.ones(n_good)
    weights: Floats = 0.5 * (1.0 + gains * (n_good / total))
    return weights
