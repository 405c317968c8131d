"""The quality program: its judgements by hand, its peer against the peer's own loop, its tables of recordings."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.players import NearestFree, RowsInOrder, Setting, honed_player, incumbents
from benchmarks.regret_tables import markdown
from benchmarks.scoring import Place, Result, interval, mean_ranks, score
from benchmarks.tables import RowTask, data_folder, load_suite
from benchmarks.tables.base import VARIABLE
from honed.domains import Categorical, Float, Int
from honed.samplers.base import Stream
from honed.samplers.random import Random
from honed.schedulers.full import Full
from honed.space import Space
from honed.testing.simulate import Task, simulate


def made_task(n_rows: int = 60, n_seeds: int = 1, total_steps: int = 20) -> RowTask:
    rng = np.random.default_rng(0)
    space = Space(
        kind=Categorical(["a", "b"]), lr=Float(1e-4, 1.0, log=True), beta=Float.near_one(0.0, 0.99), width=Int(4, 64, log=True)
    )  # fmt: skip
    rows = [{name: domain.decode(rng.uniform()) for name, domain in space.domains.items()} for _ in range(n_rows)]
    levels = rng.uniform(0.1, 1.0, (n_rows, n_seeds, 1))
    curves = levels + (2.0 - levels) * np.arange(1, total_steps + 1) ** -0.7
    return RowTask("made", space, rows, curves, reference=float(np.median(curves[:, :, -1])))


def test_the_nearest_row_is_the_row_itself_unless_it_is_taken():
    task = made_task()
    assert isinstance(task, Task)
    assert [task.nearest(row) for row in task.rows] == list(range(len(task.rows)))
    free = np.ones(len(task.rows), dtype=bool)
    free[7] = False
    other = task.nearest(task.rows[7], free)
    assert other != 7
    assert task.distances(task.rows[7])[other] == sorted(task.distances(task.rows[7]))[1]


def test_a_trial_draws_one_seed_and_is_judged_by_the_mean():
    task = made_task(n_seeds=4, total_steps=1)
    drawn = {task.curve(task.rows[0], Stream(0, number))[0] for number in range(40)}
    assert drawn == set(task.curves[0, :, 0].tolist())
    assert task.curve(task.rows[0], Stream(0, 3)) == task.curve(task.rows[0], Stream(0, 3))
    played = honed_player(lambda task: Full())(task, Setting(0, 1, 30, "pool"))
    assert set(played.best.tolist()) <= set(task.means[:, 0].tolist())


def test_the_worth_of_what_looks_best():
    nan, inf = math.nan, math.inf
    seen = np.array([nan, 5.0, 6.0, 3.0, nan, 3.0, 2.0])
    worth = np.array([9.0, 5.5, 1.0, 4.0, 0.0, 0.0, 4.5])
    assert incumbents(seen, worth).tolist() == [inf, 5.5, 5.5, 4.0, 4.0, 4.0, 4.5]


@pytest.mark.parametrize("n_workers", [1, 4])
def test_a_pool_gives_each_row_once(n_workers: int):
    task = made_task(n_rows=15, total_steps=2)
    for sampler in (RowsInOrder(task), NearestFree(task, Random())):
        trace = simulate(task, sampler, Full(), n_workers=n_workers, budget_steps=1_000)
        assert sorted(task.nearest(record.params) for record in trace.history) == list(range(15))
        assert trace.n_steps == 30


def test_scores_ranks_and_intervals():
    task = made_task(total_steps=10)
    place = Place("made", "pool", 1)
    good = honed_player(lambda task: Full())(task, Setting(0, 1, 100, "pool"))
    result = score(place, "random", task, 0, good, (1, 2, 10))
    first = task.curve(task.rows[np.random.default_rng(0).permutation(60)[0]], Stream(0, 0))
    worst = task.reference - task.optimum
    assert result.regrets[0] == pytest.approx(min(max((min(first) - task.optimum) / worst, 0), 1))
    assert list(result.regrets) == sorted(result.regrets, reverse=True)
    table = {"a": np.array([[0.1, 0.1], [0.2, 0.2]]), "b": np.array([[0.3, 0.1], [0.1, 0.1]])}
    assert mean_ranks(table) == {"a": pytest.approx((1 + 1.5 + 2 + 2) / 4), "b": pytest.approx((2 + 1.5 + 1 + 1) / 4)}
    low, high = interval(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert (low.tolist(), high.tolist()) == ([1.0, 5.0], [3.0, 5.0])


def test_the_tables_are_put_between_the_markers(tmp_path: Path):
    from benchmarks.quality import BEGIN, END, write_document

    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nlast words\n", encoding="utf-8")
    write_document("| new |", "`the command`", page)
    text = page.read_text(encoding="utf-8")
    assert "Written by `the command`. A * marks" in text
    assert text.startswith("# Title\n")
    assert text.endswith("last words\n")
    assert "| new |" in text
    assert "old" not in text
    write_document("| newer |", "the command", page)
    assert page.read_text(encoding="utf-8").count(BEGIN) == 1


def test_a_table_shows_every_method_and_the_paired_difference():
    results = [
        Result(
            suite="s", mode="pool", n_workers=1, method=method, task=f"t{task}", seed=seed,
            regrets=(0.5 + shift, 0.25), to_level=1.0, n_trials=3, wall_seconds=0.3,
        )
        for method, shift in (("ASHA", 0.0), ("other", 0.1))
        for task in range(3)
        for seed in range(2)
    ]  # fmt: skip
    text = markdown(Place("s", "pool", 1), results, (1, 2), "ASHA", "full trainings")
    assert "| other | .600 [.600, .600] | .250 [.250, .250] |" in text
    assert "| other | +0.100 [+0.100, +0.100] * | +0.000 [+0.000, +0.000] | 3 × 2 |" in text


@pytest.mark.parametrize("pruner", ["none", "Median", "SuccessiveHalving", "Hyperband"])
@pytest.mark.parametrize("sampler", ["random", "TPE"])
def test_the_peer_plays_as_its_own_loop_would(sampler: str, pruner: str):
    optuna = pytest.importorskip("optuna")
    from benchmarks.optuna_players import Run, make_study, suggested

    task, setting = made_task(), Setting(3, 1, 300, "continuous")
    run = Run(task, setting, make_study(task, setting, sampler, pruner), is_random=sampler == "random")
    run.play()
    n_trials = sum(trial.state.is_finished() for trial in run.study.trials)
    executed = []

    def objective(trial):
        params = {name: suggested(trial, name, domain) for name, domain in task.space.domains.items()}
        losses = task.curve(params, Stream(0, 0))
        for step, loss in enumerate(losses, start=1):
            executed.append(loss)
            trial.report(loss, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return min(losses)

    study = make_study(task, setting, sampler, pruner)
    study.optimize(objective, n_trials=n_trials)
    ours, theirs = run.study.trials[:n_trials], study.trials
    assert [t.params for t in ours] == [t.params for t in theirs]
    assert [t.state for t in ours] == [t.state for t in theirs]
    assert [t.intermediate_values for t in ours] == [t.intermediate_values for t in theirs]
    assert run.seen[: len(executed)] == executed
    assert len(run.seen) == 300


def test_in_a_pool_the_peer_gets_the_same_configurations_as_we():
    pytest.importorskip("optuna")
    from benchmarks.optuna_players import optuna_player

    task = made_task()
    for n_workers in (1, 3):
        setting = Setting(1, n_workers, 200, "pool")
        ours, theirs = honed_player(lambda task: Full())(task, setting), optuna_player("random", "none")(task, setting)
        np.testing.assert_array_equal(ours.best, theirs.best)


@pytest.mark.skipif(data_folder() is None, reason=f"the recorded trainings are not here: set {VARIABLE}")
def test_recordings_have_their_known_optima():
    folder = Path(os.environ[VARIABLE])
    assert [t.total_steps for t in load_suite("lcbench", folder)] == [52] * 10
    assert [t.total_steps for t in load_suite("taskset", folder)] == [50] * 4
    optima = [task.optimum for name in ("fcnet", "hpobench") for task in load_suite(name, folder)]
    assert optima == pytest.approx([0.22138, 1 - 0.9445, 1 - 0.8853], abs=1e-4)
    for name in ("lcbench", "taskset", "deepobs", "hpobench"):
        for task in load_suite(name, folder):
            assert task.nearest(task.rows[17]) == 17
            for key, domain in task.space.domains.items():
                assert all(domain.contains(row[key]) for row in task.rows[:200])
