"""The dominated volume against inclusion and exclusion, and against what is known in closed form."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.algorithms.hypervolume import contributions, hypervolume, reference_of


def by_inclusion_and_exclusion(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume of a union of boxes, by its definition."""
    total = 0.0
    for k in range(1, len(points) + 1):
        for chosen in combinations(points, k):
            total -= (-1) ** k * float(np.prod(np.clip(reference - np.max(chosen, axis=0), 0.0, None)))
    return total


@st.composite
def sets_of_points(draw) -> np.ndarray:
    """Few points with few different values: many ties, equal and dominated points, some beyond the reference."""
    m, n = draw(st.integers(1, 5)), draw(st.integers(0, 7))
    value = st.one_of(st.integers(0, 4).map(float), st.floats(-1.0, 5.0, allow_nan=False))
    return np.array(draw(st.lists(st.lists(value, min_size=m, max_size=m), min_size=n, max_size=n))).reshape(n, m)


@settings(max_examples=150, deadline=None)
@given(sets_of_points())
def test_volume_is_that_of_a_union_of_boxes(points):
    reference = np.full(points.shape[1], 4.0)
    assert hypervolume(points, reference) == pytest.approx(by_inclusion_and_exclusion(points, reference), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(sets_of_points())
def test_a_contribution_is_what_is_lost_without_the_point(points):
    reference = np.full(points.shape[1], 4.0)
    whole = hypervolume(points, reference)
    lost = [whole - hypervolume(np.delete(points, i, axis=0), reference) for i in range(len(points))]
    assert contributions(points, reference) == pytest.approx(lost, abs=1e-6)


@pytest.mark.parametrize("m", [2, 3, 4, 5])
def test_larger_fronts_agree_with_counted_points(m):
    rng = np.random.default_rng(m)
    points = rng.random((30, m))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    drawn = rng.random((10_000, m))
    counted = float(np.mean(np.any(np.all(drawn[:, None] >= points, axis=2), axis=1)))
    assert hypervolume(points, np.ones(m)) == pytest.approx(counted, abs=0.025)


def test_points_that_do_not_beat_the_reference_and_nan_count_nothing():
    points = np.array([[1.0, 1.0], [3.0, 0.0], [0.0, 3.0], [np.nan, 0.0], [0.0, np.nan], [np.inf, 0.0]])
    assert hypervolume(points, np.array([3.0, 3.0])) == 4.0
    assert contributions(points, np.array([3.0, 3.0])).tolist() == [4.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert hypervolume(np.empty((0, 3)), np.ones(3)) == 0.0


def test_the_usual_reference_lies_a_tenth_beyond_the_worst():
    points = np.array([[0.0, 5.0], [10.0, 5.0], [np.nan, 0.0], [np.inf, 1e9]])
    assert reference_of(points).tolist() == [11.0, 5.5]
    assert reference_of(np.empty((0, 2))).tolist() == [0.0, 0.0]


def test_wrong_shapes_and_references_are_refused():
    with pytest.raises(ValueError, match="shape"):
        hypervolume(np.zeros((3, 2)), np.ones(3))
    with pytest.raises(ValueError, match="finite"):
        hypervolume(np.zeros((3, 2)), np.array([1.0, np.inf]))
