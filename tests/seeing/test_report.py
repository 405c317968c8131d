import re

import pytest

from honed.history import History
from honed.records import Cause, State, StudyRecord
from honed.report import study_report, trials_table
from tests.seeing.made import DECK_PARAMS, a_history, complete, deck_history, failed, in_state

DECK = """\
Study statistics:
  Number of finished trials: 100
  Number of pruned trials: 67
  Number of complete trials: 33
Best trial:
Value: 0.95390625
Params:
  n_layers: 1
  n_units_l0: 115
  dropout_l0: 0.40951215992211487
  optimizer: Adam
  lr: 0.021951376926653072"""


# --------------------------------------------------------------------------------------------------- the report


def test_report_of_the_deck_to_the_character():
    assert study_report(deck_history()) == DECK


def test_baseline_follows_the_deck_and_leaves_it_as_it_is():
    history = deck_history(baseline={"value": 0.91, "name": "logistic regression"})
    assert study_report(history) == f"{DECK}\nBaseline: 0.91 (logistic regression), best is 0.04391 better"


@pytest.mark.parametrize(
    ("direction", "baseline", "line"),
    [
        ("minimize", {"value": 0.4, "name": "mean"}, "Baseline: 0.4 (mean), best is 0.1 worse"),
        ("minimize", {"value": 0.75}, "Baseline: 0.75, best is 0.25 better"),
        ("maximize", {"value": 0.75, "name": "mean"}, "Baseline: 0.75 (mean), best is 0.25 worse"),
        ("maximize", {"value": 0.5, "name": "mean"}, "Baseline: 0.5 (mean), best is as good"),
    ],
)
def test_baseline_is_compared_by_the_direction(direction, baseline, line):
    history = a_history(complete(0, 0.5), directions=(direction,), attributes={"baseline": baseline})
    assert study_report(history).splitlines()[-1] == line


@pytest.mark.parametrize("baseline", [None, 0.9, {}, {"value": "high"}, {"value": float("nan")}, {"value": True}])
def test_baseline_that_is_none_is_left_out(baseline):
    assert study_report(deck_history(baseline=baseline)) == DECK


def test_unfinished_and_failed_trials_are_counted_when_there_are_any():
    history = a_history(
        complete(0, 0.5, lr=0.1),
        in_state(1, State.PAUSED),
        in_state(2, State.PAUSED),
        in_state(3, State.WAITING),
        in_state(4, State.RUNNING),
        failed(5, Cause.OOM),
        failed(6, Cause.ERROR),
        failed(7, Cause.OOM),
    )
    assert study_report(history) == (
        "Study statistics:\n"
        "  Number of finished trials: 4\n"
        "  Number of pruned trials: 0\n"
        "  Number of complete trials: 1\n"
        "  Number of paused trials: 2\n"
        "  Number of waiting trials: 1\n"
        "  Number of running trials: 1\n"
        "  Number of failed trials: 3 (2 oom, 1 error)\n"
        "Best trial:\n"
        "Value: 0.5\n"
        "Params:\n"
        "  lr: 0.1"
    )


def test_without_a_finished_trial_the_report_says_so():
    empty = study_report(History.empty(StudyRecord(name="mnist")))
    assert empty.splitlines()[1:] == [
        "  Number of finished trials: 0",
        "  Number of pruned trials: 0",
        "  Number of complete trials: 0",
        "The study has no trials yet.",
    ]
    running = study_report(a_history(in_state(0, State.RUNNING)))
    assert running.splitlines()[-2:] == ["  Number of running trials: 1", "No trial has finished yet."]


def test_when_all_trials_failed_the_report_says_why():
    report = study_report(a_history(*(failed(i, message="ValueError: no such layer") for i in range(3))))
    assert report.splitlines()[-2:] == [
        "All 3 finished trials failed: there is no best trial.",
        "3 trials failed with the same error (ValueError: no such layer): 0, 1, 2.",
    ]
    one = study_report(a_history(failed(0, message="boom")))
    assert "The one finished trial failed: there is no best trial.\nTrial 0 failed (boom)." in one


def test_choices_and_numbers_are_written_in_full():
    history = a_history(complete(0, 1e-17, x=1 / 3, n=7, on=True, nothing=None, text="a b"))
    assert study_report(history).splitlines()[5:] == [
        "Value: 1e-17",
        "Params:",
        *("  x: 0.3333333333333333", "  n: 7", "  on: True", "  nothing: None", "  text: a b"),
    ]


def test_several_objectives_give_the_pareto_front():
    history = a_history(
        complete(0, 0.9, 30.0, lr=0.1),
        complete(1, 0.8, 10.0, lr=0.2),
        complete(2, 0.8, 20.0, lr=0.3),
        in_state(3, State.STOPPED, 0.7, 5.0),
        failed(4),
        directions=("maximize", "minimize"),
        metrics=("accuracy", "latency"),
    )
    assert study_report(history).splitlines()[5:] == [
        "Pareto front (3 trials):",
        *("Trial 0:", "Values:", "  accuracy: 0.9", "  latency: 30.0", "Params:", "  lr: 0.1"),
        *("Trial 1:", "Values:", "  accuracy: 0.8", "  latency: 10.0", "Params:", "  lr: 0.2"),
        *("Trial 3:", "Values:", "  accuracy: 0.7", "  latency: 5.0", "Params:"),
        "Knee of the front (best_trial): trial 1",
    ]


def test_long_pareto_front_is_cut():
    trials = [complete(i, float(i), float(-i)) for i in range(25)]
    report = study_report(a_history(*trials, directions=("minimize", "minimize"), metrics=("a", "b")))
    assert "Pareto front (25 trials):" in report
    assert report.count("Values:") == 10
    assert report.splitlines()[-2:] == [
        "... and 15 more trials on the front",
        "Knee of the front (best_trial): trial 0",
    ]


# ---------------------------------------------------------------------------------------------------- the table


def test_table_of_the_best_trials():
    history = a_history(
        complete(0, 0.9375, lr=0.001, optimizer="Adam", units=64),
        complete(1, 0.95390625, lr=0.021951376926653072, optimizer="SGD", momentum=0.9),
        in_state(2, State.STOPPED, 0.5),
        failed(3, Cause.OOM, "torch.OutOfMemoryError: CUDA out of memory."),
        complete(10, 0.9375, lr=0.002, optimizer="Adam", units=128),
        directions=("maximize",),
        metrics=("accuracy",),
    )
    assert trials_table(history, 3) == (
        "Top 3 of 4 trials with a value:\n"
        "trial  accuracy  state     lr         optimizer  momentum  units\n"
        "    1  0.953906  complete  0.0219514  SGD        0.9       -\n"
        "    0  0.9375    complete  0.001      Adam       -         64\n"
        "   10  0.9375    complete  0.002      Adam       -         128\n"
        "\n"
        "Trial 3 failed (torch.OutOfMemoryError: CUDA out of memory)."
    )
    assert trials_table(history).splitlines()[-3:-1] == [
        "    2  0.5       stopped   -          -          -         -",
        "",
    ]


def test_table_that_is_too_wide_lists_the_parameters():
    table = trials_table(a_history(complete(0, 0.25, **DECK_PARAMS), complete(1, 0.5, lr=0.1)), width=60)
    assert table == (
        "Trials by value:\n"
        "trial  value  state     params\n"
        "    0  0.25   complete  n_layers=1, n_units_l0=115,\n"
        "                        dropout_l0=0.409512, optimizer=Adam,\n"
        "                        lr=0.0219514\n"
        "    1  0.5    complete  lr=0.1"
    )
    assert max(map(len, table.splitlines())) <= 60


def test_table_of_several_objectives_begins_with_the_front():
    history = a_history(
        complete(0, 0.2, 9.0), complete(1, 0.1, 5.0), complete(2, 0.3, 1.0),
        directions=("minimize", "minimize"), metrics=("loss", "ms"),
    )  # fmt: skip
    assert [re.split(" {2,}", line.strip()) for line in trials_table(history).splitlines()[1:]] == [
        ["trial", "loss", "ms", "state"],
        ["1", "0.1", "5", "complete"],
        ["2", "0.3", "1", "complete"],
        ["0", "0.2", "9", "complete"],
    ]


def test_table_without_values():
    assert trials_table(a_history()) == "The study has no trials yet."
    assert trials_table(a_history(failed(0, message="boom"))) == (
        "The one finished trial failed: there is no best trial.\n\nTrial 0 failed (boom)."
    )
    with pytest.raises(ValueError, match="n=0 must be at least 1"):
        trials_table(a_history(), 0)
