"""All samplers, bare and wrapped, through the public suite; and one that a user might write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from honed.domains import Scalar
from honed.history import History
from honed.records import Suggestion
from honed.samplers.annealing import Annealing
from honed.samplers.base import Sampler, Stream
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import Countable, Distinct, Feasible, Fixed, fit_for_use
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.gp import GP
from honed.samplers.grid import Grid
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.space import Space
from honed.testing.sampler_suite import SamplerSuite


@dataclass(frozen=True)
class NearBest:
    """Twenty lines by a user: a step away from the best trial, at first at random."""

    width: float = 0.2

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        best = {} if history.best is None else history.best.params
        params = {}
        for name, domain in space.domains.items():
            value = domain.decode(rng.uniform(name))
            near = best.get(name)
            if near is not None and domain.contains(near) and rng.uniform(f"{name}/keep") > self.width:
                value = near
            params[name] = value
        return Suggestion(space.active(params), {"near": None if history.best is None else history.best.number})


SAMPLERS: dict[str, Sampler] = {
    "random": Random(),
    "sobol": Sobol(),
    "sobol, plain": Sobol(scramble=False),
    "halton": Halton(),
    "halton, plain": Halton(scramble=False),
    "grid": Grid(points=3),
    "cmaes": CMAES(),
    "cmaes, small": CMAES(population_size=4),
    "de": DifferentialEvolution(population_size=5),
    "annealing": Annealing(n_startup=2),
    "evolution": RegularizedEvolution(population_size=4, sample_size=2),
    "nsga2": NSGA2(population_size=6),
    "nsga3": NSGA3(population_size=6),
    "tpe": TPE(),
    "tpe, from the third trial on": TPE(n_startup=2),
    "distinct": Distinct(Random()),
    "feasible": Feasible(Sobol()),
    "fixed": Fixed(Random(), {}),
    "countable": Countable(Grid(), otherwise=Sobol()),
    "as studies use it": fit_for_use(Halton()),
    "gp": GP(),
    "gp, a model at once": GP(n_startup=4, n_candidates=256, random_every=0),
    "a user's": NearBest(),
}


class TestSamplers(SamplerSuite):
    @pytest.fixture(params=list(SAMPLERS.values()), ids=list(SAMPLERS))
    def sampler(self, request: pytest.FixtureRequest) -> Sampler:
        return request.param
