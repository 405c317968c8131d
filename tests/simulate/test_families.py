"""The program that compares the automatic choice with each single method: verdicts by hand, noise, several workers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.families import FAMILIES, curve_lines, main, read, without_worth
from benchmarks.peers import Method, own, single
from benchmarks.problems import problems
from benchmarks.problems.base import Regret
from benchmarks.problems.recorded import of_table
from benchmarks.standings import KEY
from benchmarks.studies import Result
from benchmarks.tables import SUITES
from benchmarks.targets import Ratio
from benchmarks.verdicts import counted, line_of, markdown, standing
from honed.samplers.base import Stream
from honed.space import random_params
from tests.simulate.test_quality import made_task
from tests.simulate.test_quality_targets import result as curve_result

SINGLES = ("random", "tpe", "gp")


def result(method: str, task: int, seed: int, *losses: float, suite: str = "s") -> Result:
    return Result(
        suite=suite, task=f"t{task}", method=method, version="1", seed=seed, losses=losses, n_trials=100, seconds=0.0,
        cpu_seconds=2.0, n_told=100,
    )  # fmt: skip


def studies(**losses: float) -> list[Result]:
    """Six tasks of growing difficulty, two seeds; each method misses its number times the difficulty."""
    return [
        result(method, task, seed, loss * (task + 1)) for method, loss in losses.items() for task in range(6) for seed in (0, 1)
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.4, 0.99, "ahead"),
        (0.4, 1.0, "within noise"),
        (1.0, 1.0, "within noise"),
        (1.0, 1.6, "within noise"),
        (1.01, 1.6, "behind"),
        (math.nan, math.nan, "too few studies"),
    ],
)
def test_only_an_interval_without_1_is_a_difference(low: float, high: float, said: str):
    assert standing(Ratio((low + high) / 2, low, high)) == said


def test_the_best_single_method_is_that_of_the_lowest_mean():
    line = line_of("f", 100, studies(auto=0.06, random=0.12, tpe=0.05, gp=0.08), lambda r: r.losses[0], SINGLES)
    assert line is not None
    assert (line.best, line.studies, line.budget) == ("tpe", "6 × 2", 100)
    assert line.auto == pytest.approx(0.06 * 3.5)
    assert line.least == pytest.approx(0.05 * 3.5)
    assert [line.against_best.value, line.against_best.low] == pytest.approx([1.2, 1.2])
    assert [line.against_random.value, line.against_random.high] == pytest.approx([0.5, 0.5])
    assert standing(line.against_best) == "behind"


def test_an_equal_study_is_within_noise_and_a_better_one_ahead():
    for loss, said in ((0.05, "within noise"), (0.04, "ahead")):
        line = line_of("f", 50, studies(auto=loss, random=0.12, tpe=0.05), lambda r: r.losses[0], SINGLES)
        assert line is not None
        assert standing(line.against_best) == said


def test_a_method_that_lacks_a_task_is_not_the_best():
    played = [*studies(auto=0.06, random=0.12, gp=0.08), result("tpe", 0, 0, 0.0)]
    line = line_of("f", 100, played, lambda r: r.losses[0], SINGLES)
    assert line is not None
    assert line.best == "gp"


def test_there_is_no_line_while_auto_or_random_search_lack_a_task():
    for missing in ("auto", "random"):
        played = studies(auto=0.06, random=0.12, gp=0.08)
        short = [study for study in played if (study.method, study.task) != (missing, "t3")]
        assert line_of("f", 100, short, lambda r: r.losses[0], SINGLES) is None
        none = [study for study in played if study.method != missing]
        assert line_of("f", 100, none, lambda r: r.losses[0], SINGLES) is None


def test_the_worst_task_against_random_search_is_named_and_counted():
    played = studies(auto=0.06, random=0.12)
    played += [result(method, 6, seed, loss) for method, loss in (("auto", 0.3), ("random", 0.2)) for seed in range(5)]
    line = line_of("f", 100, played, lambda r: r.losses[0], ("random",))
    assert line is not None
    assert line.worst == "t6"
    assert line.against_random_there.value == pytest.approx(1.5)
    assert line.studies == "7 × 2-5"
    assert "single method: 1 ahead (of 1)" in counted([line])
    assert counted([line]).endswith("on 1 of 1 worst tasks of 5 seeds or more.")
    few = line_of("f", 100, played[:-2], lambda r: r.losses[0], ("random",))
    assert few is not None
    assert counted([few]).endswith("on 0 of 0 worst tasks of 5 seeds or more.")
    assert markdown([few]).splitlines()[2].endswith("| t6 1.50 |")  # too few seeds for an interval
    assert "| f | 7 × 2-5 | 100 | .223 | random .389 | 0.57 [" in markdown([line])


# ------------------------------------------------------------------------------------------------------------- curves


def test_studies_with_curves_are_read_and_compared_by_suite_and_workers(tmp_path: Path):
    regrets = {"auto": 0.1, "random": 0.4, "ASHA": 0.2, "freeze-thaw": 0.08, "Optuna TPE": 0.01}
    played = [
        curve_result(method, task, 0, [1.0, 0.5, regret, regret], n_workers=workers)
        for method, regret in regrets.items()
        for task in range(5)
        for workers in (1, 8)
    ]
    file, later = tmp_path / "a.json", tmp_path / "b.json"
    file.write_text(json.dumps([study.to_json() for study in played]), encoding="utf-8")
    again = [curve_result("auto", task, 0, [1.0, 0.5, 0.04, 0.04], n_workers=8) for task in range(5)]
    later.write_text(json.dumps([study.to_json() for study in again]), encoding="utf-8")
    lines = {(line.family, line.budget): line for line in curve_lines(read([file, later]))}
    assert {budget for _, budget in lines} == {2, 5, 10}
    assert lines["curves: lcbench", 10].best == "freeze-thaw"  # one of ours: the others are no choice of ours
    assert lines["curves: lcbench", 10].against_best.value == pytest.approx(1.25)
    assert lines["curves: lcbench, 8 workers", 10].against_best.value == pytest.approx(0.5)
    assert lines["curves: lcbench", 2].against_best.value == 1.0


# -------------------------------------------------------------------------------------------------------------- noise


def test_pure_noise_is_worth_the_same_everywhere_and_told_differently():
    for problem in problems("flat", None):
        params = list(random_params(problem.space, 200))
        told, worth = zip(*(problem.tell(p, Stream(0, i)) for i, p in enumerate(params)), strict=True)
        assert np.std(told) == pytest.approx(1.0, rel=0.2)
        assert problem.loss(np.array(told), np.array(worth)) == 0.0


def test_what_is_faint_lies_under_five_times_its_noise():
    clean = {problem.name: problem for problem in problems("analytic", None) + problems("conditional", None)}
    for problem in problems("faint", None):
        plain, loss = clean[problem.name.removesuffix("-faint")], problem.loss
        assert isinstance(loss, Regret)
        assert isinstance(plain.loss, Regret)
        span = plain.loss.reference - plain.loss.optimum
        params = list(random_params(problem.space, 200))
        told = [problem.tell(p, Stream(0, i)) for i, p in enumerate(params)]
        assert [worth for _, worth in told] == [plain.tell(p, Stream(0, 0))[1] for p in params]
        assert np.std([a[0] - b[0] for a, b in told]) == pytest.approx(5.0 * span, rel=0.2)
        assert loss.reference >= max(worth[0] for _, worth in told[:20])


def test_trainings_of_noise_are_judged_by_what_their_rows_are_worth():
    for task in SUITES["flat"].load(Path()):
        assert np.ptp(task.means, axis=0).max() == 0.0
        assert task.true_curve(task.rows[7]) == task.means[7].tolist()
        assert np.std(task.curves[:, :, -1]) == pytest.approx(0.1, rel=0.1)
    for task in SUITES["faint"].load(Path()):
        assert np.median(task.means[:, -1]) - task.optimum == pytest.approx(0.02, rel=0.01)
        assert task.reference == task.means[:, -1].max()


def test_of_pure_noise_the_page_says_how_many_trials_ended():
    (family,) = [family for family in FAMILIES if family.parts[0][0] == "flat"]
    names = [name for _, _, name in family.tasks(None)]
    played = [
        Result(**{**result(f"honed {method}", 0, 0, 0.0, suite="flat").to_json(), "task": name})
        for method in ("auto", "random")
        for name in names
    ]
    text = without_worth(FAMILIES, played, [curve_result("auto", 0, 0, [0.0], suite="flat", search_seconds=3.0)], None)
    assert "auto 300 of 300 trials in 3 studies, 2.0 CPU s each; random 300 of 300" in text
    assert "Pure noise, curves: auto 3 trials begun, 3.0 CPU s for 1,000 steps (1 studies)." in text
    assert without_worth(FAMILIES, [], [], None) == ""


# ----------------------------------------------------------------------------------------------- workers, and memory


@pytest.mark.parametrize("name", ["random", "tpe", "auto"])
def test_several_workers_finish_all_trials_and_take_each_row_once(name: str):
    pool = of_table(made_task(n_rows=30))
    played = own()[f"honed {name}"].play(pool, 0, 24, 8)
    assert played.told.shape == played.worth.shape == (24, 1)
    assert len(set(played.told[:, 0].tolist())) == 24
    again = own()[f"honed {name}"].play(pool, 0, 24, 8)
    np.testing.assert_array_equal(played.told, again.told)


def test_beside_others_trials_are_suggested_before_the_others_are_told():
    problem = problems("analytic", None)[0]
    alone, beside = (own()["honed tpe"].play(problem, 0, 40, n) for n in (1, 8))
    assert sorted(alone.told[:10, 0]) != sorted(beside.told[:10, 0])  # they end in another order
    random_alone, random_beside = (own()["honed random"].play(problem, 0, 40, n) for n in (1, 8))
    assert sorted(random_alone.told[:, 0]) == sorted(random_beside.told[:, 0])
    assert not np.array_equal(random_alone.told, random_beside.told)


def test_a_peer_plays_with_one_worker_only():
    method = Method("optuna", single()["honed random"].enter)
    with pytest.raises(ValueError, match="n_workers=8: optuna's methods play with 1 worker"):
        method.play(problems("analytic", None)[0], 0, 10, 8)


def test_what_is_remembered_changes_no_study():
    problem = problems("conditional", None)[0]
    played = [methods()[name].play(problem, 3, 30) for methods in (single, own) for name in ("honed tpe", "honed auto")]
    for other in played[1:]:
        np.testing.assert_array_equal(played[0].told, other.told)


# -------------------------------------------------------------------------------------------------------- the program


def test_the_program_plays_and_writes_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("benchmarks.families.BUDGETS", (12, 24))
    page, raw = tmp_path / "page.md", tmp_path / "runs.jsonl"
    page.write_text(
        "# Title\n\n<!-- families:begin -->\nthe table before\n<!-- families:end -->\n\nlast words\n", "utf-8"
    )
    words = ["--families", "conditions", "--methods", "auto", "tpe", "random", "--seeds", "1"]
    words += ["--raw", str(raw), "--docs", str(page)]
    assert main(words) == 0
    text = page.read_text("utf-8")
    assert text.startswith("# Title\n")
    assert text.endswith("last words\n")
    assert "the table before" not in text
    assert KEY not in text
    assert text.count("\n| --- |") == 1
    assert "| conditions | 6 × 1 | 24 |" in text
    assert "| 1.00 [1.00, 1.00] | within noise |" in text  # the choice is TPE there
    assert len(raw.read_text("utf-8").splitlines()) == 18
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().err == ""  # nothing was played again
