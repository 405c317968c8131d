"""The first slice grows where it tells nothing of what follows."""

from __future__ import annotations

from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.start import adapted
from honed.history import History
from honed.records import Start
from tests.freeze_thaw.built import Curve, history_of

FULL = 100


def crossing(n: int, *, until: int, turns: int) -> History:
    """Curves whose order is turned round after ``turns`` steps; trained up to ``until``."""
    curves = [
        Curve(i / n, [(i if step <= turns else n - i) + 1.0 / step for step in range(1, until + 1)], n_steps=FULL)
        for i in range(n)
    ]
    return history_of(*curves)


def test_values_that_tell_the_order_leave_the_slice_as_it_is() -> None:
    assert adapted(crossing(12, until=20, turns=50), 5, FULL) == 5


def test_it_doubles_while_the_order_turns_up_to_a_quarter_of_a_training() -> None:
    assert adapted(crossing(12, until=20, turns=5), 5, FULL) == 10
    assert adapted(crossing(12, until=40, turns=15), 5, FULL) == 5  # 5 and 10 agree
    assert adapted(crossing(12, until=40, turns=15), 10, FULL) == 20
    assert adapted(crossing(12, until=40, turns=15), 10, 79) == 10


def test_a_few_trials_say_nothing() -> None:
    assert adapted(crossing(7, until=20, turns=5), 5, FULL) == 5
    assert adapted(crossing(12, until=9, turns=5), 5, FULL) == 5


def test_new_trials_get_the_longer_slice() -> None:
    history = crossing(12, until=20, turns=5)
    assert FreezeThaw(n_startup=13).next(history) == Start(until=10)
    assert FreezeThaw(n_startup=13, min_steps=5).next(history) == Start(until=5)
