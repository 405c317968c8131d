"""The process of learning curves: closed forms against slow ones."""

from __future__ import annotations

import numpy as np
import pytest

from honed.algorithms.curve_kernels import FLOOR, CurveKernel, matrix, time_of
from honed.algorithms.curve_model import CurvePosterior, energy, fit, laplace_draws
from honed.algorithms.kernels import Layout

MIXED = Layout(n_choices=(0, 3, 0), is_conditional=(False, True, True))
PLAIN = Layout(n_choices=(0, 0), is_conditional=(False, False))
NONE = Layout(n_choices=(), is_conditional=())


def trials(layout: Layout, m: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.random((m, len(layout.n_choices)))
    for j, n in enumerate(layout.n_choices):
        if n:
            X[:, j] = rng.integers(0, n, m)
        if layout.is_conditional[j]:
            X[rng.random(m) < 0.3, j] = np.nan
    return X


def curves(layout: Layout, m: int = 6, seed: int = 0):
    """Features of m trials, and points of curves of different lengths, sorted by trial."""
    rng = np.random.default_rng(seed)
    kernel, X = CurveKernel(layout), trials(layout, m, seed)
    lengths = rng.integers(1, 7, m)
    rows = np.repeat(np.arange(m), lengths)
    steps = np.concatenate([np.arange(1, n + 1) for n in lengths])
    return kernel, X, kernel.features(X), rows, time_of(steps, 27), rng.standard_normal(len(rows))


def some_theta(kernel: CurveKernel, seed: int = 0):
    prior = kernel.prior
    return prior.mean + 0.5 * prior.sd * np.random.default_rng(seed).standard_normal(len(prior.mean))


def slow_covariance(kernel: CurveKernel, theta, x, i, u, y, j, v) -> float:
    """One entry, term by term as it is written down."""
    n = len(kernel.layout.n_choices)
    lengths, (l_t, a, b, c, d, e, _), bend = np.exp(theta[:n]), np.exp(theta[n:-1]), theta[-1]

    def kappa(r: float) -> float:
        return (1 + 5**0.5 * r + 5 / 3 * r * r) * np.exp(-(5**0.5) * r)

    squares = 0.0
    for k, n_choices in enumerate(kernel.layout.n_choices):
        p, q = x[k], y[k]
        if n_choices:
            one = p == q or (np.isnan(p) and np.isnan(q))
            squares += 0.0 if one else 1.0 / lengths[k] ** 2
        elif np.isnan(p) != np.isnan(q):
            known = q if np.isnan(p) else p
            squares += ((known - 0.5) ** 2 + 0.75) / lengths[k] ** 2
        elif not np.isnan(p):
            squares += (p - q) ** 2 / lengths[k] ** 2
    gap = (np.exp(-bend * u) - np.exp(-bend * v)) / (1 - np.exp(-bend))
    K_x, K_t, K_o = kappa(squares**0.5), kappa(abs(gap) / l_t), kappa(abs(u - v) / 0.4)
    return a * K_x + b * K_x * K_t + (i == j) * (c + d * K_o) + e * K_t


@pytest.mark.parametrize("layout", [PLAIN, MIXED, NONE])
def test_the_covariance_is_the_written_formula(layout: Layout) -> None:
    kernel, X, F, rows, u, _ = curves(layout)
    theta = some_theta(kernel)
    K = matrix(kernel, theta, F, rows, u)
    noise = np.exp(theta[-2]) + FLOOR
    for p in range(len(rows)):
        for q in range(len(rows)):
            expected = slow_covariance(kernel, theta, X[rows[p]], rows[p], u[p], X[rows[q]], rows[q], u[q])
            assert K[p, q] == pytest.approx(expected + (p == q) * noise, abs=1e-12)


@pytest.mark.parametrize("layout", [PLAIN, MIXED, NONE])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_finite_differences(layout: Layout, seed: int) -> None:
    kernel, _, F, rows, u, z = curves(layout, seed=seed)
    theta = some_theta(kernel, seed)
    theta[-2] = np.log(0.02)  # with less noise the differences themselves lose their digits
    _, gradient = energy(kernel, theta, F, rows, u, z)
    for j in range(len(theta)):
        shift = np.zeros(len(theta))
        shift[j] = 1e-5
        up, down = (energy(kernel, theta + s * shift, F, rows, u, z)[0] for s in (1, -1))
        assert gradient[j] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("m", [6, 60])  # the second is inverted in pieces
def test_the_energy_is_the_density_of_the_values(m: int) -> None:
    kernel, _, F, rows, u, z = curves(PLAIN, m)
    theta = kernel.prior.mean.copy()
    theta[-2] = np.log(0.02)
    K = matrix(kernel, theta, F, rows, u)
    expected = 0.5 * z @ np.linalg.solve(K, z) + 0.5 * np.linalg.slogdet(K)[1] + kernel.prior.energy(theta)[0]
    found, gradient = energy(kernel, theta, F, rows, u, z)
    assert found == pytest.approx(expected)
    shift = 1e-5 * np.eye(len(theta))
    slopes = [energy(kernel, theta + s, F, rows, u, z)[0] - energy(kernel, theta - s, F, rows, u, z)[0] for s in shift]
    assert np.allclose(gradient, np.array(slopes) / 2e-5, rtol=1e-5, atol=1e-4)


def test_a_fit_raises_the_density_and_a_warm_one_stays() -> None:
    kernel, _, F, rows, u, z = curves(PLAIN, m=10)
    theta = fit(kernel, F, rows, u, z)
    first = energy(kernel, kernel.prior.start, F, rows, u, z)[0]
    found = energy(kernel, theta, F, rows, u, z)[0]
    assert found < first
    again = energy(kernel, fit(kernel, F, rows, u, z, theta), F, rows, u, z)[0]
    assert again <= found + 1e-9


def test_draws_lie_around_the_mode_in_pairs() -> None:
    kernel, _, F, rows, u, z = curves(PLAIN, m=10)
    z = F[rows, 0] - u + 0.1 * z  # noise alone would lead to the bounds, where draws are cut
    theta = fit(kernel, F, rows, u, z)
    draws = laplace_draws(kernel, theta, F, rows, u, z, 4)
    assert len(draws) == 4
    assert np.allclose(draws[0] + draws[2], 2 * theta, atol=1e-9)
    for one, other in zip(draws, laplace_draws(kernel, theta, F, rows, u, z, 4), strict=True):
        assert np.array_equal(one, other)


def naive(kernel, theta, F, rows, u, z, new_rows, new_u):
    """Mean and covariance by one dense system."""
    n = len(rows)
    K = matrix(kernel, theta, F, np.concatenate([rows, new_rows]), np.concatenate([u, new_u]))
    noise = np.exp(theta[-2]) + FLOOR
    solved = np.linalg.solve(K[:n, :n], K[:n, n:])
    return solved.T @ z, K[n:, n:] - noise * np.eye(len(new_rows)) - K[n:, :n] @ solved


@pytest.mark.parametrize("layout", [PLAIN, MIXED, NONE])
def test_predictions_are_those_of_a_dense_system(layout: Layout) -> None:
    kernel, _, F, rows, u, z = curves(layout, m=7)
    seen = rows < 5
    theta = some_theta(kernel)
    posterior = CurvePosterior.conditioned(kernel, theta, F, rows[seen], u[seen], z[seen])
    new_rows, new_u = np.array([0, 3, 5, 6]), np.array([1.0, 0.9, 1.0, 0.5])
    mean, covariance = naive(kernel, theta, F, rows[seen], u[seen], z[seen], new_rows, new_u)
    m, v = posterior.predict(new_rows, new_u)
    assert np.allclose(m, mean)
    assert np.allclose(v, np.diagonal(covariance))
    m, C = posterior.predict_joint(new_rows, new_u)
    assert np.allclose(m, mean)
    assert np.allclose(C, covariance)
    m, v = posterior.for_new(1.0).predict(F[5:6])  # a trial without points is a new configuration
    assert np.allclose([m[0], v[0]], [mean[2], covariance[2, 2]])


@pytest.mark.parametrize("layout", [PLAIN, MIXED, NONE])
def test_appending_is_conditioning_on_all(layout: Layout) -> None:
    kernel, _, F, rows, u, z = curves(layout, m=7)
    theta, first = some_theta(kernel), rows < 4
    half = CurvePosterior.conditioned(kernel, theta, F[:4], rows[first], u[first], z[first])
    grown = half.with_trials(F).append(rows[~first], u[~first], z[~first])
    whole = CurvePosterior.conditioned(kernel, theta, F, rows, u, z)
    assert np.allclose(grown.L_inv, whole.L_inv)
    assert np.allclose(grown.alpha, whole.alpha)
    other = np.sin(np.arange(len(z)))
    again = CurvePosterior.conditioned(kernel, theta, F, rows, u, other)
    assert np.allclose(grown.with_values(other).alpha, again.alpha)


def test_believing_the_mean_leaves_means_and_lowers_variances() -> None:
    kernel, _, F, rows, u, z = curves(PLAIN)
    posterior = CurvePosterior.conditioned(kernel, kernel.prior.mean, F, rows, u, z)
    at, then = np.array([0, 1, 2]), np.ones(3)
    grown = posterior.append(np.array([1]), np.array([0.95]))
    before, after = posterior.predict(at, then), grown.predict(at, then)
    assert np.allclose(before[0], after[0])
    assert after[1][1] < before[1][1]
    assert (after[1] <= before[1] + 1e-12).all()


def test_slopes_of_new_configurations_are_those_of_finite_differences() -> None:
    kernel, X, F, rows, u, z = curves(MIXED)
    new = CurvePosterior.conditioned(kernel, some_theta(kernel), F, rows, u, z).for_new(0.9)
    points = kernel.features(trials(MIXED, 4, seed=9))
    mean, variance, pull = new.predict_with_pull(points)
    assert np.allclose(new.predict(points), [mean, variance])
    for by_mean, by_variance in ((1.0, 0.0), (0.0, 1.0)):
        gradient = pull(np.full(4, by_mean), np.full(4, by_variance))
        for j in range(points.shape[1]):
            shift = np.zeros(points.shape[1])
            shift[j] = 1e-6
            up, down = (new.predict(points + s * shift) for s in (1, -1))
            slope = ((up[0] - down[0]) * by_mean + (up[1] - down[1]) * by_variance) / 2e-6
            assert np.allclose(gradient[:, j], slope, rtol=1e-5, atol=1e-6)
    assert len(X) == 6


def test_a_curve_is_predicted_from_its_own_start_and_its_neighbours() -> None:
    """Curves that fall to a level of their own: the end is known far better than the prior says."""
    rng = np.random.default_rng(0)
    X, kernel = rng.random((20, 1)), CurveKernel(Layout((0,), (False,)))
    steps = np.arange(1, 28)
    all_curves = X[:, :1] + steps**-0.7
    seen = np.array([27] * 15 + [6] * 5)
    rows = np.repeat(np.arange(20), seen)
    at = np.concatenate([steps[:n] for n in seen])
    y = all_curves[rows, at - 1]
    z, F, u = (y - y.mean()) / y.std(), kernel.features(X), time_of(at, 27)
    theta = fit(kernel, F, rows, u, z)
    mean, variance = CurvePosterior.conditioned(kernel, theta, F, rows, u, z).predict(np.arange(15, 20), np.ones(5))
    truth = (all_curves[15:, -1] - y.mean()) / y.std()
    assert np.abs(mean - truth).max() < 0.1
    assert (np.abs(mean - truth) < 4 * np.sqrt(variance)).all()


@pytest.mark.parametrize("layout", [PLAIN, MIXED, NONE])
def test_new_configurations_are_predicted_as_by_all_points(layout: Layout) -> None:
    """The form over pairs of trials is the plain one over points, at other times than theirs too."""
    kernel, _, F, rows, u, z = curves(layout, m=9)
    seen, theta = rows < 6, some_theta(kernel, 3)
    posterior = CurvePosterior.conditioned(kernel, theta, F, rows[seen], u[seen], z[seen])
    for time in (0.0, 0.35, 1.0):
        new = np.arange(6, 9)
        mean, covariance = naive(kernel, theta, F, rows[seen], u[seen], z[seen], new, np.full(3, time))
        m, v = posterior.for_new(time).predict(F[6:])
        assert np.allclose(m, mean, atol=1e-10)
        assert np.allclose(v, np.diagonal(covariance), atol=1e-10)


def test_several_processes_share_a_design_that_was_joined_once() -> None:
    kernel, _, F, rows, u, z = curves(PLAIN, m=7)
    first = rows < 4
    order = np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)[::-1]])  # later points in any order
    for seed in range(2):
        half = CurvePosterior.conditioned(kernel, some_theta(kernel, seed), F, rows[first], u[first], z[first])
        design = half.design.joined(rows[order][first.sum() :], u[order][first.sum() :])
        grown = half.joined(design, z[order])
        whole = CurvePosterior.conditioned(kernel, some_theta(kernel, seed), F, rows[order], u[order], z[order])
        assert np.allclose(grown.alpha, whole.alpha)
        at, then = np.array([0, 5, 6]), np.array([1.0, 0.2, 0.7])
        assert np.allclose(grown.predict(at, then), whole.predict(at, then))


def test_a_design_without_new_points_takes_new_values() -> None:
    kernel, _, F, rows, u, z = curves(PLAIN)
    posterior = CurvePosterior.conditioned(kernel, kernel.prior.mean, F, rows, u, z)
    assert np.allclose(posterior.joined(posterior.design, 2.0 * z).alpha, 2.0 * posterior.alpha)
