"""``Float`` and ``Int``: exact values, densities, round trips, and every refusal."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from honed.domains import Categorical, Domain, Float, Int, domain_from_json
from honed.samplers.base import Stream
from honed.testing import strategies as honed_st

any_float: Any = Float  # for what type checkers refuse
any_int: Any = Int


def draws(domain: Domain, n: int) -> np.ndarray:
    return np.array([domain.decode(Stream(0, i).uniform("x")) for i in range(n)], dtype=float)


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Int(2, 4), [2, 3, 4]),
        (Int(100, 1000, step=100), list(range(100, 1001, 100))),
        (Int(-3, 3, step=3), [-3, 0, 3]),
        (Int(16, 512, factor=2), [16, 32, 64, 128, 256, 512]),
        (Int.pow2(16, 1024), [16, 32, 64, 128, 256, 512, 1024]),
        (Int(8, 64, log=True, step=8), [8, 16, 24, 32, 40, 48, 56, 64]),
        (Float(0, 1, step=0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Float(-0.3, 0.3, step=0.1), [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
        (Float(0, 1, step=1 / 3), [0.0, 0.3333333333333333, 0.6666666666666666, 1.0]),
        (Float(1e-4, 1, factor=10), [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
    ],
)
def test_finite_domains_have_exactly_these_values_and_both_ends(domain: Domain, values: list[float]):
    assert list(domain.grid()) == values
    assert domain.n_values == len(values)
    assert {domain.decode(i / 9999) for i in range(10_000)} == set(values)
    assert all(domain.contains(value) for value in values)
    assert not domain.contains(values[0] + 0.013)


def test_the_grid_of_the_slides_learning_rates_is_five_equal_decades():
    assert Float(1e-4, 1, log=True).grid(5) == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@pytest.mark.parametrize(
    ("domain", "n", "values"),
    [
        (Float(0, 1), 3, (0.0, 0.5, 1.0)),
        (Float(0, 1), 1, (0.5,)),
        (Float(1e-4, 1, log=True), 1, (0.01,)),
        (Float(0, 1), 2, (0.0, 1.0)),
        (Int(1, 9), 3, (1, 5, 9)),
        (Int(1, 3), 9, (1, 2, 3)),
        (Int(1, 9), 1, (5,)),
        (Int(1, 1000, log=True), 4, (1, 10, 100, 1000)),
        (Int.pow2(2, 32), 3, (2, 8, 32)),
        (Float.near_one(0.9, 0.999), 3, (0.9, 0.99, 0.999)),
    ],
)
def test_grids_are_even_on_the_scale_and_hold_both_ends(domain: Domain, n: int, values: tuple[float, ...]):
    assert domain.grid(n) == pytest.approx(values)
    assert len(domain.grid(n)) == len(values)


def test_a_continuous_or_huge_grid_needs_a_number():
    with pytest.raises(ValueError, match=r"needs a number of points on the continuous Float\(0..1\)"):
        Float(0, 1).grid()
    with pytest.raises(ValueError, match=r"Int\(0..1000000\), which has 1,000,001 values"):
        Int(0, 10**6).grid()
    with pytest.raises(ValueError, match="at least one point, got 0"):
        Int(0, 9).grid(0)


# --------------------------------------------------------------------------------------------------------- densities


@pytest.mark.parametrize(
    ("domain", "scale"),
    [
        (Float(-2, 3), lambda x: x),
        (Float(1e-4, 1, log=True), np.log10),
        (Float(1, 100, log="reverse"), lambda x: -np.log(101 - x)),
        (Float.near_one(0.9, 0.9999), lambda x: -np.log(1 - x)),
        (Float(-1, 0.9, log="near_one"), lambda x: -np.log(1 - x)),
    ],
    ids=["linear", "log", "reverse", "near one", "near one from below 0"],
)
def test_draws_are_uniform_on_the_scale(domain: Float, scale):
    low, high = scale(domain.low), scale(domain.high)
    position = (scale(draws(domain, 4000)) - low) / (high - low)
    assert stats.kstest(position, "uniform").pvalue > 0.001


def test_log_integers_are_uniform_in_log10_up_to_rounding():
    counts = np.bincount(draws(Int(1, 100, log=True), 20_000).astype(int), minlength=101)[1:]
    k = np.arange(1, 101)
    expected = np.log((k + 0.5) / (k - 0.5)) / np.log(100.5 / 0.5)
    assert stats.chisquare(counts, expected * counts.sum()).pvalue > 0.001


def test_log_with_step_is_log_uniform_over_the_multiples():
    domain = Int(8, 512, log=True, step=8)
    counts = np.bincount((draws(domain, 20_000) / 8).astype(int), minlength=65)[1:]
    k = np.arange(8, 513, 8)
    expected = np.log((k + 4) / (k - 4)) / np.log(516 / 4)
    assert stats.chisquare(counts, expected * counts.sum()).pvalue > 0.001


def test_reverse_and_near_one_crowd_the_top():
    assert np.median(draws(Float(1, 1000, log="reverse"), 2000)) > 960
    assert np.median(draws(Float.near_one(0.9, 0.9999), 2000)) == pytest.approx(0.99684, abs=2e-3)


def test_steps_on_the_near_one_scale_each_own_half_a_step():
    domain = Float(0.5, 0.9, log="near_one", step=0.2)
    edges = -np.log(1 - np.array([0.4, 0.6, 0.8, 0.95]))
    expected = np.diff(edges) / (edges[-1] - edges[0])
    values, counts = np.unique(draws(domain, 20_000), return_counts=True)
    assert values.tolist() == [0.5, 0.7, 0.9]
    assert counts / counts.sum() == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("domain", [Int(2, 4), Int.pow2(16, 1024), Float(0, 1, step=0.25)], ids=str)
def test_steps_and_factors_are_drawn_equally_often(domain: Domain):
    _, counts = np.unique(draws(domain, 9000), return_counts=True)
    assert stats.chisquare(counts).pvalue > 0.001


# ------------------------------------------------------------------------------------------------------- round trips


@settings(max_examples=150, deadline=None)
@given(domain=st.one_of(honed_st.floats(), honed_st.ints()), unit=honed_st.UNITS)
def test_decode_and_encode_are_inverse(domain: Float | Int, unit: float):
    value = domain.decode(unit)
    assert domain.contains(value)
    assert type(value) is (float if isinstance(domain, Float) else int)
    assert domain.to_stored(value) == value
    assert domain.to_object(value) == value
    there = domain.encode(value)
    assert -1e-9 <= there <= 1 + 1e-9
    if domain.n_values is None:
        assert domain.decode(min(max(there, 0.0), 1.0)) == pytest.approx(value, rel=1e-6, abs=1e-9)
    elif domain.n_values < 10**9:
        assert domain.decode(there) == value


@settings(max_examples=80, deadline=None)
@given(domain=honed_st.domains(), data=st.data())
def test_every_domain_survives_json_and_pickle(domain: Domain, data: st.DataObject):
    again = domain_from_json(domain.to_json())
    unit = data.draw(honed_st.UNITS)
    assert again == domain
    assert hash(again) == hash(domain)
    assert str(again) == str(domain)
    assert again.decode(unit) == domain.decode(unit)
    assert again.encode(domain.decode(unit)) == domain.encode(domain.decode(unit))
    assert pickle.loads(pickle.dumps(again)) == domain


@settings(max_examples=80, deadline=None)
@given(domain=st.one_of(honed_st.floats(), honed_st.ints()), units=st.lists(honed_st.UNITS, min_size=2, max_size=5))
def test_decode_is_monotone_and_keeps_both_ends(domain: Float | Int, units: list[float]):
    assert all(a <= b for a, b in pairwise(domain.decode(unit) for unit in sorted(units)))
    assert domain.decode(0.0) == domain.low
    assert domain.decode(1.0) == domain.high


def test_a_range_that_grew_encodes_old_values_by_its_own_scale():
    assert Float(1e-3, 1e-1, log=True).encode(1e-2) == pytest.approx(0.5)
    assert Float(0, 1).encode(2.5) == 2.5
    assert Int(0, 9).encode(-1) == pytest.approx(-0.05)
    assert Int.pow2(4, 16).encode(32) == pytest.approx(3.5 / 3)
    assert math.isnan(Float(1e-3, 1, log=True).encode(-1.0))


# ------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (Float(1e-4, 1, log=True), "Float(0.0001..1, log)"),
        (Float(0, 0.5, step=0.1), "Float(0..0.5, step=0.1)"),
        (Float.near_one(0.9, 0.9999), "Float(0.9..0.9999, log='near_one')"),
        (Int(1, 1_000_000), "Int(1..1000000)"),
        (Int(100, 1000, step=100), "Int(100..1000, step=100)"),
        (Int.pow2(16, 64), "Int(16..64, factor=2)"),
    ],
)
def test_domains_read_well(domain: Domain, text: str):
    assert str(domain) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1, 0), "Float: low=1 is above high=0; swap them"),
        (lambda: Int(3, 3), "Int: low and high are both 3; a fixed value is Const(3)"),
        (lambda: Float(0, 1, log=True), "Float: low=0 with log=True; a log scale starts above 0, e.g. low=1e-5"),
        (lambda: Int(0, 9, log="reverse"), "Int: low=0 with log='reverse'; a log scale starts above 0, e.g. low=1e-5"),
        (lambda: Float.near_one(0.9, 1), "Float: high=1 with log='near_one'; it must stay below 1, e.g. high=0.9999"),
        (lambda: Int(1, 9, log="near_one"), "Int: log='near_one' is for numbers below 1; use Float"),
        (lambda: any_float(0, 1, log="ln"), "Float: log='ln' is unknown; use True, 'reverse' or 'near_one'"),
        (
            lambda: Int(100, 1000, step=40),
            "step 40 from 100 tops out at 980, not 1000; write high=980, or a step that reaches 1000",
        ),
        (
            lambda: Float(0, 1, step=0.3),
            "Float(0..1): step 0.3 from 0 tops out at 0.9, not 1; write high=0.9, or a step that reaches 1",
        ),
        (
            lambda: Int(16, 100, factor=2),
            "Int(16..100): factor 2 from 16 tops out at 64, not 100; write high=64, or a factor that reaches 100",
        ),
        (lambda: Float(1e9, 1e9 + 1, step=0.3), "tops out at 1000000000.9, not 1000000001"),
        (lambda: Int(1, 9, step=0), "Int: step=0 must be above 0"),
        (lambda: Float(0, 1, step=-0.1), "Float: step=-0.1 must be above 0"),
        (lambda: Float(0, 1, step=1e-300), "values; leave the step out"),
        (lambda: Float(1e-5, 1, factor=1.00001), "values; write log=True instead"),
        (lambda: Int(1, 8, factor=1), "Int: factor=1 must be above 1; factor=2 doubles from value to value"),
        (lambda: Int(0, 8, factor=2), "Int: low=0 with factor=2; start above 0"),
        (lambda: Float(1, 8, factor=2, log=True), "Float: factor=2 is a log scale already; leave log out"),
        (lambda: Int(1, 8, factor=2, step=2), "Int: step=2 and factor=2 exclude each other; choose one"),
        (lambda: Int.pow2(16, 1000), "Int.pow2: high=1000 is no power of two; write one of 1, 2, 4, 8, 16, ..."),
        (lambda: Float(0, math.inf), "Float: high=inf must be finite; write the largest value you would try"),
        (lambda: Float(math.nan, 1), "Float: low=nan must be finite"),
        (lambda: Int(0, 10**400), "must be finite; write the largest value you would try"),
        (lambda: Int(0, 2**60), "is beyond 2**53, where numbers have gaps; use Float(..., log=True)"),
        (lambda: any_int(0, 1.5), "Int: high=1.5 is not a whole number; round it or use Float"),
        (lambda: Float(0, 1).to_stored(2), "2 is not in Float(0..1)"),
        (lambda: Int(0, 9, step=3).to_stored(4), "4 is not in Int(0..9, step=3)"),
        (lambda: Int(0, 9).to_stored(True), "True is not in Int(0..9)"),
        (lambda: Int(0, 9).to_stored(10**400), "is not in Int(0..9)"),
        (lambda: Float(0, 1).to_stored("high"), "'high' is not in Float(0..1)"),
        (lambda: Float(0, 1).when(), "Float(0..1).when() got no condition; write .when(optimizer='SGD')"),
        (lambda: domain_from_json({"type": "wavelet"}), "domain type 'wavelet' is unknown to this version"),
    ],
)
def test_wrong_ranges_and_values_are_refused_with_the_fix(make, message: str):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: any_float("a", 1), "Float: low='a' is not a number"),
        (lambda: any_float(0, None), "Float: high=None is not a number"),
        (lambda: any_int(None, 3), "Int: low=None is not a number"),
        (lambda: any_int(0, 3, step=None), "Int: step=None is not a number"),
        (lambda: Int(False, True), "Int: low=False is not a number; False or True is Bool()"),
    ],
)
def test_what_is_no_number_is_refused(make, message: str):
    with pytest.raises(TypeError) as caught:
        make()
    assert message in str(caught.value)


def test_numbers_come_in_many_clothes():
    assert any_float("1e-4", 1) == Float(1e-4, 1.0)
    assert any_int(np.int64(1), 9.0) == Int(1, 9)
    assert Float(0, 1).to_stored(np.float32(0.5)) == 0.5
    assert type(Float(0, 1).to_stored(1)) is float
    assert Int(0, 9).to_stored(3.0) == 3
    assert type(Int(0, 9).to_stored("3")) is int
    assert Float(0, 1, step=0.1).to_stored(0.1 + 0.2) == 0.3
    assert not Float(0, 1).contains(math.nan)
    assert not Float(0, 1).contains("0.5")
    assert not Float(0, 1).contains(True)
    assert not Int(0, 9).contains(10**400)


def test_domains_are_values():
    assert Float(0, 1) != Float(0, 2)
    assert Float(1, 2) != Float(1, 2, log=True)
    assert Int(0, 4, step=2) != Int(0, 4)
    assert len({Int(1, 3), Int(1, 3), Int(1, 4)}) == 2
    assert any_int(1, 2) != Categorical([1, 2])
    with pytest.raises(AttributeError):
        Int(1, 3).low = 2  # type: ignore[misc]
