"""Noisy curves: told from smooth ones, and averaged without a look ahead."""

from __future__ import annotations

import numpy as np
import pytest

from honed.algorithms.curve_noise import averaged, noise_of, turning_share
from honed.algorithms.curve_points import thinned


def grid(n: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(n), total), np.tile(np.arange(1, total + 1), n)


def family(n: int, total: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    numbers, steps = grid(n, total)
    true = 0.1 * numbers + np.exp(-4.0 * steps / total)
    return numbers, steps, true, true + noise * draw.standard_normal(len(steps))


def test_two_thirds_of_noise_are_turning_points_and_none_of_a_smooth_curve() -> None:
    numbers, steps, smooth, noisy = family(10, 400, 0.2)
    assert turning_share(numbers, steps, smooth) == (0.0, 3980)
    share, _ = turning_share(numbers, steps, noisy)
    assert share == pytest.approx(2 / 3, abs=0.03)
    assert noise_of(numbers, steps, noisy) == pytest.approx(0.2, rel=0.05)
    assert noise_of(numbers, steps, smooth) < 1e-4


def test_smooth_curves_and_short_ones_are_left_as_they_are() -> None:
    numbers, steps, smooth, noisy = family(10, 400, 0.2)
    assert averaged(numbers, steps, smooth[:, None]) is None
    assert averaged(numbers, steps, (smooth + 0.005 * noisy)[:, None]) is None  # noise that decides nothing
    short = steps <= 30
    assert averaged(numbers[short], steps[short], noisy[short, None]) is None
    assert averaged(numbers[:0], steps[:0], noisy[:0, None]) is None


def test_means_have_little_noise_and_stand_at_the_middle_of_what_they_are_of() -> None:
    numbers, steps, _, noisy = family(10, 900, 0.2)
    found = averaged(numbers, steps, noisy[:, None])
    assert found is not None
    means, places = found[0][:, 0], found[1]
    expected = 0.1 * numbers + np.exp(-4.0 * places / 900)
    late = steps > 300
    assert np.abs(means - expected)[late].mean() < 0.2 / 100**0.5
    assert ((places <= steps) & (places >= np.maximum(np.floor(steps / 1.5), 1))).all()
    assert places[steps <= 2] == pytest.approx(steps[steps <= 2])


def test_a_mean_never_changes_when_more_is_reported() -> None:
    numbers, steps, _, noisy = family(6, 300, 0.3)
    whole = averaged(numbers, steps, noisy[:, None])
    early = steps <= 200
    begun = averaged(numbers[early], steps[early], noisy[early, None])
    assert whole is not None
    assert begun is not None
    assert begun[0].tolist() == whole[0][early].tolist()
    assert begun[1].tolist() == whole[1][early].tolist()


def test_one_that_diverges_takes_no_digits_from_the_others() -> None:
    numbers, steps, _, noisy = family(8, 300, 0.3)
    wild = noisy.copy()
    wild[50:60] = 1e200
    calm, found = averaged(numbers, steps, noisy[:, None]), averaged(numbers, steps, wild[:, None])
    assert calm is not None
    assert found is not None
    assert found[0][300:] == pytest.approx(calm[0][300:], abs=1e-12)
    assert np.isfinite(found[0]).all()


def test_the_last_of_each_cell_is_kept_where_it_is_a_mean_of_it() -> None:
    numbers, steps = grid(1, 30)
    kept = thinned(numbers, steps, 1.0 / steps, closing=True)
    assert steps[kept].tolist() == [1, 2, 3, 5, 8, 12, 18, 27, 30]
