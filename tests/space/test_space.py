"""``Space``: names, conditions, forbidden regions, configurations, words, JSON."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.domains import Bool, Categorical, Const, Float, Int, Ordinal
from honed.encode import coordinate, coordinates, params_at
from honed.space import Space, feasible_share, random_params, space_from_json
from honed.testing import strategies as honed_st

NETWORK = Space(
    n_layers=Int(1, 3),
    units_0=Ordinal([32, 64]),
    units_1=Ordinal([32, 64]).when(n_layers=[2, 3]),
    units_2=Ordinal([32, 64]).when(n_layers=3),
    optimizer=Categorical(["sgd", "adam"]),
    nesterov=Bool().when(optimizer="sgd", n_layers=1),
)


any_space: Any = Space  # for what type checkers refuse


def too_large(p):
    return p["n_layers"] * p["units_0"] > 100


# ------------------------------------------------------------------------------------------------------- conditions


def test_only_active_parameters_are_kept():
    everything: dict[str, Any] = {
        "n_layers": 2, "units_0": 32, "units_1": 64, "units_2": 64, "optimizer": "sgd", "nesterov": True
    }  # fmt: skip
    assert NETWORK.active(everything) == {"n_layers": 2, "units_0": 32, "units_1": 64, "optimizer": "sgd"}
    assert list(NETWORK.active(dict(reversed(everything.items())))) == ["n_layers", "units_0", "units_1", "optimizer"]
    assert "nesterov" in NETWORK.active(everything | {"n_layers": 1})
    assert "nesterov" not in NETWORK.active(everything | {"n_layers": 1, "optimizer": "adam"})


def test_a_condition_on_an_inactive_parameter_does_not_hold():
    space = Space(a=Bool(), b=Bool().when(a=True), c=Bool().when(b=False))
    assert space.active({"a": False, "b": False, "c": True}) == {"a": False}
    assert not space.is_active("c", {"a": False})


def test_the_next_name_follows_the_space():
    assert NETWORK.next_name({}) == "n_layers"
    assert NETWORK.next_name({"n_layers": 1, "units_0": 32}) == "optimizer"
    assert NETWORK.next_name({"n_layers": 2, "units_0": 32}) == "units_1"
    assert NETWORK.next_name({"n_layers": 1, "units_0": 32, "optimizer": "adam"}) is None


def test_conditions_name_objects_labels_lists_and_tuples():
    space = Space(
        act=Categorical({"relu": max, "gelu": min}),
        kernel=Categorical([(3, 3), (5, 5)]),
        n=Int(1, 9),
        by_object=Bool().when(act=max),
        by_label=Bool().when(act="relu"),
        by_tuple=Bool().when(kernel=(3, 3)),
        by_range=Bool().when(n=range(2, 4)),
        both=Bool().when(act="gelu").when(n=[1, 2]),
    )
    assert space.conditions["by_object"] == space.conditions["by_label"] == {"act": ("relu",)}
    assert space.conditions["by_tuple"] == {"kernel": ("(3, 3)",)}
    assert space.conditions["by_range"] == {"n": (2, 3)}
    assert space.conditions["both"] == {"act": ("gelu",), "n": (1, 2)}


def test_one_and_true_are_different_conditions():
    space = Space(a=Categorical([1, True]), b=Bool().when(a=True))
    assert space.is_active("b", {"a": True})
    assert not space.is_active("b", {"a": 1})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: any_space(lr=0.1), TypeError, "Space: lr=0.1 is no domain; write Float, Int, Categorical or Ordinal"),
        (lambda: Space({"lr": Float(0, 1)}, lr=Float(0, 1)), ValueError, "Space: 'lr' is given twice"),
        (lambda: any_space({3: Float(0, 1)}), TypeError, "Space: the name 3 must be a text"),
        (lambda: Space({"": Float(0, 1)}), TypeError, "Space: the name '' must be a text"),
        (
            lambda: Space(b=Bool().when(a=True), a=Bool()),
            ValueError,
            "Space: 'b' depends on 'a', which does not stand before it; put 'a' first",
        ),
        (
            lambda: Space(a=Int(1, 3), b=Bool().when(a=[3, 4])),
            ValueError,
            "Space: 'b' is active when 'a' is [3, 4], but 4 is not in Int(1..3)",
        ),
        (lambda: Space(a=Int(1, 3), b=Bool().when(a=[])), ValueError, "but that is no value at all"),
        (
            lambda: any_space().forbid("a > b"),
            TypeError,
            "forbid: rule='a > b' must be a function of params, e.g. lambda p:",
        ),
    ],
)
def test_wrong_spaces_are_refused_with_the_fix(make, error, message: str):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


# --------------------------------------------------------------------------------------------------- configurations


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (Space(), 1),
        (Space(a=Int(0, 2), b=Int(0, 2), c=Int(0, 2), d=Int(0, 2)), 81),
        (NETWORK, 2 * 3 + 4 * 2 + 8 * 2),
        (Space(a=Bool(), b=Bool().when(a=True), c=Bool().when(b=False)), 4),
        (Space(a=Const(1), b=Categorical([1, 2, 3], weights=[1, 0, 1])), 3),
        (Space(a=Int(0, 2), b=Int(0, 9)).forbid(lambda p: p["b"] > p["a"]), 6),
        (Space(lr=Float(0, 1)), None),
        (Space(a=Bool(), lr=Float(0, 1).when(a=True)), None),
        (Space({f"x{i}": Int(0, 9) for i in range(20)}), None),
        (Space({f"x{i}": Int(0, 9) for i in range(20)}).forbid(lambda p: False), None),
    ],
)
def test_configurations_are_counted(space: Space, count: int | None):
    assert space.n_configurations() == count
    if count is not None:
        listed = list(space.configurations())
        assert len(listed) == len({tuple(params.items()) for params in listed}) == count


def test_counting_many_switches_does_not_list_them():
    switches = {f"on_{i}": Bool() for i in range(30)}
    space = Space({**switches, **{f"x_{i}": Int(1, 2).when(**{f"on_{i}": True}) for i in range(30)}})
    assert space.n_configurations(most=10**15) == 3**30


@settings(max_examples=30, deadline=None)
@given(space=honed_st.spaces(of=honed_st.finite_domains(), max_size=4))
def test_the_count_is_the_length_of_the_list(space: Space):
    assert space.n_configurations() == sum(1 for _ in space.configurations())


def test_a_grid_of_values_replaces_the_domains():
    space = Space(lr=Float(1e-4, 1, log=True), n=Int(1, 2))
    grid = {"lr": space["lr"].grid(3)}
    assert [tuple(params.values()) for params in space.configurations(grid)] == [
        (1e-4, 1), (1e-4, 2), (0.01, 1), (0.01, 2), (1.0, 1), (1.0, 2)
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ forbidden regions


def test_rules_see_objects_and_skip_what_is_not_active():
    space = Space(act=Categorical({"relu": max, "gelu": min}), n=Int(1, 3).when(act="relu")).forbid(
        lambda p: p["act"] is max and p["n"] == 2
    )
    assert not space.is_allowed({"act": "relu", "n": 2})
    assert space.is_allowed({"act": "relu", "n": 3})
    assert space.is_allowed({"act": "gelu"})
    assert space.is_allowed({"act": "relu"})  # n is not known yet
    assert space.is_allowed({"act": "swish", "n": 2})  # no longer a choice: stays as it is stored
    assert space.is_allowed({"act": "gelu", "elsewhere": 3})


def test_rules_add_up_and_are_told_apart():
    space = NETWORK.forbid(too_large).forbid(lambda p: p["optimizer"] == "adam")
    assert not NETWORK.rules
    assert space.broken_rules({"n_layers": 3, "units_0": 64, "optimizer": "adam"}) == (0, 1)
    assert space.broken_rules({"n_layers": 3, "units_0": 64, "optimizer": "sgd"}) == (0,)
    assert space.broken_rules({"n_layers": 1, "units_0": 32, "optimizer": "sgd"}) == ()


def test_an_error_in_a_rule_is_shown():
    with pytest.raises(ZeroDivisionError):
        Space(a=Int(0, 1)).forbid(lambda p: 1 / p["a"] > 0).is_allowed({"a": 0})


def test_the_feasible_share_is_estimated():
    space = Space(a=Float(0, 100), b=Float(0, 100)).forbid(lambda p: p["a"] + p["b"] > 100)
    assert feasible_share(space, n=4000) == pytest.approx(0.5, abs=0.03)
    assert feasible_share(space, n=50, seed=3) == feasible_share(space, n=50, seed=3)
    assert feasible_share(Space(a=Float(0, 1))) == 1.0


# ------------------------------------------------------------------------------------------------------------- words


def test_a_space_prints_its_parts():
    space = Space(
        lr=Float(1e-4, 1, log=True),
        optimizer=Categorical(["sgd", "adam"]),
        momentum=Float(0, 0.99).when(optimizer="sgd"),
    )
    assert str(space) == (
        "3 parameters, continuous\n"
        "  lr         Float(0.0001..1, log)\n"
        "  optimizer  Categorical('sgd', 'adam')\n"
        "  momentum   Float(0..0.99)  when optimizer is 'sgd'"
    )
    text = str(Space(a=Int(0, 9), b=Int(0, 9)).forbid(lambda p: p["a"] + p["b"] > 9))
    assert text.startswith("2 parameters, 55 configurations\n")
    assert "1 forbidden region, feasible: 5" in text
    assert str(NETWORK).splitlines()[3] == "  units_1    Ordinal(32, 64)  when n_layers is 2 or 3"


# --------------------------------------------------------------------------------------------------------- as values


@settings(max_examples=30, deadline=None)
@given(space=honed_st.spaces())
def test_a_space_survives_json_pickle_and_copy(space: Space):
    text = json.dumps(space.to_json())
    plain = space_from_json(json.loads(text))
    again = pickle.loads(pickle.dumps(plain))
    for other in (plain, again, copy.deepcopy(space)):
        assert other == space
        assert list(other.domains) == list(space.domains)
        assert other.declared == space.declared
        assert str(other) == str(space)


def test_rules_are_kept_by_copies_and_changes():
    space = NETWORK.forbid(too_large)
    assert copy.deepcopy(space).rules == space.rules
    assert space.with_domain("new", Bool()).rules == space.rules
    assert pickle.loads(pickle.dumps(space)).rules == (too_large,)


def test_with_domain_keeps_the_place_and_the_declaration():
    wider = NETWORK.with_domain("units_0", Ordinal([32, 64, 128])).with_domains({"seen": Bool()})
    assert list(wider.domains) == [*NETWORK.domains, "seen"]
    assert wider["units_0"] == Ordinal([32, 64, 128])
    assert wider.declared == NETWORK.declared
    assert "seen" not in NETWORK


def test_a_space_cannot_be_changed():
    with pytest.raises(AttributeError):
        NETWORK.domains = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        NETWORK.domains["x"] = Bool()  # type: ignore[index]


# -------------------------------------------------------------------------------------------------------- coordinates


@settings(max_examples=30, deadline=None)
@given(space=honed_st.spaces(), data=st.data())
def test_points_of_the_cube_are_active_params_and_back(space: Space, data: st.DataObject):
    units = [data.draw(honed_st.UNITS) for _ in space.domains]
    params = params_at(space, units)
    assert space.active(params) == params
    there = dict(zip(space.domains, coordinates(space, params), strict=True))
    for name, coordinate_ in there.items():
        assert (name in params) == (coordinate_ == coordinate_)  # NaN where it is not active


def test_values_that_a_domain_no_longer_has_keep_a_coordinate():
    assert coordinate(Float(0, 1), 1.5) == 1.5
    assert coordinate(Categorical(["a", "b"]), "c") == -1
    assert coordinate(Ordinal([1, 2]), 3) == -1
    assert coordinate(Categorical([0, 1]), True) == -1
    for value in ("a", None, True, -1.0, 0):
        assert math.isnan(coordinate(Float(1e-3, 1, log=True), value))
    assert math.isnan(coordinate(Int(0, 9), 10**400))


def test_random_params_are_reproducible_and_active():
    drawn = list(random_params(NETWORK, 50, seed=1))
    assert drawn == list(random_params(NETWORK, 50, seed=1))
    assert all(NETWORK.active(params) == params for params in drawn)
