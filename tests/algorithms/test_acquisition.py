"""Log expected improvement against exact arithmetic, failure probabilities, and the search for the best point."""

from __future__ import annotations

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from honed.algorithms.acquisition import log_ei, log_ei_slopes, log_h, log_mean_exp
from honed.algorithms.feasibility import Logistic, Survival, kernel_beta, prefers_logistic
from honed.algorithms.kernels import ConfigKernel, Layout
from honed.algorithms.optimize_acquisition import Region, climb, maximise
from honed.algorithms.trust_region import box, replay

EXTREMES = [-1e8, -1e5, -1001.0, -999.0, -100.0, -38.0, -8.3, -1.01, -0.99, 0.0, 0.5, 3.0, 40.0, 1e6]


def test_log_h_is_exact_however_small() -> None:
    mpmath.mp.dps = 60
    for e, found in zip(EXTREMES, log_h(np.array(EXTREMES))[0].tolist(), strict=True):
        x = mpmath.mpf(e)
        phi = mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
        if e < -1000:  # the exact value by the continued fraction would need thousands of digits
            exact = -x * x / 2 - mpmath.log(mpmath.sqrt(2 * mpmath.pi)) - 2 * mpmath.log(-x)
        else:
            exact = mpmath.log(phi + x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2)
        assert found == pytest.approx(float(exact), rel=1e-9, abs=1e-9), e


def test_slopes_of_log_ei_are_those_of_differences() -> None:
    rng = np.random.default_rng(0)
    mean, variance = rng.uniform(-2, 60, 300), np.exp(rng.uniform(-4, 1, 300))
    _, by_mean, by_variance = log_ei_slopes(mean, variance, 0.3)
    h = 1e-6
    d_mean = (log_ei(mean + h, variance, 0.3) - log_ei(mean - h, variance, 0.3)) / (2 * h)
    d_variance = (log_ei(mean, variance * (1 + h), 0.3) - log_ei(mean, variance * (1 - h), 0.3)) / (2 * h * variance)
    np.testing.assert_allclose(by_mean, d_mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(by_variance, d_variance, rtol=1e-4, atol=1e-5)


def test_slopes_are_finite_far_away() -> None:
    for values in log_ei_slopes(np.array([1e9, 1e4, -1e9]), np.array([1e-6, 1e-12, 1.0]), 0.0):
        assert np.isfinite(values).all()


def test_a_mean_of_exponentials_does_not_underflow() -> None:
    assert log_mean_exp([np.array([-1e4]), np.array([-1e4])])[0] == pytest.approx(-1e4)
    assert log_mean_exp([np.log([1.0]), np.log([3.0])])[0] == pytest.approx(np.log(2.0))


# --------------------------------------------------------------------------------------------------------- failures


def test_near_failures_make_a_failure_probable() -> None:
    k = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    p = kernel_beta(k, np.array([1.0, 0.0, 0.0]))
    assert p[0] > p[2] > p[1]
    assert p[2] == pytest.approx(2 / 5)


def test_a_border_that_a_line_describes_prefers_the_logistic_model() -> None:
    rng = np.random.default_rng(0)
    X = rng.random((150, 6))
    f = (X[:, 0] + X[:, 1] > 1.2).astype(float)
    kernel = ConfigKernel(Layout((0,) * 6, (False,) * 6))
    theta = kernel.prior.start
    survival = Survival.fitted(kernel, theta, X, f, 6)
    assert survival.logistic is not None
    assert ((Logistic.fitted(X, f).predict(X) > 0.5) == (f > 0.5)).mean() > 0.95
    few = f * (np.cumsum(f) <= 5)
    assert not prefers_logistic(Survival(kernel, theta, survival.P, few, None).correlations(survival.P), X, few)


@pytest.mark.parametrize("n", [10, 200])
def test_the_gradient_of_survival_is_that_of_differences(n: int) -> None:
    rng = np.random.default_rng(3)
    X = rng.random((n, 3))
    X[::5, 2] = np.nan
    f = (X[:, 0] > 0.6).astype(float)
    kernel = ConfigKernel(Layout((0, 0, 0), (False, False, True)), is_warped=True)
    survival = Survival.fitted(kernel, kernel.prior.start, X, f, 3)
    assert (survival.logistic is not None) == (n == 200)
    Y = rng.random((4, 3))
    _, gradient = survival.log_probability_and_gradient(Y)
    for j, e in enumerate(np.eye(3)):
        expected = (survival.log_probability(Y + 1e-6 * e) - survival.log_probability(Y - 1e-6 * e)) / 2e-6
        np.testing.assert_allclose(gradient[:, j], expected, rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------------------------- search


def region(d: int, grids: list | None = None, few: tuple[int, ...] = ()) -> Region:
    return Region(np.zeros(d), np.ones(d), grids or [None] * d, few, lambda X: X)


def test_all_starts_climb_to_the_top_inside_the_bounds() -> None:
    top = np.array([0.3, 1.4, 0.7, -0.2])
    curvature = np.array([1.0, 30.0, 3.0, 10.0])

    def f(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -((X - top) ** 2 * curvature).sum(axis=1), -2 * (X - top) * curvature

    ends = climb(f, np.random.default_rng(0).random((10, 4)), region(4), np.full(4, 0.5), 40)
    np.testing.assert_allclose(ends, np.tile(np.clip(top, 0, 1), (10, 1)), atol=0.02)


def test_discrete_columns_are_searched_value_by_value_and_the_answer_lies_on_the_grid() -> None:
    grids = [None, np.arange(7.0), np.array([0.125, 0.375, 0.625, 0.875])]
    place = Region(np.array([0.0, 0.0, 0.125]), np.array([1.0, 6.0, 0.875]), grids, (1, 2), lambda X: X)

    def score(X: np.ndarray) -> np.ndarray:
        return np.cos(6 * (X[:, 0] - 0.4)) + (X[:, 1] == 5) - (X[:, 2] - 0.6) ** 2

    def with_gradient(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gradient = np.zeros_like(X)
        gradient[:, 0], gradient[:, 2] = -6 * np.sin(6 * (X[:, 0] - 0.4)), -2 * (X[:, 2] - 0.6)
        return score(X), gradient

    starts = np.array([[0.1, 0.0, 0.125], [0.9, 3.0, 0.875]])
    best = maximise(score, with_gradient, starts, place, np.array([0.3, 0.0, 0.3]))[0]
    assert best[0] == pytest.approx(0.4, abs=0.01)
    assert best[1] == 5
    assert best[2] == 0.625


def test_the_trust_region_grows_shrinks_and_begins_anew() -> None:
    falling = np.arange(20.0, 0.0, -1.0)
    assert replay(falling, 5, 2).side == 1.6
    assert replay(np.concatenate([[1.0, 1.0], np.full(5, 2.0)]), 5, 2).side == 0.4
    assert replay(np.full(2 + 7 * 5, 1.0), 5, 2).begun == 2 + 7 * 5
    assert replay(np.full(9, np.nan), 5, 2).begun == 0


def test_the_box_has_the_sides_of_the_lengthscales() -> None:
    low, high = box(np.array([0.5, 0.5]), 0.2, np.array([0.5, 2.0]))
    np.testing.assert_allclose(high - low, [0.1, 0.4])
