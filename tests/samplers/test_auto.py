"""``sampler="auto"``: each rule on a case built for it, with its line."""

from __future__ import annotations

import pytest

from honed.auto import SAMPLERS, choose, named
from honed.domains import Bool, Float, Int
from honed.history import History
from honed.records import Exhausted, StudyRecord
from honed.samplers.base import Sampler
from honed.samplers.combine import Countable
from honed.samplers.grid import Grid
from honed.samplers.quasirandom import Sobol
from honed.samplers.random import Random
from honed.schedulers.full import Full
from honed.space import Space
from honed.testing.driver import Driver

SEVEN = Space({f"x{i}": Float(0, 1) for i in range(7)})
GRID = Countable(Grid(), otherwise=Sobol())


@pytest.mark.parametrize(
    ("space", "n_trials", "sampler", "reason"),
    [
        (
            Space({f"x{i}": Int(0, 2) for i in range(4)}),
            100,
            GRID,
            "81 combinations, 100 trials: trying each once.",
        ),
        (Space(a=Bool(), b=Bool().when(a=True)), 3, GRID, "3 combinations, 3 trials: trying each once."),
        (
            SEVEN,
            6,
            Sobol(),
            "6 trials, 7 parameters: no model can help; spreading them evenly.",
        ),
        (
            SEVEN,
            100,
            Sobol(),
            "100 trials, 7 parameters: spreading them evenly (Sobol points, which do not learn).",
        ),
        (
            Space(a=Int(0, 99)),
            50,
            Sobol(),
            "50 trials, 1 parameter: spreading them evenly (Sobol points, which do not learn).",
        ),
        (
            Space(a=Bool()),
            None,
            Sobol(),
            "any number of trials, 1 parameter: spreading them evenly (Sobol points, which do not learn).",
        ),
        (Space(), 5, Sobol(), "5 trials: no model can help; spreading them evenly."),
    ],
)
def test_the_first_rule_that_fits_decides_and_says_why(space: Space, n_trials, sampler: Sampler, reason: str):
    choice = choose(space, History.empty(StudyRecord(name="s"), space), n_trials, 1)
    assert choice.sampler == sampler
    assert choice.scheduler == Full()
    assert choice.reason == reason


def test_more_dimensions_than_sobol_has_are_random():
    space = Space({f"x{i}": Float(0, 1) for i in range(21_202)})
    choice = choose(space, History.empty(StudyRecord(name="s"), space), 100, 1)
    assert choice.sampler == Random()
    assert choice.reason == "21,202 parameters, more than Sobol points have dimensions: random search."


def test_a_discovered_space_counts_what_is_known_so_far():
    driver = Driver(Random(), lambda ask: ask("a", Bool()))
    driver.run(1)
    choice = choose(driver.history.space, driver.history, 100, 1)
    assert choice.reason == "2 combinations so far, 100 trials: trying each once."
    driver.sampler = choice.sampler
    assert driver.run(100) == Exhausted("All 2 configurations tried")


def test_samplers_have_names():
    assert [named(name) for name in SAMPLERS] == [kind() for kind in SAMPLERS.values()]
    known = ", ".join(repr(name) for name in SAMPLERS)
    message = f"sampler='sobl' is unknown; use one of 'auto', {known}, or a Sampler. Did you mean 'sobol'?"
    with pytest.raises(ValueError, match="sampler='sobl'") as caught:
        named("sobl")
    assert str(caught.value) == message
