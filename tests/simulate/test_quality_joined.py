"""Runs of different sizes in one comparison: compared on what both have, and every row says how many that is."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import plots
from benchmarks.methods import methods, played_by
from benchmarks.pairs import Studies, extent, matched, regret
from benchmarks.quality import Job, command_line, kept, parsed, tables, write_raw
from benchmarks.regret_tables import markdown, said_extents
from benchmarks.scoring import ANYTIME, Place, Result
from benchmarks.targets import rows_of
from tests.simulate.test_quality_targets import result

PLACE = Place("lcbench", "pool", 1)
BUDGETS = (1, 2, 5, 10, 20, 50)


def studies(
    method: str, regrets: Sequence[float], *, tasks: int = 6, seeds: int = 4, **changes: object
) -> list[Result]:
    return [result(method, task, seed, regrets, **changes) for task in range(tasks) for seed in range(seeds)]


def cells_of(text: str, method: str) -> list[list[str]]:
    """The cells of all rows of a method."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines()]
    return [cells[1:] for cells in lines if cells[0] == method]


def rows_at(played: Sequence[Result], target: int) -> dict[str, tuple[Any, ...]]:
    rows = [row for row in rows_of(played, lambda suite: BUDGETS) if row.target == target]
    return {row.what: (row.method, row.against, row.ratio.value, row.studies) for row in rows}


# --------------------------------------------------------------------------------------------------------- tables


def test_seeds_and_tasks_that_only_one_has_do_not_count():
    a = {"t": {0: 1.0, 1: 2.0, 5: 9.0}, "u": {0: 3.0}, "v": {0: 9.0}}
    b = {"t": {1: 0.5, 0: 0.25}, "u": {7: 0.0}, "w": {0: 0.0}}
    mine, theirs = matched(a, b)
    assert (list(mine), mine["t"].tolist()) == (["t"], [1.0, 2.0])
    assert (list(theirs), theirs["t"].tolist()) == (["t"], [0.25, 0.5])


def test_a_difference_is_that_of_the_seeds_that_both_have():
    played = studies("other", [0.3]) + studies("ASHA", [0.1], seeds=2)
    played += [result("ASHA", task, seed, [0.9]) for task in range(6) for seed in range(4, 9)]
    table, difference = cells_of(markdown(PLACE, played, (1,), "ASHA", "full trainings"), "other")
    assert table[0] == ".300 [.300, .300]"
    assert table[-1] == "6 × 4"
    assert difference == ["+0.200 [+0.200, +0.200] *", "6 × 2"]


def test_a_method_on_some_tasks_has_no_mean_beside_the_others_but_a_difference():
    played = studies("ASHA", [0.4, 0.2]) + studies("few", [0.1, 0.1], tasks=2, seeds=1)
    text = markdown(PLACE, played, (1, 2), "ASHA", "full trainings")
    table, difference = cells_of(text, "few")
    assert table[:3] == ["–", "–", "–"]
    assert table[-1] == "2 × 1"
    assert difference == ["-0.300 [-0.300, -0.300] *", "-0.100 [-0.100, -0.100] *", "2 × 1"]
    assert cells_of(text, "ASHA")[0][2] == "1.0"  # its rank: alone among those that were played on all tasks
    assert "the costs up to 2" in text


def test_a_row_says_from_where_on_it_has_fewer_seeds():
    played = studies("ASHA", [0.4, 0.2, 0.1]) + studies("long", [0.5, 0.4, 0.3], seeds=3)
    played += [result("long", task, seed, [0.5, 0.4]) for task in range(6) for seed in range(3, 10)]
    table, difference = cells_of(markdown(PLACE, played, (1, 2, 50), "ASHA", "full trainings"), "long")
    assert table[-1] == "6 × 10; 50: 6 × 3"
    assert table[2] == ".300 [.300, .300]"
    assert difference[-1] == "6 × 4; 50: 6 × 3"


def test_a_study_that_ended_early_ends_its_row_and_not_that_of_others():
    played = studies("ASHA", [0.4, 0.2]) + studies("short", [0.3])
    text = markdown(PLACE, played, (1, 2), "ASHA", "full trainings")
    table, difference = cells_of(text, "short")
    assert table[1] == difference[1] == "–"
    assert cells_of(text, "ASHA")[0][1] == ".200 [.200, .200]"


def test_a_few_short_rows_do_not_cut_the_ranks_of_all():
    long = {"ASHA": [0.4, 0.2, 0.1], "SHA": [0.5, 0.1, 0.2], "auto": [0.1, 0.3, 0.3], "random": [0.6, 0.6, 0.6]}
    played = [r for method, regrets in long.items() for r in studies(method, regrets)]
    played += studies("short", [0.0]) + studies("partial", [0.0, 0.0, 0.0], tasks=1)
    text = markdown(PLACE, played, (1, 2, 50), "ASHA", "full trainings")
    assert "the costs up to 50, among those" in text
    assert {name: cells_of(text, name)[0][3] for name in (*long, "short", "partial")} == {
        "ASHA": "1.7", "SHA": "2.0", "auto": "2.3", "random": "4.0", "short": "–", "partial": "–",
    }  # fmt: skip
    text = markdown(PLACE, played + studies("shorter", [0.9]), (1, 2, 50), "ASHA", "full trainings")
    assert "the costs up to 1, among those" in text
    assert cells_of(text, "short")[0][3] == "1.0"


def test_extents():
    assert extent({}) == "–"
    assert extent({"a": np.zeros(5), "b": np.zeros(10)}) == "2 × 5-10"
    assert said_extents(["2 × 5", "2 × 5", "1 × 2", "–"], (1, 2, 5, 10)) == "2 × 5; 5: 1 × 2"
    assert said_extents(["–", "–"], (1, 2)) == "–"
    cells = Studies([result("a", 0, 0, [math.nan]), result("a", 1, 0, [0.5])], regret(0))
    assert (cells.n_tasks, cells.is_complete("a"), "b" in cells) == (2, False, False)


def test_with_few_tasks_the_intervals_of_the_tables_know_of_the_seeds():
    played = [result("ASHA", task, seed, [0.1 + 0.2 * seed]) for task in range(4) for seed in range(3)]
    played += [result("other", task, seed, [0.3 * (seed == 1)]) for task in range(4) for seed in range(3)]
    text = markdown(PLACE, played, (1,), "ASHA", "full trainings")
    assert "over tasks and, as they are few, seeds" in text
    difference = cells_of(text, "other")[1][0]
    mean, low, high = (float(x) for x in difference.replace("[", "").replace("]", "").replace(",", "").split()[:3])
    assert mean == pytest.approx(-0.2, abs=1e-3)
    assert low < -0.25 < -0.15 < high


# -------------------------------------------------------------------------------------------------------- targets


def test_ratios_are_over_the_seeds_that_both_have():
    played = studies("freeze-thaw", [0.1] * 6, seeds=2) + [
        result("ASHA", t, s, [0.4] * 6) for t in range(6) for s in (0, 1)
    ]
    played += [result("ASHA", task, 2, [0.0] * 6) for task in range(6)]
    assert rows_at(played, 1)["lcbench, 5"] == ("freeze-thaw", "ASHA", pytest.approx(0.25), "6 × 2")


def test_target_7_is_against_the_best_of_all_that_were_played_so_long_on_all_tasks():
    for suite in ("lcbench", "taskset"):
        ours = studies("freeze-thaw", [0.1] * 6, suite=suite)
        others = studies("ASHA", [0.4] * 6, suite=suite) + studies("DEHB", [0.2] * 6, seeds=2, suite=suite)
        short = studies("NePS ASHA", [0.01] * 5, suite=suite)
        partial = studies("Optuna TPE", [0.01] * 6, tasks=1, suite=suite)
        rows = rows_at(ours + others + short + partial, 7)
        assert rows == {f"{suite}, 50": ("freeze-thaw", "best: DEHB", pytest.approx(0.5), "6 × 2")}


def test_the_best_of_others_is_the_closest_on_common_seeds():
    played = [result("auto", task, seed, [0.1 + 0.3 * seed] * 6) for task in range(6) for seed in range(2)]
    played += studies("lucky", [0.05] * 6, seeds=1)  # where auto has 0.1
    played += [result("even", task, seed, [0.11 + 0.3 * seed] * 6) for task in range(6) for seed in range(2)]
    played += [result("close", task, seed, [0.02 + 0.3 * seed] * 6) for task in range(6) for seed in range(2)]
    assert rows_at(played, 7) == {"lcbench, 50": ("auto", "best: close", pytest.approx(0.25 / 0.17), "6 × 2")}


def test_costs_to_a_level_are_compared_where_both_were_played():
    played = [result("auto", task, seed, [0.1], to_level=2.0) for task in range(2) for seed in range(2)]
    played += [result("ASHA", task, seed, [0.1], to_level=8.0) for task in range(6) for seed in range(2)]
    played += [
        result("SHA", task, seed, [0.1], to_level=None if task < 2 else 1.0) for task in range(6) for seed in range(2)
    ]
    played += studies("DEHB", [0.1], tasks=1, to_level=1.0)
    assert rows_at(played, 4) == {"lcbench, median cost to level": ("auto", "best: ASHA", 0.25, "2 × 2")}
    assert rows_at([r for r in played if r.method in ("auto", "SHA")], 4) == {}


def test_target_2_goes_on_to_20_where_it_was_played():
    played = studies("auto", [0.1] * 6) + studies("Optuna TPE", [0.5, 0.5, 0.5, 0.5])
    played += studies("Optuna TPE + Hyperband", [0.6, 0.6, 0.6, 0.6, 0.2], seeds=3)
    assert rows_at(played, 2) == {
        "lcbench, 5": ("auto", "best: Optuna TPE", pytest.approx(0.2), "6 × 4"),
        "lcbench, 10": ("auto", "best: Optuna TPE", pytest.approx(0.2), "6 × 4"),
        "lcbench, 20": ("auto", "best: Optuna TPE + Hyperband", pytest.approx(0.5), "6 × 3"),
    }


def test_target_13_is_for_auto_where_it_was_played_and_says_which_method_is_judged():
    played = studies("random", [0.4] * 6) + studies("freeze-thaw", [0.1] * 6)
    played += studies("auto", [0.2] * 4)  # up to ten trainings
    played += [result("auto", 5, seed, [0.3] * 4) for seed in range(4, 8)]  # seeds that random has not
    by_cost = {what.split(":")[0].split(", ")[-1]: row for what, row in rows_at(played, 13).items()}
    assert {cost: row[0] for cost, row in by_cost.items()} == {
        "1": "auto", "2": "auto", "5": "auto", "10": "auto", "20": "freeze-thaw", "50": "freeze-thaw",
    }  # fmt: skip
    assert by_cost["10"][1:] == ("random", pytest.approx(0.5), "1 × 4")


def test_auto_on_some_tasks_does_not_hide_freeze_thaw_on_all():
    played = studies("ASHA", [0.4] * 6) + studies("freeze-thaw", [0.1] * 6) + studies("auto", [0.3] * 6, tasks=2)
    assert rows_at(played, 1)["lcbench, 20"][0] == "freeze-thaw"


def test_eight_workers_are_compared_by_the_same_method():
    played = studies("auto", [0.1] * 6) + studies("freeze-thaw", [0.2] * 6)
    played += studies("freeze-thaw", [0.25] * 5, seeds=3, n_workers=8)
    rows = rows_at(played, 8)
    assert rows["lcbench, 10, 8 workers"] == ("freeze-thaw", "itself, 1 worker", pytest.approx(1.25), "6 × 3")
    assert {what for what in rows if "a fifth" in what} == {
        f"lcbench, {cost}, 8 workers, a fifth at most" for cost in (5, 10, 20)
    }


def test_each_of_ours_has_its_own_costs():
    played = studies("auto", [0.1], decision_ms=15.0) + studies("freeze-thaw", [0.1], decision_ms=60.0)
    rows = [row for row in rows_of(played, lambda suite: BUDGETS) if row.target == 12]
    assert [(row.method, row.ratio.value, row.studies) for row in rows] == [
        ("auto", 0.5, "24 studies"), ("freeze-thaw", 2.0, "24 studies"),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- files


def test_many_files_are_joined_by_study_and_the_later_one_counts(tmp_path: Path):
    a, b, c = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    write_raw(studies("ASHA", [0.4, 0.2]) + studies("SHA", [0.3, 0.3], seeds=1), a)
    write_raw(studies("ASHA", [0.5, 0.3, 0.1], seeds=2), b)
    write_raw(studies("ASHA", [0.7], n_workers=8) + studies("auto", [0.1]), c)
    found = kept([a, b, c], [])
    assert len(found) == 24 + 6 + 24 + 24
    mine = [r for r in found if r.place == PLACE and r.method == "ASHA"]
    assert {(r.seed, r.regrets) for r in mine} == {(s, (0.5, 0.3, 0.1) if s < 2 else (0.4, 0.2)) for s in range(4)}
    assert {r.regrets[0] for r in kept([b, a], []) if r.method == "ASHA"} == {0.4}
    now = [Job(PLACE, 0, "ASHA", 1, tmp_path, (1,))]
    assert {(r.method, r.place.n_workers) for r in kept([a, b, c], now)} == {("SHA", 1), ("ASHA", 8), ("auto", 1)}
    assert "### lcbench, pool mode, 8 workers" in tables(found)


def test_a_file_of_results_is_whole_at_any_time(tmp_path: Path):
    path = tmp_path / "a.json"
    write_raw(studies("ASHA", [0.4]), path)
    write_raw(studies("SHA", [0.4]), path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert {data["method"] for data in json.loads(path.read_text(encoding="utf-8"))} == {"SHA"}


def test_the_tables_say_which_versions_played_as_far_as_the_files_know():
    played = studies("ASHA", [0.4], version="0.1.0") + studies("Optuna TPE", [0.4], version="5.0.0")
    played += studies("DEHB", [0.4])
    assert tables(played).endswith("Played: honed 0.1.0, optuna 5.0.0.")
    assert "Played" not in tables(studies("ASHA", [0.4]))
    assert {played_by(name) for name in methods()} >= {"honed", "optuna"}
    assert [played_by(name) for name in ("Syne Tune ASHA + CQR", "DEHB", "NePS ASHA", "auto")] == [
        "syne-tune", "dehb", "neural-pipeline-search", "honed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--methods --reuse x/a.json x/b.json y.json", "--methods --reuse FILES`, of 3 earlier runs with `--raw`"),
        (
            "--suites lcbench --methods auto --seeds 3 --reuse x/a.json",
            "--suites lcbench --modes pool --workers 1 --seeds 3 --methods auto --reuse FILE`, of 1 earlier run with `--raw`",
        ),
        ("--tasks 2 --budgets 5", "--suites lcbench taskset --modes pool --workers 1 --tasks 2 --budgets 5`"),
    ],
)
def test_the_command_in_the_document_is_short_and_true(words: str, said: str):
    assert command_line(parsed(words.split())) == f"`python benchmarks/quality.py {said}"


# ---------------------------------------------------------------------------------------------------------- plots


def test_a_drawing_says_where_a_method_has_fewer_seeds_and_leaves_out_what_lacks_tasks():
    curve = tuple(np.geomspace(1.0, 0.01, len(ANYTIME)).tolist())
    played = studies("ASHA", [0.5], anytime=curve) + studies("auto", [0.5], seeds=2, anytime=curve[:30])
    played += studies("DEHB", [0.5], tasks=3, anytime=curve)
    lines = plots.curves(played, lambda r: r.anytime)
    assert {name: len(values) for name, values in lines.items()} == {"ASHA": 60, "auto, 2 seeds": 30}
