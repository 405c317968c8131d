"""The quality program's verdicts, drawings, meters and peers: by hand where a number can be worked out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import plots
from benchmarks.curve_peers import PEERS
from benchmarks.curve_peers.base import Grant, Run, in_our_words, peer_player
from benchmarks.meter import Meter
from benchmarks.optuna_players import optuna_player
from benchmarks.players import Played, Player, Setting, honed_player, order
from benchmarks.rows import Rows, among, play_auto, play_freeze_thaw
from benchmarks.scoring import ANYTIME, Place, Result, score
from benchmarks.tables import RowTask, has_times, timed
from benchmarks.targets import Ratio, Row, markdown, ratio_of, rows_of, verdict
from honed.domains import Int
from honed.freeze_thaw import FreezeThaw
from honed.schedulers.asha import ASHA
from honed.schedulers.full import Full
from honed.schedulers.stopping import EpochRule
from honed.space import Space
from tests.simulate.test_quality import made_task


def result(method: str, task: int, seed: int, regrets: Sequence[float], **changes: object) -> Result:
    made = Result(
        suite="lcbench", mode="pool", n_workers=1, method=method, task=f"t{task}", seed=seed, regrets=tuple(regrets),
        to_level=4.0, n_trials=3, wall_seconds=0.1,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "limit", "said"),
    [
        (0.3, 0.5, 0.5, "met"),
        (0.3, 0.6, 0.5, "missed, ahead"),
        (0.3, 1.1, 0.5, "tie"),
        (1.1, 1.2, 1.0, "missed, behind"),
        (1.1, 1.2, 1.3, "met"),
        (0.9, 1.4, 1.3, "tie"),
        (math.nan, math.nan, 1.0, "not played"),
    ],
)
def test_a_verdict_looks_at_the_upper_end_and_calls_a_tie_a_tie(low: float, high: float, limit: float, said: str):
    assert verdict(Ratio((low + high) / 2, low, high), limit) == said


def test_a_ratio_is_that_of_means_with_pairs_kept_together():
    tasks = {f"t{i}": np.array([0.1 * (i + 1)]) for i in range(8)}
    halved = {name: values / 2 for name, values in tasks.items()}
    same = ratio_of(halved, tasks)
    assert [same.value, same.low, same.high] == pytest.approx([0.5, 0.5, 0.5])
    mixed = {name: values * (0.2 if i % 2 else 1.5) for i, (name, values) in enumerate(tasks.items())}
    ratio = ratio_of(mixed, tasks)
    assert ratio.value == pytest.approx(sum(v[0] for v in mixed.values()) / sum(v[0] for v in tasks.values()))
    assert 0.2 < ratio.low < ratio.value < ratio.high < 1.5


def test_with_few_tasks_seeds_are_drawn_as_well():
    ours = {f"t{i}": np.array([0.1, 0.3]) for i in range(4)}
    theirs = {f"t{i}": np.array([0.2, 0.6]) for i in range(4)}
    ratio = ratio_of(ours, theirs)
    assert ratio.value == pytest.approx(0.5)
    assert ratio.low < 0.4 < 0.6 < ratio.high


def test_nothing_over_nothing_is_a_tie_and_something_over_nothing_is_lost():
    zero, some = {"t": np.zeros(3)}, {"t": np.full(3, 0.1)}
    assert ratio_of(zero, zero).value == 1.0
    assert ratio_of(some, zero).value == math.inf
    assert verdict(ratio_of(some, zero), 1.0) == "missed, behind"


def test_each_target_compares_what_it_says():
    regrets = {"freeze-thaw": 0.1, "ASHA": 0.4, "Hyperband": 0.2, "Optuna TPE": 0.5, "Optuna TPE + Median": 0.25}
    regrets |= {"random": 0.09, "3-Epoch": 0.1}
    played = [
        result(method, task, seed, [1.0, 1.0, *[regret] * 4], to_level=regret * 10)
        for method, regret in regrets.items()
        for task in range(6)
        for seed in range(2)
    ]
    played += [result("freeze-thaw", task, 0, [1.0, 1.0, *[0.12] * 3], n_workers=8) for task in range(6)]
    played = [replace(r, decision_ms=15.0, search_seconds=7.5) if r.method == "freeze-thaw" else r for r in played]
    rows = {(row.target, row.what, row.against): row for row in rows_of(played, lambda suite: (1, 2, 5, 10, 20, 50))}
    assert {row.method for row in rows.values()} == {"freeze-thaw"}
    assert rows[1, "lcbench, 10", "ASHA"].studies == "6 × 2"
    assert rows[1, "lcbench, 10", "ASHA"].ratio.value == pytest.approx(0.25)
    assert rows[1, "lcbench, 5", "Hyperband"].ratio.value == pytest.approx(0.5)
    assert rows[2, "lcbench, 20", "best: Optuna TPE + Median"].ratio.value == pytest.approx(0.4)
    assert rows[3, "lcbench, 5", "3-Epoch"].ratio.value == pytest.approx(1.0)
    assert rows[4, "lcbench, median cost to level", "best: random"].ratio.value == pytest.approx(1 / 0.9)
    assert rows[7, "lcbench, 50", "best: random"].ratio.value == pytest.approx(1 / 0.9)
    eight = rows[8, "lcbench, 10, 8 workers", "itself, 1 worker"]
    assert eight.ratio.value == pytest.approx(1.2)
    assert (eight.limit, eight.studies) == (1.3, "6 × 1")
    fifths = [rows[8, f"lcbench, {cost}, 8 workers, a fifth at most", "itself, 1 worker"] for cost in (5, 10)]
    assert [row.ratio.value for row in fifths] == pytest.approx([1.2, 1.2])
    assert {row.limit for row in fifths} == {1.2}
    assert [rows[12, what, n].ratio.value for what, n in (("CPU ms of a decision at 250 points", "30"),
            ("CPU s of a search of 1,000 steps", "5"))] == pytest.approx([0.5, 1.5])  # fmt: skip
    worst = [row for row in rows.values() if row.target == 13]
    assert {verdict(row.ratio, row.limit) for row in worst if row.what.startswith("lcbench, pool, 1 worker, 1:")} == {
        "met"
    }
    assert {verdict(row.ratio, row.limit) for row in worst if ", 5:" in row.what} == {"missed, behind"}
    assert len(worst) == 6


def test_auto_is_judged_before_freeze_thaw_and_a_cost_that_was_not_played_is_left_out():
    played = [result("freeze-thaw", t, 0, [0.1] * 6) for t in range(5)]
    played += [result("auto", t, 0, [0.3] * 6) for t in range(5)]
    played += [result("ASHA", t, 0, [0.6] * 4) for t in range(5)]  # up to ten trainings
    rows = [row for row in rows_of(played, lambda suite: (1, 2, 5, 10, 20, 50)) if row.target == 1]
    assert [row.what for row in rows] == ["lcbench, 5", "lcbench, 10"]
    assert [row.ratio.value for row in rows] == pytest.approx([0.5, 0.5])


def test_the_table_says_how_many_targets_were_met():
    rows = [
        Row(1, "auto", "a", "b", Ratio(0.4, 0.3, 0.5), 0.5, "10 × 10"),
        Row(5, "auto", "c", "d", Ratio(1.0, 0.9, 1.2), 1.0, "4 × 5"),
    ]
    text = markdown(rows)
    assert "| 1 | auto | a | b | 0.40 [0.30, 0.50] | 0.5 | 10 × 10 | met |" in text
    assert "| 5 | auto | c | d | 1.00 [0.90, 1.20] | 1 | 4 × 5 | tie |" in text
    assert "In all: 1 met; 1 tie." in text


# ---------------------------------------------------------------------------------------------------------- curves


def test_results_keep_a_curve_over_cost_and_one_over_time():
    task = made_task(total_steps=20)
    played = honed_player(lambda task: ASHA(min_steps=3, max_steps=20))(task, Setting(0, 4, 200, "pool"))
    scored = score(Place("lcbench", "pool", 4), "ASHA", task, 0, played, (1, 2, 10))
    at_ten = [regret for cost, regret in zip(ANYTIME, scored.anytime, strict=False) if cost <= 10]
    assert len(scored.anytime) == len(at_ten) == (ANYTIME <= 10).sum()
    assert list(scored.anytime) == sorted(scored.anytime, reverse=True)
    assert scored.regrets[2] - 1e-4 <= scored.anytime[-1] <= scored.regrets[1] + 1e-4
    assert len(scored.by_time) == (ANYTIME * 20 <= 50).sum()  # four workers, 200 steps of one second
    again = Result.from_json(scored.to_json())
    assert again == scored


def test_old_files_without_curves_can_be_read():
    data = result("ASHA", 0, 0, [0.5]).to_json()
    for name in ("anytime", "by_time", "decision_ms", "search_seconds"):
        del data[name]
    assert Result.from_json(data).anytime == ()


def test_drawings_are_small_and_the_same_for_the_same_results(tmp_path: Path):
    pytest.importorskip("matplotlib")
    curve = tuple(float(x) for x in np.geomspace(1.0, 0.01, 60))
    methods = ["freeze-thaw", "auto", *(f"method {i}" for i in range(14))]
    played = [result(m, t, 0, [0.5], n_workers=8, anytime=curve, by_time=curve[:40]) for m in methods for t in range(3)]
    first, second = (plots.draw_all(played, tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["quality-lcbench-pool-8.svg", "quality-lcbench-pool-8-time.svg"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.stat().st_size < 100_000
        assert all(f">{method}<" in a.read_text(encoding="utf-8") for method in methods)
    assert "(plots/quality-lcbench-pool-8.svg)" in plots.links(first)


def test_results_without_curves_are_not_drawn(tmp_path: Path):
    assert plots.draw_all([result("ASHA", 0, 0, [0.5])], tmp_path) == []


# ----------------------------------------------------------------------------------------------------------- times


def test_every_step_takes_the_time_of_its_row():
    longer, setting = longer_task(), Setting(0, 1, 40, "pool")
    assert [longer.seconds(row) for row in longer.rows] == [i + 1.0 for i in range(60)]
    check_times_of_two_trainings(honed_player(lambda task: Full()))
    ends = peer_player(InOrder)(longer, setting).ends
    assert ends.tolist() == np.cumsum([1.0] * 6 + [2.0] * 2 + [3.0] * 6 + [1.0] * 14).tolist()


def test_every_step_of_optuna_takes_the_time_of_its_row():
    pytest.importorskip("optuna")
    check_times_of_two_trainings(optuna_player("random", "none"))


def longer_task() -> RowTask:
    return replace(made_task(), row_seconds=np.arange(60.0) + 1)


def check_times_of_two_trainings(player: Player) -> None:
    first, second = (row + 1.0 for row in order(0, 60)[:2])
    ends = player(longer_task(), Setting(0, 1, 40, "pool")).ends
    assert ends.tolist() == pytest.approx(np.cumsum([first] * 20 + [second] * 20).tolist())


def test_tasks_without_batch_sizes_have_no_times():
    task = made_task()
    assert not has_times(task)
    with pytest.raises(ValueError, match=r"timed: made has no batch_size.*play it in mode 'pool'"):
        timed(task)


def test_times_of_a_pool_have_a_mean_of_one():
    space = Space(batch_size=Int(16, 512, log=True), num_layers=Int(1, 5), max_units=Int(64, 1024, log=True))
    rows = [{"batch_size": b, "num_layers": n, "max_units": 128} for b in (16, 512) for n in (1, 5)]
    task = timed(RowTask("made", space, rows, np.ones((4, 1, 3)), reference=1.0))
    seconds = [task.seconds(row) for row in rows]
    assert np.mean(seconds) == pytest.approx(1.0)
    assert seconds[0] > seconds[2]
    assert seconds[1] > seconds[0]
    assert timed(replace(task, row_seconds=None)).row_seconds == pytest.approx(seconds)


# ---------------------------------------------------------------------------------------------------------- meters


def test_a_decision_is_timed_once_with_what_belongs_to_it():
    meter = Meter()
    for n in range(0, 1_200, 10):
        with meter.deciding(n, is_new=True):
            pass
        with meter.deciding(n, is_new=False):
            pass
    assert len(meter.seconds) == len(meter.points) == 120
    assert all(seconds > 0 for seconds in meter.seconds)
    assert meter.of_search(999) is None
    assert meter.of_search(1_200) == pytest.approx(sum(meter.seconds[:100]))
    assert meter.median_near_250() == pytest.approx(float(np.median(meter.seconds[20:27])))
    assert Meter().median_near_250() is None


def test_watching_changes_no_decision():
    task = made_task(n_rows=40, total_steps=12)
    played = play_freeze_thaw(task, Setting(0, 1, 80, "pool"))
    assert len(played.best) == 80
    assert sum(played.meter.seconds) > 0
    again = play_freeze_thaw(task, Setting(0, 1, 80, "pool"))
    np.testing.assert_array_equal(played.best, again.best)


def test_auto_plays_with_rows_of_the_pool_and_learns_that_trainings_resume():
    task = made_task(n_rows=40, total_steps=12)
    played = play_auto(task, Setting(0, 1, 150, "pool"))
    assert len(played.best) == 150
    assert played.n_trials > 150 / 12  # paused after a first look, though nothing was asked for


@dataclass(frozen=True)
class FirstLook:
    scheduler: FreezeThaw


@dataclass(frozen=True)
class Choice:
    sampler: FreezeThaw
    scheduler: FirstLook


def test_freeze_thaw_takes_rows_wherever_it_stands():
    rows = Rows(made_task())
    assert among(FreezeThaw(), rows) == FreezeThaw(candidates=rows)
    nested = Choice(FreezeThaw(), FirstLook(FreezeThaw()))
    assert among(nested, rows) == Choice(FreezeThaw(candidates=rows), FirstLook(FreezeThaw(candidates=rows)))
    rule = EpochRule(k=3)
    assert among(rule, rows) is rule


# ----------------------------------------------------------------------------------------------------------- peers


class InOrder:
    """A tool that trains each row to a third, then goes on with the first one to its end."""

    def __init__(self, task, setting: Setting) -> None:
        self.task, self.asked = task, 0
        self.ended: list[tuple[int, int]] = []

    def ask(self) -> Grant | None:
        self.asked += 1
        total = self.task.total_steps
        if self.asked == 4:
            return Grant(self.task.rows[0], total, 0)
        if self.asked > 4:
            return None
        return Grant(self.task.rows[self.asked - 1], max(1, total // 3), self.asked - 1)

    def report(self, grant: Grant, step: int, loss: float) -> bool:
        assert math.isfinite(loss)
        return grant.note != 1 or step < 2

    def end(self, grant: Grant, losses: Sequence[float]) -> None:
        self.ended.append((grant.note, len(losses)))


def test_a_peer_that_asks_again_pays_the_new_steps_only():
    task = made_task(total_steps=12)
    tool = InOrder(task, Setting(0, 1, 100, "pool"))
    run = Run(task, Setting(0, 1, 100, "pool"), tool)
    run.play()
    first, second, third = (task.curves[row, 0] for row in range(3))
    assert run.seen == [*first[:4], *second[:2], *third[:4], *first[4:]]
    assert tool.ended == [(0, 4), (2, 4), (0, 12)]
    assert run.ends == list(range(1, 19))


def test_a_peer_hears_of_a_training_that_diverges():
    task = made_task(total_steps=12)
    curves = task.curves.copy()
    curves[0, 0, 2:] = np.nan
    tool = InOrder(task, Setting(0, 1, 100, "pool"))
    run = Run(replace(task, curves=curves), Setting(0, 1, 100, "pool"), tool)
    run.play()
    assert tool.ended == [(0, 3), (2, 4), (0, 3)]
    assert len(run.seen) == 3 + 2 + 4


@pytest.mark.parametrize("name", list(PEERS))
def test_a_peer_that_is_installed_plays_its_budget(name: str):
    module, enter = PEERS[name]
    pytest.importorskip(module)
    task = made_task(n_rows=200, total_steps=27)
    for n_workers in (1, 3):
        played: Played = peer_player(enter)(task, Setting(1, n_workers, 150, "pool"))
        assert len(played.best) == 150
        assert np.isfinite(played.best).all()


def test_what_is_dense_near_one_is_asked_the_other_way_round():
    task = made_task()
    params = in_our_words(task, {"kind": "a", "lr": 2.0, "1-beta": 0.25, "width": np.int64(7)})
    assert params == {"kind": "a", "lr": 1.0, "beta": 0.75, "width": 7}
