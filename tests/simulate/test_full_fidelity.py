"""The programs for whole trainings and for several objectives: problems with known optima, peers, resuming, tables."""

from __future__ import annotations

import importlib.util
import json
import math
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.full_fidelity import PROGRAM
from benchmarks.peers import Method, optuna, several, single
from benchmarks.peers.axes import axes_of
from benchmarks.peers.base import play
from benchmarks.problems import Params, Problem, problems
from benchmarks.problems import several as fronts
from benchmarks.problems.base import MissedVolume, Regret
from benchmarks.problems.conditional import MEASURES, OPTIMIZERS, TARGETS
from benchmarks.problems.recorded import of_table
from benchmarks.program import main
from benchmarks.standings import Titles, rows_of, suite_tables, write_between
from benchmarks.studies import Job, Result, kept, play_all, to_play
from benchmarks.tables import RowTask
from honed.domains import Categorical, Float, Int, Ordinal
from honed.samplers.base import Stream
from honed.space import Space, random_params

MADE = {problem.name: problem for suite in ("analytic", "noisy", "conditional") for problem in problems(suite, None)}
HARTMANN_3 = (0.114614, 0.555649, 0.852547)
HARTMANN_6 = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)


def pool(n_rows: int = 40) -> Problem:
    rng = np.random.default_rng(0)
    space = Space(
        kind=Categorical(["a", "b"]), rate=Float(1e-4, 1.0, log=True), beta=Float.near_one(0.0, 0.99), n=Int(4, 64, log=True),
        size=Ordinal([1, 5, 7]),
    )  # fmt: skip
    rows = [{name: domain.decode(rng.uniform()) for name, domain in space.domains.items()} for _ in range(n_rows)]
    return of_table(RowTask("made", space, rows, rng.uniform(size=(n_rows, 1, 1)), reference=0.5))


# ----------------------------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize("name", MEASURES)
def test_a_made_landscape_is_0_at_its_target_and_never_below(name: str):
    space, measure = MEASURES[name]
    assert space.active(TARGETS[name]) == TARGETS[name]
    assert space.next_name(TARGETS[name]) is None
    assert measure(TARGETS[name]) == pytest.approx(0.0, abs=1e-12)
    values = [measure(params) for params in random_params(space, 500)]
    assert min(values) > 0.0
    loss = MADE[name].loss
    assert isinstance(loss, Regret)
    assert loss.reference == pytest.approx(np.median(values), rel=0.15)


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("branin-2", (math.pi, 2.275)),
        ("hartmann-3", HARTMANN_3),
        ("hartmann-6", HARTMANN_6),
        ("levy-4", (1.0,) * 4),
        ("ackley-5", (0.0,) * 5),
        ("rosenbrock-8", (1.0,) * 8),
    ],
)
def test_functions_have_their_known_minimum_off_the_centre(name: str, point: tuple[float, ...]):
    problem = MADE[name]
    params = {f"x{i}": x for i, x in enumerate(point)}
    told, worth = problem.tell(params, Stream(0, 0))
    assert told == worth
    assert problem.loss(np.array([told]), np.array([worth])) == pytest.approx(0.0, abs=1e-5)
    middle = {name: domain.decode(0.5) for name, domain in problem.space.domains.items()}
    worse = problem.tell(middle, Stream(0, 0))[1]
    assert problem.loss(np.array([worse]), np.array([worse])) > 0.01 or name == "rosenbrock-8"


def test_noise_belongs_to_the_trial_and_not_to_the_tool():
    problem, params = MADE["optimizers-noisy"], TARGETS["optimizers"]
    told = [problem.tell(params, Stream(3, number))[0][0] for number in range(300)]
    assert told[:5] == [problem.tell(params, Stream(3, number))[0][0] for number in range(5)]
    loss = problem.loss
    assert isinstance(loss, Regret)
    assert np.std(told) == pytest.approx(0.05 * loss.reference, rel=0.15)
    assert problem.tell(params, Stream(3, 0))[1][0] == pytest.approx(0.0, abs=1e-12)


def test_what_looks_best_is_judged_by_what_it_is_worth():
    loss = Regret(optimum=1.0, reference=3.0)
    assert loss(np.array([[5.0], [2.0], [np.nan]]), np.array([[1.0], [2.5], [1.0]])) == 0.75
    assert loss(np.array([[0.0]]), np.array([[9.0]])) == 1.0
    assert loss(np.array([[np.nan]]), np.array([[np.nan]])) == 1.0


def test_the_whole_front_misses_nothing():
    for problem, f in zip(fronts.functions(), (fronts.zdt1, fronts.zdt2, fronts.zdt3, fronts.dtlz2), strict=True):
        n = len(problem.space)
        if problem.n_objectives == 2:
            points = np.array([f(np.array([u] + [0.0] * (n - 1))) for u in np.linspace(0, 1, 500)])
        else:
            cells = [(a, b) for a in np.linspace(0, 1, 25) for b in np.linspace(0, 1, 25)]
            points = np.array([f(np.array([a, b] + [0.5] * (n - 2))) for a, b in cells])
        assert 0.0 <= problem.loss(points, points) < 0.01
        assert problem.loss(points[:1], points[:1]) > 0.02
        assert isinstance(problem.loss, MissedVolume)


def test_a_funnel_of_layers_is_counted_by_hand():
    params: Params = {"num_layers": 2, "max_units": 100}
    assert fronts.n_weights(params) == 51 * 100 + 101 * 55 + 56 * 10


# -------------------------------------------------------------------------------------------------------------- peers


def test_every_value_finds_its_way_to_a_peer_and_back():
    for problem in (*MADE.values(), pool()):
        axes = axes_of(problem.space)
        for params in random_params(problem.space, 20):
            for axis in axes:
                if axis.name in params:
                    back = axis.to_ours(axis.to_theirs(params[axis.name]))
                    is_float = isinstance(back, float)
                    assert back == (pytest.approx(params[axis.name], rel=1e-12) if is_float else params[axis.name])
                    assert problem.space[axis.name].contains(back)


QUICK = ["honed random", "honed tpe", "Optuna TPE", "Optuna TPE group", "rustuna TPE", "hyperopt TPE"]


def asked_by(name: str, problem: Problem, n: int) -> list[Params]:
    """What a tool asks for; twice the same study."""
    asked: list[list[Params]] = [[], []]
    for params in asked:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer, taken = single()[name].enter(problem, 1, n), list[int]()
            for number in range(n):
                params.append(peer.ask() or {})
                row = problem.moved(params[-1], taken)
                peer.tell(row, problem.tell(row, Stream(1, number))[0])
    assert asked[0] == asked[1]
    return asked[0]


@pytest.mark.parametrize(("name", "n"), [*((name, 24) for name in QUICK), ("SMAC3", 4)])
def test_a_peer_answers_with_whole_configurations(name: str, n: int):
    if name not in single():
        pytest.skip(f"{name} is not installed")
    for problem in (MADE["layers"], MADE["nested-noisy"], pool())[: 1 if name == "SMAC3" else 3]:
        for params in asked_by(name, problem, n):
            assert problem.space.active(params) == params
            assert problem.space.next_name(params) is None
            assert all(problem.space[key].contains(value) for key, value in params.items())


@pytest.mark.skipif(not importlib.util.find_spec("optuna"), reason="Optuna is not installed")
def test_in_a_pool_generations_go_on_and_each_row_is_measured_once():
    problem, taken = pool(120), list[int]()
    peer = optuna.Optuna(optuna.SINGLE["CMA-ES"], problem, 0)
    for number in range(60):
        asked = peer.ask()
        assert asked is not None
        row = problem.moved(asked, taken)
        peer.tell(row, problem.tell(row, Stream(0, number))[0])
    assert max(Counter(taken).values()) == 1
    trials = [trial for trial in peer._study.trials if trial.values is not None]
    assert len(trials) == 60
    assert max(trial.system_attrs.get("cma:generation", 0) for trial in trials) >= 3
    assert [trial.params["n"] for trial in trials] == [problem.pool.rows[i]["n"] for i in taken]  # type: ignore[union-attr]


def test_all_objectives_are_told():
    problem = fronts.functions()[0]
    for name in ("honed nsga2", "Optuna NSGA-II", "rustuna NSGA-II"):
        if name in several():
            played = play(several()[name].enter, problem, 0, 12)
            assert played.told.shape == (12, 2)
            assert 0.0 < problem.loss(played.told, played.worth) < 1.0


def test_a_tool_that_has_nothing_left_ends_its_study():
    space = Space(a=Categorical(["x", "y", "z"]))
    problem = Problem("three", space, lambda params, rng: ((0.0,), (0.0,)), Regret(0.0, 1.0))
    assert play(single()["honed random"].enter, problem, 0, 10).told.shape == (3, 1)


# ------------------------------------------------------------------------------------------------------------ studies


def job(seed: int, method: str = "honed random", budgets: tuple[int, ...] = (5, 10)) -> Job:
    return Job("conditional", 0, "optimizers", method, seed, budgets, "single", None)


def test_a_run_that_was_cut_goes_on_where_it_ended(tmp_path: Path):
    raw = tmp_path / "runs.jsonl"
    first = play_all([job(0), job(1)], 1, raw)
    with raw.open("a", encoding="utf-8") as file:
        file.write('{"suite": "condit')  # killed while it wrote
    known = kept([raw])
    assert list(known.values()) == first
    assert to_play([job(0), job(1), job(2)], known) == [job(2)]
    assert to_play([job(0, budgets=(5, 10, 20))], known) == [job(0, budgets=(5, 10, 20))]
    assert first[0].losses == play_all([job(0)], 1, None)[0].losses


def test_what_a_line_that_was_cut_is_followed_by_is_kept(tmp_path: Path):
    raw = tmp_path / "runs.jsonl"
    raw.write_text('{"suite": "condit', encoding="utf-8")
    (done,) = play_all([job(0)], 1, raw)
    assert list(kept([raw]).values()) == [done]


def test_a_study_that_fails_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def broken(problem: Problem, seed: int, n: int):
        raise RuntimeError("no such matrix")

    methods = {**single(), "broken": Method("honed", broken)}
    monkeypatch.setattr("benchmarks.peers.single", lambda: methods)
    results = play_all([job(0, "broken"), job(0)], 1, None)
    assert [result.method for result in results] == ["honed random"]
    assert "broken failed on optimizers, seed 0: RuntimeError: no such matrix" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- tables


def made_result(method: str, task: int, seed: int, *losses: float) -> Result:
    return Result(
        suite="s", task=f"t{task}", method=method, version="1", seed=seed, losses=losses, n_trials=50, seconds=0.002,
        cpu_seconds=1.5,
    )  # fmt: skip


def test_few_tasks_have_intervals_over_seeds_and_many_over_tasks():
    results = [made_result("a", task, seed, 0.2 + 0.1 * seed, 0.1) for task in range(2) for seed in range(6)]
    results += [made_result("b", task, seed, 0.9, 0.1) for task in range(2) for seed in range(5)]
    text = suite_tables("s", results, (30, 50), "b", Titles("Regret"))
    assert "mean over 2 tasks; in brackets the 95 % bootstrap interval over seeds" in text
    assert "| b | .900 [.900, .900] | .100 [.100, .100] | 1.8 | 5 | 2.0 | 1.5 |" in text
    assert "| a | -0.450 [-0.5" in text
    assert "] * | +0.000 [+0.000, +0.000] |" in text  # sums in another order are no difference
    many = [made_result("a", task, 0, 0.1 * task, 0.1) for task in range(5)]
    text = suite_tables("s", many, (30, 50), "b", Titles("Regret"))
    assert "interval over tasks" in text
    assert "| a | .200 [.0" in text


def test_a_single_seed_gives_no_interval_and_no_star():
    results = [made_result(method, 0, 0, loss) for method, loss in (("a", 0.1), ("b", 0.4))]
    text = suite_tables("s", results, (30,), "b", Titles("Regret"))
    assert "| a | .100 | 1.0 | 1 |" in text
    assert "| a | -0.300 |" in text


def test_a_method_that_is_not_through_is_named_and_not_averaged():
    results = [made_result("a", task, seed, 0.1, 0.1) for task in range(3) for seed in range(3)]
    results += [made_result("late", 0, 0, 0.0, 0.0), *[made_result("short", task, 0, 0.3) for task in range(3)]]
    text = suite_tables("s", results, (30, 50), "a", Titles("Regret"))
    assert "Not yet played on all tasks: late." in text
    assert "| late |" not in text
    assert "| short | .300 | – |" in text
    assert rows_of(results, 2)["a"].seeds == "3"
    uneven = [made_result("a", 0, 0, 0.1), made_result("a", 0, 1, 0.1), made_result("a", 1, 0, 0.1)]
    assert rows_of(uneven, 1)["a"].seeds == "1-2"


def test_a_program_plays_shows_and_writes_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page, raw = tmp_path / "page.md", tmp_path / "runs.jsonl"
    page.write_text("# Title\n\n<!-- full_fidelity:begin -->\nold\n<!-- full_fidelity:end -->\n\nlast words\n", "utf-8")
    words = ["--suites", "conditional", "--tasks", "2", "--seeds", "3", "--trials", "30", "--methods", "honed random"]
    words += ["honed sobol", "--baseline", "honed random", "--raw", str(raw), "--docs", str(page)]
    assert main(PROGRAM, words) == 0
    text = page.read_text("utf-8")
    assert text.startswith("# Title\n")
    assert text.endswith("last words\n")
    assert "old" not in text
    assert "The same minus honed random" in text
    assert len(raw.read_text("utf-8").splitlines()) == 12
    capsys.readouterr()
    assert main(PROGRAM, [*words, "--show", "honed sobol"]) == 0
    assert capsys.readouterr().err == ""  # nothing was played again
    assert len(raw.read_text("utf-8").splitlines()) == 12
    assert {json.loads(line)["n_trials"] for line in raw.read_text("utf-8").splitlines()} == {30}
    write_between("other", "| table |", "the command", page)
    assert page.read_text("utf-8").endswith("<!-- other:end -->\n")


def test_the_made_space_of_optimizers_has_conditions():
    assert {axis.name for axis in axes_of(OPTIMIZERS) if axis.conditions} >= {"sgd_lr", "beta2", "alpha"}
