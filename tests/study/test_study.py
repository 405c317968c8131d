"""What a user does with a study in one process: create, optimize, continue, ask and tell, look."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import honed
from honed.errors import StudyMismatch, StudyNotFound, TooManyFailures
from honed.events import Notice, RunEnded
from honed.records import Cause, State


def quiet(study: honed.Study, objective: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Optimizes without output; returns the events."""
    events: list[Any] = []
    study.optimize(objective, *args, progress="quiet", on_event=events.append, **kwargs)
    return events


def notices(events: list[Any]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Notice))


def reason(events: list[Any]) -> str:
    return next(event.reason for event in events if isinstance(event, RunEnded))


def bowl(trial: honed.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    y = trial.suggest_int("y", 0, 9)
    return (x - 1) ** 2 + y


def network(trial: honed.Trial) -> float:
    n_layers = trial.suggest_int("n_layers", 1, 3)
    units = [trial.suggest_int(f"units_{i}", 4, 64, log=True) for i in range(n_layers)]
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    momentum = trial.suggest_float("momentum", 0, 0.99) if optimizer == "sgd" else 0.0
    return sum(units) / 64 + momentum


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "honed.db"


def test_optimize_finds_and_keeps_the_best_trial() -> None:
    study = honed.create_study("a", storage="memory", seed=1)
    quiet(study, bowl, "random", 40)
    assert len(study.trials) == 40
    assert study.best_trial.value == min(record.value for record in study.trials if record.value is not None)
    assert set(study.best_trial.params) == {"x", "y"}


def test_maximize_is_the_mirror_of_minimize() -> None:
    low = honed.create_study("a", storage="memory", seed=1)
    high = honed.create_study("b", storage="memory", seed=1, direction="maximize")
    quiet(low, bowl, "random", 20)
    quiet(high, lambda trial: -bowl(trial), "random", 20)
    assert low.best_trial.number == high.best_trial.number
    assert [t.params for t in low.trials] == [t.params for t in high.trials]


@pytest.mark.parametrize(
    ("sampler", "first", "total"),
    [
        ("random", 10, 40),
        ("sobol", 10, 40),
        ("halton", 10, 40),
        ("tpe", 10, 40),
        ("cmaes", 10, 40),
        ("auto", 40, 50),  # with less than 40 trials it begins to model earlier
    ],
)
def test_a_study_in_two_runs_equals_one_run(tmp_path: Path, sampler: str, first: int, total: int) -> None:
    whole = honed.create_study("m", storage=tmp_path / "whole.db", seed=7, durability="fast")
    quiet(whole, network, sampler, total)
    for n in (first, total):
        part = honed.create_study("m", storage=tmp_path / "part.db", seed=7, durability="fast")
        quiet(part, network, sampler, n)
        part.close()
    again = honed.load_study("m", storage=tmp_path / "part.db")
    assert [(t.number, t.params, t.value) for t in again.trials] == [
        (t.number, t.params, t.value) for t in whole.trials
    ]


@pytest.mark.parametrize("sampler", ["random", "sobol", "halton"])
def test_declared_and_discovered_spaces_give_the_same_records(sampler: str) -> None:
    space = honed.Space(
        lr=honed.Float(1e-4, 1, log=True),
        optimizer=honed.Categorical(["sgd", "adam"]),
        momentum=honed.Float(0, 0.99).when(optimizer="sgd"),
        layers=honed.Int(1, 4),
    )

    def discovered(trial: honed.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1, log=True)
        momentum = 0.0
        if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
            momentum = trial.suggest_float("momentum", 0, 0.99)
        return lr + momentum + trial.suggest_int("layers", 1, 4)

    def declared(trial: honed.Trial) -> float:
        return float(trial["lr"] + trial.params.get("momentum", 0.0) + trial["layers"])

    first = honed.create_study("a", storage="memory", seed=3)
    second = honed.create_study("b", storage="memory", seed=3, space=space)
    quiet(first, discovered, sampler, 20)
    quiet(second, declared, sampler, 20)
    if sampler == "random":  # quasi-random points need the order of all names, which a first trial can lack
        assert [(dict(t.params), t.value) for t in first.trials] == [(dict(t.params), t.value) for t in second.trials]
    for study in (first, second):
        assert all(("momentum" in t.params) == (t.params["optimizer"] == "sgd") for t in study.trials)
        assert all(list(t.params) == list(t.domains) for t in study.trials)


def test_n_trials_is_the_total_and_a_second_run_says_that_all_is_done(file: Path) -> None:
    study = honed.create_study("a", storage=file, seed=0)
    quiet(study, bowl, n_trials=5)
    events = quiet(study, bowl, n_trials=5)
    assert len(study.trials) == 5
    assert "All 5 trials are done" in notices(events)
    assert reason(events) == "all 5 trials are done"


def test_failed_trials_do_not_count(file: Path) -> None:
    def objective(trial: honed.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        if trial.number in (2, 5):
            raise RuntimeError("bad luck")
        return 1.0

    study = honed.create_study("a", storage=file, seed=0)
    quiet(study, objective, "random", 10)
    assert study.history.count(State.COMPLETE) == 10
    assert study.history.count(State.FAILED) == 2


def test_reopening_says_so_in_one_line(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    honed.create_study("mnist", storage=file)
    assert "Using an existing" not in capfd.readouterr().err
    honed.create_study("mnist", storage=file)
    assert capfd.readouterr().err.endswith(
        "] Using an existing study with name 'mnist' instead of creating a new one.\n"
    )


def test_joining_a_study_with_another_meaning_is_refused(file: Path) -> None:
    honed.create_study("a", storage=file, metric="val_loss")
    with pytest.raises(StudyMismatch, match="directions=minimize, and this call says maximize"):
        honed.create_study("a", storage=file, metric="val_loss", direction="maximize")
    with pytest.raises(StudyMismatch, match="summary=best"):
        honed.create_study("a", storage=file, metric="val_loss", summary="last")


def test_a_missing_study_is_named_with_its_neighbours(file: Path) -> None:
    honed.create_study("cifar", storage=file)
    with pytest.raises(
        StudyNotFound, match=r"No study 'cifr' in .*honed.db. Did you mean 'cifar'\? There is 1: cifar."
    ):
        honed.load_study("cifr", storage=file)
    honed.delete_study("cifar", storage=file)
    with pytest.raises(StudyNotFound, match="It has no study yet"):
        honed.load_study("cifar", storage=file)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("val_loss", "minimize"), ("error", "minimize"), ("val_accuracy", "maximize"), ("test/AUC", "maximize"),
     ("f1", "maximize"), ("top5_acc", "maximize"), (None, "minimize")],
)  # fmt: skip
def test_the_direction_is_inferred_from_the_metric(metric: str | None, direction: str) -> None:
    study = honed.create_study("a", storage="memory", metric=metric)
    assert study.record.directions == (direction,)


def test_an_unknown_metric_needs_a_direction() -> None:
    with pytest.raises(ValueError, match="is a small or a large 'quality' good"):
        honed.create_study("a", storage="memory", metric="quality")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_trials": 0}, "n_trials=0 must be at least 1"),
        ({"n_trials": 2.5}, "n_trials=2.5 must be a whole number"),
        ({"timeout": -1}, "timeout=-1 must be at least 0"),
        ({"patience": 0}, "patience=0 must be at least 1"),
        ({"target": math.nan}, "target=nan must be a finite number"),
        ({"sampler": "randon"}, "Did you mean 'random'"),
        ({"on_error": "ignore"}, "on_error='ignore' is unknown"),
        ({"scheduler": "asha2"}, "scheduler='asha2' is unknown"),
    ],
)
def test_wrong_arguments_are_refused_before_any_trial(arguments: dict[str, Any], message: str) -> None:
    study = honed.create_study("a", storage="memory")
    with pytest.raises(ValueError, match=message):
        quiet(study, bowl, **arguments)
    assert study.trials == []


# ---------------------------------------------------------------------------------------------- ends of a run


def test_target_patience_and_timeout_end_a_run() -> None:
    study = honed.create_study("a", storage="memory", seed=0)
    assert "the target 3 is reached" in reason(quiet(study, bowl, "random", target=3))
    assert study.best_trial.value is not None
    assert study.best_trial.value <= 3
    flat = honed.create_study("b", storage="memory", seed=0)
    assert reason(quiet(flat, lambda trial: trial.suggest_float("x", 0, 1) * 0, "random", patience=7)).startswith(
        "no better value in 7 trials"
    )
    assert len(flat.trials) == 8
    slow = honed.create_study("c", storage="memory", seed=0)
    assert reason(quiet(slow, bowl, "random", timeout=0.05)) == "the time is up (0.05 s)"


def test_a_timeout_gives_a_training_back_at_its_next_step() -> None:
    study = honed.create_study("a", storage="memory", seed=0)
    pause = __import__("threading").Event()

    def objective(trial: honed.Trial) -> None:
        for _ in trial.steps(1000):
            pause.wait(0.02)
            trial.report(trial.number)

    events = quiet(study, objective, "random", timeout=0.2)
    assert reason(events) == "the time is up (0.2 s)"
    (record,) = study.trials
    assert record.state is State.WAITING
    assert 2 <= len(record.reports) < 30

    def short(trial: honed.Trial) -> float:
        assert trial.number == 0
        assert trial.attempt == 2
        return 1.0

    quiet(study, short, "random", 1)
    assert study.trials[0].state is State.COMPLETE


# ------------------------------------------------------------------------------------------------- failures


def test_a_failing_first_trial_ends_the_run_with_its_own_traceback() -> None:
    study = honed.create_study("a", storage="memory")

    def objective(trial: honed.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        raise KeyError("no such column")

    with pytest.raises(KeyError, match="no such column") as caught:
        quiet(study, objective, n_trials=10)
    assert "the first trial failed" in caught.value.__notes__[0]
    (record,) = study.trials
    assert (record.state, record.cause) == (State.FAILED, Cause.ERROR)
    assert record.message is not None
    assert 'raise KeyError("no such column")' in record.message
    assert "worker.py" not in record.message
    assert set(record.params) == {"x"}


def test_a_later_failure_is_recorded_and_the_study_goes_on() -> None:
    study = honed.create_study("a", storage="memory")
    quiet(study, lambda trial: 1 / (trial.number - 3), "random", 9)
    assert [t.number for t in study.trials if t.state is State.FAILED] == [3]
    assert study.history.n_counted == 9


def test_three_failures_in_a_row_end_the_run_with_a_summary() -> None:
    study = honed.create_study("a", storage="memory")

    def objective(trial: honed.Trial) -> float:
        if trial.number >= 4:
            raise ValueError("shape mismatch")
        return 0.0

    with pytest.raises(TooManyFailures, match=r"3 trials in a row failed.*ValueError: shape mismatch.*4 good trials"):
        quiet(study, objective, "random", 50)
    assert len(study.trials) == 7


def test_on_error_continue_goes_on_and_raise_ends() -> None:
    def objective(trial: honed.Trial) -> float:
        if trial.number % 5:
            raise ValueError("no")
        return 0.0

    study = honed.create_study("a", storage="memory")
    quiet(study, objective, "random", 3, on_error="continue")
    assert study.history.count(State.FAILED) == 8
    other = honed.create_study("b", storage="memory")
    with pytest.raises(ValueError, match="no"):
        quiet(other, objective, "random", 3, on_error="raise")
    assert len(other.trials) == 2


def test_fatal_ends_the_run_and_infeasible_does_not() -> None:
    def objective(trial: honed.Trial) -> float:
        if trial.number == 6:
            raise honed.Fatal("the disk is gone")
        if trial.number > 2:
            raise honed.Infeasible("8 poolings of a 28x28 image")
        return 0.0

    study = honed.create_study("a", storage="memory")
    with pytest.raises(honed.Fatal, match="disk"):
        quiet(study, objective, "random", 50)
    assert [t.cause for t in study.trials[3:6]] == [Cause.INFEASIBLE] * 3
    assert study.trials[3].message == "8 poolings of a 28x28 image"


def test_an_objective_that_never_gives_a_number_ends_too() -> None:
    study = honed.create_study("a", storage="memory")
    with pytest.raises(TooManyFailures, match="30 trials in a row gave no finite value"):
        quiet(study, lambda trial: math.nan, "random", 5)


def test_running_out_of_memory_is_a_cause_of_its_own() -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    def objective(trial: honed.Trial) -> float:
        if trial.number == 1:
            raise MemoryError
        if trial.number == 3:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return 0.0

    study = honed.create_study("a", storage="memory")
    quiet(study, objective, "random", 4)
    assert [t.cause for t in study.trials] == [None, Cause.OOM, None, Cause.OOM, None, None]


# --------------------------------------------------------------------------------- queued and known experiments

DECK = [
    ({"layers": 5, "neurons": 1000, "optimizer": "Adam"}, 0.5),
    ({"layers": 3, "neurons": 1000, "optimizer": "Adam"}, 0.4),
    ({"layers": 6, "neurons": 1000, "optimizer": "Adam"}, 0.55),
    ({"layers": 5, "neurons": 2000, "optimizer": "Adam"}, 0.56),
]


def test_the_four_manual_experiments_enter_once_and_are_used(file: Path) -> None:
    for _ in range(2):
        study = honed.create_study("deck", storage=file, metric="accuracy", seed=0)
        for params, accuracy in DECK:
            study.add_trial(params, accuracy)
        assert [(dict(t.params), t.value) for t in study.trials] == DECK
        study.close()
    study = honed.load_study("deck", storage=file)
    assert study.best_trial.number == 3

    def objective(trial: honed.Trial) -> float:
        layers = trial.suggest_int("layers", 2, 6)
        neurons = trial.suggest_int("neurons", 500, 2000, step=500)
        trial.suggest_categorical("optimizer", ["Adam", "SGD"])
        return layers * neurons / 1e5

    quiet(study, objective, "random", 40)  # 40 different configurations exist, four of them are known
    seen = [tuple(sorted(t.params.items())) for t in study.trials]
    assert len(set(seen)) == len(seen) == 40
    assert study.history.columns.losses[:4, 0].tolist() == [-0.5, -0.4, -0.55, -0.56]


def test_queued_params_are_tried_first_and_once() -> None:
    study = honed.create_study("a", storage="memory", seed=0)
    assert study.enqueue({"x": 1, "y": 0}) == 0
    assert study.enqueue({"x": 1, "y": 0}) == 0
    assert study.enqueue({"y": 7}) == 1
    quiet(study, bowl, "random", 5)
    assert dict(study.trials[0].params) == {"x": 1.0, "y": 0}
    assert study.trials[0].value == 0
    assert study.trials[1].params["y"] == 7
    assert len(study.trials) == 5


def test_a_queued_value_outside_the_space_is_told_and_replaced() -> None:
    study = honed.create_study("a", storage="memory", seed=0)
    study.enqueue({"x": 100, "y": 3})
    events = quiet(study, bowl, "random", 2)
    assert "the given x=100 is not in Float(-5..5)" in notices(events)
    assert -5 <= study.trials[0].params["x"] <= 5
    assert study.trials[0].params["y"] == 3


# -------------------------------------------------------------------------------------------------- ask and tell


def test_ask_and_tell() -> None:
    study = honed.create_study("a", storage="memory", seed=0)
    trial = study.ask("random")
    x = trial.suggest_float("x", 0, 1)
    assert study.trials[0].state is State.RUNNING
    record = study.tell(trial, x)
    assert (record.state, record.value) == (State.COMPLETE, x)
    with pytest.raises(ValueError, match="trial 0 was not asked here, or is told already"):
        study.tell(trial, 1)
    assert study.tell(study.ask(), math.inf).cause is Cause.INFEASIBLE
    assert study.tell(study.ask(), state="failed").state is State.FAILED
    assert study.tell(study.ask(), 2, state="stopped").state is State.STOPPED
    open_trial = study.ask()
    with pytest.raises(honed.HonedError, match="a str"):
        study.tell(open_trial, "good")
    study.tell(open_trial, 3.0)


def test_attributes_of_trials_and_studies(file: Path) -> None:
    study = honed.create_study("a", storage=file)
    study.set_attribute("baseline", {"value": 0.9, "name": "logistic regression"})

    def objective(trial: honed.Trial) -> float:
        trial.annotate("n_weights", 12_345)
        return 1.0

    quiet(study, objective, n_trials=1)
    study.close()
    again = honed.load_study("a", storage=file)
    assert again.attributes["baseline"]["value"] == 0.9
    assert again.trials[0].attributes["n_weights"] == 12_345


def test_data_frame(file: Path) -> None:
    study = honed.create_study("a", storage=file, metric="val_loss", seed=0)
    quiet(study, network, "random", 12)
    frame = study.to_dataframe()
    assert len(frame) == 12
    assert list(frame.columns[:3]) == ["number", "state", "val_loss"]
    assert frame["params.units_2"].notna().sum() == sum("units_2" in t.params for t in study.trials)
    assert frame["val_loss"].min() == study.best_trial.value


def test_several_objectives_have_a_pareto_front() -> None:
    study = honed.create_study("a", storage="memory", metrics=["accuracy", "latency"], seed=0)

    def objective(trial: honed.Trial) -> tuple[float, float]:
        x = trial.suggest_float("x", 0, 1)
        y = trial.suggest_float("y", 0, 1)
        return x, x + y

    quiet(study, objective, "random", 60)
    front = study.pareto_front
    assert study.record.directions == ("maximize", "minimize")
    for record in front:
        a, t = record.values or (0.0, 0.0)
        assert not any(
            v[0] >= a and v[1] <= t and v != (a, t) for v in (other.values or (0.0, 9.0) for other in study.trials)
        )
    assert 1 < len(front) < 30


def test_the_decks_general_code(capsys: pytest.CaptureFixture[str]) -> None:
    study = honed.create_space(storage="memory")
    study.optimize(bowl, honed.Random(), 5, progress="quiet")
    assert len(study.trials) == 5
    study.optimize(bowl, "random", 6, progress="plain")
    out = capsys.readouterr().out
    assert out.startswith("Study statistics:\n  Number of finished trials: 6\n")
