"""``sampler="auto"``: each rule on a case built for it, with its line."""

from __future__ import annotations

import pytest

from honed.auto import SAMPLERS, choose, named
from honed.auto.early import FirstLook
from honed.domains import Bool, Categorical, Float, Int
from honed.events import Event, Notice
from honed.history import History
from honed.records import Delta, Direction, Exhausted, State, StudyRecord, TrialRecord
from honed.samplers.base import Sampler
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import Countable
from honed.samplers.gp import GP
from honed.samplers.grid import Grid
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.quasirandom import Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.schedulers.full import Full
from honed.search import Automatic
from honed.space import Space
from honed.testing.driver import Driver

SEVEN = Space({f"x{i}": Float(0, 1) for i in range(7)})
TREE = Space(a=Bool(), b=Float(0, 1).when(a=True), c=Float(0, 1).when(a=False), d=Float(0, 1))
MIXED = Space({"c": Categorical(["a", "b", "c"])} | dict(SEVEN.domains))
CHOICES = Space({"x": Float(0, 1)} | {f"c{i}": Categorical(["a", "b", "c"]) for i in range(3)})
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
        (SEVEN, 100, GP(), "7 parameters, 100 trials: Gaussian process."),
        (SEVEN, 1200, GP(), "7 parameters, 1,200 trials: Gaussian process for the first 250."),
        (Space(a=Int(0, 99)), 50, GP(), "1 parameter, 50 trials: Gaussian process."),
        (Space(a=Bool()), None, GP(), "1 parameter, any number of trials: Gaussian process for the first 250."),
        (TREE, 100, TPE(), "2 of 4 parameters conditional: TPE."),
        (CHOICES, 100, TPE(), "3 of 4 parameters unordered choices: TPE."),
        (Space({f"x{i}": Float(0, 1) for i in range(21)}), 100, TPE(), "21 parameters: TPE."),
        (Space(), 5, Sobol(), "5 trials: no model can help; spreading them evenly."),
    ],
)
def test_the_first_rule_that_fits_decides_and_says_why(space: Space, n_trials, sampler: Sampler, reason: str):
    choice = choose(space, History.empty(StudyRecord(name="s"), space), n_trials, 1)
    assert choice.sampler == sampler
    is_watched = choice.rule > 2  # whoever can be resumed is paused at a first look
    assert choice.scheduler == (FirstLook(Full()) if is_watched else Full())
    assert choice.reason == reason


def finished(space: Space, n: int, directions: tuple[Direction, ...] = ("minimize",)) -> History:
    """So many finished trials."""
    metrics = tuple(f"m{i}" for i in range(len(directions)))
    study = StudyRecord(name="s", directions=directions, metrics=metrics)
    params = {name: domain.decode(0.5) for name, domain in space.domains.items()}
    records = [
        TrialRecord(number=i, state=State.COMPLETE, params=params, domains=space.domains, values=(0.5,) * len(metrics))
        for i in range(n)
    ]
    return History.empty(study, space).extend(Delta(revision=1, trials=tuple(records)))


@pytest.mark.parametrize(
    ("space", "n_finished", "n_objectives", "n_workers", "sampler", "reason"),
    [
        (SEVEN, 249, 1, 1, GP(), "7 parameters, 1,000 trials: Gaussian process for the first 250."),
        (SEVEN, 250, 1, 1, CMAES(), "Trial 250: switching from Gaussian process to CMA-ES, started at the best tenth."),
        (SEVEN, 9, 1, 33, TPE(), "33 workers: TPE."),
        (MIXED, 250, 1, 1, TPE(), "Trial 250: switching from Gaussian process to TPE."),
        (SEVEN, 9, 2, 1, GP(), "2 objectives, 1,000 trials: Gaussian processes on the Pareto front."),
        (SEVEN, 9, 4, 1, GP(), "4 objectives, 1,000 trials: Gaussian processes on random mixtures of the objectives (ParEGO)."),
        (CHOICES, 9, 2, 1, TPE(), "2 objectives, 1,000 trials, 3 of 4 parameters unordered choices: TPE by Pareto rank."),
        (SEVEN, 250, 3, 1, NSGA2(), "3 objectives, 1,000 trials: evolution (NSGA-II) from trial 250 on."),
        (SEVEN, 250, 4, 1, NSGA3(), "4 objectives, 1,000 trials: evolution (NSGA-III) from trial 250 on."),
    ],
)  # fmt: skip
def test_later_rules_look_at_the_history(space, n_finished, n_objectives, n_workers, sampler, reason):
    choice = choose(space, finished(space, n_finished, ("minimize",) * n_objectives), 1000, n_workers)
    assert choice.sampler == sampler
    assert choice.reason == reason


def test_a_condition_that_trials_show_counts_and_a_failed_or_older_trial_does_not():
    def history(*names: str, failing: int = 0) -> History:
        records = [
            TrialRecord(
                number=i,
                state=State.FAILED if i < failing else State.COMPLETE,
                params=dict.fromkeys(each, 0.5),
                domains=dict.fromkeys(each, Float(0, 1)),
                values=None if i < failing else (0.5,),
            )
            for i, each in enumerate(names)
        ]
        return History.empty(StudyRecord(name="s")).extend(Delta(revision=1, trials=tuple(records)))

    for discovered, reason in [
        (history("abc", "a"), "2 of 3 parameters conditional: TPE."),
        (history("a", "abc"), "3 parameters, 50 trials: Gaussian process."),  # b and c are new
        (history("abc", "a", failing=2), "3 parameters, 50 trials: Gaussian process."),
    ]:
        assert choose(discovered.space, discovered, 50, 1).reason == reason


def test_a_switch_is_announced_once_and_found_again_by_a_later_run():
    heard: list[Event] = []
    automatic = Automatic(1000, 1, heard.append)
    for n in (0, 100, 250, 300):
        automatic.chosen(finished(SEVEN, n))
    assert [event.text for event in heard if isinstance(event, Notice)] == [
        "sampler='auto': 7 parameters, 1,000 trials: Gaussian process for the first 250.",
        "sampler='auto': Trial 250: switching from Gaussian process to CMA-ES, started at the best tenth.",
    ]
    again: list[Event] = []
    Automatic(1000, 1, again.append).chosen(finished(SEVEN, 300))
    assert again == heard[1:]


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
