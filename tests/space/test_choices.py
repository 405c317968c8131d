"""``Categorical`` and ``Ordinal``: labels are stored, objects come back."""

from __future__ import annotations

import enum
import functools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from honed.domains import Bool, Categorical, Const, Domain, Ordinal, domain_from_json
from honed.samplers.base import Stream

any_choices: Any = Categorical  # for what type checkers refuse


class Relu:
    """A choice that is a class."""


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Word(str):
    """A text of its own kind."""


def activation(x: float) -> float:
    return x


@pytest.mark.parametrize(
    ("choice", "label"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("adam", "adam"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (Relu, "Relu"),
        (activation, "activation"),
        (max, "max"),
        (np.tanh, "tanh"),
        (Color.RED, "RED"),
        (Word("w"), "w"),
        (np.float64(0.25), 0.25),
        (np.int32(4), 4),
        (np.bool_(True), True),
        ((3, 3), "(3, 3)"),
        ((3,), "(3,)"),
        ([64, "x"], "[64, 'x']"),
        ((Relu, 3), "(Relu, 3)"),
        ({"a": [1, None]}, "{'a': [1, None]}"),
        (frozenset({"b", "a"}), "{'a', 'b'}"),
        (b"raw", "b'raw'"),
        (range(3), "range(0, 3)"),
    ],
)
def test_choices_have_stable_labels(choice, label):
    domain = Categorical([choice, "another"])
    assert domain.labels[0] == label
    assert type(domain.labels[0]) is type(label)
    assert domain.to_stored(choice) == label
    assert domain.to_object(domain.labels[0]) is choice


def test_sets_have_the_same_label_in_every_process():
    code = "from honed.domains import Categorical; print(Categorical([{'a', 'b', 'c'}, 1]).labels)"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert seen == {b"(\"{'a', 'b', 'c'}\", 1)\n"}


@pytest.mark.parametrize(
    "choice", [lambda x: x, object(), functools.partial(max, key=lambda x: x), (1, lambda: 0), {"f": object()}]
)
def test_what_has_no_stable_label_is_refused(choice):
    with pytest.raises(
        ValueError, match=r"Categorical: choice 1 \(.*\) has no stable label; write \{'label': object\}"
    ):
        Categorical(["a", choice])
    assert Categorical({"a": "a", "mine": choice}).to_object("mine") is choice


def test_a_local_class_is_named_without_its_surroundings():
    class Gelu:
        pass

    assert Categorical([Relu, Gelu]).labels == ("Relu", "Gelu")


def test_a_mapping_gives_each_object_its_label():
    domain = Categorical({"relu": max, "gelu": min, "adam": "relu"})
    assert domain.to_object("gelu") is min
    assert domain.to_stored(min) == "gelu"
    assert domain.to_stored("relu") == "relu"  # labels go before objects
    assert domain.decode(0.99) == "adam"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Categorical([]), ValueError, "Categorical: no choices; give at least one"),
        (lambda: Categorical("abc"), TypeError, "Categorical: choices='abc' must be a list of choices"),
        (lambda: any_choices(3), TypeError, "must be a list of choices or a mapping from label to choice"),
        (lambda: any_choices({1: "a"}), TypeError, "Categorical: label 1 must be a string"),
        (lambda: Categorical(["a", "a"]), ValueError, "Categorical: 'a' stands twice among the choices; remove one"),
        (lambda: Categorical(["max", max]), ValueError, "'max' stands twice among the choices"),
        (lambda: Ordinal([32, 64, 32]), ValueError, "Ordinal: 32 stands twice among the choices"),
        (lambda: Ordinal([32]), ValueError, "Ordinal: 32 is the only choice; a fixed value is Const(32)"),
        (lambda: Ordinal([1, 2]).grid(0), ValueError, "a grid needs at least one point, got 0"),
        (
            lambda: Categorical([1, 2], weights=[1]),
            ValueError,
            "Categorical: 1 weights for 2 choices; give one for each",
        ),
        (lambda: Categorical([1, 2], weights=[1, -1]), ValueError, "must not be negative, and not all 0"),
        (lambda: Categorical([1, 2], weights=[0, 0]), ValueError, "must not be negative, and not all 0"),
        (lambda: Categorical([1, 2], weights=[1, float("nan")]), ValueError, "weights=nan must be finite"),
        (lambda: any_choices([1, 2], weights=["a", 1]), TypeError, "weights='a' is not a number"),
        (lambda: Categorical(["a", "b"]).to_stored("c"), ValueError, "'c' is not in Categorical('a', 'b')"),
        (lambda: Categorical([0, 1]).to_stored(True), ValueError, "True is not in Categorical(0, 1)"),
        (lambda: Bool().to_stored(1), ValueError, "1 is not in Categorical(False, True)"),
        (lambda: Categorical(["a"]).to_stored([1]), ValueError, "[1] is not in Categorical('a')"),
        (lambda: Categorical(["a"]).to_stored(np.zeros(2)), ValueError, "is not in Categorical('a')"),
    ],
)
def test_wrong_choices_are_refused_with_the_fix(make, error, message: str):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


def test_numbers_and_bools_are_different_choices():
    assert Categorical([0, 1]) != Categorical([False, True])
    assert Categorical([1]) != Categorical([1.0])
    mixed = Categorical([1, True, 1.0, "1"])
    assert [mixed.encode(label) for label in mixed.labels] == [0, 1, 2, 3]
    assert [mixed.to_stored(value) is value for value in mixed.labels] == [True] * 4
    assert not Categorical([0, 1]).contains(True)
    assert Categorical([0.5, 1.0]).to_stored(1) == 1.0
    assert Categorical(["a", "b"]).to_stored(np.str_("b")) == "b"
    assert Categorical([0.5, 2]).to_stored(np.int64(2)) == 2


def test_objects_that_cannot_be_compared_are_found_by_identity():
    array = np.arange(3)
    domain = Categorical({"a": array, "b": np.zeros(3)})
    assert domain.to_stored(array) == "a"
    assert Categorical({"x": {"k": 1}, "y": {"k": 2}}).to_stored({"k": 2}) == "y"


def test_labels_come_back_from_json_without_their_objects():
    domain = Categorical({"relu": max, "gelu": min}, weights=[1, 3])
    again = domain_from_json(domain.to_json())
    assert again == domain
    assert again.to_object("relu") == "relu"


def test_weights_are_how_often_choices_are_drawn():
    domain = Categorical(["a", "b", "c"], weights=[1, 0, 3])
    drawn = [domain.decode(Stream(0, i).uniform("x")) for i in range(4000)]
    assert stats.chisquare([drawn.count("a"), drawn.count("c")], [1000, 3000]).pvalue > 0.001
    assert "b" not in drawn
    assert Categorical(["a", "b"], weights=[1, 0]).decode(1.0) == "a"
    assert Categorical(["a", "b"], weights=[0, 1]).decode(0.0) == "b"
    assert domain.grid() == ("a", "b", "c")


def test_choices_without_weights_are_drawn_equally_often():
    for domain in (Categorical(list("abcd")), Ordinal([1, 2, 4, 8])):
        drawn = [domain.decode(Stream(1, i).uniform("x")) for i in range(4000)]
        assert stats.chisquare([drawn.count(label) for label in domain.labels]).pvalue > 0.001


def test_ordinals_keep_their_order_as_distance():
    domain = Ordinal([32, 64, 128, 256, 512])
    assert [domain.encode(label) for label in domain.labels] == [0, 0.25, 0.5, 0.75, 1]
    assert [domain.decode(domain.encode(label)) for label in domain.labels] == list(domain.labels)
    assert domain.grid(3) == (32, 128, 512)
    assert domain.grid(1) == (128,)
    assert domain.grid() == domain.grid(9) == (32, 64, 128, 256, 512)
    assert Ordinal({"low": 1, "high": 9}).to_object("high") == 9


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (Bool(), "Categorical(False, True)"),
        (Const("mnist"), "Categorical('mnist')"),
        (Ordinal(["low", "high"]), "Ordinal('low', 'high')"),
        (Categorical(list(range(20))), "Categorical(0, 1, 2, 3, 4, 5, 6, 7, ... 20 in all)"),
    ],
)
def test_choices_read_well(domain: Domain, text: str):
    assert str(domain) == text
