"""One argument, and several processes share the work: counts, objectives of every kind, errors, output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.errors import StorageError
from honed.events import Notice, TrialStarted
from honed.records import State
from honed.supervisor.settings import Workers
from tests.workers.runs import lines, run, study


def quiet(made: honed.Study, objective: Any, **settings: Any) -> list[Any]:
    """Optimizes without output; returns the events."""
    events: list[Any] = []
    made.optimize(objective, "random", progress="quiet", on_event=events.append, **settings)
    return events


def bowl(trial: honed.Trial) -> float:
    return trial.suggest_float("x", -5, 5) ** 2


def test_16_workers_and_100_trials_are_exactly_100(tmp_path: Path) -> None:
    made = honed.create_study("s", storage=tmp_path / "honed.db", seed=1)
    events = quiet(made, bowl, n_trials=100, workers=16)
    assert [record.number for record in made.trials] == list(range(100))
    assert {record.state for record in made.trials} == {State.COMPLETE}
    assert len({record.worker for record in made.trials}) > 1
    assert sum(isinstance(event, TrialStarted) for event in events) == 100
    again = quiet(made, bowl, n_trials=101, workers=16)
    assert len(made.trials) == 101
    assert sum(isinstance(event, TrialStarted) for event in again) == 1


def test_the_same_params_as_in_one_process(tmp_path: Path) -> None:
    many = honed.create_study("many", storage=tmp_path / "honed.db", seed=7)
    one = honed.create_study("one", storage=tmp_path / "honed.db", seed=7)
    quiet(many, bowl, n_trials=12, workers=3)
    quiet(one, bowl, n_trials=12)
    assert [record.params for record in many.trials] == [record.params for record in one.trials]


def test_lambdas_closures_and_objects_travel(tmp_path: Path) -> None:
    storage = tmp_path / "honed.db"
    offset = 3.0

    class Objective:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        def __call__(self, trial: honed.Trial) -> float:
            return trial.suggest_float("x", 0, 1) * self.scale + offset

    for i, objective in enumerate((lambda trial: trial.suggest_float("x", 0, 1) + offset, Objective(2.0))):
        made = honed.create_study(f"s{i}", storage=storage)
        quiet(made, objective, n_trials=3, workers=2)
        assert all(record.value is not None and record.value >= offset for record in made.trials)


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    code, out, err = run(
        tmp_path,
        """
        import honed

        scale = 2.0

        def helper(x):
            return scale * x

        def objective(trial):
            return helper(trial.suggest_float("x", 0, 1))

        study = honed.create_study("s")
        study.optimize(objective, n_trials=6, workers=2)
        """,
    )
    assert code == 0, err
    assert out.count("Number of finished trials: 6") == 1
    assert len(study(tmp_path).trials) == 6


def test_an_imported_module_that_starts_its_own_search_is_stopped_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import honed\n\ndef objective(trial):\n    return trial.suggest_float('x', 0, 1)\n\n"
        "honed.create_study('s').optimize(objective, n_trials=4, workers=2)\n"
    )
    code, _, err = run(tmp_path, "import train")
    assert code == 1
    assert 'Put that call under: if __name__ == "__main__":' in err
    assert len(study(tmp_path).trials) == 0


def test_what_cannot_travel_is_named(tmp_path: Path) -> None:
    import threading

    made = honed.create_study("s", storage=tmp_path / "honed.db")
    door = threading.Lock()

    def objective(trial: honed.Trial) -> float:
        with door:
            return 1.0

    with pytest.raises(TypeError, match=r"objective uses 'door' \(_thread.lock\), which cannot be sent"):
        quiet(made, objective, n_trials=2, workers=2)


def test_large_arrays_are_shared_and_may_be_written(tmp_path: Path) -> None:
    made = honed.create_study("s", storage=tmp_path / "honed.db")
    images = np.arange(200_000, dtype=np.float64)

    def objective(trial: honed.Trial) -> float:
        images[0] += 1  # its own copy of that page
        return float(images[0] + images[-1]) + 0 * trial.suggest_float("x", 0, 1)

    quiet(made, objective, n_trials=2, workers=Workers(1))
    assert [record.value for record in made.trials] == [200_000.0, 200_001.0]
    assert images[0] == 0


def test_a_heavy_objective_is_mentioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.supervisor.job.LARGE_BYTES", 1_000_000)
    made = honed.create_study("s", storage=tmp_path / "honed.db")
    images, text = np.zeros(300_000), "x" * 2_000_000
    events = quiet(made, lambda trial: float(images[0]), n_trials=1, workers=Workers(1))
    events += quiet(made, lambda trial: float(len(text)), n_trials=2, workers=Workers(1))
    said = [event.text for event in events if isinstance(event, Notice)]
    assert any("carries 'images' (2.4 MB)" in each and "share one copy" in each for each in said)
    assert any("carries 'text' (2.0 MB)" in each and "gets a copy" in each for each in said)


def test_setup_runs_once_in_each_worker(tmp_path: Path) -> None:
    made = honed.create_study("s", storage=tmp_path / "honed.db")
    book = tmp_path / "setups"

    def setup() -> None:
        with book.open("a") as file:
            file.write(f"{os.getpid()}\n")

    def objective(trial: honed.Trial) -> float:
        trial.annotate("pid", os.getpid())
        return trial.suggest_float("x", 0, 1)

    quiet(made, objective, n_trials=6, workers=Workers(2, setup=setup))
    pids = {str(record.attributes["pid"]) for record in made.trials}
    assert pids <= set(lines(book))
    assert len(lines(book)) == len(set(lines(book))) == 2


def test_workers_are_recycled(tmp_path: Path) -> None:
    made = honed.create_study("s", storage=tmp_path / "honed.db")

    def objective(trial: honed.Trial) -> float:
        trial.annotate("pid", os.getpid())
        return trial.suggest_float("x", 0, 1)

    quiet(made, objective, n_trials=7, workers=Workers(1, recycle_after=3))
    pids = [record.attributes["pid"] for record in made.trials]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_the_objectives_error_comes_out_as_itself(tmp_path: Path) -> None:
    for n in (1, 2):
        made = honed.create_study(f"s{n}", storage=tmp_path / "honed.db")

        def objective(trial: honed.Trial) -> float:
            trial.suggest_float("x", 0, 1)
            raise KeyError("val_acc")

        with pytest.raises(KeyError, match="val_acc") as caught:
            quiet(made, objective, n_trials=5, workers=n)
        notes = "\n".join(caught.value.__notes__)
        assert "the first trial failed" in notes
        if n > 1:
            assert "In the worker process:" in notes
            assert "test_workers.py" in notes


def test_three_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    made = honed.create_study("s", storage=tmp_path / "honed.db")

    def objective(trial: honed.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        if trial.number:
            raise ValueError("no such layer")
        return 1.0

    with pytest.raises(honed.errors.TooManyFailures, match="no such layer"):
        quiet(made, objective, n_trials=50, workers=Workers(1))
    assert len(made.trials) == 4


def test_a_job_that_cannot_start_says_why(tmp_path: Path) -> None:
    made = honed.create_study("s", storage=tmp_path / "honed.db")

    def setup() -> None:
        raise FileNotFoundError("no data set here")

    with pytest.raises(RuntimeError, match=r"could not start.*FileNotFoundError: no data set here"):
        quiet(made, bowl, n_trials=5, workers=Workers(2, setup=setup))


def test_a_storage_in_memory_cannot_be_shared() -> None:
    made = honed.create_study("s", storage="memory")
    with pytest.raises(StorageError, match=r"storage 'memory': it lives in this process. Leave storage= out"):
        quiet(made, bowl, n_trials=5, workers=2)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"workers": 0}, "workers=0 must be a whole number of at least 1, or 'auto'"),
        ({"workers": "all"}, "workers='all' must be"),
        ({"workers": 2.5}, "workers=2.5 must be"),
        ({"trial_timeout": "soon"}, "trial_timeout='soon' is no span of time"),
        ({"trial_timeout": 0}, "trial_timeout=0 must be more than 0 seconds"),
        ({"no_report_timeout": -1}, "no_report_timeout=-1 must be at least 0"),
        ({"trial_memory": "lots"}, "trial_memory='lots' is no amount of memory"),
        ({"gpus_per_trial": -1}, "gpus_per_trial=-1"),
        ({"deterministic": -2}, "deterministic=-2 must be True, False"),
        ({"deterministic": True, "scheduler": "asha"}, "needs scheduler='full'"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: dict[str, Any], text: str) -> None:
    made = honed.create_study("s", storage=tmp_path / "honed.db")
    with pytest.raises(ValueError, match=text.replace("(", r"\(")):
        quiet(made, bowl, n_trials=5, **settings)
    assert len(made.trials) == 0


def test_what_workers_print_comes_out_line_by_line(tmp_path: Path) -> None:
    code, out, err = run(
        tmp_path,
        """
        import sys
        import honed

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            print("hello from", trial.number)
            print("warning from", trial.number, file=sys.stderr)
            return x

        honed.create_study("s").optimize(objective, n_trials=4, workers=2)
        """,
    )
    assert code == 0, err
    for number in range(4):
        assert (
            sum(line.endswith(f": hello from {number}") and line.startswith("worker ") for line in out.splitlines())
            == 1
        )
        assert f": warning from {number}" in err


def test_gpus_are_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_GPUS", "4")
    made = honed.create_study("s", storage=tmp_path / "honed.db")

    def objective(trial: honed.Trial) -> float:
        trial.annotate("gpus", os.environ["CUDA_VISIBLE_DEVICES"])
        trial.annotate("threads", os.environ["OMP_NUM_THREADS"])
        x = trial.suggest_float("x", 0, 1)
        import time

        time.sleep(0.3)
        return x

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    quiet(made, objective, n_trials=8, workers="auto", gpus_per_trial=2)
    assert {record.attributes["gpus"] for record in made.trials} == {"0,1", "2,3"}
    assert {record.attributes["threads"] for record in made.trials} == {str(max(len(os.sched_getaffinity(0)) // 2, 1))}
    with pytest.raises(ValueError, match="workers=3 with gpus_per_trial=2 need 6 GPUs; this machine has 4"):
        quiet(made, objective, n_trials=20, workers=3, gpus_per_trial=2)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_a_deterministic_search_suggests_the_same_for_any_number_of_workers(tmp_path: Path, n: int) -> None:
    def objective(trial: honed.Trial) -> float:
        import random
        import time

        kind = trial.suggest_categorical("kind", ["a", "b"])
        x = trial.suggest_float("x", -5, 5) if kind == "a" else trial.suggest_int("n", 1, 9)
        time.sleep(random.random() / 30)
        return float(x) ** 2

    made = honed.create_study("s", storage=tmp_path / "honed.db", seed=5)
    made.optimize(objective, "sobol", 20, workers=n, deterministic=True, progress="quiet")
    params = json.dumps([dict(record.params) for record in made.trials])
    alone = honed.create_study("alone", storage=tmp_path / "honed.db", seed=5)
    for total in (7, 20):
        alone.optimize(objective, "sobol", total, deterministic=True, progress="quiet")
    assert params == json.dumps([dict(record.params) for record in alone.trials])


def test_the_automatic_choice_is_deterministic_too(tmp_path: Path) -> None:
    def objective(trial: honed.Trial) -> float:
        import random
        import time

        time.sleep(random.random() / 30)
        return float(trial.suggest_int("n", 1, 9) * trial.suggest_int("m", 1, 2))

    found = []
    for n in (1, 4):
        made = honed.create_study(f"s{n}", storage=tmp_path / "honed.db", seed=5)
        made.optimize(objective, n_trials=18, workers=n, deterministic=True, progress="quiet")
        found.append([dict(record.params) for record in made.trials])
    assert found[0] == found[1]
