"""Known functions in 2 to 20 dimensions, with and without noise. No optimum lies in the centre of its box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from benchmarks.problems.base import Params, Problem, of_measure
from benchmarks.tables.base import Floats
from honed.domains import Float
from honed.space import Space

Function = Callable[[Floats], float]
Bounds = Sequence[tuple[float, float]]

NOISE = 0.05

_A3 = np.array([[3.0, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
_P3 = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
_A6 = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P6 = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])


def hartmann(a: Floats, p: Floats, x: Floats) -> float:
    """Four wells (Hartmann 1972)."""
    return float(-(_WEIGHTS @ np.exp(-(a * (x - p) ** 2).sum(axis=1))))


def branin(x: Floats) -> float:
    """Three equal minima in a valley."""
    bowl = x[1] - 5.1 / (4 * np.pi**2) * x[0] ** 2 + 5 / np.pi * x[0] - 6
    return float(bowl**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x[0]) + 10)


def ackley(x: Floats) -> float:
    """Waves on a plain with a hole at 0."""
    near = -20 * np.exp(-0.2 * np.sqrt((x**2).mean()))
    return float(near - np.exp(np.cos(2 * np.pi * x).mean()) + 20 + np.e)


def rosenbrock(x: Floats) -> float:
    """A curved valley that ends at 1."""
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def levy(x: Floats) -> float:
    """Waves in a bowl around 1."""
    w = 1 + (x - 1) / 4
    inner = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + inner + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def ellipsoid(centre: Floats, axes: Floats, x: Floats) -> float:
    """A rotated bowl whose axes differ by a factor of ten."""
    along = axes @ (x - centre)
    return float((10.0 ** np.linspace(0.0, 2.0, len(along)) * along**2).sum())


def sphere(centre: Floats, x: Floats) -> float:
    """A round bowl."""
    return float(((x - centre) ** 2).sum())


def _centre(n: int) -> Floats:
    """Off the middle of [0, 1] in every dimension, on either side."""
    rng = np.random.default_rng(n)
    centre: Floats = 0.5 + rng.choice([-1.0, 1.0], n) * rng.uniform(0.15, 0.35, n)
    return centre


def _rotation(n: int) -> Floats:
    axes: Floats = np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))[0]
    return axes


def _named() -> dict[str, tuple[Function, Bounds, float]]:
    """Name -> function, box, minimum."""
    return {
        "branin-2": (branin, [(-5.0, 10.0), (0.0, 15.0)], 0.397887),
        "hartmann-3": (partial(hartmann, _A3, _P3), [(0.0, 1.0)] * 3, -3.86278),
        "levy-4": (levy, [(-10.0, 7.0)] * 4, 0.0),
        "ackley-5": (ackley, [(-5.0, 8.0)] * 5, 0.0),
        "hartmann-6": (partial(hartmann, _A6, _P6), [(0.0, 1.0)] * 6, -3.32237),
        "ellipsoid-6": (partial(ellipsoid, _centre(6), _rotation(6)), [(0.0, 1.0)] * 6, 0.0),
        "rosenbrock-8": (rosenbrock, [(-2.0, 2.5)] * 8, 0.0),
        "levy-10": (levy, [(-10.0, 7.0)] * 10, 0.0),
        "sphere-20": (partial(sphere, _centre(20)), [(0.0, 1.0)] * 20, 0.0),
        "ackley-20": (ackley, [(-5.0, 8.0)] * 20, 0.0),
    }


def of_function(name: str, f: Function, bounds: Bounds, optimum: float, noise: float = 0.0) -> Problem:
    """A function over a box."""
    names = [f"x{i}" for i in range(len(bounds))]
    space = Space({x: Float(low, high) for x, (low, high) in zip(names, bounds, strict=True)})

    def measure(params: Params) -> float:
        return f(np.array([params[x] for x in names], dtype=float))

    return of_measure(name, space, measure, optimum=optimum, noise=noise)


def functions(noise: float = 0.0) -> list[Problem]:
    """All of them, as they are, or told with noise."""
    return [of_function(name, *parts, noise=noise) for name, parts in _named().items()]


def noisy_functions() -> list[Problem]:
    """Those of at most ten dimensions, told with noise."""
    return [
        of_function(f"{name}-noisy", *parts, noise=NOISE) for name, parts in _named().items() if len(parts[1]) <= 10
    ]
