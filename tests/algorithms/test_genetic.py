"""Ranks, crowding and niches against their definitions; crossover and mutation within bounds and of the right spread."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from honed.algorithms.genetic import (
    crossover,
    crowding,
    dominates,
    merit,
    mutate,
    ranks,
    reference_directions,
    select,
    select_by_niche,
)


@st.composite
def losses(draw) -> np.ndarray:
    """Points with many ties, and infinities."""
    m, n = draw(st.integers(1, 4)), draw(st.integers(0, 12))
    value = st.one_of(st.integers(0, 3).map(float), st.sampled_from([-np.inf, np.inf, 1e308, -1e308, 5e-324]))
    return np.array(draw(st.lists(st.lists(value, min_size=m, max_size=m), min_size=n, max_size=n))).reshape(n, m)


def beats(a: np.ndarray, b: np.ndarray) -> bool:
    return all(a <= b) and any(a < b)


@settings(max_examples=100, deadline=None)
@given(losses())
def test_ranks_are_those_of_the_definition(F):
    found = ranks(F)
    left = list(range(len(F)))
    rank = 0
    while left:
        front = [i for i in left if not any(beats(F[j], F[i]) for j in left)]
        assert all(found[i] == rank for i in front)
        left = [i for i in left if i not in front]
        rank += 1


@example(F=np.array([[0.0, np.inf], [1.0, 2.0], [2.0, 1.0], [np.inf, 0.0]]), n=1)
@settings(max_examples=60, deadline=None)
@given(F=losses(), n=st.integers(0, 12))
def test_whole_fronts_stay_first(F, n):
    found = ranks(F)
    for chosen in (select(F, n), select_by_niche(F, n)):
        assert len(set(chosen.tolist())) == len(chosen) == min(n, len(F))
        if len(chosen):
            worst = found[chosen].max()
            assert set(np.flatnonzero(found < worst)) <= set(chosen.tolist())


def test_constraints_come_before_objectives():
    F = np.array([[9.0, 9.0], [0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    V = np.array([0.0, 2.0, 0.5, -1.0])
    assert ranks(F, V).tolist() == [1, 3, 2, 0]  # a negative violation is none
    assert select(F, 3, V).tolist() == [3, 0, 2]
    assert select_by_niche(F, 3, V).tolist() == [3, 0, 2]
    assert not dominates(F, np.ones(4)).any()  # all violate equally much


def test_crowding_is_the_share_of_the_range_between_the_neighbours():
    F = np.array([[0.0, 10.0], [1.0, 8.0], [4.0, 4.0], [10.0, 0.0]])
    assert crowding(F).tolist() == [np.inf, pytest.approx(0.4 + 0.6), pytest.approx(0.9 + 0.8), np.inf]
    assert crowding(np.array([[1.0, 1.0]])).tolist() == [np.inf]
    assert np.isinf(crowding(np.zeros((5, 2)))[[0, -1]]).all()  # all equal: no division by zero
    assert select(F, 3).tolist() == [0, 3, 2]


def test_the_merit_of_a_point_counts_its_own_front_only():
    F = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0], [3.0, 3.0]])
    found, distance = merit(F)
    assert found.tolist() == [0, 0, 0, 1]
    assert distance.tolist() == [np.inf, 2.0, np.inf, np.inf]


@pytest.mark.parametrize(("m", "n"), [(1, 5), (2, 50), (3, 50), (4, 50), (5, 20), (6, 50), (10, 50)])
def test_reference_directions_are_spread_over_the_simplex(m, n):
    found = reference_directions(m, n)
    assert len(found) <= max(n, 2 * m)
    assert np.allclose(found.sum(axis=1), 1.0)
    assert (found >= 0.0).all()
    assert np.allclose(found.mean(axis=0), 1.0 / m)
    assert len(np.unique(found.round(9), axis=0)) == len(found)
    if m == 3:
        assert len(found) == comb(8 + 2, 2)


def test_niches_keep_a_front_spread_out():
    angles = np.concatenate([np.linspace(0.0, 0.1, 50), np.linspace(0.2, np.pi / 2, 12)])
    F = np.column_stack([np.cos(angles), 3.0 * np.sin(angles)])  # crowded at one end, and stretched
    kept = select_by_niche(F, 12)
    assert np.count_nonzero(kept >= 50) >= 8
    assert {0, 61} <= set(kept.tolist())


def test_children_surround_their_parents_and_stay_within_bounds():
    rng = np.random.default_rng(0)
    a, b = np.full(20_000, 0.3), np.full(20_000, 0.6)
    first, second = crossover(a, b, 20.0, rng)
    assert np.allclose(first + second, 0.9, atol=1e-3)
    assert ((first >= 0.0) & (first <= 1.0)).all()
    assert 0.45 < np.mean(np.isin(first, [0.3, 0.6])) < 0.55  # half of the coordinates are not crossed
    assert np.abs(np.minimum(first, second) - 0.3).mean() < 0.02
    narrow, wide = (np.std(crossover(a, b, eta, rng)[0]) for eta in (50.0, 2.0))
    assert wide > narrow
    same, again = crossover(a, a, 20.0, rng)
    assert (same == a).all()
    assert (again == a).all()
    for edge in (np.zeros(500), np.ones(500)):
        for child in crossover(edge, rng.random(500), 1.0, rng):
            assert ((child >= 0.0) & (child <= 1.0)).all()


def test_mutation_changes_the_share_of_coordinates_and_stays_within_bounds():
    rng = np.random.default_rng(0)
    x = rng.random(20_000)
    changed = mutate(x, 20.0, 0.1, rng)
    assert 0.09 < np.mean(changed != x) < 0.11
    assert np.abs(changed - x)[changed != x].mean() < 0.1
    for edge in (np.zeros(1000), np.ones(1000)):
        moved = mutate(edge, 1.0, 1.0, rng)
        assert ((moved >= 0.0) & (moved <= 1.0)).all()
        assert (moved != edge).mean() > 0.3
