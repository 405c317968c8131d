"""Gaussian process regression against differences, refits and full factors; warps; the ensemble over them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from honed.algorithms.ensemble import DRAWS_BELOW, Ensemble, learn, refit_at, weights_of
from honed.algorithms.gp import Posterior, condition, energy, fit, laplace_draws, leave_one_out, noise_prior
from honed.algorithms.kernels import ConfigKernel, Layout
from honed.algorithms.warps import (
    cut_tail,
    fitted_warps,
    is_constant,
    kumaraswamy,
    kumaraswamy_slope,
    kumaraswamy_slopes,
)

LAYOUT = Layout((0, 0, 3), (False, True, False))


def data(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    X[:, 2] = rng.integers(0, 3, n)
    y = np.sin(6 * X[:, 0]) + X[:, 1] ** 2 + 0.5 * X[:, 2] + 0.05 * rng.standard_normal(n)
    X[rng.random(n) < 0.2, 1] = np.nan
    return X, (y - y.mean()) / y.std()


def posterior(n: int = 20, noise: float = -4.0) -> Posterior:
    X, z = data(n)
    kernel = ConfigKernel(LAYOUT, is_warped=True)
    return condition(kernel, np.append(kernel.prior.start, noise), X, z)


@pytest.mark.parametrize("is_warped", [False, True])
def test_the_gradient_of_the_energy_is_that_of_differences(is_warped: bool) -> None:
    X, z = data(25)
    kernel = ConfigKernel(LAYOUT, is_warped)
    prior = noise_prior(kernel.prior)
    theta = prior.start + 0.3 * np.random.default_rng(1).standard_normal(len(prior.start))
    found = energy(kernel, theta, X, z, prior)[1]
    for j, e in enumerate(np.eye(len(theta)) * 1e-5):
        up, down = energy(kernel, theta + e, X, z, prior)[0], energy(kernel, theta - e, X, z, prior)[0]
        assert found[j] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-3)


def test_a_fit_lowers_the_energy_to_a_stationary_point() -> None:
    X, z = data(40)
    kernel = ConfigKernel(LAYOUT)
    prior = noise_prior(kernel.prior)
    theta = fit(kernel, X, z, prior, 100)
    value, gradient = energy(kernel, theta, X, z, prior)
    assert value < energy(kernel, prior.start, X, z, prior)[0]
    assert np.abs(gradient).max() < 0.3


def test_leave_one_out_is_what_refits_without_the_point_predict() -> None:
    X, z = data(20)
    p = posterior()
    mean, variance = leave_one_out(p)
    for i in range(20):
        rest = np.arange(20) != i
        without = condition(p.covariance, p.theta, X[rest], z[rest])
        m, v = without.predict(X[i : i + 1])
        assert mean[i] == pytest.approx(m[0], abs=1e-7)
        assert variance[i] == pytest.approx(v[0] + p.noise, rel=1e-6)


def test_a_difference_to_a_trial_varies_as_the_joint_posterior_says() -> None:
    X, z = data(20)
    extra = np.where(np.arange(20) == 7, 0.4, 0.0)
    p = posterior()
    p = condition(p.covariance, p.theta, X, z, extra)
    Y = np.array([[0.21, 0.52, 1.0], [0.77, 0.13, 0.0]])
    for q, i in ((p, 3), (p, 7), (p.append(Y[:1]), 7)):
        rival = q.rival(i, p.noise + extra[i])
        joint = q.predict_joint(np.concatenate([Y, X[i : i + 1]]))[1]
        expected = np.diagonal(joint)[:2] + joint[2, 2] - 2.0 * joint[:2, 2]
        np.testing.assert_allclose(q.predict(Y, rival)[1], expected, atol=1e-6)
        np.testing.assert_allclose(q.predict_with_pull(Y, rival)[1], expected, atol=1e-6)
        assert q.predict(X[i : i + 1], rival)[1][0] == pytest.approx(0.0, abs=1e-6)
        np.testing.assert_array_equal(q.predict(Y, rival)[0], q.predict(Y)[0])


def test_without_noise_a_difference_varies_as_the_function_does() -> None:
    p = posterior(noise=-40.0)
    Y = np.array([[0.21, 0.52, 1.0], [0.77, 0.13, 0.0]])
    np.testing.assert_allclose(p.predict(Y, p.rival(3, p.noise))[1], p.predict(Y)[1], atol=1e-4)


def test_appended_points_give_the_same_as_a_full_factor() -> None:
    X, z = data(20)
    p = posterior()
    short = condition(p.covariance, p.theta, X[:12], z[:12])
    for step in (short.append(X[12:], z[12:]), short.append(X[12:13], z[12:13]).append(X[13:], z[13:])):
        np.testing.assert_allclose(step.L_inv, p.L_inv, atol=1e-8)
        np.testing.assert_allclose(step.alpha, p.alpha, atol=1e-6)


def test_a_believed_point_keeps_the_means_and_lowers_the_variance() -> None:
    p, Y = posterior(), data(5, seed=9)[0]
    after = p.append(Y)
    np.testing.assert_allclose(after.predict(Y)[0], p.predict(Y)[0], atol=1e-6)
    assert (after.predict(Y)[1] < p.predict(Y)[1]).all()


def test_joint_predictions_agree_with_single_ones() -> None:
    p, Y = posterior(), data(6, seed=3)[0]
    mean, covariance = p.predict_joint(Y)
    np.testing.assert_allclose(mean, p.predict(Y)[0])
    np.testing.assert_allclose(np.diagonal(covariance), p.predict(Y)[1], atol=1e-10)


def test_equal_points_and_no_noise_still_have_a_factor() -> None:
    kernel = ConfigKernel(Layout((0,), (False,)))
    p = condition(kernel, np.append(kernel.prior.start, -30.0), np.full((30, 1), 0.5), np.zeros(30))
    assert np.isfinite(p.predict(np.array([[0.5]]))[1]).all()


def test_laplace_draws_are_reproducible_and_around_the_mode() -> None:
    X, z = data(30)
    kernel = ConfigKernel(LAYOUT)
    prior = noise_prior(kernel.prior)
    theta = fit(kernel, X, z, prior)
    draws = laplace_draws(kernel, theta, X, z, prior, 6)
    assert len(draws) == 6
    np.testing.assert_array_equal(draws, laplace_draws(kernel, theta, X, z, prior, 6))
    low = energy(kernel, theta, X, z, prior)[0]
    assert all(energy(kernel, draw, X, z, prior)[0] < low + 60 for draw in draws)


# ------------------------------------------------------------------------------------------------------------ warps


@pytest.mark.parametrize("index", range(3))
def test_output_warps_are_standardised_and_keep_the_order(index: int) -> None:
    y = np.exp(3 * np.random.default_rng(0).standard_normal(60))
    warp = fitted_warps(cut_tail(y))[index]
    assert warp.z.mean() == pytest.approx(0, abs=1e-9)
    assert warp.z.std() == pytest.approx(1)
    ordered = np.sort(cut_tail(y))
    assert (np.diff(warp.apply(ordered)) >= 0).all()
    assert warp.apply(np.array([ordered[0] - 0.01]))[0] <= warp.apply(ordered[:1])[0]


def test_scale_and_shift_of_the_losses_do_not_matter() -> None:
    y = np.random.default_rng(0).gamma(1.0, size=40)
    for a, b in zip(fitted_warps(y), fitted_warps(1e6 * y - 3e5), strict=True):
        np.testing.assert_allclose(a.z, b.z, atol=1e-6)


def test_the_bad_tail_is_cut_and_constants_are_noticed() -> None:
    assert cut_tail(np.array([1.0, 2.0, 3.0, 4.0, 1e9])).max() < 20
    assert is_constant(np.array([0.3, 0.3, 0.3]))
    assert is_constant(np.array([1.0]))
    assert not is_constant(np.array([1.0, 2.0]))
    assert is_constant(np.array([0.0, 2e-311]))


def test_values_that_hardly_differ_from_zero_are_zero() -> None:
    for warp in fitted_warps(np.array([0.0, -491.0, 2.2e-311, 3.0, -1.0])):
        assert warp.z[0] == pytest.approx(warp.z[2])
        assert np.isfinite(warp.apply(np.array([0.0, 8.9e-312, 1e-200]))).all()


def test_the_input_warp_is_monotone_with_the_slopes_of_differences() -> None:
    U = np.linspace(0.01, 0.99, 15)[:, None]
    a, b = np.array([0.4]), np.array([1.7])
    V = kumaraswamy(U, a, b)
    assert (np.diff(V[:, 0]) > 0).all()
    np.testing.assert_allclose(
        kumaraswamy_slope(U, a, b), (kumaraswamy(U + 1e-7, a, b) - kumaraswamy(U - 1e-7, a, b)) / 2e-7, rtol=1e-5
    )
    by_a, by_b = kumaraswamy_slopes(U, a, b)
    e = np.exp(1e-6)
    np.testing.assert_allclose(by_a, (kumaraswamy(U, a * e, b) - kumaraswamy(U, a / e, b)) / 2e-6, rtol=1e-5)
    np.testing.assert_allclose(by_b, (kumaraswamy(U, a, b * e) - kumaraswamy(U, a, b / e)) / 2e-6, rtol=1e-5)
    np.testing.assert_allclose(kumaraswamy(U, np.ones(1), np.ones(1)), U, atol=0.006)


# --------------------------------------------------------------------------------------------------------- ensemble


@pytest.mark.parametrize("n", [12, DRAWS_BELOW + 5])
def test_the_gradient_of_the_ensembles_score_is_that_of_differences(n: int) -> None:
    X, y = data(n)
    ensemble = Ensemble.conditioned(learn(LAYOUT, X, y), X, y, X[:2], None)
    Y = np.array([[0.21, 0.52, 1.0], [0.77, 0.13, 0.0]])
    value, gradient = ensemble.log_ei_and_gradient(Y)
    np.testing.assert_allclose(value, ensemble.log_ei(Y, is_quick=True), rtol=1e-9)
    for j, e in enumerate(np.eye(3)[:2] * 1e-6):
        expected = (ensemble.log_ei(Y + e, is_quick=True) - ensemble.log_ei(Y - e, is_quick=True)) / 2e-6
        np.testing.assert_allclose(gradient[:, j], expected, rtol=1e-3, atol=1e-3)


def test_weights_drop_members_that_predict_badly() -> None:
    assert weights_of([0.0, 0.0]) == [0.5, 0.5]
    assert weights_of([0.0, -50.0, 0.0]) == [0.5, 0.0, 0.5]


def test_refits_come_at_points_that_the_number_of_trials_decides() -> None:
    points = sorted({refit_at(n) for n in range(4, 300)})
    assert points[:8] == [4, 5, 6, 7, 8, 9, 10, 12]
    assert all(refit_at(n) <= n for n in range(1, 300))
    assert all(after <= max(1.2 * before, before + 1) for before, after in itertools.pairwise(points))
