"""Measured constraints: the probability to keep them, its slope, and excesses without anything to learn."""

from __future__ import annotations

import numpy as np
import pytest

from honed.algorithms.kernels import ConfigKernel, Layout
from honed.algorithms.limits import Limit, warped

KERNEL = ConfigKernel(Layout((0, 0), (False, False)))
NONE = np.empty((0, 2))


def limit(n: int = 30, pending: np.ndarray = NONE) -> Limit:
    X = np.random.default_rng(0).random((n, 2))
    e = 3.0 * (X[:, 0] - 0.5)
    found = Limit.conditioned(KERNEL, Limit.learned(KERNEL, X, e), X, e, pending)
    assert found is not None
    return found


def test_what_is_beyond_the_limit_is_improbable_and_what_is_within_is_probable() -> None:
    p = np.exp(limit().log_probability(np.array([[0.1, 0.5], [0.5, 0.5], [0.9, 0.5]])))
    assert p[0] > 0.95
    assert 0.2 < p[1] < 0.8
    assert p[2] < 0.05


def test_the_slope_of_the_probability_is_that_of_differences() -> None:
    found, Y = limit(12), np.array([[0.3, 0.2], [0.52, 0.8], [0.95, 0.1]])
    value, gradient = found.log_probability_and_gradient(Y)
    np.testing.assert_allclose(value, found.log_probability(Y))
    for j, step in enumerate(np.eye(2) * 1e-6):
        expected = (found.log_probability(Y + step) - found.log_probability(Y - step)) / 2e-6
        np.testing.assert_allclose(gradient[:, j], expected, rtol=1e-3, atol=1e-4)


def test_a_trial_under_way_makes_its_place_more_certain_without_moving_the_mean() -> None:
    at = np.array([[0.95, 0.95]])
    before, after = limit(8), limit(8, at)
    assert after.posterior.predict(at)[0] == pytest.approx(before.posterior.predict(at)[0], abs=1e-6)
    assert after.posterior.predict(at)[1] < before.posterior.predict(at)[1]


def test_excesses_keep_their_sign_and_lose_their_tails() -> None:
    found = warped(np.array([-0.5, -0.1, 0.0, 0.2, 1e6]))
    assert found is not None
    w, bar = found
    assert (w[:2] < bar).all()
    assert w[2] == pytest.approx(bar)
    assert (w[3:] > bar).all()
    assert w[4] - bar < 20 * (w[3] - bar)


@pytest.mark.parametrize("e", [[], [0.1, 0.2], [0.0] * 9, [0.7] * 9])
def test_nothing_is_learned_where_all_are_alike_or_few(e: list[float]) -> None:
    assert warped(np.array(e)) is None
    assert Limit.conditioned(KERNEL, KERNEL.prior.start, np.zeros((len(e), 2)), np.array(e), NONE) is None
