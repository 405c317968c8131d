"""Checkpoints made by somebody else on purpose: nothing in them runs, and they are called damaged."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.checkpoints.states import kind_of, restore_states, save_states
from honed.checkpoints.trees import ARRAYS, DOCUMENT, TENSORS
from honed.errors import CheckpointDamaged, CheckpointTooNew

torch = pytest.importorskip("torch")


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Notes:
    def __init__(self) -> None:
        self.state: Any = {"a": np.arange(3), "t": torch.ones(2)}

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.state = state


@pytest.fixture
def saved(tmp_path) -> Path:
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    save_states(directory, {"notes": Notes()}, step=3)
    return directory


@pytest.fixture
def bomb(tmp_path):
    bomb = Bomb(tmp_path / "exploded")
    yield bomb
    assert not bomb.path.exists()


def assert_refused(directory: Path) -> None:
    before, notes = torch.get_rng_state(), Notes()
    state = notes.state
    with pytest.raises(CheckpointDamaged, match="is damaged: "):
        restore_states(directory, {"notes": notes})
    assert notes.state is state
    assert torch.equal(torch.get_rng_state(), before)


def as_torch(value: Any, path: Path) -> None:
    torch.save(value, path)


def as_pickle(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def as_old_torch(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def test_the_bomb_would_explode(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize("write", [as_torch, as_pickle, as_old_torch])
@pytest.mark.parametrize("wrap", [lambda bomb: bomb, lambda bomb: [torch.ones(2), bomb]], ids=["alone", "in a list"])
def test_a_pickle_in_place_of_tensors(saved, bomb, write: Callable[[Any, Path], None], wrap):
    write(wrap(bomb), saved / TENSORS)
    assert_refused(saved)


@pytest.mark.parametrize("value", [{}, [1, 2], (), torch.ones(3), [torch.ones(2)] * 100])
def test_something_else_in_place_of_tensors(saved, value):
    torch.save(value, saved / TENSORS)
    assert_refused(saved)


def test_an_array_of_objects(saved, bomb):
    np.savez(saved / ARRAYS, **{str(i): np.array([bomb, None]) for i in range(9)})  # type: ignore[arg-type]
    assert_refused(saved)


def test_a_pickle_in_place_of_arrays(saved, bomb):
    as_pickle(bomb, saved / ARRAYS)
    assert_refused(saved)
    with zipfile.ZipFile(saved / ARRAYS, "w") as file:
        for i in range(9):
            file.writestr(f"{i}.npy", pickle.dumps(bomb))
    assert_refused(saved)
    inner = io.BytesIO()
    np.save(inner, np.array([bomb, None]))
    (saved / ARRAYS).write_bytes(inner.getvalue())
    assert_refused(saved)


@pytest.mark.parametrize("name", [DOCUMENT, ARRAYS, TENSORS])
def test_every_truncation(saved, name):
    whole = (saved / name).read_bytes()
    for length in {*range(0, len(whole), max(1, len(whole) // 50)), len(whole) - 2, len(whole) - 1}:
        (saved / name).write_bytes(whole[:length])
        assert_refused(saved)
    (saved / name).unlink()
    assert_refused(saved)


NODES: list[Any] = [
    {"$": "tensor", "at": 99},
    {"$": "tensor", "at": -1},
    {"$": "tensor", "at": "0"},
    {"$": "array", "at": True},
    {"$": "array"},
    {"$": "exec", "code": "1"},
    {"$": ["dict"]},
    {"$": "torch.dtype", "name": "load"},
    {"$": "torch.dtype", "name": "__class__"},
    {"$": "torch.device", "name": "nowhere"},
    {"$": "scalar", "dtype": "O", "hex": "00" * 8},
    {"$": "scalar", "dtype": "V8", "hex": "00" * 8},
    {"$": "scalar", "dtype": "<f8", "hex": "00"},
    {"$": "scalar", "dtype": "<f8", "hex": "no"},
    {"$": "float", "bits": "00"},
    {"$": "int", "hex": "__import__('os')"},
    {"$": "dict", "items": [[[], 1]]},
    {"$": "dict", "items": [[1]]},
    {"$": "dict", "items": 3},
    {"$": "set", "items": [[]]},
    {"$": "default", "items": [], "factory": "eval"},
    {"$": "deque", "items": [], "maxlen": "x"},
    {"$": "str", "hex": "00"},
]


@pytest.mark.parametrize("node", NODES, ids=str)
def test_nodes_that_nobody_writes(saved, node):
    document = json.loads((saved / DOCUMENT).read_text())
    document["objects"]["notes"]["state"] = [node]
    (saved / DOCUMENT).write_text(json.dumps(document))
    assert_refused(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "3"},
        {"step": True},
        {"objects": []},
        {"objects": {"notes": 3}},
        {"objects": {"notes": {}}},
        {"format": None},
        {"arrays": "many"},
        {"tensors": None},
        {"arrays": 1000},
        {"random": 3},
        {"random": {}},
        {"random": {"python": [1, 2, 3]}},
    ],
    ids=str,
)
def test_documents_that_nobody_writes(saved, changes):
    document = json.loads((saved / DOCUMENT).read_text())
    (saved / DOCUMENT).write_text(json.dumps({**document, **changes}))
    with pytest.raises(CheckpointDamaged):
        restore_states(saved, {"notes": Notes()})


@pytest.mark.parametrize("make", [np.random.MT19937, np.random.Philox])
def test_positions_outside_of_a_generators_state(saved, make):
    """NumPy would read memory that is not the generator's."""
    rng = np.random.Generator(make(1))
    state: Any = rng.bit_generator.state
    part, name = (state["state"], "pos") if "pos" in state["state"] else (state, "buffer_pos")
    for position in (-1, 10**6):
        part[name] = position
        with pytest.raises(ValueError, match=f"{name}={position} lies outside of a generator's state"):
            kind_of(rng).put(rng, state)
    part[name] = 1
    kind_of(rng).put(rng, state)


@pytest.mark.parametrize("raw", ["", "null", "[]", "3", "[" * 100_000, "{" * 1000, '{"arrays": 1e999}'])
def test_documents_that_are_none(saved, raw):
    (saved / DOCUMENT).write_text(raw)
    assert_refused(saved)


def test_states_of_a_later_honed(saved):
    document = json.loads((saved / DOCUMENT).read_text())
    (saved / DOCUMENT).write_text(json.dumps({**document, "format": 2}))
    with pytest.raises(CheckpointTooNew, match=r"format 2, this one knows 1.*pip install -U honed"):
        restore_states(saved, {"notes": Notes()})
