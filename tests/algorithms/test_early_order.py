"""The rank correlation of early and final values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from honed.algorithms.early_order import early_order, ranks, spearman


@pytest.mark.parametrize("seed", range(5))
def test_it_is_spearmans_correlation_where_all_have_finished(seed: int):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, 20).astype(float), rng.standard_normal(20)  # with ties
    expected = stats.spearmanr(a, b).statistic
    assert spearman(a, b) == pytest.approx(expected)
    assert early_order(a, b).rho == pytest.approx(expected)


def test_nan_is_worst_and_constant_columns_say_nothing():
    assert ranks(np.array([2.0, np.nan, 1.0])).tolist() == [1.0, 2.0, 0.0]
    assert math.isnan(spearman(np.ones(4), np.arange(4.0)))
    order = early_order(np.ones(4), np.arange(4.0))
    assert math.isnan(order.rho)
    assert order.n == 4


def test_the_correction_undoes_that_only_the_best_have_finished():
    corrected, plain = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        final = rng.standard_normal(90)
        early = 0.8 * final + 0.6 * rng.standard_normal(90)
        best = np.argsort(early)[:20]
        late = np.full(90, np.nan)
        late[best] = final[best]
        corrected.append(early_order(early, late).rho)
        plain.append(spearman(early[best], final[best]))
    assert np.mean(plain) < 0.5
    assert 0.6 < np.mean(corrected) < 0.9


def test_curves_that_turn_round_stay_poor_whatever_was_selected():
    early = np.arange(60.0)
    late = np.full(60, np.nan)
    late[:12] = -np.arange(12.0)
    order = early_order(early, late)
    assert order.rho == pytest.approx(-1.0)
    assert order.upper < 0.3
