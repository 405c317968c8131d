"""Studies with several objectives as users meet them: the knee, the front, its volume, refusals, and early stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import honed
from honed.errors import BadValue
from honed.events import Notice
from honed.records import State
from honed.samplers.annealing import Annealing
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import Countable, Fixed
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.grid import Grid
from honed.samplers.random import Random


def study(*directions: str, metrics: tuple[str, ...] = ("error", "latency"), **settings: Any) -> honed.Study:
    goals: list[Any] = list(directions or ("minimize",) * len(metrics))
    return honed.create_study(storage="memory", seed=1, directions=goals, metrics=metrics, **settings)


def filled(*values: tuple[float, ...], directions: tuple[str, ...] = (), late: tuple[float, ...] = ()) -> honed.Study:
    s = study(*directions, metrics=("error", "latency", "size")[: len(values[0])])
    for i, told in enumerate(values):
        trial = s.ask("random")
        trial.suggest_float("x", 0, 1)
        if late:
            trial.constraint(memory=late[i], max=1.0)
        s.tell(trial, told)
    return s


def quiet(s: honed.Study, objective: Any, *args: Any, **kwargs: Any) -> str:
    """Optimizes without output; returns what was said."""
    events: list[Any] = []
    s.optimize(objective, *args, progress="quiet", on_event=events.append, **kwargs)
    return "\n".join(event.text for event in events if isinstance(event, Notice))


# ------------------------------------------------------------------------------------------------------------- the knee


def test_the_best_trial_is_the_knee_of_the_front() -> None:
    s = filled((0.0, 100.0), (1.0, 0.0), (0.2, 20.0), (0.5, 30.0), (0.1, 90.0))
    assert [record.number for record in s.pareto_front] == [0, 4, 2, 1]
    assert s.best_trial.number == 2
    assert "Knee of the front (best_trial): trial 2" in s.report()


def test_the_knee_with_larger_values_better() -> None:
    s = filled((1.0, 100.0), (0.0, 0.0), (0.8, 20.0), directions=("maximize", "minimize"))
    assert s.best_trial.number == 2


def test_the_knee_of_three_objectives() -> None:
    s = filled((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.6, 0.6, 0.6), (0.2, 0.3, 0.2))
    assert s.best_trial.number == 4


def test_of_equally_good_trials_the_oldest_is_the_knee() -> None:
    assert filled((1.0, 0.0), (0.0, 1.0)).best_trial.number == 0
    assert filled((0.5, 0.5), (0.5, 0.5)).best_trial.number == 0
    assert filled((1e308, -1e308), (-1e308, 1e308), (0.0, 0.0)).best_trial.number == 0  # all give up as much


def test_before_the_first_trial_there_is_no_best_one_but_a_front_and_a_volume() -> None:
    s = study()
    assert (s.pareto_front, s.hypervolume(), s.hypervolume([1, 1])) == ([], 0.0, 0.0)
    with pytest.raises(LookupError, match="no complete trial yet"):
        _ = s.best_trial


def test_only_trials_within_the_limits_are_on_the_front() -> None:
    s = filled((0.0, 0.0), (0.3, 0.7), (0.7, 0.3), (0.4, 0.4), late=(2.0, 1.0, 0.5, 1.5))
    assert [record.number for record in s.pareto_front] == [1, 2]
    assert s.best_trial.number == 1
    assert s.hypervolume([1.0, 1.0]) == pytest.approx(0.21 + 0.21 - 0.09)


def test_while_no_trial_keeps_the_limits_the_nearest_one_stands_for_the_front() -> None:
    s = filled((0.0, 0.0), (0.3, 0.7), (0.7, 0.3), late=(2.0, 1.5, 1.1))
    assert [record.number for record in s.pareto_front] == [2]
    assert s.best_trial.number == 2
    assert s.hypervolume([1.0, 1.0]) == 0.0


# ----------------------------------------------------------------------------------------------------------- the volume


def test_the_volume_is_that_below_the_reference() -> None:
    s = filled((0.2, 0.6), (0.6, 0.2), (0.7, 0.7))
    assert s.hypervolume([1.0, 1.0]) == pytest.approx(0.8 * 0.4 + 0.4 * 0.4)
    assert s.hypervolume() == pytest.approx(0.55 * 0.15 + 0.15 * 0.55 - 0.15**2)  # the worst are .7, the ranges .5
    mirrored = filled((-0.2, 0.6), (-0.6, 0.2), (-0.7, 0.7), directions=("maximize", "minimize"))
    assert mirrored.hypervolume([-1.0, 1.0]) == pytest.approx(s.hypervolume([1.0, 1.0]))


def test_the_volume_of_one_objective_is_the_distance_to_the_reference() -> None:
    s = honed.create_study(storage="memory", seed=1)
    quiet(s, lambda trial: trial.suggest_float("x", 0, 1), "random", 5)
    assert s.hypervolume([2.0]) == pytest.approx(2.0 - s.best_trial.values[0])  # type: ignore[index]


def test_a_reference_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(
        ValueError, match="3 values, the study has 2 objectives: error, latency; give one value for each"
    ):
        filled((1.0, 1.0)).hypervolume([1, 1, 1])


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "sampler",
    [
        *(
            "cmaes",
            "de",
            "annealing",
            "evolution",
            CMAES(),
            DifferentialEvolution(),
            RegularizedEvolution(),
            Annealing(),
        ),
        *(Fixed(CMAES(), {}), Countable(Grid(), otherwise=CMAES())),
    ],
    ids=str,
)
def test_a_sampler_for_one_objective_is_refused_before_anything_runs(sampler: Any) -> None:
    s = study()
    message = "is for one objective, the study has 2: error, latency; use 'auto', 'gp', 'tpe' or 'nsga2'"
    with pytest.raises(ValueError, match=message):
        s.optimize(lambda trial: (0.0, 0.0), sampler, 3, progress="quiet")
    with pytest.raises(ValueError, match=message):
        s.ask(sampler)
    assert not s.trials


@pytest.mark.parametrize("sampler", ["auto", "random", "sobol", "gp", "tpe", "nsga2", "nsga3", Fixed(Random(), {})])
def test_others_are_not(sampler: Any) -> None:
    s = study()

    def objective(trial: honed.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_int("y", 1, 9)
        return x + y, (1 - x) * y

    quiet(s, objective, sampler, 12)
    assert len(s.trials) == 12
    assert s.best_trial in s.pareto_front


def test_one_objective_may_have_any_sampler() -> None:
    s = honed.create_study(storage="memory", seed=1)
    quiet(s, lambda trial: trial.suggest_float("x", 0, 1), "cmaes", 3)
    assert len(s.trials) == 3


def test_a_wrong_number_of_values_names_both() -> None:
    s = study()
    trial = s.ask("random")
    with pytest.raises(BadValue, match="returned 3 values; the study has 2 objectives: error, latency"):
        s.tell(trial, (1.0, 2.0, 3.0))
    s.tell(trial, (1.0, 2.0))
    assert s.trials[0].values == (1.0, 2.0)


# ------------------------------------------------------------------------------------------------- reports and stopping


def learning(trial: honed.Trial) -> None:
    """Two curves: the faster the error falls, the higher is the latency; ``waste`` makes both worse."""
    x, waste = trial.suggest_float("x", 0, 1), trial.suggest_float("waste", 0, 1)
    for step in trial.steps(9):
        trial.report(step=step, error=(1 - x) + 1 / step + waste, latency=x + waste)


@pytest.mark.parametrize("scheduler", ["median", "asha", "asha-stopping", "hyperband", "halving", "pasha"])
def test_trials_that_others_beat_in_both_objectives_are_not_trained_to_the_end(scheduler: str) -> None:
    s = study()
    said = quiet(s, learning, "random", 30, scheduler=scheduler)
    assert "non-domination rank of error, latency at equal steps" in said
    ended = [record for record in s.trials if record.state is State.COMPLETE]
    cut = [record for record in s.trials if record.state in (State.STOPPED, State.PAUSED)]
    assert cut
    assert ended
    assert np.mean([r.params["waste"] for r in ended]) < np.mean([r.params["waste"] for r in cut])
    assert sum(record.last_step or 0 for record in s.trials) < 0.8 * 30 * 9


def test_a_scheduler_may_look_at_one_series_alone() -> None:
    from honed.schedulers.asha import ASHA

    s = study()
    said = quiet(s, learning, "random", 20, scheduler=ASHA(metric="latency"))
    assert "ASHA compares trials by 'latency' alone" in said
    ended = [record for record in s.trials if record.state is State.COMPLETE]
    cost = {record.number: record.params["x"] + record.params["waste"] for record in s.trials}
    assert np.mean([cost[record.number] for record in ended]) < np.mean(list(cost.values()))


def test_one_objective_needs_no_explanation() -> None:
    s = honed.create_study(storage="memory", seed=1, metric="error")
    assert "compares" not in quiet(s, lambda trial: trial.suggest_float("x", 0, 1), "random", 3, scheduler="median")
