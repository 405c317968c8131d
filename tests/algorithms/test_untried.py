"""Points that were not tried: by their rounded coordinates, in their order, each once."""

from __future__ import annotations

import numpy as np

from honed.algorithms.optimize_acquisition import untried


def plain(points, tried):
    known, kept = {np.round(row, 9).tobytes() for row in tried}, []
    for row in points:
        text = np.round(row, 9).tobytes()
        if text not in known:
            known.add(text)
            kept.append(row)
    return np.array(kept).reshape(-1, points.shape[1])


def test_untried_is_the_plain_form_with_repeats_rounding_and_inactive_coordinates() -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(0, 3, (200, 4)) / 3.0
    points[rng.random(points.shape) < 0.2] = np.nan
    points += rng.choice([0.0, 1e-12], points.shape)
    tried = points[rng.integers(0, 200, 30)] + 1e-12
    for known in (tried, tried[:0]):
        assert np.array_equal(untried(points, known), plain(points, known), equal_nan=True)
    assert len(untried(points[:0], tried)) == 0


def test_a_space_without_columns_has_one_point() -> None:
    nothing = np.zeros((3, 0))
    assert untried(nothing, nothing[:0]).shape == (1, 0)
    assert untried(nothing, nothing).shape == (0, 0)


def test_points_in_any_order_of_memory_and_zeros_of_either_sign() -> None:
    tried = np.array([[0.0, 1.0], [0.5, 0.5]])
    points = np.asfortranarray([[-0.0, 1.0]])
    assert not len(untried(points, np.asfortranarray(tried)))
    assert np.array_equal(untried(np.asfortranarray([[0.5, 1.0]]), np.asfortranarray(tried)), [[0.5, 1.0]])
