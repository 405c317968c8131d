"""Selecting the best of noisy means: coverage of the set, intervals, shares of further measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.algorithms.selection import difference, half_widths, maybe_best, shares, t_quantile

ALPHA = 0.05


def measured(draw: np.random.Generator, truth: np.ndarray, sd: np.ndarray, n: int) -> tuple[Any, Any, Any]:
    values = truth[:, None] + sd[:, None] * draw.standard_normal((len(truth), n))
    return values.mean(axis=1), values.var(axis=1, ddof=1), np.full(len(truth), n)


@pytest.mark.parametrize(
    ("p", "freedom", "value"), [(0.975, 4, 2.7764451), (0.95, 1, 6.3137515), (0.975, 1e9, 1.9599640)]
)
def test_quantiles_are_those_of_published_tables(p: float, freedom: float, value: float) -> None:
    assert t_quantile(p, freedom) == pytest.approx(value)
    assert t_quantile(p, 0.5) == np.inf


def test_an_interval_is_the_one_of_the_textbook() -> None:
    widths = half_widths(np.array([0.04, 0.0, 0.0]), np.array([5, 5, 1]), ALPHA)
    assert widths.tolist() == pytest.approx([2.7764451 * 0.2 / np.sqrt(5), 0.0, np.inf])


def test_differences_have_the_freedom_of_welch() -> None:
    variances, counts = np.array([0.04, 0.01]), np.array([5, 8])
    freedom = (0.008 + 0.00125) ** 2 / (0.008**2 / 4 + 0.00125**2 / 7)
    expected = float(t_quantile(0.95, freedom)) * np.sqrt(0.008 + 0.00125)
    assert difference(variances, counts, 0, 0.05)[1] == pytest.approx(expected)
    assert difference(np.zeros(2), np.array([3, 3]), 0, 0.05).tolist() == [0.0, 0.0]
    assert difference(np.zeros(2), np.array([3, 1]), 0, 0.05)[1] == np.inf


@pytest.mark.parametrize("gaps", [[0, 0, 0, 0], [0, 0.3, 0.3, 0.3], [0, 1, 1, 2], [0, 3, 3, 3]])
@pytest.mark.parametrize("sds", [[1, 1, 1, 1], [0.2, 1, 1, 3]])
def test_the_set_has_the_truly_best_one_at_the_stated_confidence(gaps: list[float], sds: list[float]) -> None:
    """Whatever the gaps and unequal noises; 0.95 less three standard errors of 1,000 simulations."""
    draw = np.random.default_rng(1)
    truth, sd = np.array(gaps, dtype=float), np.array(sds, dtype=float)
    kept = [maybe_best(*measured(draw, truth, sd, 5), ALPHA) for _ in range(1000)]
    assert np.mean([found[0] for found in kept]) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert all(found.any() for found in kept)


def test_clear_gaps_leave_one() -> None:
    draw = np.random.default_rng(2)
    sizes = [maybe_best(*measured(draw, np.array([0.0, 6, 7]), np.ones(3), 5), ALPHA).sum() for _ in range(200)]
    assert np.mean(np.array(sizes) == 1) > 0.95


def test_shares_are_those_of_the_paper() -> None:
    """N_i ~ (s_i / delta_i)^2 and N_b = s_b sqrt(sum N_i^2 / s_i^2), for many measurements."""
    means, sd, counts = np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 1.0, 2.0, 1.0]), np.full(4, 1000)
    total = counts + shares(means, sd**2, counts, 1_000_000)
    ratio = np.array([0.0, 1.0, 1.0, 1 / 16])
    ratio[0] = np.sqrt((ratio[1:] ** 2 / sd[1:] ** 2).sum())
    assert total / total.sum() == pytest.approx(ratio / ratio.sum(), abs=1e-5)


def test_shares_find_the_best_more_often_than_equal_ones() -> None:
    draw = np.random.default_rng(3)
    truth = np.array([0.0, 0.5, 1.5, 3.0, 4.0, 5.0])
    right = np.zeros(2)
    for _ in range(1500):
        first = [truth[i] + draw.standard_normal(4) for i in range(6)]
        means, variances = np.array([f.mean() for f in first]), np.array([f.var(ddof=1) for f in first])
        for way, more in enumerate((shares(means, variances, np.full(6, 4), 24), np.full(6, 4))):
            final = [np.concatenate([f, truth[i] + draw.standard_normal(more[i])]).mean() for i, f in enumerate(first)]
            right[way] += int(np.argmin(final)) == 0
    assert right[0] > right[1] + 50


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(2, 50)), min_size=2, max_size=8),
    st.integers(1, 100),
)
def test_all_measurements_are_shared_out(candidates: list[tuple[float, float, int]], n_more: int) -> None:
    means, variances, counts = (np.array(column) for column in zip(*candidates, strict=True))
    more = shares(means, variances, counts, n_more)
    assert more.sum() == n_more
    assert (more >= 0).all()
    assert maybe_best(means, variances, counts, ALPHA)[int(np.argmin(means))]
