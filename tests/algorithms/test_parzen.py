"""Parzen densities against plain loops, integrals and known shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from honed.algorithms.parzen import (
    Choices,
    Columns,
    Floats,
    draw,
    features,
    log_kernels,
    log_sums,
    make_kernels,
    neighbour_widths,
)

MIXED = Columns(np.array([0, 2, 3]), (Choices(1, np.array([0.5, 0.3, 0.2])), Choices(4, np.array([0.25, 0.75]))))
NUMERIC = Columns(slice(None), ())


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _slow(columns: Columns, point: Floats, widths: Floats, x: Floats) -> float:
    """The density of one kernel at one candidate, one column after the other."""
    density = 1.0
    numeric = range(len(point)) if isinstance(columns.numeric, slice) else columns.numeric.tolist()
    for i, column in enumerate(numeric):
        if math.isnan(x[column]) or math.isnan(point[column]):
            continue
        s, mu = widths[i], point[column]
        mass = _phi((1.0 - mu) / s) - _phi(-mu / s)
        density *= math.exp(-0.5 * ((x[column] - mu) / s) ** 2) / (s * math.sqrt(2.0 * math.pi) * mass)
    for one in columns.choices:
        at = x[one.column]
        if math.isnan(at):
            continue
        prior, mine = float(one.prior[int(at)]), point[one.column]
        if math.isnan(mine) or mine < 0:
            density *= prior
        else:
            density *= (1.0 - columns.mix) * (mine == at) + columns.mix * prior
    return density


def _mixed(rng: np.random.Generator, n: int, missing: float) -> Floats:
    points = rng.random((5, n))
    points[1], points[4] = rng.integers(0, 3, n), rng.integers(0, 2, n)
    points[rng.random((5, n)) < missing] = np.nan
    return points


class TestDensities:
    @pytest.mark.parametrize("missing", [0.0, 0.3])
    @pytest.mark.parametrize("missing_in_candidates", [0.0, 0.3])
    def test_they_equal_a_loop_over_kernels_and_columns(self, missing: float, missing_in_candidates: float) -> None:
        rng = np.random.default_rng(1)
        points = _mixed(rng, 40, missing)
        points[1, 1] = -1.0  # a choice that is no more
        widths, weights = rng.uniform(0.03, 1.0, (3, 40)), rng.random(40) + 0.1
        kernels = make_kernels(points, widths, weights, MIXED, 0.7)
        candidates = _mixed(rng, 25, missing_in_candidates)
        found = np.exp(log_kernels([kernels], features(MIXED, candidates)))
        assert (kernels.size, len(found)) == (41, 41)
        assert kernels.mass == pytest.approx(weights.sum() + 0.7)
        prior = np.full(5, np.nan)
        for i, x in enumerate(candidates.T):
            for k, point in enumerate(points.T):
                expected = weights[k] * _slow(MIXED, point, widths[:, k], x)
                assert found[k, i] == pytest.approx(expected, rel=1e-10, abs=1e-12)
            assert found[40, i] == pytest.approx(0.7 * _slow(MIXED, prior, np.ones(3), x), rel=1e-10)

    def test_blocks_add_up_and_groups_stay_apart(self) -> None:
        rng = np.random.default_rng(2)
        points, widths, weights = rng.random((4, 30)), rng.uniform(0.05, 1.0, (4, 30)), rng.random(30) + 0.1
        right = features(NUMERIC, rng.random((4, 20)))
        whole = log_sums(log_kernels([make_kernels(points, widths, weights, NUMERIC)], right), [30])
        parts = [
            make_kernels(points[:, part], widths[:, part], weights[part], NUMERIC) for part in (slice(9), slice(9, 30))
        ]
        np.testing.assert_allclose(log_sums(log_kernels(parts, right), [30]), whole, rtol=1e-12)
        apart = log_sums(log_kernels(parts, right), [9, 21])
        np.testing.assert_allclose(np.logaddexp(*apart), whole[0], rtol=1e-12)

    def test_each_column_of_a_kernel_integrates_to_one(self) -> None:
        x = (np.arange(20_000) + 0.5)[None] / 20_000
        points = np.array([[0.0, 0.3, 0.999, 1.0, np.nan]])
        kernels = make_kernels(points, np.array([[0.03, 0.1, 0.03, 1.0, 1.0]]), np.ones(5), NUMERIC, 1.0)
        np.testing.assert_allclose(np.exp(log_kernels([kernels], features(NUMERIC, x))).mean(axis=1), 1.0, rtol=1e-6)
        choices = Columns(np.array([], dtype=np.int64), (Choices(0, np.array([0.5, 0.3, 0.2])),))
        points = np.array([[0.0, 1.0, 2.0, -1.0, np.nan]])
        kernels = make_kernels(points, np.ones((0, 5)), np.ones(5), choices, 1.0)
        table = np.exp(log_kernels([kernels], features(choices, np.arange(3.0)[None])))
        np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-12)

    def test_a_prior_alone_is_uniform(self) -> None:
        kernels = make_kernels(np.empty((3, 0)), np.empty((3, 0)), np.empty(0), NUMERIC, 2.0)
        candidates = np.random.default_rng(0).random((3, 7))
        np.testing.assert_allclose(log_sums(log_kernels([kernels], features(NUMERIC, candidates)), [1]), math.log(2.0))
        units = np.random.default_rng(1).random((4, 9))
        np.testing.assert_array_equal(draw(kernels, np.ones(1), units)[0], units[:3])

    def test_hundreds_of_sharp_columns_neither_overflow_nor_vanish(self) -> None:
        rng = np.random.default_rng(3)
        points = rng.random((600, 5))
        kernels = make_kernels(points, np.full((600, 5), 0.01), np.ones(5), NUMERIC)
        right = features(NUMERIC, np.concatenate([points, rng.random((600, 5))], axis=1))
        (densities,) = log_sums(log_kernels([kernels], right), [5])
        assert np.isfinite(densities).all()
        assert densities[:5].min() > 1_000.0
        assert densities[:5].min() > densities[5:].max()


class TestWidths:
    def test_they_are_the_larger_distance_to_a_neighbour(self) -> None:
        points = np.array([[0.5, 0.1, 0.6], [0.9, 0.2, 0.3]])
        expected = np.array([[0.4, 0.4, 0.1], [0.6, 0.1, 0.6]])
        np.testing.assert_allclose(neighbour_widths(points, 0.01), expected)
        leasts = np.array([[0.5], [0.2]])
        np.testing.assert_allclose(neighbour_widths(points, leasts), np.maximum(expected, leasts))

    def test_points_that_lack_a_column_are_no_neighbours(self) -> None:
        points = np.array([[0.5, np.nan, 0.1, 0.2], [0.25, np.nan, np.nan, np.nan]])
        widths = neighbour_widths(points, 0.01)
        np.testing.assert_allclose(widths[0, [0, 2, 3]], [0.3, 0.1, 0.3])
        assert widths[1, 0] == 0.75  # alone: to the farther end
        assert np.isfinite(make_kernels(points, widths, np.ones(4), NUMERIC).left).all()

    def test_equal_points_keep_the_least_width(self) -> None:
        np.testing.assert_allclose(neighbour_widths(np.full((2, 4), 0.3), 0.03), 0.03)
        np.testing.assert_allclose(neighbour_widths(np.array([[0.3]]), 0.03), 0.7)
        assert neighbour_widths(np.empty((2, 0)), 0.03).shape == (2, 0)
        assert neighbour_widths(np.empty((0, 3)), 0.03).shape == (0, 3)


class TestDraws:
    def test_they_follow_the_density(self) -> None:
        rng = np.random.default_rng(4)
        points = np.array([[0.05, 0.9], [0.0, 2.0]])
        columns = Columns(np.array([0]), (Choices(1, np.array([0.2, 0.3, 0.5])),))
        kernels = make_kernels(points, np.array([[0.1, 0.3]]), np.ones(2), columns, 1.0)
        shares = np.array([0.5, 0.3, 0.2])
        drawn, chosen = draw(kernels, shares, rng.random((3, 40_000)))
        np.testing.assert_allclose(np.bincount(chosen) / 40_000, shares, atol=0.01)
        assert 0.0 <= drawn[0].min() <= drawn[0].max() <= 1.0
        for k, point in enumerate([*points.T, np.full(2, np.nan)]):
            mine = drawn[:, chosen == k]
            grid = (np.arange(2_000) + 0.5) / 2_000
            width = [0.1, 0.3, 1.0][k]
            density = [_slow(columns, point, np.array([width]), np.array([x, np.nan])) for x in grid]
            assert mine[0].mean() == pytest.approx(float(np.mean(grid * density)), abs=0.01)
            table = [_slow(columns, point, np.array([width]), np.array([np.nan, c])) for c in range(3)]
            np.testing.assert_allclose(np.bincount(mine[1].astype(int), minlength=3) / mine.shape[1], table, atol=0.02)
