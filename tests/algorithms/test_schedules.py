"""Schedules of learning rates: what is kept of them, and how far a training is by them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from honed.algorithms.curve_kernels import time_of
from honed.algorithms.curve_times import CurveTimes
from honed.algorithms.schedules import CELLS, kept_schedule, progress_of


def sums(rates: list[float]) -> list[float]:
    return [sum(rates[:t]) / sum(rates) for t in range(len(rates) + 1)]


@pytest.mark.parametrize("name", ["linear", "cosine", "one-cycle"])
def test_progress_is_the_sum_of_learning_rates(name: str) -> None:
    n = 6400
    shares = [(t + 0.5) / n for t in range(n)]
    rates = {
        "linear": [1 - s for s in shares],
        "cosine": [0.5 * (1 + math.cos(math.pi * s)) for s in shares],
        "one-cycle": [
            0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * s / 0.3))
            if s < 0.3
            else 0.5 * (1 + math.cos(math.pi * (s - 0.3) / 0.7))
            for s in shares
        ],
    }[name]
    kept = kept_schedule(name, 27)
    assert kept == name
    assert progress_of(kept) == pytest.approx(sums(rates)[:: n // CELLS], abs=1e-4)


def test_listed_rates_are_kept_as_progress() -> None:
    rates = [1.0] * 5 + [0.1] * 5
    kept = kept_schedule(rates, 10)
    assert kept == pytest.approx(sums(rates), abs=1e-6)
    found = progress_of(kept)
    assert found is not None
    assert found[CELLS // 2] == pytest.approx(5 / 5.5, abs=1e-6)
    long = kept_schedule(np.linspace(1.0, 0.0, 5000).tolist(), 5000)
    assert isinstance(long, list)
    assert len(long) == CELLS + 1  # however long a training is
    assert progress_of(long) == pytest.approx(progress_of("linear"), abs=1e-3)


def test_a_constant_rate_is_no_schedule() -> None:
    assert kept_schedule(None, 27) is kept_schedule("constant", 27) is kept_schedule([0.1] * 27, 27) is None
    assert progress_of(None) is progress_of("unheard of") is progress_of([]) is None


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("cosin", "'cosine'"),
        ([1.0, 0.5], "2 factors for n=3 steps"),
        ([1.0, -0.5, 0.1], "0 or more"),
        ([1.0, math.nan, 0.1], "finite"),
        ([0.0, 0.0, 0.0], "one above 0"),
        (0.1, "must be a name"),
        (["a", "b", "c"], "must be a name"),
    ],
)
def test_wrong_schedules_are_refused(schedule: object, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        kept_schedule(schedule, 3)  # type: ignore[arg-type]


def test_times_of_lengths_that_are_alike_are_as_ever() -> None:
    steps = np.array([1, 9, 27])
    assert CurveTimes.alike(27, 3).of(np.arange(3), steps).tolist() == time_of(steps, 27).tolist()
    assert CurveTimes.alike(27).of_new(np.array([27])).tolist() == [1.0]


def test_time_is_half_progress_and_half_logarithm() -> None:
    cosine = progress_of("cosine")
    assert cosine is not None
    times = CurveTimes(81, 27, np.array([9, 81, 81]), np.array([0, 0, -1]), cosine[None], 0)
    u = times.of(np.array([0, 1, 2, 2]), np.array([9, 81, 81, 9]))
    assert u == pytest.approx([1.0, 1.0, 1.0, math.log(10) / math.log(82)])
    halfway = float(times.of_new(np.array([13.5]), np.array([27]))[0])
    assert halfway == pytest.approx(0.5 * math.log(14.5) / math.log(28) + 0.5 * (0.5 + 1 / math.pi), abs=1e-6)
