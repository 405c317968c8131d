"""Trees of data as three plain files: what can be kept comes back exactly, and nothing that is read can run.

``state_dict()`` of models, optimizers and one's own classes gives trees: dicts, lists, tuples, numbers, strings, arrays,
tensors. Their shape goes to ``states.json``, NumPy arrays to ``arrays.npz`` (read with ``allow_pickle=False``), tensors to
``tensors.pt`` (a flat list, read with ``weights_only=True``). JSON alone forgets too much, so everything that is not a
string, a number, a list or a dict with string keys is an object with a ``"$"`` that says what it was::

    (1, 2)       {"$": "tuple", "items": [1, 2]}
    {0: 1.5}     {"$": "dict", "items": [[0, 1.5]]}
    -inf         {"$": "float", "bits": "fff0000000000000"}
    array        {"$": "array", "at": 3}        the third in arrays.npz
    tensor       {"$": "tensor", "at": 3}       the third in tensors.pt

An array or a tensor that stands at several places of a tree is kept once, and is one object again after reading.
"""

from __future__ import annotations

import json
import math
import operator
import struct
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from honed.errors import CannotBeKept, CheckpointDamaged
from honed.optional import require

DOCUMENT, ARRAYS, TENSORS = "states.json", "arrays.npz", "tensors.pt"
_DEEPEST = 200
_ARRAY_KINDS = "biufcmMSUV"
_SCALAR_KINDS = "biufcmMSU"
_FACTORIES: dict[str, Any] = {kind.__name__: kind for kind in (dict, float, int, list, set, str, tuple)}
_SEQUENCES: dict[type, str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}
_MAPPINGS: dict[type, str] = {dict: "dict", OrderedDict: "ordered", Counter: "counter", defaultdict: "default"}
_WAYS_OUT = (
    "A checkpoint keeps data: numbers, strings, bytes, lists, tuples, dicts, sets, arrays and tensors. Leave it out of the "
    "state and make it again in load_state_dict."
)


def torch_if_loaded() -> Any:
    """The module ``torch`` if the program uses it, else None: asking never imports it."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "Tensor") and hasattr(torch, "save") else None


# ------------------------------------------------------------------------------------------------------- writing


class Packer:
    """Turns trees into JSON and collects their arrays and tensors on the way; ``write`` puts all into a directory."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray[Any, Any]] = []
        self._tensors: list[Any] = []
        self._known: dict[Hashable, int] = {}
        self._kept: list[Any] = []  # alive until the end: no id is given twice
        self._above: set[int] = set()

    def pack(self, value: Any, path: str) -> Any:
        """JSON for a tree.

        Args:
            path: what to call it in an error, such as ``scheduler.state_dict()``.

        Raises:
            CannotBeKept: naming the place in the tree.
        """
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind in _LEAVES:
            return _LEAVES[kind](value)
        if kind is list or kind is deque or kind in _SEQUENCES or kind in _MAPPINGS:
            return self._inner(value, path)
        if kind is np.ndarray:
            return {"$": "array", "at": self._array(value, path)}
        if isinstance(value, np.generic):
            return self._scalar(value, path)
        torch = torch_if_loaded()
        packed = None if torch is None else self._of_torch(torch, value, path)
        if packed is None:
            raise CannotBeKept(f"{path} is {_described(value)}. {_WAYS_OUT}")
        return packed

    def write(self, directory: Path, document: Mapping[str, Any]) -> None:
        """Writes a document of packed trees with all arrays and tensors."""
        files = {"arrays": len(self._arrays), "tensors": len(self._tensors)}
        if self._arrays:
            _write_arrays(directory / ARRAYS, self._arrays)
        if self._tensors:
            with (directory / TENSORS).open("wb") as file:
                require("torch", "torch").save(self._tensors, file)
        text = json.dumps({**document, **files}, allow_nan=False)
        (directory / DOCUMENT).write_text(text, encoding="ascii")

    def _inner(self, value: Any, path: str) -> Any:
        """A container, whose parts are packed in turn."""
        if id(value) in self._above:
            raise CannotBeKept(f"{path} contains itself. {_WAYS_OUT}")
        if len(self._above) >= _DEEPEST:
            raise CannotBeKept(f"{path} lies {_DEEPEST} levels deep; a state has fewer")
        self._above.add(id(value))
        try:
            return self._mapping(value, path) if isinstance(value, dict) else self._sequence(value, path)
        finally:
            self._above.discard(id(value))

    def _sequence(self, value: Any, path: str) -> Any:
        items = [self.pack(item, f"{path}[{i}]") for i, item in enumerate(value)]
        if type(value) is list:
            return items
        if type(value) is deque:
            return {"$": "deque", "items": items, "maxlen": value.maxlen}
        return {"$": _SEQUENCES[type(value)], "items": items}

    def _mapping(self, value: Any, path: str) -> Any:
        is_plain = type(value) is dict and all(type(key) is str and _is_clean(key) for key in value)
        if is_plain and "$" not in value:
            return {key: self.pack(item, f"{path}[{key!r}]") for key, item in value.items()}
        items = [
            [self.pack(key, f"the key {key!r} of {path}"), self.pack(item, f"{path}[{key!r}]")]
            for key, item in value.items()
        ]
        packed = {"$": _MAPPINGS[type(value)], "items": items}
        if type(value) is OrderedDict and hasattr(value, "_metadata"):  # versions of a torch module and its parts
            packed["metadata"] = self.pack(value._metadata, f"{path}._metadata")
        if type(value) is defaultdict and value.default_factory is not None:
            factory = value.default_factory
            packed["factory"] = next((name for name, known in _FACTORIES.items() if known is factory), "")
            if not packed["factory"]:
                raise CannotBeKept(f"{path}.default_factory is {_described(factory)}. {_WAYS_OUT}")
        return packed

    def _array(self, value: np.ndarray[Any, Any], path: str) -> int:
        descr = np.lib.format.dtype_to_descr(value.dtype) if value.dtype.kind in _ARRAY_KINDS else None
        if descr is None or value.dtype.hasobject or np.lib.format.descr_to_dtype(descr) != value.dtype:
            raise CannotBeKept(f"{path} is an array of dtype {value.dtype}, which no file keeps. {_WAYS_OUT}")
        return self._at(("array", id(value)), value, self._arrays)

    def _scalar(self, value: Any, path: str) -> Any:
        if type(value) is not value.dtype.type:
            raise CannotBeKept(f"{path} is {_described(value)}. {_WAYS_OUT}")
        if value.dtype.kind in _SCALAR_KINDS:
            return {"$": "scalar", "dtype": value.dtype.str, "hex": value.tobytes().hex()}
        return {"$": "element", "at": self._array(np.array(value), path)}

    def _of_torch(self, torch: Any, value: Any, path: str) -> Any:
        """A tensor or one of torch's small values; None for anything else."""
        if type(value) in {torch.Tensor, torch.nn.Parameter}:
            return {"$": "tensor", "at": self._tensor(torch, value, path)}
        if isinstance(value, torch.Tensor):
            raise CannotBeKept(f"{path} is {_described(value)}, no plain tensor with values. {_WAYS_OUT}")
        if type(value) is torch.Size:
            return {"$": "torch.Size", "items": list(value)}
        if isinstance(value, (torch.dtype, torch.device)):
            return {"$": f"torch.{type(value).__name__}", "name": str(value).removeprefix("torch.")}
        return None

    def _tensor(self, torch: Any, value: Any, path: str) -> int:
        tensor = value.detach()
        if tensor.is_meta:
            raise CannotBeKept(f"{path} is a tensor on the meta device, without values. {_WAYS_OUT}")
        if tensor.layout is not torch.strided or tensor.is_quantized or not tensor.numel():
            return self._at(("tensor", id(value)), value, self._tensors, tensor)
        place = (tensor.data_ptr(), tensor.dtype, tensor.device, tensor.shape, tensor.stride())
        is_part = tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size()
        return self._at(place, value, self._tensors, tensor.clone() if is_part else tensor)

    def _at(self, identity: Hashable, value: Any, where: list[Any], kept: Any = None) -> int:
        """The index in arrays or tensors."""
        if identity not in self._known:
            self._known[identity] = len(where)
            self._kept.append(value)
            where.append(value if kept is None else kept)
        return self._known[identity]


def _pack_int(value: int) -> Any:
    return value if abs(value) < 2**63 else {"$": "int", "hex": hex(value)}


def _pack_float(value: float) -> Any:
    return value if math.isfinite(value) else {"$": "float", "bits": struct.pack(">d", value).hex()}


def _pack_str(value: str) -> Any:
    return value if _is_clean(value) else {"$": "str", "hex": value.encode("utf-32-le", "surrogatepass").hex()}


_LEAVES: dict[type, Callable[[Any], Any]] = {
    int: _pack_int,
    float: _pack_float,
    str: _pack_str,
    bytes: lambda value: {"$": "bytes", "hex": value.hex()},
    complex: lambda value: {"$": "complex", "bits": struct.pack(">dd", value.real, value.imag).hex()},
}


def _is_clean(text: str) -> bool:
    """Whether JSON keeps it: halves of surrogate pairs would be joined."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _write_arrays(path: Path, arrays: list[np.ndarray[Any, Any]]) -> None:
    """What ``np.savez`` writes, in the version of the format that takes every name of a field, and never a pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for i, array in enumerate(arrays):
            with file.open(f"{i}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(3, 0), allow_pickle=False)


def _described(value: Any) -> str:
    name = type(value).__name__
    if callable(value) and not isinstance(value, type) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


# ------------------------------------------------------------------------------------------------------- reading


class Unpacker:
    """Turns packed JSON back into trees."""

    def __init__(self, arrays: list[np.ndarray[Any, Any]], tensors: list[Any]) -> None:
        self._arrays = arrays
        self._tensors = tensors

    def unpack(self, node: Any) -> Any:
        """The tree; ValueError, TypeError, KeyError, IndexError or struct.error for what no ``Packer`` has made."""
        if isinstance(node, list):
            return [self.unpack(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$" not in node:
            return {key: self.unpack(item) for key, item in node.items()}
        kind = node["$"]
        if kind in {"array", "element"}:
            array = self._arrays[_index(node)]
            return array if kind == "array" else array[()]
        if kind == "tensor":
            return self._tensors[_index(node)]
        if kind in _LEAF_READERS:
            return _LEAF_READERS[kind](node)
        return self._container(kind, node)

    def _container(self, kind: str, node: Mapping[str, Any]) -> Any:
        if kind in _MAPPINGS.values():
            return self._mapping(kind, node)
        items = [self.unpack(item) for item in node["items"]]
        if kind == "deque":
            return deque(items, node["maxlen"])
        if kind == "torch.Size":
            return require("torch", "torch").Size(items)
        return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](items)

    def _mapping(self, kind: str, node: Mapping[str, Any]) -> Any:
        made: Any = {"dict": dict, "ordered": OrderedDict, "counter": Counter, "default": defaultdict}[kind]()
        for key, item in node["items"]:
            made[self.unpack(key)] = self.unpack(item)
        if kind == "default" and "factory" in node:
            made.default_factory = _FACTORIES[node["factory"]]
        if kind == "ordered" and "metadata" in node:
            made._metadata = self.unpack(node["metadata"])
        return made


def _index(node: Mapping[str, Any]) -> int:
    at = node["at"]
    if type(at) is not int or at < 0:
        raise ValueError(f"no index: {at!r}")
    return at


def _read_scalar(node: Mapping[str, Any]) -> Any:
    dtype, raw = np.dtype(str(node["dtype"])), bytes.fromhex(node["hex"])
    if dtype.kind not in _SCALAR_KINDS:
        raise ValueError(f"no dtype of a number: {dtype}")
    return np.frombuffer(raw, dtype)[0] if raw and dtype.itemsize else np.zeros((), dtype)[()]


def _read_dtype(node: Mapping[str, Any]) -> Any:
    torch = require("torch", "torch")
    dtype = getattr(torch, node["name"])
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"no dtype: {node['name']}")
    return dtype


_LEAF_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "int": lambda node: int(node["hex"], 16),
    "float": lambda node: struct.unpack(">d", bytes.fromhex(node["bits"]))[0],
    "str": lambda node: bytes.fromhex(node["hex"]).decode("utf-32-le", "surrogatepass"),
    "bytes": lambda node: bytes.fromhex(node["hex"]),
    "complex": lambda node: complex(*struct.unpack(">dd", bytes.fromhex(node["bits"]))),
    "scalar": _read_scalar,
    "torch.dtype": _read_dtype,
    "torch.device": lambda node: require("torch", "torch").device(node["name"]),
}


def read(directory: Path) -> tuple[dict[str, Any], Unpacker]:
    """The document of a directory, and what turns its parts into trees.

    Raises:
        CheckpointDamaged: a file is missing, cut off, or not what ``Packer`` writes (a pickle, say, which is never run).
    """
    try:
        document = json.loads((directory / DOCUMENT).read_text(encoding="ascii"))
        n_arrays, n_tensors = operator.index(document["arrays"]), operator.index(document["tensors"])
    except FileNotFoundError:
        raise CheckpointDamaged(directory, f"{DOCUMENT} is missing") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointDamaged(directory, f"{DOCUMENT} is cut off or has changed") from error
    arrays = _checked(directory, ARRAYS, n_arrays, _read_arrays)
    tensors = _checked(directory, TENSORS, n_tensors, _read_tensors)
    return document, Unpacker(arrays, tensors)


def _checked(directory: Path, name: str, n: int, reader: Callable[[Path, int], Iterable[Any]]) -> list[Any]:
    if not n:
        return []
    path = directory / name
    if not path.is_file():
        raise CheckpointDamaged(directory, f"{name} is missing")
    if name == TENSORS:
        require("torch", "torch")  # a missing torch is no damage
    try:
        found = list(reader(path, n))
    except Exception as error:  # whatever the libraries say to bytes that are not theirs
        raise CheckpointDamaged(directory, f"{name} cannot be read ({type(error).__name__})") from error
    if len(found) != n:
        raise CheckpointDamaged(directory, f"{name} holds {len(found)} parts instead of {n}")
    return found


def _read_arrays(path: Path, n: int) -> list[np.ndarray[Any, Any]]:
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        found = [file[str(i)] for i in range(n)]
    if not all(isinstance(array, np.ndarray) for array in found):  # members of other kinds come as their bytes
        raise TypeError("no arrays")
    return found


def _read_tensors(path: Path, n: int) -> list[Any]:
    torch = require("torch", "torch")
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, list) or not all(isinstance(tensor, torch.Tensor) for tensor in found):
        raise TypeError("no list of tensors")
    return found
