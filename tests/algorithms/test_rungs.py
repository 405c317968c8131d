"""The arithmetic of halving and stopping against published tables, SciPy and hand results."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from honed.algorithms.rungs import (
    best_of,
    crossing_noise,
    domination_scores,
    geometric_steps,
    halvings,
    hyperband,
    is_same_order,
    kept,
    quantile,
    signed_rank_p,
)

INF = np.inf


@pytest.mark.parametrize(
    ("first", "eta", "full", "steps"),
    [
        (1, 3, 81, (1, 3, 9, 27)),
        (3, 3, 50, (3, 9, 27)),
        (3, 3, 1000, (3, 9, 27, 81, 243, 729)),
        (1, 1.2, 6, (1, 2, 3, 4, 5)),
        (5, 3, 5, ()),
    ],
)
def test_rungs_grow_below_the_full_length(first, eta, full, steps):
    assert geometric_steps(first, eta, full) == steps


def test_a_third_of_27_is_9():
    assert halvings(27, 1 / 3, 4) == (27, 9, 3, 1, 1)
    assert kept(81, 3.0**-4) == 1
    assert kept(2, 1 / 3) == 1


def test_brackets_for_81_steps_as_in_the_paper():
    """Li et al. 2018, table 1 (R = 81, eta = 3)."""
    table = {b.s: list(zip(b.counts, b.steps, strict=True)) for b in hyperband(81, 1, 3)}
    assert table == {
        4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        3: [(34, 3), (11, 9), (3, 27), (1, 81)],
        2: [(15, 9), (5, 27), (1, 81)],
        1: [(8, 27), (2, 81)],
        0: [(5, 81)],
    }


def test_brackets_for_27_steps():
    table = {b.s: list(zip(b.counts, b.steps, strict=True)) for b in hyperband(27, 1, 3)}
    assert table == {
        3: [(27, 1), (9, 3), (3, 9), (1, 27)],
        2: [(12, 3), (4, 9), (1, 27)],
        1: [(6, 9), (2, 27)],
        0: [(4, 27)],
    }


@pytest.mark.parametrize(("full", "first", "eta"), [(50, 3, 3), (100, 1, 4), (7, 2, 2), (1, 1, 3), (3, 1, 1.3)])
def test_brackets_of_any_length_end_at_it_and_shrink(full, first, eta):
    for bracket in hyperband(full, first, eta):
        assert bracket.steps[-1] == full
        assert list(bracket.steps) == sorted(set(bracket.steps))
        assert list(bracket.counts) == sorted(bracket.counts, reverse=True)
        assert bracket.counts[-1] >= 1
        assert bracket.steps[0] >= min(first, full)


def test_best_of_is_the_first_allowed_row_among_the_k_best():
    scores, numbers = np.array([3.0, 1.0, 1.0, 2.0]), np.array([0, 5, 4, 7])
    every = np.ones(4, dtype=bool)
    assert best_of(scores, numbers, every, 1) == 2  # the older of equals
    assert best_of(scores, numbers, numbers != 4, 1) is None
    assert best_of(scores, numbers, numbers != 4, 2) == 1
    assert best_of(scores, numbers, numbers == 7, 2) is None
    assert best_of(scores, numbers, numbers == 7, 3) == 3
    assert best_of(scores, numbers, every, 0) is None
    assert best_of(np.full(4, INF), numbers, every, 4) is None


def test_best_of_agrees_with_sorting():
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 12))
        scores, numbers = rng.integers(0, 4, n).astype(float), rng.permutation(n)
        may, k = rng.random(n) < 0.5, int(rng.integers(0, n + 1))
        top = sorted(range(n), key=lambda i: (scores[i], numbers[i]))[:k]
        assert best_of(scores, numbers, may, k) == next((i for i in top if may[i]), None)


def test_domination_by_front_then_first_objective():
    losses = np.array([[1, 4], [2, 2], [4, 1], [2, 5], [5, 5], [1, np.nan], [2, 2]], dtype=float)
    assert domination_scores(losses).tolist() == [0, 1, 2, 3, 4, INF, 1]


@pytest.mark.parametrize("m", [2, 3])
def test_domination_agrees_with_the_definition(m):
    rng = np.random.default_rng(m)
    losses = rng.integers(0, 5, (60, m)).astype(float)
    left, level = set(range(60)), 0
    fronts: dict[int, int] = {}
    while left:
        front = [
            i for i in left
            if not any((losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in left)
        ]  # fmt: skip
        fronts |= dict.fromkeys(front, level)
        left -= set(front)
        level += 1
    scores = domination_scores(losses)
    for i, j in itertools.combinations(range(60), 2):
        mine, theirs = (fronts[i], losses[i, 0]), (fronts[j], losses[j, 0])
        assert (scores[i] < scores[j], scores[i] == scores[j]) == (mine < theirs, mine == theirs)


def test_quantiles_are_numpys_and_survive_infinity():
    values = np.array([4.0, 1.0, 3.0, 2.0])
    for q in (0, 0.25, 0.5, 0.9, 1):
        assert quantile(values, q) == pytest.approx(np.quantile(values, q))
    assert quantile(np.array([1.0, INF, INF]), 0.5) == INF
    assert quantile(np.array([1.0, INF]), 0) == 1.0
    assert quantile(np.array([INF, INF]), 0.5) == INF


@pytest.mark.parametrize("n", [1, 6, 13, 25])
def test_signed_ranks_agree_with_scipy(n):
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    expected = stats.wilcoxon(differences, alternative="greater", method="exact").pvalue
    assert signed_rank_p(differences) == pytest.approx(expected)


def test_signed_ranks_with_ties_zeros_and_many_pairs():
    assert signed_rank_p(np.zeros(8)) == 1.0
    assert signed_rank_p(np.array([])) == 1.0
    assert signed_rank_p(np.ones(6)) == pytest.approx(2**-6)
    assert signed_rank_p(np.array([INF, INF, 1, 2, 3, 4])) == pytest.approx(2**-6)
    differences = np.array([1, 1, -1, 2, 2, -3], dtype=float)
    ranks = np.array([2, 2, 2, 4.5, 4.5, 6])
    sums = [ranks[np.array(signs)].sum() for signs in itertools.product([False, True], repeat=6)]
    assert signed_rank_p(differences) == pytest.approx(np.mean(np.array(sums) >= 13))
    many = np.random.default_rng(0).normal(0.2, 1, 80)
    expected = stats.wilcoxon(many, alternative="greater", method="approx", correction=True).pvalue
    assert signed_rank_p(many) == pytest.approx(expected, rel=1e-6)


def test_noise_is_taken_from_curves_that_cross_twice():
    once = np.array([[5.0, 3, 1], [4, 2, 3]])
    assert crossing_noise(once) == 0.0
    twice = np.array([[5.0, 2, 4, 3.0], [6, 3, 3, 3.5]])
    assert crossing_noise(twice) == pytest.approx(0.5)
    assert crossing_noise(np.array([[5.0, 2, 4, 3.0], [6, np.nan, 3, 3.5]])) == pytest.approx(0.5)
    assert crossing_noise(np.zeros((1, 4))) == 0.0


def test_orders_are_the_same_up_to_noise():
    numbers = np.arange(3)
    lower, upper = np.array([1.0, 1.1, 2.0]), np.array([0.5, 0.4, 1.0])
    assert not is_same_order(lower, upper, numbers, 0.0)
    assert not is_same_order(lower, upper, numbers, 0.05)
    assert is_same_order(lower, upper, numbers, 0.11)
    assert is_same_order(lower, lower, numbers, 0.0)
