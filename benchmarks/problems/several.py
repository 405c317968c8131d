"""Problems of two and three objectives: ZDT1-3, DTLZ2, and error against size on LCBench.

The loss of a study is the share of the best known front's hypervolume that it misses. The reference point is what 1,000
random configurations (LCBench: all rows) have as worst value, and a tenth of their range beyond, in each objective.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.problems.base import MissedVolume, Params, Problem, Values
from benchmarks.tables import RowTask, lcbench
from benchmarks.tables.base import Floats
from honed.algorithms.hypervolume import hypervolume, reference_of
from honed.domains import Float
from honed.samplers.base import Stream
from honed.space import Space

Function = Callable[[Floats], Values]

N_REFERENCE = 1_000
N_FRONT = 4_000
"""Points of a known front; its hypervolume is then short by less than 1e-3 of itself in two objectives."""

N_INPUTS, N_CLASSES = 50, 10
"""The network whose weights are counted on LCBench, whose tables do not say how large its inputs are."""


def zdt1(x: Floats) -> Values:
    """A convex front (Zitzler, Deb, Thiele 2000)."""
    g = 1.0 + 9.0 * float(x[1:].mean())
    return float(x[0]), g * (1.0 - math.sqrt(x[0] / g))


def zdt2(x: Floats) -> Values:
    """A concave front."""
    g = 1.0 + 9.0 * float(x[1:].mean())
    return float(x[0]), g * (1.0 - (x[0] / g) ** 2)


def zdt3(x: Floats) -> Values:
    """A front in five pieces."""
    g = 1.0 + 9.0 * float(x[1:].mean())
    return float(x[0]), g * (1.0 - math.sqrt(x[0] / g) - x[0] / g * math.sin(10.0 * math.pi * x[0]))


def dtlz2(x: Floats) -> Values:
    """An eighth of a sphere in three objectives (Deb, Thiele, Laumanns, Zitzler 2002)."""
    g, (a, b) = float(((x[2:] - 0.5) ** 2).sum()), 0.5 * np.pi * x[:2]
    return (
        (1.0 + g) * math.cos(a) * math.cos(b),
        (1.0 + g) * math.cos(a) * math.sin(b),
        (1.0 + g) * math.sin(a),
    )


def front_of(name: str, f: Function, n_parameters: int) -> tuple[Floats, float | None]:
    """Points of a known front; and by how much less than the volume of its box it dominates, where that is known.

    DTLZ2's volume is exact: the box between the origin and the reference, less an eighth of the unit ball.
    """
    if name.startswith("dtlz2"):
        return np.eye(3), math.pi / 6.0
    first = np.linspace(0.0, 1.0, N_FRONT)
    rest = np.zeros(n_parameters - 1)
    return np.array([f(np.array([u, *rest])) for u in first]), None


def of_function(name: str, f: Function, n_parameters: int) -> Problem:
    """A function over the unit cube."""
    names = [f"x{i}" for i in range(n_parameters)]
    space = Space({x: Float(0.0, 1.0) for x in names})
    drawn = np.random.default_rng(0).uniform(size=(N_REFERENCE, n_parameters))
    reference = reference_of(np.array([f(x) for x in drawn]))
    front, missing = front_of(name, f, n_parameters)
    volume = hypervolume(front, reference) if missing is None else float(np.prod(reference)) - missing

    def tell(params: Params, rng: Stream) -> tuple[Values, Values]:
        values = f(np.array([params[x] for x in names], dtype=float))
        return values, values

    loss = MissedVolume(tuple(reference.tolist()), volume)
    return Problem(name, space, tell, loss, n_objectives=len(reference))


def functions() -> list[Problem]:
    """ZDT1-3 in ten dimensions, DTLZ2 with three objectives in eight."""
    return [
        of_function("zdt1-10", zdt1, 10),
        of_function("zdt2-10", zdt2, 10),
        of_function("zdt3-10", zdt3, 10),
        of_function("dtlz2-8", dtlz2, 8),
    ]


def n_weights(params: Params) -> int:
    """The weights of a funnel: ``num_layers`` layers whose widths fall evenly from ``max_units`` to the classes."""
    n, widest = int(params["num_layers"] or 1), int(params["max_units"] or 1)
    widths = [N_INPUTS, *(round(widest + (N_CLASSES - widest) * i / n) for i in range(n)), N_CLASSES]
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


def of_table(task: RowTask) -> Problem:
    """The error after the last epoch against the logarithm of the number of weights; a pool of rows."""
    sizes = np.array([math.log10(n_weights(row)) for row in task.rows])
    points = np.column_stack([task.means[:, -1], sizes])
    reference = reference_of(points)

    def tell(params: Params, rng: Stream) -> tuple[Values, Values]:
        row = task.nearest(params)
        values = (float(points[row, 0]), float(points[row, 1]))
        return values, values

    loss = MissedVolume(tuple(reference.tolist()), hypervolume(points, reference))
    return Problem(f"{task.name}-size", task.space, tell, loss, n_objectives=2, pool=task)


def recorded(folder: Path) -> list[Problem]:
    """LCBench's ten tasks."""
    return [of_table(task) for task in lcbench(folder)]
