"""Boxes fill exactly what a front leaves, and the expected gain in them is that of Monte Carlo, in value and slope."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.algorithms.ehvi import Drawn, Fronts, boxes, log_ehvi, log_ehvi_slopes, normals
from honed.algorithms.gp import condition, fit, noise_prior
from honed.algorithms.hypervolume import hypervolume
from honed.algorithms.kernels import ConfigKernel, Layout


@st.composite
def fronts(draw) -> np.ndarray:
    """Points with ties, equal and dominated ones, some beyond the reference (4, 4, ...)."""
    m, n = draw(st.integers(2, 3)), draw(st.integers(0, 9))
    value = st.one_of(st.integers(0, 5).map(float), st.floats(0.0, 5.0, allow_nan=False))
    return np.array(draw(st.lists(st.lists(value, min_size=m, max_size=m), min_size=n, max_size=n))).reshape(n, m)


@settings(max_examples=150, deadline=None)
@given(fronts())
def test_boxes_do_not_overlap_and_fill_what_the_front_leaves(points):
    reference = np.full(points.shape[1], 4.0)
    low, high = boxes(points, reference)
    assert len(low) <= 2 * len(points) + 1
    low = np.maximum(low, 0.0)  # all points are above 0
    left = 4.0 ** points.shape[1] - hypervolume(points, reference)
    assert np.prod(np.maximum(high - low, 0.0), axis=1).sum() == pytest.approx(left, abs=1e-9)
    inside = (low[:, None] < high[None]).all(axis=2) & (low[None] < high[:, None]).all(axis=2)
    thick = (high > low).all(axis=1)
    assert not (inside & ~np.eye(len(low), dtype=bool))[np.ix_(thick, thick)].any()


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("n", [0, 1, 6])
def test_the_expected_gain_is_that_of_monte_carlo(m, n):
    rng = np.random.default_rng(m)
    front, r = rng.random((n, m)), np.full(m, 0.9)
    mean, variance = rng.random((2, m)), rng.uniform(0.02, 0.1, (2, m))
    found = np.exp(log_ehvi(mean[:, None], variance, Fronts.of([front], r)))
    before = hypervolume(front, r)
    for i in range(2):
        drawn = mean[i] + np.sqrt(variance[i]) * rng.standard_normal((800, m))
        gains = np.array([hypervolume(np.vstack([front, point]), r) - before for point in drawn])
        assert abs(found[i] - gains.mean()) < 4.0 * gains.std() / len(gains) ** 0.5


@pytest.mark.parametrize("m", [2, 3])
def test_slopes_are_those_of_differences(m):
    rng = np.random.default_rng(10 + m)
    several = Fronts.of([rng.random((5, m)), rng.random((2, m))], np.full(m, 0.9))
    mean, variance = rng.random((3, 2, m)), rng.uniform(0.001, 0.1, (3, m))
    mean[2] += 3.0  # far from any gain
    _, by_mean, by_variance = log_ehvi_slopes(mean, variance, several)
    for at, slopes in ((mean, by_mean), (variance, by_variance)):
        for place in np.ndindex(at.shape):
            step = np.zeros_like(at)
            step[place] = 1e-6
            up, down = (
                log_ehvi(*((mean + s * step, variance) if at is mean else (mean, variance + s * step)), several)
                for s in (1.0, -1.0)
            )
            assert slopes[place] == pytest.approx((up - down)[place[0]] / 2e-6, rel=1e-3, abs=1e-4)


def test_a_gain_too_small_for_floats_still_has_a_log_and_a_slope():
    front = Fronts.of([np.array([[0.2, 0.8], [0.8, 0.2]])], np.ones(2))
    mean = np.array([[[9.0, 9.0]], [[8.9, 9.0]]])
    value, by_mean, _ = log_ehvi_slopes(mean, np.full((2, 2), 0.01), front)
    assert np.isfinite(value).all()
    assert value[1] > value[0]
    assert (by_mean < 0.0).all()


def test_four_objectives_are_refused():
    with pytest.raises(ValueError, match="4 objectives"):
        boxes(np.zeros((1, 4)), np.ones(4))


def test_drawn_functions_have_the_posteriors_mean_and_spread():
    rng = np.random.default_rng(0)
    X, y = rng.random((12, 2)), rng.standard_normal(12)
    kernel = ConfigKernel(Layout((0, 0), (False, False)), is_warped=False)
    prior = noise_prior(kernel.prior, 0.05)
    posterior = condition(kernel, fit(kernel, X, y, prior), X, y)
    drawn = Drawn.at(posterior, X, normals(12, 4000, rng))
    elsewhere = rng.random((5, 2))
    for at in (X, elsewhere):
        mean, variance = posterior.predict(at)
        means, rest = drawn.predict(at)
        np.testing.assert_allclose(means.mean(axis=1), mean, atol=1e-3)  # the nugget
        np.testing.assert_allclose(means.var(axis=1) + rest, variance, rtol=0.1, atol=2e-3)
