"""``Grid``: every cell once, evenly from the start, for any number of workers and any kind of space."""

from __future__ import annotations

import random

import numpy as np
import pytest

from honed.domains import Categorical, Const, Float, Int, Ordinal
from honed.errors import NoFeasiblePoint
from honed.records import Cause, Exhausted, State, TrialRecord, Wait
from honed.samplers.grid import Grid
from honed.space import Space
from honed.testing.driver import Driver

CUBE = Space(a=Int(0, 2), b=Ordinal([32, 64, 128]), c=Categorical(["x", "y", "z"]))


def cells(driver: Driver) -> list[tuple]:
    return [tuple(sorted(params.items())) for params in driver.params]


def test_a_27_point_grid_is_27_distinct_trials():
    driver = Driver(Grid(), space=CUBE)
    assert driver.run(100) == Exhausted("All 27 configurations tried")
    assert len(set(cells(driver))) == len(cells(driver)) == 27


def test_one_configuration_is_called_by_its_name():
    assert Driver(Grid(), space=Space(a=Const(1))).run(9) == Exhausted("The only configuration was tried")


@pytest.mark.parametrize("seed", range(4))
def test_a_cut_run_still_covers_the_space(seed: int):
    driver = Driver(Grid(), space=CUBE, seed=seed)
    driver.run(9)
    for name in CUBE.domains:
        drawn = [params[name] for params in driver.params]
        assert sorted(drawn.count(value) for value in set(drawn)) in ([3, 3, 3], [2, 3, 4])
    fine = Driver(Grid(), space=Space(a=Int(0, 26), b=Int(0, 26)), seed=seed)
    fine.run(81)
    ninths = np.zeros((3, 3), dtype=int)
    for params in fine.params:
        ninths[params["a"] // 9, params["b"] // 9] += 1
    assert ninths.min() >= 6


@pytest.mark.parametrize(
    ("grid", "lr", "n", "act"),
    [
        (Grid(points=5), 5, 5, 2),
        (Grid(points={"lr": 3}), 3, 100, 2),
        (Grid(points={"lr": [1e-3, 0.1], "n": [1, 50], "act": ["gelu"]}), 2, 2, 1),
        (Grid(points={"lr": 2, "n": 3}), 2, 3, 2),
    ],
)
def test_points_say_how_fine_each_axis_is(grid: Grid, lr: int, n: int, act: int):
    space = Space(lr=Float(1e-4, 1, log=True), n=Int(1, 100), act=Categorical(["relu", "gelu"]))
    driver = Driver(grid, space=space)
    assert driver.run(3000) == Exhausted(f"All {lr * n * act:,} configurations tried")
    seen = {name: {params[name] for params in driver.params} for name in space.domains}
    assert [len(values) for values in seen.values()] == [lr, n, act]
    assert len(set(cells(driver))) == lr * n * act


def test_the_slides_learning_rates():
    driver = Driver(Grid(points=5), space=Space(alpha=Float(1e-4, 1, log=True)))
    driver.run(9)
    assert sorted(params["alpha"] for params in driver.params) == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            Grid(),
            "Grid: 'lr': a grid needs a number of points on the continuous Float(0.0001..1, log); "  # noqa: ISC004
            "for example Grid(points={'lr': 5})",
        ),
        (Grid(points={"lr": [0.1, 7]}), "Grid: points of 'lr': 7 is not in Float(0.0001..1, log)"),
        (Grid(points={"lr": 5, "lrr": 3}), "Grid: points has 'lrr', which is not in the space. Did you mean 'lr'?"),
    ],
)
def test_what_is_no_grid_is_refused_when_it_is_first_asked(grid: Grid, message: str):
    with pytest.raises(ValueError, match="Grid") as caught:
        Driver(grid, space=Space(lr=Float(1e-4, 1, log=True), n=Int(1, 3))).start()
    assert str(caught.value) == message


def test_a_continuous_parameter_is_refused_when_it_is_discovered():
    with pytest.raises(ValueError, match=r"Grid: 'x': .* Grid\(points=\{'x': 5\}\)"):
        Driver(Grid(), lambda ask: ask("x", Float(0, 1))).start()


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        (0, ValueError, "Grid: points=0 must be at least 1"),
        ("5", TypeError, "Grid: points='5' must be a number, or a mapping such as {'lr': 5, 'units': [32, 64]}"),
        (True, TypeError, "Grid: points=True must be a number"),
        ([1, 2], TypeError, "Grid: points=[1, 2] must be a number, or a mapping"),
        ({"lr": 0}, ValueError, "Grid: points['lr']=0 must be at least 1"),
        ({"lr": []}, ValueError, "Grid: points['lr']=[] must be a number of points or a list of values"),
        ({"lr": "abc"}, ValueError, "Grid: points['lr']='abc' must be a number of points or a list of values"),
        ({"lr": None}, ValueError, "Grid: points['lr']=None must be a number of points or a list of values"),
    ],
)
def test_wrong_points_are_refused_at_once(points, error, message: str):
    with pytest.raises(error) as caught:
        Grid(points=points)
    assert message in str(caught.value)


def test_failed_cells_stay_tried_and_lost_ones_do_not():
    driver = Driver(Grid(), space=Space(a=Int(0, 5)))
    for number in range(6):
        driver.start()
        cause = (None, Cause.ERROR, Cause.OOM, Cause.INFEASIBLE, Cause.LOST, Cause.CANCELLED)[number]
        driver.finish(number, None if cause is None else State.FAILED, cause)
    again = [driver.start() for _ in range(3)]
    assert isinstance(again[0], TrialRecord)
    assert isinstance(again[1], TrialRecord)
    assert {again[0].params["a"], again[1].params["a"]} == {driver.params[4]["a"], driver.params[5]["a"]}
    assert again[2] == Exhausted("All 6 configurations tried")


def test_rules_are_honoured_and_counted():
    space = CUBE.forbid(lambda p: p["a"] == 1 and p["c"] != "x").forbid(lambda p: p["b"] == 128)
    driver = Driver(Grid(), space=space)
    assert driver.run(100) == Exhausted("All 14 configurations tried")
    assert all(space.is_allowed(params) for params in driver.params)


def test_a_grid_whose_cells_are_all_forbidden_says_so():
    space = Space(x=Float(0, 1)).forbid(lambda p: p["x"] in (0.0, 0.5, 1.0))
    assert Driver(Grid(points=3), space=space).start() == Exhausted("No configuration is allowed")


def test_endless_forbidden_cells_are_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("honed.samplers.grid._MOST_FORBIDDEN", 500)
    space = Space({f"x{i}": Int(0, 9) for i in range(9)}).forbid(lambda p: p["x0"] >= 0)
    with pytest.raises(NoFeasiblePoint, match="the rules forbid 500 cells in a row"):
        Driver(Grid(), space=space).start()


def test_trials_of_other_samplers_count_where_they_hit_a_cell():
    driver = Driver(Grid(points=3), space=Space(x=Float(0, 1)))
    for number, x in enumerate([0.5, 0.123]):
        params, domains = {"x": x}, {"x": Float(0, 1)}
        driver.change(TrialRecord(number=number, state=State.COMPLETE, params=params, domains=domains, values=(1.0,)))
    driver.run(100)
    assert sorted(params["x"] for params in driver.params) == [0.0, 0.123, 0.5, 1.0]


def test_results_from_elsewhere_count_before_their_domains_are_known():
    def objective(ask) -> float:
        return float(ask("a", Int(0, 2)) + ask("b", Int(0, 2)))

    driver = Driver(Grid(), objective)
    for number in range(3):
        params = {"b": number, "a": (2 * number) % 3}
        driver.change(TrialRecord(number=number, state=State.COMPLETE, params=params, values=(1.0,)))
    driver.run(100)
    assert len(set(cells(driver))) == len(cells(driver)) == 9


def test_a_large_grid_is_not_listed():
    space = Space({f"x{i}": Int(0, 99) for i in range(20)})
    driver = Driver(Grid(), space=space)
    driver.run(50)
    assert len(set(cells(driver))) == 50


def test_a_wider_space_has_new_cells_only():
    narrow, wide = Space(a=Int(0, 2), b=Categorical(["x", "y"])), Space(a=Int(0, 4), b=Categorical(["y", "x", "z"]))
    driver = Driver(Grid(), space=narrow)
    driver.run(100)
    driver.declared = wide
    driver.restart()
    assert driver.run(100) == Exhausted("All 15 configurations tried")
    assert len(set(cells(driver))) == len(cells(driver)) == 15


def test_a_declared_parameter_that_is_new_is_searched_for_old_trials_too():
    driver = Driver(Grid(), space=Space(a=Int(0, 2)))
    driver.run(100)
    driver.declared = Space(a=Int(0, 2), b=Categorical(["x", "y"]))
    driver.restart()
    driver.run(100)
    assert len(driver.history) == 3 + 6


def test_a_declared_parameter_that_is_never_asked_for_ends_all_the_same():
    driver = Driver(Grid(), space=Space(a=Int(0, 2), b=Int(0, 2)))
    while isinstance(started := driver.start(), TrialRecord):
        del driver.started[started.number].params["b"]
        del driver.started[started.number].domains["b"]
        driver.finish(started.number)
        assert len(driver.history) < 20
    assert {params["a"] for params in driver.params} == {0, 1, 2}


# --------------------------------------------------------------------------------------------------- many workers


def conditional(ask) -> float:
    if ask("model", Categorical(["linear", "tree"])) == "linear":
        return float(ask("degree", Int(1, 3)))
    return float(sum(ask(f"split_{i}", Ordinal([2, 4, 8])) for i in range(ask("depth", Int(1, 2)))))


def moving(ask) -> float:
    a = ask("a", Int(0, 3))
    b = ask("b", Int(0, a + 1))
    return float(ask("c", Categorical(["x", "y"])) == "x") if b == 2 else float(b)


DECLARED = Space(
    model=Categorical(["linear", "tree"]), degree=Int(1, 3).when(model="linear"), depth=Int(1, 2).when(model="tree"),
    split_0=Ordinal([2, 4, 8]).when(model="tree"), split_1=Ordinal([2, 4, 8]).when(depth=2),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("objective", "space", "size"),
    [(conditional, None, 15), (moving, None, 17), (None, DECLARED, 15), (None, CUBE, 27)],
    ids=["discovered", "moving ranges", "declared", "cube"],
)
def test_any_number_of_workers_try_every_cell_once(objective, space, size: int, workers: int, seed: int):
    """Workers begin, report, fail and finish in any order, and new processes read the history from the start."""
    choose = random.Random(100 * seed + workers)
    driver = Driver(Grid(), objective, space=space, seed=seed)
    end = None
    while end is None or driver.started:
        begun = driver.start() if len(driver.started) < workers and end is None else None
        assert not isinstance(begun, Wait) or driver.started
        end = begun if isinstance(begun, Exhausted) else end
        if driver.started and (not isinstance(begun, TrialRecord) or choose.random() < 0.5):
            number = choose.choice(list(driver.started))
            if choose.random() < 0.5:
                driver.report(number, 1.0, 2.0)
            state = choose.choices([None, State.FAILED, State.STOPPED], [6, 2, 1])[0]
            if len(driver.started) == workers or choose.random() < 0.7 or not isinstance(begun, TrialRecord):
                driver.finish(number, state)
        if choose.random() < 0.1:
            driver.restart()
    assert end == Exhausted(f"All {size} configurations tried")
    assert len(set(cells(driver))) == len(cells(driver)) == size
