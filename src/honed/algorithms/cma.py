"""Covariance matrix adaptation: a Gaussian that moves, stretches and shrinks towards where ranks are good.

The strategies are those of the ``cmaes`` package: CMA-ES (Hansen 2016, arXiv 1604.00772), with learning rates adapted to noise
if wished (Nomura, Akimoto, Ono 2023, arXiv 2304.03473), CMA-ES with margin for evenly spaced values (Hamano et al. 2022,
arXiv 2205.13482), and CatCMA with margin for choices and other values (Hamano et al. 2025, arXiv 2504.07884). The start from
known points is Nomura et al. 2021 (arXiv 2012.06932), the restarts are BIPOP (Hansen 2009, doi 10.1145/1570256.1570333).

A draw is a function of the state and a seed, and what is told are ranks: failures and infinite losses do no harm.

    d  columns with numbers: first the continuous ones, then those with few values;  k  columns with choices
    v  [d]  a draw before it is cut to the bounds and rounded to what exists
    c  [k]  indices of choices
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Draw = tuple[Floats, Ints]

_NARROW = 1e-6  # of the unit interval; a generation within it has converged
_PRIOR_WIDTH = 0.1  # alpha of arXiv 2012.06932
_MOST_DOUBLINGS = 5
_FEW_COLUMNS = 30
_LOST = 1e300  # stands for the coordinates of a Gaussian that has broken down


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The columns.

    Attributes:
        n_continuous: columns from 0 to 1.
        cells: for each column with few values their coordinates, ascending.
        shares: for each column with choices how probable they are at first.
    """

    n_continuous: int
    cells: Sequence[Floats] = ()
    shares: Sequence[Floats] = ()

    @property
    def n_numbers(self) -> int:
        return self.n_continuous + len(self.cells)

    @property
    def n_columns(self) -> int:
        return self.n_numbers + len(self.shares)


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """The first distribution: a mean [d], a step size, a covariance [d, d], and probabilities of choices."""

    mean: Floats
    sigma: float
    covariance: Floats
    shares: Sequence[Floats]


def usual_size(layout: Layout) -> int:
    """The usual number of members of a generation (arXiv 1604.00772, eq. 48)."""
    return 4 + math.floor(3 * math.log(layout.n_columns))


def from_middle(layout: Layout, sigma: float, mean: Floats | None = None) -> Beginning:
    """A round distribution, by default about the middle."""
    d = layout.n_numbers
    return Beginning(np.full(d, 0.5) if mean is None else mean, sigma, np.eye(d), layout.shares)


def from_points(layout: Layout, X: Floats, C: Ints) -> Beginning:
    """The Gaussian on good points X [n, d] with choices C [n, k], widened by a prior (arXiv 2012.06932, eq. 12)."""
    d = layout.n_numbers
    shares = [_towards(prior, C[:, i]) for i, prior in enumerate(layout.shares)]
    if not d:
        return Beginning(np.zeros(0), 1.0, np.eye(0), shares)
    mean = X.mean(axis=0)
    covariance = _PRIOR_WIDTH**2 * np.eye(d) + (X - mean).T @ (X - mean) / len(X)
    log_size = np.linalg.slogdet(covariance)[1] / d
    return Beginning(mean, float(np.exp(0.5 * log_size)), covariance / np.exp(log_size), shares)


def _towards(prior: Floats, chosen: Ints) -> Floats:
    counts = np.bincount(chosen, minlength=len(prior)) * (prior > 0.0) + prior
    share: Floats = counts / counts.sum()
    return share


# -------------------------------------------------------------------------------------------------------- strategies


class Strategy(Protocol):
    """One run: draws, and generations told best first."""

    def draw(self, seed: int) -> Draw: ...

    def tell(self, members: Sequence[Draw]) -> None: ...

    def should_stop(self) -> bool: ...


def strategy(layout: Layout, beginning: Beginning, size: int, *, adapts: bool) -> Strategy:
    """The strategy that fits the columns.

    Args:
        size: members of a generation.
        adapts: learning rates follow the noise; columns with few values are then rounded, without a margin.
    """
    if layout.shares or (not adapts and not all(map(_is_even, layout.cells))):
        return _Mixed(layout, beginning, size)
    if layout.cells and not adapts:
        return _Margin(layout, beginning, size)
    return _Plain(beginning, size, adapts)


def _is_even(cells: Floats) -> bool:
    gaps = np.diff(cells)
    return bool(np.ptp(gaps) < 1e-9)


_NO_CHOICE: Ints = np.zeros(0, dtype=np.int64)


def _tries(d: int) -> int:
    return 100 if d <= _FEW_COLUMNS else 10  # in many dimensions hardly a draw is inside: cut it


class _Plain:
    """All columns continuous."""

    def __init__(self, beginning: Beginning, size: int, adapts: bool) -> None:
        from cmaes import CMA

        d = len(beginning.mean)
        self._cma = CMA(
            mean=beginning.mean.copy(), sigma=beginning.sigma, cov=beginning.covariance.copy(), population_size=size,
            bounds=np.tile([0.0, 1.0], (d, 1)), n_max_resampling=_tries(d), seed=0, lr_adapt=adapts,
        )  # fmt: skip

    def draw(self, seed: int) -> Draw:
        self._cma.reseed_rng(seed)
        return self._cma.ask(), _NO_CHOICE

    def tell(self, members: Sequence[Draw]) -> None:
        self._cma.tell([(v, float(rank)) for rank, (v, _) in enumerate(members)])

    def should_stop(self) -> bool:
        return bool(self._cma.should_stop())


class _Margin:
    """Continuous columns and evenly spaced values."""

    def __init__(self, layout: Layout, beginning: Beginning, size: int) -> None:
        from cmaes import CMAwM

        ends = np.array([[0.0, 1.0]] * layout.n_continuous + [[cells[0], cells[-1]] for cells in layout.cells])
        steps = [0.0] * layout.n_continuous + [cells[1] - cells[0] for cells in layout.cells]
        self._cma = CMAwM(
            mean=np.clip(beginning.mean, *ends.T), sigma=beginning.sigma, cov=beginning.covariance.copy(),
            population_size=size, bounds=ends, steps=np.array(steps), n_max_resampling=_tries(len(ends)), seed=0,
        )  # fmt: skip

    def draw(self, seed: int) -> Draw:
        self._cma.reseed_rng(seed)
        return self._cma.ask()[1], _NO_CHOICE

    def tell(self, members: Sequence[Draw]) -> None:
        self._cma.tell([(v, float(rank)) for rank, (v, _) in enumerate(members)])

    def should_stop(self) -> bool:
        return bool(self._cma.should_stop())


class _Mixed:
    """Any columns."""

    def __init__(self, layout: Layout, beginning: Beginning, size: int) -> None:
        from cmaes import CatCMAwM

        self._layout = layout
        shares, d = beginning.shares, layout.n_numbers
        width = max(map(len, shares), default=0)
        padded = np.array([np.pad(share, (0, width - len(share))) for share in shares]) if shares else None
        self._cma = CatCMAwM(
            x_space=[[0.0, 1.0]] * layout.n_continuous or None,
            z_space=[cells.tolist() for cells in layout.cells] or None,
            c_space=[len(share) for share in shares] or None,
            mean=beginning.mean.copy() if d else None, sigma=beginning.sigma if d else None,
            cov=beginning.covariance.copy() if d else None, cat_param=padded, population_size=size, seed=0,
        )  # fmt: skip
        self._width = width

    def draw(self, seed: int) -> Draw:
        self._cma.reseed_rng(seed)
        drawn: Any = self._cma.ask()
        v = np.zeros(0) if drawn._v_raw is None else drawn._v_raw
        if drawn.c is None:
            return v, _NO_CHOICE
        is_none = ~drawn.c.any(axis=1)  # the probabilities add up to a little less than 1
        return v, np.where(is_none, 0, drawn.c.argmax(axis=1))

    def tell(self, members: Sequence[Draw]) -> None:
        told = [(self._solution(*member), float(rank)) for rank, member in enumerate(members)]
        self._cma.tell(told)

    def _solution(self, v: Floats, c: Ints) -> Any:
        n = self._layout.n_continuous
        x = np.clip(v[:n], 0.0, 1.0) if n else None
        one_hot = np.arange(self._width) == c[:, None] if len(c) else None
        return self._cma.Solution(x, v[n:] if len(v) > n else None, one_hot, v if len(v) else None)

    def should_stop(self) -> bool:
        return bool(self._layout.n_numbers) and bool(self._cma.should_stop())


# ---------------------------------------------------------------------------------------------------------- restarts


@dataclass(slots=True)
class Schedule:
    """Sizes and step sizes of the runs, one after the other: large populations in turn with small ones (BIPOP).

    Each restart takes the regime that has spent less so far; the first run belongs to neither.
    """

    size: int
    sigma: float
    n_doublings: int = 0
    is_large: bool | None = None
    spent: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})

    def restart(self, n_spent: int, rng: np.random.Generator) -> tuple[int, float]:
        """Population size and step size of the next run, after one that has taken ``n_spent`` evaluations."""
        if self.is_large is not None:
            self.spent[self.is_large] += n_spent
        self.is_large = self.spent[True] <= self.spent[False]
        if self.is_large:
            self.n_doublings = min(self.n_doublings + 1, _MOST_DOUBLINGS)
            return self.size * 2**self.n_doublings, self.sigma
        u, w = rng.random(2)
        factor = (0.5 * 2**self.n_doublings) ** (u * u)
        return max(int(self.size * factor), self.size), self.sigma * 10.0 ** (-2.0 * w)


class Progress:
    """One run, and whether it still gets anywhere."""

    def __init__(self, layout: Layout, beginning: Beginning, size: int, *, adapts: bool) -> None:
        self.size = size
        self.n_generations = 0
        self.has_ended = False
        self._strategy = strategy(layout, beginning, size, adapts=adapts)
        self._patience = 10 + math.ceil(30 * layout.n_columns / size)
        self._best: tuple[float, float] = (math.inf, math.inf)
        self._n_idle = 0

    def draw(self, seed: int) -> Draw:
        """A member as a function of the state and the seed."""
        with np.errstate(all="ignore"):
            return self._strategy.draw(seed)

    def tell(self, members: Sequence[Draw], merits: Sequence[tuple[float, float]]) -> None:
        """One generation with its violations and losses, best first; afterwards ``has_ended`` says whether a restart is due."""
        try:
            with np.errstate(all="ignore"):
                self._strategy.tell(members)
                is_sound = bool((np.abs(self._strategy.draw(0)[0]) < _LOST).all())  # false for NaN
                is_over = not is_sound or self._strategy.should_stop()
        except (np.linalg.LinAlgError, AssertionError, FloatingPointError):  # asserts of cmaes about its numbers
            is_over = True
        self.n_generations += 1
        self._n_idle = 0 if merits[0] < self._best else self._n_idle + 1
        self._best = min(self._best, merits[0])
        V, C = np.array([v for v, _ in members]), np.array([c for _, c in members])
        is_narrow = V.size > 0 and bool((np.ptp(V, axis=0) < _NARROW).all()) and bool((np.ptp(C, axis=0) == 0).all())
        self.has_ended = is_over or is_narrow or self._n_idle >= self._patience
