"""Spans of time as people write them, and as they are shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.durations import seconds, shown


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, None),
        (0, 0.0),
        (90, 90.0),
        (0.5, 0.5),
        (math.inf, math.inf),
        ("45s", 45.0),
        ("20m", 1200.0),
        ("20 min", 1200.0),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        (" 1 h 30 m ", 5400.0),
        ("1.5h", 5400.0),
        (".5h", 1800.0),
        ("1d", 86_400.0),
        ("1d2h3m4s", 86_400.0 + 7200 + 180 + 4),
        ("1H", 3600.0),
        ("2 hours", 7200.0),
        ("0s", 0.0),
        ("90", 90.0),
        ("2.5", 2.5),
    ],
)
def test_spans_of_time_are_read(written: float | str | None, expected: float | None) -> None:
    assert seconds(written, "timeout") == expected


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "h", "1h30", "1x", "-1h", "1h-3m", "30m1h", "1h1h", "1..5h", "nan", "nans", "inf", "1e3s", "1h,30m"],
)
def test_other_texts_are_refused_with_the_argument_and_examples(wrong: str) -> None:
    with pytest.raises(ValueError, match="no span of time") as caught:
        seconds(wrong, "timeout")
    assert f"timeout={wrong!r}" in str(caught.value)
    assert '"1h30m"' in str(caught.value)


@pytest.mark.parametrize("wrong", [-1, -0.5, math.nan, -math.inf])
def test_negative_numbers_and_nan_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"grace=.* must be at least 0; write a number of seconds"):
        seconds(wrong, "grace")


@pytest.mark.parametrize("wrong", [True, False, [1], b"1h", 1j])
def test_what_is_neither_number_nor_text_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"grace=.* must be a span of time"):
        seconds(wrong, "grace")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (1, "1 s"),
        (45, "45 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (1200, "20 min"),
        (3599.7, "1 h"),
        (5400, "1 h 30 min"),
        (5430, "1 h 30 min"),
        (86_400, "1 d"),
        (93_600, "1 d 2 h"),
        (math.inf, "no limit"),
    ],
)
def test_spans_of_time_are_shown_in_two_units(span: float, expected: str) -> None:
    assert shown(span) == expected


@given(st.integers(1, 10**7))
def test_what_is_shown_is_read_again_to_two_units(span: int) -> None:
    again = seconds(shown(span), "span")
    assert again is not None
    assert abs(again - span) <= (0 if span < 3600 else 30 if span < 86_400 else 1800)
