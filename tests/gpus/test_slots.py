"""How many trials fit on some cards."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.gpus import Card, Slot, n_slots
from honed.gpus.slots import UNITS, units_of

FOUR = tuple(Card(id=str(i), key=str(i)) for i in range(4))


@pytest.mark.parametrize(
    ("per_trial", "expected"),
    [(1, 4), (1.0, 4), (2, 2), (3, 1), (4, 1), (5, 0), (0.5, 8), (0.3, 12), (1 / 3, 12), (0.3333, 12), (0.34, 8),
     (0.25, 16), (0.2, 20), (0.1, 40), (0.6, 4), (0.99, 4), (0.01, 400)],
)  # fmt: skip
def test_shares_stay_inside_a_card_and_whole_numbers_group_cards(per_trial: float, expected: int) -> None:
    assert n_slots(FOUR, per_trial) == expected


@given(st.floats(0.01, 1.0))
def test_the_slots_of_a_card_never_need_more_than_the_card(per_trial: float) -> None:
    n = n_slots(FOUR[:1], per_trial)
    assert n * units_of(per_trial) <= UNITS
    assert n >= math.floor(1 / per_trial) - (per_trial < 0.1)


@pytest.mark.parametrize("n", range(1, 11))
def test_equal_shares_lose_nothing(n: int) -> None:
    assert n * units_of(1 / n) == UNITS


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (1.5, "a share never spans two GPUs, use 1 or 2"),
        (2.25, "use 2 or 3"),
        (0, "leave it out to use no GPU"),
        (-1, "must be a whole number of GPUs"),
        (0.001, "a share of one between 0.01 and 1"),
        (math.nan, "must be a whole number of GPUs"),
        (math.inf, "must be a whole number of GPUs"),
    ],
)
def test_other_numbers_are_refused_with_the_reason(wrong: float, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        n_slots(FOUR, wrong)
    assert f"gpus_per_trial={wrong!r}" in str(caught.value)


@pytest.mark.parametrize("wrong", [True, "1", None])
def test_what_is_no_number_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="gpus_per_trial="):
        n_slots(FOUR, wrong)  # type: ignore[arg-type]


def test_a_slot_says_what_its_process_may_see() -> None:
    amd = Card(id="1", key="x", kind="rocm")
    assert Slot(FOUR[:2]).environment == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert Slot((amd,), 0.5).environment == {"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "1"}
    assert Slot(FOUR[:1], has_order=True).environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
