"""Covariances of mixed and conditional configurations: positive definite, and gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.algorithms.kernels import ConfigKernel, Layout, matern, matern_value, squared_distances

LAYOUTS = {
    "numbers": Layout((0, 0, 0), (False,) * 3),
    "conditional numbers": Layout((0, 0, 0), (False, True, True)),
    "categories": Layout((3, 4), (False, True)),
    "mixed": Layout((0, 3, 0, 2), (True, True, False, False)),
    "one category": Layout((5,), (False,)),
}


def points(layout: Layout, n: int, rng: np.random.Generator) -> np.ndarray:
    X = rng.random((n, len(layout.n_choices)))
    for j, k in enumerate(layout.n_choices):
        if k:
            X[:, j] = rng.integers(-1, k, n)  # -1: a choice that was removed
        if layout.is_conditional[j]:
            X[rng.random(n) < 0.3, j] = np.nan
    return X


def drawn(kernel: ConfigKernel, rng: np.random.Generator) -> np.ndarray:
    return kernel.prior.start + 0.4 * rng.standard_normal(len(kernel.prior.start))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("is_warped", [False, True])
def test_the_gradient_by_hyperparameters_is_that_of_differences(name: str, is_warped: bool) -> None:
    rng = np.random.default_rng(1)
    kernel = ConfigKernel(LAYOUTS[name], is_warped)
    X, theta = points(kernel.layout, 12, rng), drawn(kernel, rng)
    A = rng.standard_normal((12, 12))
    A = A + A.T

    def value(theta: np.ndarray) -> float:
        return float((A * kernel.matrix_with_pull(theta, X)[0]).sum())

    found = kernel.matrix_with_pull(theta, X)[1](A)
    expected = [(value(theta + 1e-5 * e) - value(theta - 1e-5 * e)) / 2e-5 for e in np.eye(len(theta))]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["numbers", "conditional numbers", "mixed"])
def test_the_gradient_by_coordinates_is_that_of_differences(name: str) -> None:
    rng = np.random.default_rng(2)
    kernel = ConfigKernel(LAYOUTS[name], is_warped=True)
    X, Y, theta = points(kernel.layout, 5, rng), points(kernel.layout, 9, rng), drawn(kernel, rng)
    A = rng.standard_normal((5, 9))
    Q = kernel.points(theta, Y)

    def value(X: np.ndarray) -> float:
        return float((A * kernel.cross(theta, kernel.points(theta, X), Q)).sum())

    found = kernel.cross_with_pull(theta, kernel.points(theta, X), Q)[1](A)
    for i, j in np.ndindex(*X.shape):
        up, down = X.copy(), X.copy()
        up[i, j] += 1e-6
        down[i, j] -= 1e-6
        is_fixed = kernel.layout.n_choices[j] or np.isnan(X[i, j])
        expected = 0.0 if is_fixed else (value(up) - value(down)) / 2e-6
        assert found[i, j] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 2, 3, 7]), st.booleans()), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_every_mixture_is_positive_definite(columns: list[tuple[int, bool]], seed: int, is_warped: bool) -> None:
    layout = Layout(tuple(n for n, _ in columns), tuple(c for _, c in columns))
    kernel, rng = ConfigKernel(layout, is_warped and 0 in layout.n_choices), np.random.default_rng(seed)
    X, theta = points(layout, 25, rng), drawn(kernel, rng)
    K = kernel.matrix_with_pull(theta, X)[0]
    assert np.linalg.eigvalsh(K).min() > -1e-8 * np.trace(K)
    np.testing.assert_allclose(K, K.T, atol=1e-12)
    np.testing.assert_allclose(np.diagonal(K), kernel.variance(theta), rtol=1e-6)


def test_an_inactive_parameter_is_about_one_lengthscale_from_an_active_one() -> None:
    kernel = ConfigKernel(Layout((0,), (True,)))
    P = kernel.points(np.log([0.5, 1.0]), np.array([[0.0], [0.5], [1.0], [np.nan], [np.nan]]))
    distance = np.sqrt(squared_distances(P.F, P.F)) * 0.5
    np.testing.assert_allclose(distance[3], [1.0, 0.75**0.5, 1.0, 0.0, 0.0], atol=1e-7)
    assert distance[0, 2] == pytest.approx(1.0)


def test_matern_and_its_slope() -> None:
    R = np.array([[0.0, 0.3, 2.0, 50.0]])
    k, slope = matern(R)
    r = np.sqrt(R)
    np.testing.assert_allclose(k, (1 + 5**0.5 * r + 5 / 3 * R) * np.exp(-(5**0.5) * r), rtol=1e-14)
    assert slope[0, 0] == pytest.approx(-5 / 6)
    S = R[:, 1:]
    np.testing.assert_allclose(slope[:, 1:], (matern(S + 1e-6)[0] - matern(S - 1e-6)[0]) / 2e-6, rtol=1e-4)


def test_the_value_alone_is_that_with_its_slope() -> None:
    R = np.random.default_rng(0).random((5, 7)) * 10.0
    R[0, 0] = 0.0
    assert np.array_equal(matern_value(R.copy()), matern(R)[0])
