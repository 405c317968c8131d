"""Warps of curves, and the points that a model sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.algorithms.curve_points import MOST_POINTS, grid, thinned, trial_bests
from honed.algorithms.curve_warps import MEMBERS, curve_warps


def test_warps_are_standardised_and_keep_the_order() -> None:
    y = np.random.default_rng(0).exponential(size=50)
    bests = np.sort(y)[::2]
    for warp, name in zip(curve_warps(y, bests), MEMBERS, strict=True):
        assert warp.name == name
        assert warp.z.mean() == pytest.approx(0.0, abs=1e-12)
        assert warp.z.std() == pytest.approx(1.0)
        assert np.allclose(warp.apply(y), warp.z)
        assert (np.diff(warp.apply(np.sort(y))) >= 0).all()


def test_what_lies_beyond_the_worst_tenth_says_only_that_it_is_bad() -> None:
    bests = np.linspace(0.0, 1.0, 11)
    y = np.append(bests, 1e9)
    for warp in curve_warps(y, bests):
        assert warp.apply(np.array([0.9]))[0] == pytest.approx(warp.apply(np.array([1e9]))[0])


def test_better_than_the_best_is_better_still() -> None:
    y = np.linspace(1.0, 2.0, 20)
    for warp in curve_warps(y, y):
        values = warp.apply(np.array([0.85, 0.9, 0.95, 1.0]))
        assert (np.diff(values) > 0).all()


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_units_do_not_matter(shift: float, scale: float) -> None:
    y = np.random.default_rng(1).random(30)
    for plain, moved in zip(curve_warps(y, y), curve_warps(shift + scale * y, shift + scale * y), strict=True):
        assert np.allclose(plain.z, moved.z, atol=1e-4)


def test_equal_values_have_no_warp() -> None:
    assert curve_warps(np.ones(9), np.ones(3)) == []
    assert len(curve_warps(np.array([0.0] * 9 + [1.0]), np.array([0.0, 0.0]))) == 2


def test_the_grid_grows_by_half() -> None:
    assert grid(30).tolist() == [1, 2, 3, 4, 6, 9, 13, 19, 28, 42]


def test_a_curve_keeps_the_first_point_of_each_cell_and_its_last() -> None:
    steps = np.arange(1, 13)
    kept = thinned(np.zeros(12, dtype=np.int64), steps, 1.0 / steps)
    assert steps[kept].tolist() == [1, 2, 3, 4, 6, 9, 12]


def test_bad_curves_keep_their_last_point_and_the_worst_nothing() -> None:
    numbers = np.repeat(np.arange(400), 5)
    steps = np.tile(np.arange(1, 6), 400)
    y = numbers + 0.1 / steps
    kept = thinned(numbers, steps, y)
    assert len(kept) == MOST_POINTS
    assert (steps[kept][numbers[kept] >= 25] == 5).all()
    assert set(steps[kept][numbers[kept] == 3].tolist()) == {1, 2, 3, 4, 5}
    assert numbers[kept].max() == MOST_POINTS - 25 * 4 - 1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 40)), min_size=1, unique=True), st.integers(0, 99))
def test_kept_points_are_sorted_and_hold_each_trials_last(pairs: list[tuple[int, int]], seed: int) -> None:
    numbers, steps = np.array(pairs).T
    y = np.random.default_rng(seed).random(len(pairs))
    kept = thinned(numbers, steps, y)
    assert sorted(zip(numbers[kept], steps[kept], strict=True)) == list(zip(numbers[kept], steps[kept], strict=True))
    for number in set(numbers.tolist()):
        assert steps[kept][numbers[kept] == number].max() == steps[numbers == number].max()


def test_bests_are_by_trial() -> None:
    assert trial_bests(np.array([3, 1, 3, 1]), np.array([5.0, 2.0, 4.0, 7.0])).tolist() == [2.0, 4.0]
