"""Made trainings that are noise: curves that say nothing of the params, and curves that say very little.

Each fell by the same amount within its first steps and goes on as noise around a level. Of ``flat`` tasks the level is the same
everywhere; of ``faint`` ones it spans a fifth of the noise between the best row and the median. The reference is the worst row,
so that following luck into a bad corner shows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.tables.base import Floats, Params, RowTask
from honed.domains import Categorical, Float
from honed.space import Space

N_ROWS, N_RECORDINGS, N_STEPS = 400, 2, 27
NOISE = 0.1
FAINT = 0.02
"""The way from the best row's level to the median."""

NUMBERS = Space({f"x{i}": Float(0.0, 1.0) for i in range(4)})
MIXED = Space(
    rate=Float(1e-4, 1.0, log=True), kind=Categorical(["a", "b", "c", "d"]), size=Float(0.0, 1.0), norm=Categorical(["p", "q"])
)  # fmt: skip


def flat() -> list[RowTask]:
    """Pure noise over numbers and over a mixed space."""
    return [_task(f"flat-{name}", space, lambda units: np.zeros(len(units)), i) for i, (name, space) in _spaces()]


def faint() -> list[RowTask]:
    """Bowls and slopes under noise."""
    levels: dict[str, Callable[[Floats], Floats]] = {
        "bowl": lambda units: ((units - 0.35) ** 2).sum(axis=1),
        "slope": lambda units: units[:, 0] + 0.3 * units[:, 2],
        "needle": lambda units: -np.exp(-20.0 * ((units - 0.6) ** 2).sum(axis=1)),
    }
    return [
        _task(f"faint-{kind}-{name}", space, level, 10 * i + j)
        for j, (kind, level) in enumerate(levels.items())
        for i, (name, space) in _spaces()
    ]


def _spaces() -> list[tuple[int, tuple[str, Space]]]:
    return list(enumerate((("numbers", NUMBERS), ("mixed", MIXED))))


def _task(name: str, space: Space, level: Callable[[Floats], Floats], seed: int) -> RowTask:
    """A pool of rows; what they are worth is known."""
    rng = np.random.default_rng(seed)
    units = rng.uniform(size=(N_ROWS, len(space)))
    rows: list[Params] = [
        {key: domain.decode(u) for (key, domain), u in zip(space.domains.items(), row, strict=True)}
        for row in units.tolist()
    ]
    raw = level(units)
    span = float(np.median(raw) - raw.min())
    levels = FAINT * (raw - raw.min()) / span if span else raw
    fall = 0.5 * np.exp(-np.arange(N_STEPS) / 2.0)
    worth = levels[:, None] + fall
    curves = worth[:, None, :] + rng.normal(0.0, NOISE, (N_ROWS, N_RECORDINGS, N_STEPS))
    reference = float(worth[:, -1].max()) if span else float(worth.max())
    return RowTask(name, space, rows, curves, reference, worths=worth)
