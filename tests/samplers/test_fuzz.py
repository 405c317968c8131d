"""Samplers against anything hypothesis finds: histories, spaces that change between runs, other processes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.domains import Domain
from honed.history import History
from honed.records import Exhausted, State, Suggestion, TrialRecord, Wait
from honed.samplers.annealing import Annealing
from honed.samplers.base import Sampler, Stream
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import fit_for_use
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.gp import GP
from honed.samplers.grid import Grid
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.space import Space
from honed.testing import strategies as honed_st
from honed.testing.driver import Driver

SAMPLERS: dict[str, Sampler] = {
    "random": fit_for_use(Random()),
    "sobol": fit_for_use(Sobol()),
    "halton": fit_for_use(Halton()),
    "grid": Grid(points=3),
    "annealing": fit_for_use(Annealing(n_startup=1)),
    "cmaes": fit_for_use(CMAES(population_size=4)),
    "de": fit_for_use(DifferentialEvolution(population_size=4)),
    "evolution": fit_for_use(RegularizedEvolution(population_size=3, sample_size=2)),
    "nsga2": fit_for_use(NSGA2(population_size=4)),
    "nsga3": fit_for_use(NSGA3(population_size=4)),
    "tpe": fit_for_use(TPE(n_startup=1)),
    "gp": fit_for_use(GP(n_startup=4, n_candidates=64, random_every=0)),
}
QUICK = [name for name in SAMPLERS if name != "gp"]


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=25, deadline=None)
@given(history=honed_st.histories(), data=st.data())
def test_any_history_gives_values_of_today(name: str, history: History, data: st.DataObject):
    _survive(SAMPLERS[name], history, data)


@pytest.mark.soak
@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=10_000, deadline=None)
@given(history=honed_st.histories(), data=st.data())
def test_ten_thousand_histories_give_values_of_today(name: str, history: History, data: st.DataObject):
    _survive(SAMPLERS[name], history, data)


def _survive(sampler: Sampler, history: History, data: st.DataObject) -> None:
    rng = Stream(data.draw(st.integers(0, 9)), len(history), data.draw(st.integers(0, 2)))
    domain: Domain = data.draw(honed_st.domains())
    name = data.draw(st.sampled_from(["new", *history.space.domains]))
    answer = sampler.suggest(history, history.space, rng, {})
    if isinstance(answer, Suggestion):
        assert all(history.space[name].contains(value) for name, value in answer.params.items())
    else:
        assert isinstance(answer, Wait | Exhausted)
        assert len(history) > 0
    params = dict(answer.params) if isinstance(answer, Suggestion) else {}
    params.pop(name, None)
    alone = sampler.suggest(history, Space({name: domain}), rng, params)
    if isinstance(alone, Suggestion):
        assert domain.contains(alone.params[name])


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_spaces_that_change_between_runs_are_followed(data: st.DataObject):
    """Asking never raises, new values are in the new space, old trials still count (declared and discovered)."""
    space = data.draw(honed_st.spaces(max_size=3))
    is_declared = data.draw(st.booleans())
    domains = dict(space.domains)
    drivers = [
        Driver(SAMPLERS[name], None, space=space) if is_declared else Driver(SAMPLERS[name], _asks(domains))
        for name in QUICK
    ]
    for _ in range(data.draw(st.integers(1, 3))):
        for driver in drivers:
            before = len(driver.history)
            driver.run(before + 3)
            for params in driver.params[before:]:
                assert all(space[name].contains(value) for name, value in params.items())
            assert driver.history.count(State.COMPLETE) == len(driver.history) >= before
        space = data.draw(honed_st.edits(space))
        domains.clear()
        domains.update(space.domains)
        for driver in drivers:
            driver.declared = space if is_declared else None
            driver.restart()


def _asks(domains: dict[str, Domain]):
    def objective(ask) -> float:
        for name, domain in domains.items():
            ask(name, domain)
        return 0.0

    return objective


@settings(max_examples=30, deadline=None)
@given(
    space=honed_st.spaces(of=honed_st.finite_domains(), max_size=3), seed=st.integers(0, 99), workers=st.integers(1, 4)
)
def test_any_finite_space_is_used_up_exactly(space: Space, seed: int, workers: int):
    size = space.n_configurations()
    assert size is not None
    for sampler in (Grid(), fit_for_use(Random())):
        driver, choose = Driver(sampler, space=space, seed=seed), random.Random(seed)
        while isinstance(driver.start(), TrialRecord) or driver.started:
            if driver.started and (len(driver.started) >= workers or choose.random() < 0.4):
                driver.finish(choose.choice(list(driver.started)))
            if len(driver.history) == size:
                break
            assert len(driver.history) < size
        assert isinstance(driver.start(), Exhausted)
        # 1 and True are two choices
        assert len({tuple((k, type(v), v) for k, v in params.items()) for params in driver.params}) == size


def test_another_process_makes_the_same_suggestions():
    code = (
        "import json; from tests.samplers.test_fuzz import SAMPLERS; from honed.testing.driver import Driver; "
        "from honed.testing.sampler_suite import MIXED, conditional\n"
        "for sampler in SAMPLERS.values():\n"
        "    for driver in (Driver(sampler, space=MIXED, seed=4), Driver(sampler, conditional, seed=4)):\n"
        "        driver.run(15)\n"
        "        print(json.dumps(driver.params))\n"
    )
    outputs = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        outputs.append(
            subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        )
    assert outputs[0] == outputs[1]
    assert len([json.loads(line) for line in outputs[0].splitlines()]) == 2 * len(SAMPLERS)
