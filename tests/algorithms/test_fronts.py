"""The good part of points with several losses: fronts against their definition, volumes against exact ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from honed.algorithms.fronts import directions, first_front, good_part, volumes
from honed.algorithms.genetic import ranks
from honed.algorithms.hypervolume import hypervolume


class TestFronts:
    @pytest.mark.parametrize("m", [1, 2, 3, 5])
    def test_the_first_front_is_what_no_point_beats(self, m: int) -> None:
        rng = np.random.default_rng(m)
        for _ in range(20):
            F = rng.integers(0, 6, (40, m)).astype(float)  # many ties
            assert sorted(first_front(F)) == np.flatnonzero(ranks(F) == 0).tolist()

    def test_whole_fronts_come_first(self) -> None:
        F = np.random.default_rng(0).random((200, 2))
        found = ranks(F)
        chosen, weights = good_part(F, 60)
        assert len(set(chosen.tolist())) == len(weights) == 60
        last = found[chosen].max()
        assert set(np.flatnonzero(found < last)) < set(chosen.tolist())
        assert weights.mean() == pytest.approx(1.0)
        assert weights.min() >= 0.5

    def test_infinite_and_equal_losses_are_survived(self) -> None:
        F = np.array([[0.0, np.inf], [-np.inf, 1.0], [1.0, 1.0], [1.0, 1.0]])
        for n in range(1, 5):
            chosen, weights = good_part(F, n)
            assert len(set(chosen.tolist())) == n
            assert np.isfinite(weights).all()
        assert good_part(np.ones((5, 2)), 2)[1].tolist() == [1.0, 1.0]


class TestVolumes:
    def test_a_cut_front_covers_nearly_what_the_best_subset_does(self) -> None:
        angles = np.random.default_rng(1).random(12) * np.pi / 2
        F = 1.0 - np.stack([np.cos(angles), np.sin(angles)], axis=1)
        reference = F.max(axis=0) + 0.1 * np.ptp(F, axis=0)
        best = max(hypervolume(F[list(rows)], reference) for rows in itertools.combinations(range(12), 4))
        assert hypervolume(F[good_part(F, 4)[0]], reference) > 0.95 * best

    @pytest.mark.parametrize("m", [2, 3, 4])
    def test_means_over_directions_grow_with_the_exact_volume(self, m: int) -> None:
        rng = np.random.default_rng(m)
        clouds = [np.concatenate([np.zeros((1, m)), np.ones((1, m)), rng.random((4, m)) ** 0.3]) for _ in range(20)]
        exact = np.array([hypervolume(F[2:], np.full(m, 1.1)) for F in clouds])
        sketched = np.array([volumes(F)[2:].max(axis=0).mean() for F in clouds])
        np.testing.assert_allclose(sketched / exact, (sketched / exact).mean(), rtol=0.25)

    def test_directions_are_positive_and_of_length_one(self) -> None:
        for m in (2, 3, 6):
            assert (directions(m) > 0.0).all()
            np.testing.assert_allclose(np.linalg.norm(directions(m), axis=1), 1.0)

    def test_thousands_of_points_in_many_objectives_are_thinned(self) -> None:
        F = np.random.default_rng(2).random((4_000, 5))
        F[17] = 0.0
        chosen, _ = good_part(F, 10)
        assert 17 in chosen
        assert len(set(chosen.tolist())) == 10
