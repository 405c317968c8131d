"""The ensemble over warps of learning curves: log EI of paused and of new trainings, averaged over what is uncertain.

A scale factor of a member is an additive constant in its log EI, so the members' log EI are averaged without a common unit
(for log EI: Ament et al. 2023, arXiv 2310.20708). Equal weights: by how well each member had predicted was worse on needles,
where ranks of a plateau's noise predict well. While data are few, a member's EI is the mean over draws of hyperparameters.
Trainings under way are believed to reach the mean of their prediction. Notation: ``curve_kernels``.

    rows  [q]  trials        horizons  [q]  the steps at which they are judged
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.acquisition import log_ei, log_ei_slopes, log_mean_exp
from honed.algorithms.curve_kernels import CurveKernel
from honed.algorithms.curve_model import CurvePosterior, NewCurves
from honed.algorithms.curve_times import CurveTimes
from honed.algorithms.curve_warps import CurveWarp
from honed.algorithms.feasibility import Survival

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MOST_BELIEVED, _MOST_DRAWN = 8, 16


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """The processes of one warp: under the most probable hyperparameters, then under draws.

    Attributes:
        best: the best value so far as the warp sees it.
        warp: what leads back from what the processes see to values.
    """

    posteriors: tuple[CurvePosterior, ...]
    best: float
    warp: CurveWarp


@dataclass(frozen=True, slots=True, eq=False)
class CurveEnsemble:
    """All members, ready to score.

    Attributes:
        times: when in its training each point is.
        survival: of new configurations; None where nothing has failed.
    """

    kernel: CurveKernel
    members: tuple[Member, ...]
    times: CurveTimes
    survival: Survival | None = None

    @property
    def lengthscales(self) -> Floats:
        """[d] those of the first member."""
        return self.members[0].posteriors[0].lengthscales

    def log_ei(self, rows: Ints, horizons: Ints) -> Floats:
        """[q] of trials at steps, averaged over hyperparameters."""
        u = self.times.of(rows, horizons)
        total = np.zeros(len(rows))
        for member in self.members:
            values = [log_ei(*posterior.predict(rows, u), member.best) for posterior in member.posteriors]
            total += log_mean_exp(values)
        return total / len(self.members)

    def for_new(self, horizon: int) -> NewScores:
        """What scores new configurations at one step."""
        u = float(self.times.of_new(np.array([horizon]))[0])
        members = [(m.best, [posterior.for_new(u) for posterior in m.posteriors]) for m in self.members]
        return NewScores(self.kernel, members, self.survival)

    def means(self, rows: Ints, horizons: Ints) -> Floats:
        """[q] mean posterior means of trials at steps: smaller is better."""
        u = self.times.of(rows, horizons)
        return np.asarray(sum(m.posteriors[0].means(rows, u) for m in self.members) / len(self.members))

    def believing(self, rows: Ints, untils: Ints, draw: np.random.Generator) -> CurveEnsemble:
        """The model that takes trials under way for as far as they were granted, with means for values.

        Above eight at once, values of the first sixteen are drawn, so that many workers choose differently.
        """
        if not len(rows):
            return self
        u = self.times.of(rows, untils)
        members = []
        for m in self.members:
            posteriors = []
            for posterior in m.posteriors:
                z = posterior.means(rows, u)
                if len(rows) > _MOST_BELIEVED:
                    z[:_MOST_DRAWN] = _drawn(posterior, rows[:_MOST_DRAWN], u[:_MOST_DRAWN], draw)
                posteriors.append(posterior.append(rows, u, z))
            members.append(replace(m, posteriors=tuple(posteriors)))
        return replace(self, members=tuple(members))


@dataclass(frozen=True, slots=True, eq=False)
class NewScores:
    """Log EI of new configurations at one step.

    Attributes:
        members: the best value so far, and predictions under each hyperparameters.
        survival: the log of its probability is added, once: more care was worse where good configurations lie near bad ones.
    """

    kernel: CurveKernel
    members: list[tuple[float, list[NewCurves]]]
    survival: Survival | None

    def quick(self, X: Floats) -> Floats:
        """[c] under the most probable hyperparameters."""
        F, total = self.kernel.features(X), self._log_survival(X)
        for best, curves in self.members:
            total += log_ei(*curves[0].predict(F), best) / len(self.members)
        return total

    def full(self, X: Floats) -> Floats:
        """[c] averaged over hyperparameters."""
        F, total = self.kernel.features(X), self._log_survival(X)
        for best, curves in self.members:
            total += log_mean_exp([log_ei(*c.predict(F), best) for c in curves]) / len(self.members)
        return total

    def with_gradient(self, X: Floats) -> tuple[Floats, Floats]:
        """[c] and [c, d], as ``quick``; 0 for categories and what is not active."""
        F = self.kernel.features(X)
        total, gradient = np.zeros(len(X)), np.zeros_like(X)
        if self.survival is not None:
            total, gradient = self.survival.log_probability_and_gradient(X)
        numbers = self.kernel.layout.numbers
        for best, curves in self.members:
            mean, variance, pull = curves[0].predict_with_pull(F)
            value, by_mean, by_variance = log_ei_slopes(mean, variance, best)
            total += value / len(self.members)
            by_F = pull(by_mean, by_variance)[:, : len(numbers)] / len(self.members)
            gradient[:, numbers] += np.where(np.isnan(X[:, numbers]), 0.0, by_F)
        return total, gradient

    def _log_survival(self, X: Floats) -> Floats:
        return np.zeros(len(X)) if self.survival is None else self.survival.log_probability(X)


def _drawn(posterior: CurvePosterior, rows: Ints, u: Floats, draw: np.random.Generator) -> Floats:
    """Values from the joint posterior."""
    mean, covariance = posterior.predict_joint(rows, u)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(mean + vectors @ (np.sqrt(np.maximum(values, 0.0)) * draw.standard_normal(len(mean))))
