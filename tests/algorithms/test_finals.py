"""Final values of trainings that stopped early: from complete ones, in their order, and how uncertain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.algorithms.finals import Curve, predicted

STEPS = np.arange(1, 21)


def falling(end: float, n: int = 20, noise: float = 0.0, seed: int = 0) -> Curve:
    losses = end + 1.0 / STEPS[:n] + noise * np.random.default_rng(seed).standard_normal(n)
    return Curve.of(STEPS[:n], losses, "last")


COMPLETE = [falling(end) for end in (0.1, 0.2, 0.4, 0.8)]
ENDS = np.array([curve.losses[-1] for curve in COMPLETE])


def test_a_stopped_training_is_expected_to_gain_what_complete_ones_gained_from_there() -> None:
    finals, spreads = predicted([falling(0.3, 5), falling(0.6, 2)], COMPLETE, ENDS, 20)
    assert finals == pytest.approx([0.35, 0.65])
    assert spreads == pytest.approx([0.0, 0.0], abs=1e-9)


def test_the_spread_of_the_gains_is_the_uncertainty() -> None:
    noisy = [falling(end, noise=0.1, seed=i) for i, end in enumerate(np.linspace(0.1, 1.0, 30))]
    ends = np.array([curve.losses[-1] for curve in noisy])
    spread = predicted([falling(0.3, 5)], noisy, ends, 20)[1][0]
    assert 0.08 < spread < 0.25  # two values with sd 0.1 each


def test_what_has_reached_the_end_is_known() -> None:
    finals, spreads = predicted([falling(0.3)], COMPLETE, ENDS, 20)
    assert (finals[0], spreads[0]) == (pytest.approx(0.35), 0.0)


def test_with_too_few_complete_trainings_the_curve_speaks_for_itself() -> None:
    finals, spreads = predicted([falling(0.3, 8), falling(0.3, 1)], COMPLETE[:2], ENDS[:2], 20)
    assert 0.3 < finals[0] < 0.3 + 1 / 8
    assert finals[1] == pytest.approx(1.3)  # one report says nothing of the slope
    assert spreads[1] > spreads[0] > 0.0


def test_what_counts_of_a_curve_is_the_studys() -> None:
    steps, losses = np.array([1, 2, 3, 4]), np.array([0.5, np.nan, 0.2, 0.8])
    assert Curve.of(steps, losses, "best").losses.tolist() == [0.5, 0.2, 0.2]
    assert Curve.of(steps, losses, "last").losses.tolist() == [0.5, 0.2, 0.8]
    assert Curve.of(steps, losses, "mean").losses == pytest.approx([0.5, 0.35, 0.5])
    assert Curve.of(steps, losses, "last").at(2) == 0.5
    assert np.isnan(Curve.of(steps, losses, "last").at(0))


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8),
    st.integers(1, 19),
    st.integers(0, 6),
)
def test_trainings_that_stopped_at_the_same_step_keep_their_order(ends: list[float], n: int, n_complete: int) -> None:
    complete = [falling(float(i), noise=0.3, seed=i) for i in range(n_complete)]
    known = np.array([curve.losses[-1] for curve in complete])
    if n_complete < 3:  # then each by its own slope, which is the same here
        n = max(n, 2)
    finals, spreads = predicted([falling(end, n) for end in ends], complete, known, 20)
    assert np.isfinite(finals).all()
    assert (spreads >= 0.0).all()
    order = np.argsort(ends, kind="stable")
    assert (np.diff(finals[order]) >= -1e-6).all()
