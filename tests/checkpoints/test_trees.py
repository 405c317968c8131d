"""Trees of data come back exactly, or are refused with the place of what cannot be kept."""

from __future__ import annotations

import math
import struct
import tempfile
from collections import Counter, OrderedDict, defaultdict, deque
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from honed.checkpoints.trees import ARRAYS, DOCUMENT, TENSORS, Packer, read
from honed.errors import CannotBeKept

# ------------------------------------------------------------------------------------------------------- exactness


def there_and_back(tree: Any) -> Any:
    with tempfile.TemporaryDirectory() as name:
        packer = Packer()
        packer.write(Path(name), {"tree": packer.pack(tree, "tree")})
        document, unpacker = read(Path(name))
        return unpacker.unpack(document["tree"])


def assert_same(a: Any, b: Any, path: str = "tree") -> None:
    """Equal in types, order and every bit."""
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert len(a) == len(b), path
        for (i, x), (j, y) in zip(a.items(), b.items(), strict=True):
            assert_same(i, j, f"a key of {path}")
            assert_same(x, y, f"{path}[{i!r}]")
    elif isinstance(a, (list, tuple, deque)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    elif isinstance(a, float) and not isinstance(a, np.generic):
        assert struct.pack("d", a) == struct.pack("d", b), path
    elif isinstance(a, complex) and not isinstance(a, np.generic):
        assert struct.pack("dd", a.real, a.imag) == struct.pack("dd", b.real, b.imag), path
    elif isinstance(a, (np.ndarray, np.generic)):
        assert a.dtype == b.dtype, path
        assert a.shape == b.shape, path
        assert a.tobytes() == b.tobytes(), path
    else:
        assert a == b, path


text = st.text(st.characters(codec=None), max_size=8)
dtypes = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?"),
    npst.complex_number_dtypes(endianness="?"),
    npst.datetime64_dtypes(endianness="?"),
    npst.timedelta64_dtypes(endianness="?"),
    npst.byte_string_dtypes(max_len=4),
    npst.unicode_string_dtypes(max_len=4),
)
arrays = npst.arrays(dtypes | npst.nested_dtypes(), npst.array_shapes(min_dims=0, min_side=0, max_side=3))
keys = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), text, st.binary(max_size=4))
leaves = st.one_of(keys, st.floats(), st.complex_numbers(), arrays, arrays.map(lambda array: array.ravel()[:1].sum() if
                   array.dtype.kind in "iufc" else array.size))  # fmt: skip


def containers(parts: st.SearchStrategy) -> st.SearchStrategy:
    some = st.lists(parts, max_size=4)
    mappings = st.dictionaries(keys | st.tuples(keys, keys), parts, max_size=4)
    return st.one_of(
        some,
        some.map(tuple),
        some.map(lambda items: deque(items, maxlen=5)),
        mappings,
        st.dictionaries(text | st.just("$"), parts, max_size=4),
        mappings.map(OrderedDict),
        mappings.map(lambda items: defaultdict(list, items)),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(leaves, containers, max_leaves=12))
def test_every_tree_comes_back(tree):
    assert_same(there_and_back(tree), tree)


def test_what_json_would_mix_up():
    tree = {
        "int": 1,
        1: "one",
        "1": "text",
        "true": [True, 1, 1.0],
        "tuple": (1, (2, [3, ()])),
        "floats": [0.1, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e308],
        "big": [2**63, -(2**63), 10**6000, True],
        "pairs": ["\ud83d\ude00", "😀", "\udcff", "\x00"],
        "bytes": b"\x00\xff",
        "$": {"$": "tuple", "items": []},
        "none": None,
    }
    assert_same(there_and_back(tree), tree)


def test_sets_counters_and_default_dicts():
    tree = [{1, 2}, frozenset({"a"}), Counter("abca"), defaultdict(dict, {1: {}}), defaultdict(None, {2: 3})]
    back = there_and_back(tree)
    assert_same(back, tree)
    assert back[3].default_factory is dict
    assert back[4].default_factory is None
    assert there_and_back(deque([1], maxlen=3)).maxlen == 3


@pytest.mark.parametrize(
    "scalar",
    [
        np.float32(0.1),
        np.float64(-0.0),
        np.float16("nan"),
        np.longdouble("0.1"),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.complex64(1 + 2j),
        np.str_("naïve"),
        np.str_(""),
        np.bytes_(b"x"),
        np.datetime64("2026-01-01T00:00:01", "ms"),
        np.timedelta64("NaT"),
        np.void(b"abc"),
        np.zeros(1, [("a", "<i4"), ("b", ">f8", (2,))])[0],
    ],
    ids=repr,
)
def test_numpy_scalars_keep_their_type(scalar):
    assert_same(there_and_back(scalar), scalar)


def test_arrays_keep_their_order_in_memory():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    back = there_and_back([array, array[:, ::2]])
    assert back[0].flags.f_contiguous
    assert_same(back[1], np.array([[0, 2], [3, 5]]))


def test_an_array_at_two_places_is_one_again():
    array = np.arange(3)
    back = there_and_back({"a": array, "b": [array], "c": array.copy()})
    assert back["a"] is back["b"][0]
    assert back["a"] is not back["c"]


def test_files_are_there_only_if_they_are_needed(tmp_path):
    packer = Packer()
    packer.write(tmp_path, {"tree": packer.pack({"a": [1, (2,)]}, "tree")})
    assert [path.name for path in tmp_path.iterdir()] == [DOCUMENT]


# ----------------------------------------------------------------------------------------------- what is not kept


class Level(IntEnum):
    LOW = 1


class Pair(NamedTuple):
    x: int


class Sub(dict): ...


def looping() -> list:
    items: list = []
    items.append({"again": items})
    return items


def deep(n: int) -> list:
    return [deep(n - 1)] if n else []


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"fn": len}, "it['fn'] is the function len. A checkpoint keeps data"),
        ({"fn": lambda: 0}, "it['fn'] is the function <lambda>"),
        ({"a": [1, (2, object())]}, "it['a'][1][1] is an object"),
        ({"a": {3: open}}, "it['a'][3] is the function open"),
        ({(1, print): 2}, "the key (1, <built-in function print>) of it[1] is the function print"),
        ([Level.LOW], "it[0] is a Level"),
        ([Pair(1)], "it[0] is a Pair"),
        (Sub(), "it is a Sub"),
        ([np.array([None])], "it[0] is an array of dtype object"),
        ([np.zeros(2, [("a", "O")])], "is an array of dtype [('a', 'O')]"),
        ([np.ma.masked_array([1])], "it[0] is a MaskedArray"),
        (defaultdict(lambda: 0), "it.default_factory is the function <lambda>"),
        (int, "it is a type"),
        (looping(), "it[0]['again'] contains itself"),
        (deep(300), "lies 200 levels deep"),
        ([np.random.default_rng(1)], "it[0] is a Generator"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_be_kept_is_named(tree, words):
    with pytest.raises(CannotBeKept) as error:
        Packer().pack(tree, "it")
    assert words in str(error.value)


# ------------------------------------------------------------------------------------------------------- with torch


def test_tensors_come_back():
    torch = pytest.importorskip("torch")
    weight = torch.arange(6.0).reshape(2, 3)
    tree = {
        "float": weight,
        "half": weight.to(torch.bfloat16),
        "float8": weight.to(torch.float8_e4m3fn),
        "bool": weight > 2,
        "uint16": torch.tensor([60000], dtype=torch.uint16),
        "complex": weight.to(torch.complex64),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 3),
        "transposed": weight.T,
        "channels_last": torch.randn(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "expanded": torch.ones(1).expand(3),
        "nan": torch.tensor([math.nan, -0.0]),
        "sparse": torch.eye(3).to_sparse(),
        "others": [torch.Size([2, 3]), torch.float32, torch.device("cuda:1"), torch.device("cpu")],
    }
    back = there_and_back(tree)
    assert back["others"] == tree["others"]
    assert type(back["others"][0]) is torch.Size
    for name, tensor in tree.items():
        if name in {"others", "sparse"}:
            continue
        assert back[name].dtype == tensor.dtype, name
        assert back[name].shape == tensor.shape, name
        assert back[name].stride() == tensor.stride(), name
        assert back[name].contiguous().view(-1).tolist().__repr__() == tensor.contiguous().view(-1).tolist().__repr__()
    assert torch.equal(back["sparse"].to_dense(), torch.eye(3))


def test_a_part_of_a_large_tensor_takes_little_room(tmp_path):
    torch = pytest.importorskip("torch")
    large = torch.zeros(1_000_000)
    packer = Packer()
    packer.write(tmp_path, {"tree": packer.pack([large[:3], large[:3], large[1:4]], "tree")})
    assert (tmp_path / TENSORS).stat().st_size < 10_000
    assert not (tmp_path / ARRAYS).exists()


def test_the_same_tensor_is_kept_once():
    torch = pytest.importorskip("torch")
    weight = torch.ones(3)
    back = there_and_back({"a": weight, "tied": weight.detach(), "other": weight.clone()})
    assert back["a"] is back["tied"]
    assert back["a"] is not back["other"]


def test_tensors_without_values_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(CannotBeKept, match=r"it\['w'\] is an UninitializedParameter, no plain tensor with values"):
        Packer().pack(torch.nn.LazyLinear(3).state_dict() and {"w": torch.nn.LazyLinear(3).weight}, "it")
    with pytest.raises(CannotBeKept, match="on the meta device"):
        Packer().pack(torch.zeros(3, device="meta"), "it")
