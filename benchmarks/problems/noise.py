"""Noise: values that params have no part in, and values in which the params' part is a fifth of the noise.

``flat`` problems are worth the same everywhere, so that what a study misses is 0: what can be seen there is whether it ends, and
what it costs. ``faint`` problems are judged without the noise. Their reference is the worst of many random configurations, so
that following luck into a bad corner shows.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.problems import analytic, conditional
from benchmarks.problems.base import N_REFERENCE, Params, Problem, Regret, Values, of_measure
from honed.domains import Float
from honed.samplers.base import Stream
from honed.space import Space, random_params

FAINT_NOISE = 5.0
"""The noise of faint problems, as a share of the way from the optimum to the reference."""

_FAINT = ("branin-2", "hartmann-3", "hartmann-6", "ellipsoid-6", "levy-10")


def flat() -> list[Problem]:
    """Pure noise over numbers, over a mixed and over a conditional space."""
    numbers = Space({f"x{i}": Float(0.0, 1.0) for i in range(6)})
    return [
        of_nothing("flat-6", numbers),
        of_nothing("flat-mixed", conditional.MIXED),
        of_nothing("flat-nested", conditional.NESTED),
    ]


def of_nothing(name: str, space: Space) -> Problem:
    """Standard normal values, worth 0 wherever they are."""

    def tell(params: Params, rng: Stream) -> tuple[Values, Values]:
        return (float(rng.generator("noise").standard_normal()),), (0.0,)

    return Problem(name, space, tell, Regret(optimum=0.0, reference=1.0))


def faint() -> list[Problem]:
    """Five functions and the three kinds of made landscapes, deep in noise."""
    functions = [problem for problem in analytic.functions(noise=FAINT_NOISE) if problem.name in _FAINT]
    landscapes = [
        of_measure(name, *conditional.MEASURES[name], optimum=0.0, noise=FAINT_NOISE)
        for name in ("mixed", "optimizers", "nested")
    ]
    return [up_to_the_worst(problem) for problem in functions + landscapes]


def up_to_the_worst(problem: Problem) -> Problem:
    """The same with the worst of many random configurations as its reference."""
    regret = problem.loss
    assert isinstance(regret, Regret)
    drawn = random_params(problem.space, N_REFERENCE)
    worst = max(problem.tell(params, Stream(0, 0))[1][0] for params in drawn)
    return replace(problem, name=f"{problem.name}-faint", loss=Regret(regret.optimum, worst))
