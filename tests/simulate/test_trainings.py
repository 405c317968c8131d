"""The program of real trainings: both tools train the same, time is counted fairly, and what is kept can be read again."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import honed
from benchmarks.real.diary import Diary, Epoch
from benchmarks.real.players import objective, play_optuna
from benchmarks.real.runs import Job, Result, jobs_of, kept
from benchmarks.real.tables import of_task, tables
from benchmarks.real.tasks import CHANCE, digits, error_when_trained_again, tasks
from benchmarks.trainings import PICTURE, parsed, shown, write
from honed.schedulers.full import Full
from tests.slices import Slices

CNN = {
    "activation": "relu", "n_layers": 2, "channels": 8, "batch_norm": "yes", "dropout": 0.1, "optimizer": "adam", "lr": 0.01,
    "weight_decay": 1e-5, "1-beta1": 0.1, "1-beta2": 1e-3, "batch_size": 64,
}  # fmt: skip
RNN = {
    "cell": "lstm", "width": 48, "depth": 1, "dropout": 0.0, "max_gradient_norm": 5.0, "optimizer": "sgd", "lr": 0.1,
    "weight_decay": 1e-6, "1-momentum": 0.1, "batch_size": 32,
}  # fmt: skip
GOOD = {"cnn": CNN, "rnn": RNN}


class Ticks:
    """A clock on which every look takes a second."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def result(method: str, seed: int, errors: list[float], **other) -> Result:
    epochs = tuple(Epoch(float(i + 1), i // 25, i % 25 + 1, error) for i, error in enumerate(errors))
    values = {
        "task": "cnn", "version": "1", "seconds": 4.0, "training_seconds": 3.0, "kept": 0.2, "again": 0.3, "params": CNN,
    }  # fmt: skip
    return Result(method=method, seed=seed, epochs=epochs, **{**values, **other})


@pytest.mark.parametrize("name", list(tasks()))
def test_a_good_configuration_learns_to_read(name: str):
    error = error_when_trained_again(tasks()[name], GOOD[name], 12, digits(0), (1,))
    assert error < 0.2


def test_parts_share_no_image_and_another_seed_cuts_them_anew():
    data, other = digits(0), digits(1)
    parts = [set(part.index.tolist()) for part in (data.train, data.validation, data.test)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 1797
    assert set(other.test.index.tolist()) != parts[2]


def test_an_epoch_that_ends_after_the_time_is_not_counted():
    diary = Diary(tasks()["cnn"], 0, 9.5, Ticks())
    trial = honed.FixedTrial(CNN)
    diary.begin()  # the clock shows 1
    training = diary.build(trial)  # 2, 3
    errors = [diary.train(training, trial, step) for step in (1, 2, 3, 4)]  # 4-5, 6-7, 8-9, 10-11
    assert [epoch.error for epoch in diary.epochs] == errors[:3]
    assert [epoch.at for epoch in diary.epochs] == [4.0, 6.0, 8.0]
    assert diary.training_seconds == 1.0 + 3.0 + 0.5  # building, three epochs, half of the fourth
    assert diary.best is not None
    assert diary.best.error == min(errors[:3])
    assert diary.is_over


def test_a_paused_training_goes_on_as_if_it_had_not_been_paused(tmp_path):
    def errors(scheduler):
        diary = Diary(replace(tasks()["cnn"], n_epochs=4), 3, math.inf)
        study = honed.create_study(scheduler.__class__.__name__, metric="error", storage=tmp_path / "x.db", seed=3)
        settings = {"scheduler": scheduler, "progress": "quiet", "report": False}
        study.optimize(objective(diary), "random", n_trials=2, **settings)
        study.close()
        return {(epoch.number, epoch.step): epoch.error for epoch in diary.epochs}

    paused = errors(Slices(1))
    assert len(paused) == 8
    assert paused == errors(Full())


@pytest.mark.skipif(not importlib.util.find_spec("optuna"), reason="Optuna is not installed")
def test_optuna_trains_the_same_task_until_the_time_is_up(tmp_path):
    diary = Diary(replace(tasks()["rnn"], n_epochs=3), 0, 1.5)
    play_optuna("SuccessiveHalving")(diary, tmp_path)
    assert {epoch.step for epoch in diary.epochs} <= {1, 2, 3}
    assert max(epoch.at for epoch in diary.epochs) <= 1.5
    steps = [epoch.step for epoch in diary.epochs if epoch.number == 0]
    assert steps == list(range(1, len(steps) + 1))


def test_the_best_error_by_a_time_counts_what_was_there_then():
    mine = result("a", 0, [0.5, math.nan, 0.6, 0.4])
    assert mine.best_at(np.array([0.9, 1.0, 3.5, 4.0])) == pytest.approx([CHANCE, 0.5, 0.5, 0.4])
    assert (mine.n_trials, mine.n_full, mine.searching) == (1, 0, 0.25)


def test_results_are_read_as_they_were_kept_and_a_cut_line_is_passed_over(tmp_path, capsys):
    file = tmp_path / "raw.jsonl"
    lines = [json.dumps(result("a", seed, [0.5, math.nan]).to_json()) for seed in (0, 1)]
    file.write_text("\n".join([*lines, lines[0][:40]]), encoding="utf-8")
    found = kept([file])
    assert list(found) == [("cnn", "a", 0), ("cnn", "a", 1)]
    assert repr(found["cnn", "a", 1]) == repr(result("a", 1, [0.5, math.nan]))
    assert "passed over" in capsys.readouterr().err


def test_every_method_gets_each_seed_in_turn():
    jobs = jobs_of(["cnn", "rnn"], ["a", "b"], range(2), 1.0)
    assert [(job.method, job.seed) for job in jobs if job.task == "cnn"] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert Job("rnn", "b", 1, 1.0) in jobs


def test_differences_are_paired_by_seed_and_need_five_of_them():
    base = [result("base", seed, [0.1 + 0.1 * seed] * 4) for seed in range(5)]
    better = [result("better", seed, [0.08 + 0.1 * seed] * 4, kept=0.1) for seed in range(5)]
    text = of_task([*base, *better], "base")
    assert "-2.00 [-2.00, -2.00] *" in text
    assert "-10.00 [-10.00, -10.00] *" in text
    assert "[" not in of_task([*base[:4], *better[:4]], "base").split("paired by seed")[1].split("interval.")[1]
    with pytest.raises(SystemExit, match="cannot be compared"):
        of_task([*base, result("other", 0, [0.1], seconds=9.0)], "base")


def test_the_page_gets_tables_and_a_picture_and_keeps_the_rest(tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    page.write_text("# Mine\n\n<!-- trainings:begin -->\nold\n<!-- trainings:end -->\n\nAfter.\n", encoding="utf-8")
    arguments = parsed(["--docs", str(page), "--seconds", "4"])
    results = shown(arguments, [result("honed auto", 0, [0.5, 0.3]), result("honed auto", 1, [0.4], seconds=9.0)])
    assert len(results) == 1
    write(arguments, results, tables(results, "none"))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n\n<!-- trainings:begin -->")
    assert text.endswith("<!-- trainings:end -->\n\nAfter.\n")
    assert "old" not in text
    assert "| honed auto | 90.00 | 50.00 | 30.00 | 30.00 | 20.00 | 30.00 | 2 | 1 | 0 | 25 % |" in text
    first = (tmp_path / PICTURE).read_bytes()
    assert b"<svg" in first
    write(arguments, results, "again")
    assert (tmp_path / PICTURE).read_bytes() == first
