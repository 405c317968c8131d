"""A table of recorded trainings: n configurations, one or several curves each.

Params that were never recorded get the curve of the nearest row; distances are Euclidean over each parameter's own
scale from 0 to 1, two different choices are 1 apart.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.domains import Categorical, Domain, Float, Int, Ordinal, Scalar
from honed.samplers.base import Stream
from honed.space import Space

Floats = npt.NDArray[np.float64]
Params = Mapping[str, Scalar]

VARIABLE = "HONED_BENCH_DATA"


def data_folder(given: str | Path | None = None) -> Path | None:
    """The folder with the recordings: the given one, or that of the environment; None when there is none."""
    named = given or os.environ.get(VARIABLE)
    if not named:
        return None
    folder = Path(named)
    return folder if (folder / "lcbench_dev.npz").exists() else None


def coordinate(domain: Domain, value: Any) -> float:
    """Where a value lies on its scale; the place in the list for ordinals, the index for categories."""
    if isinstance(domain, Categorical | Ordinal):
        return domain.encode(value)
    assert isinstance(domain, Float | Int)
    low, high, x = float(domain.low), float(domain.high), float(value)
    if domain.log is True:
        return math.log(x / low) / math.log(high / low)
    if domain.log == "near_one":
        return math.log((1 - x) / (1 - low)) / math.log((1 - high) / (1 - low))
    return (x - low) / (high - low)


@dataclass(frozen=True, eq=False)
class RowTask:
    """A task whose configurations are rows of a table.

    Attributes:
        rows: [n] params of each row.
        curves: [n, seeds, total_steps] losses; each trial draws one of a row's seeds.
        reference: the loss whose regret is 1.
        is_grid: the rows are a full grid, the last parameter fastest, so that a row is counted instead of searched.
        row_seconds: [n] how long a step of each row takes; by default ``step_seconds`` for all.
        worths: [n, total_steps] what a row is worth, where it is known; else the mean over its seeds.
    """

    name: str
    space: Space
    rows: Sequence[Params]
    curves: Floats
    reference: float
    step_seconds: float = 1.0
    is_grid: bool = False
    row_seconds: Floats | None = None
    worths: Floats | None = None
    is_noisy: bool = field(init=False)

    def __post_init__(self) -> None:
        assert self.curves.ndim == 3, self.curves.shape
        assert len(self.rows) == len(self.curves), self.curves.shape
        object.__setattr__(self, "is_noisy", self.curves.shape[1] > 1)

    @property
    def total_steps(self) -> int:
        return int(self.curves.shape[2])

    @cached_property
    def means(self) -> Floats:
        """[n, total_steps] what a row is worth: the mean over its seeds, where nothing better is known."""
        if self.worths is not None:
            return self.worths
        means: Floats = self.curves.mean(axis=1)
        return means

    @cached_property
    def optimum(self) -> float:
        """The lowest mean of any row at any step."""
        return float(np.nanmin(self.means))

    def curve(self, params: Params, rng: Stream) -> Sequence[float]:
        losses: list[float] = self.curves[self.nearest(params), self.seed(rng)].tolist()
        return losses

    def true_curve(self, params: Params) -> list[float]:
        """The losses by which a training is judged, without the luck of its seed."""
        losses: list[float] = self.means[self.nearest(params)].tolist()
        return losses

    def seconds(self, params: Params) -> float:
        return self.step_seconds if self.row_seconds is None else float(self.row_seconds[self.nearest(params)])

    def seed(self, rng: Stream) -> int:
        """Which recording of a row a trial gets."""
        return int(rng.uniform("recording") * self.curves.shape[1]) if self.is_noisy else 0

    @cached_property
    def units(self) -> Floats:
        """[n, d] coordinates of the rows."""
        return np.array([[coordinate(d, row[name]) for name, d in self.space.domains.items()] for row in self.rows])

    @cached_property
    def _is_choice(self) -> npt.NDArray[np.bool_]:
        return np.array([isinstance(domain, Categorical) for domain in self.space.domains.values()])

    def distances(self, params: Params) -> Floats:
        """[n] squared distances of the rows."""
        at = np.array([coordinate(domain, params[name]) for name, domain in self.space.domains.items()])
        apart = self.units - at
        if self._is_choice.any():
            apart[:, self._is_choice] = apart[:, self._is_choice] != 0
        squares: Floats = np.einsum("ij,ij->i", apart, apart)
        return squares

    def nearest(self, params: Params, free: npt.NDArray[np.bool_] | None = None) -> int:
        """The row that stands for these params.

        Args:
            free: [n] the rows to choose from; by default all.
        """
        if self.is_grid and free is None:
            row = 0
            for name, domain in self.space.domains.items():
                row = row * (domain.n_values or 0) + domain.grid().index(params[name])
            return row
        distances = self.distances(params)
        if free is not None:
            distances[~free] = np.inf
        return int(distances.argmin())

    def level_of_random(self, n_trainings: int, n_draws: int = 400) -> float:
        """The mean of the best loss among ``n_trainings`` random rows, each trained to the end."""
        best = np.nanmin(np.where(np.isnan(self.means), np.inf, self.means), axis=1)
        n = min(n_trainings, len(best))
        rng = np.random.default_rng(0)
        return float(np.mean([best[rng.permutation(len(best))[:n]].min() for _ in range(n_draws)]))
