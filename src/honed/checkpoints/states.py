"""Saves objects where they are in a training, and puts them back there.

Kept are all objects with ``state_dict`` and ``load_state_dict`` (models, optimizers, schedulers, gradient scalers, stateful
data loaders, one's own classes), generators of random numbers, plain data loaders, and always the global random states of
Python, NumPy and torch on the CPU and every CUDA device. A training restored so continues bit for bit on the CPU, with the
same version of torch and the same number of threads.

Objects are restored in place, and the random states last. Tensors come back on the CPU; models and optimizers of torch move
them to where their weights are.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed.checkpoints.trees import Packer, Unpacker, read, torch_if_loaded
from honed.errors import CannotBeKept, CheckpointDamaged, CheckpointMismatch, CheckpointNotSaved, CheckpointTooNew
from honed.optional import require

FORMAT = 1
_LONGEST_REASON = 600


def save_states(directory: Path, objects: Mapping[str, Any], *, step: int) -> None:
    """Writes the states of objects, and the random states, into an existing directory. Draws no random number.

    Args:
        objects: name -> object; the same names must be given to ``restore_states``.
        step: steps done.

    Raises:
        CannotBeKept: an object without a state, or a value in a state that is no data; names the place.
        CheckpointNotSaved: the disk is full, or cannot be written.
    """
    check_objects(objects)
    packer = Packer()
    entries = {}
    for name, thing in objects.items():
        kind = kind_of(thing)
        entry = {"kind": kind.name, "type": type(thing).__qualname__, "is_torch": _is_of_torch(thing)}
        entries[name] = {**entry, "state": packer.pack(kind.take(thing), f"{name}{kind.spelled}")}
    randomness = packer.pack(take_randomness(), "the random states")
    try:
        packer.write(
            Path(directory), {"format": FORMAT, "step": operator.index(step), "objects": entries, "random": randomness}
        )
    except (OSError, RuntimeError) as error:  # torch tells a full disk by a RuntimeError
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        raise CheckpointNotSaved(f"The states of step {step} cannot be written to {directory}: {reason}") from error


def restore_states(directory: Path, objects: Mapping[str, Any]) -> int:
    """Puts objects of the same names back into their saved states, and the random states too; returns the step.

    Nothing is changed before the names and kinds of all objects are known to fit.

    Raises:
        CheckpointMismatch: other objects than those that were saved; names them.
        CheckpointDamaged: a file is missing, cut off or changed.
        CheckpointTooNew: a later version of honed wrote it.
    """
    check_objects(objects)
    document, unpacker = read(Path(directory))
    step, entries, randomness = _checked(document, directory)
    _compare_names(list(entries), list(objects), step)
    states = {}
    for name, thing in objects.items():
        _compare_kinds(name, entries[name], thing, step)
        states[name] = _unpacked(unpacker, entries[name]["state"], directory)
    randomness = _unpacked(unpacker, randomness, directory)
    for name, thing in objects.items():
        try:
            kind_of(thing).put(thing, states[name])
        except Exception as error:  # a model tells by a RuntimeError, an optimizer by a ValueError, others as they like
            raise CheckpointMismatch(
                f"The state of {name} after step {step} does not fit the {type(thing).__name__} of this script, which must "
                f"have changed since. Objects before it are restored already. {str(error)[:_LONGEST_REASON]}"
            ) from error
    put_randomness(randomness, directory)
    return step


def check_objects(objects: Mapping[str, Any]) -> None:
    """Whether each object has a state that can be kept.

    Raises:
        CannotBeKept: naming the object and what it lacks.
    """
    for name, thing in objects.items():
        kind_of(thing, name)


def _checked(document: Mapping[str, Any], directory: Path) -> tuple[int, dict[str, Any], Any]:
    """Step, objects and random states of a sound document."""
    version = document.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointTooNew(
            f"The states in {directory} were written by a later version of honed (format {version}, this one knows {FORMAT}). "
            "Upgrade with: pip install -U honed"
        )
    step, entries = document.get("step"), document.get("objects")
    is_sound = version == FORMAT and type(step) is int and isinstance(entries, dict) and "random" in document
    if not is_sound or not all(isinstance(entry, dict) and "state" in entry for entry in entries.values()):  # type: ignore[union-attr]
        raise CheckpointDamaged(directory, "its states lack what they must have")
    return step, entries, document["random"]  # type: ignore[return-value]


def _unpacked(unpacker: Unpacker, packed: Any, directory: Path) -> Any:
    try:
        return unpacker.unpack(packed)
    except ImportError:
        raise
    except Exception as error:  # crafted: nothing of ours writes it
        raise CheckpointDamaged(directory, f"its states cannot be read ({type(error).__name__}: {error})") from error


def _compare_names(saved: list[str], given: list[str], step: int) -> None:
    missing, added = [n for n in saved if n not in given], [n for n in given if n not in saved]
    if missing or added:
        lost = f" {_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing now." if missing else ""
        new = f" {_listed(added)} {'is' if len(added) == 1 else 'are'} new." if added else ""
        raise CheckpointMismatch(
            f"The checkpoint after step {step} holds {_listed(saved)}; the script now tracks {_listed(given)}.{lost}{new} "
            "Track the same objects as before, or begin the trial anew."
        )


def _compare_kinds(name: str, entry: Mapping[str, Any], thing: Any, step: int) -> None:
    """Another optimizer would take the state of its predecessor and train on nonsense; so classes of torch must agree."""
    kind = kind_of(thing).name
    is_other = entry.get("kind") != kind
    if not is_other and entry.get("is_torch") and _is_of_torch(thing):
        is_other = entry.get("type") != type(thing).__qualname__
    if is_other:
        raise CheckpointMismatch(
            f"{name} was a {entry.get('type')} ({entry.get('kind')}) when it was saved after step {step}; now it is a "
            f"{type(thing).__qualname__} ({kind}). Track the same objects as before, or begin the trial anew."
        )


def _is_of_torch(thing: Any) -> bool:
    return type(thing).__module__.partition(".")[0] == "torch"


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "nothing"
    return f"{', '.join(names[:-1])} and {names[-1]}"


# -------------------------------------------------------------------------------------------------- kinds of objects


@dataclass(frozen=True, slots=True)
class Kind:
    """How the state of one kind of objects is taken and put back.

    Attributes:
        spelled: how a user would ask for the state, for errors.
    """

    name: str
    spelled: str
    take: Callable[[Any], Any]
    put: Callable[[Any, Any], None]


def kind_of(thing: Any, name: str = "it") -> Kind:
    """The kind of an object that has a state, else CannotBeKept under that name."""
    if callable(getattr(thing, "state_dict", None)) and callable(getattr(thing, "load_state_dict", None)):
        if isinstance(thing, type):
            raise CannotBeKept(f"{name} is the class {thing.__name__}; track an object of it.")
        return _STATE_DICT
    torch = torch_if_loaded()
    for types, kind in (
        (np.random.Generator, _NUMPY),
        (np.random.RandomState, _NUMPY_LEGACY),
        (random.Random, _PYTHON),
        (torch.Generator if torch else (), _TORCH),
        (torch.utils.data.DataLoader if torch else (), _LOADER),
    ):
        if isinstance(thing, types) and not isinstance(thing, random.SystemRandom):
            return kind
    lacks = [verb for verb in ("state_dict", "load_state_dict") if not callable(getattr(thing, verb, None))]
    raise CannotBeKept(
        f"{name} is a {type(thing).__name__} and has no {' and no '.join(lacks)}: its state cannot be kept. Track models, "
        "optimizers, schedulers, generators of random numbers, data loaders, or objects of a class with these two methods."
    )


def _put_numpy(thing: Any, state: Any) -> None:
    thing.bit_generator.state = _safe(state)


def _safe(state: Any) -> Any:
    """A state of a bit generator of NumPy, which itself does not look whether positions lie inside its arrays."""
    inner = state["state"]
    for part, at, array in ((inner, "pos", inner.get("key")), (state, "buffer_pos", state.get("buffer"))):
        if at in part and not 0 <= part[at] <= len(array):
            raise ValueError(f"{at}={part[at]} lies outside of a generator's state")
    return state


def _put_torch(thing: Any, state: Any) -> None:
    if str(thing.device.type) != state["device"]:
        raise ValueError(f"It was a generator on {state['device']}, and is one on {thing.device.type}.")
    thing.set_state(state["state"])


_STATE_DICT = Kind(
    "state_dict", ".state_dict()", lambda it: it.state_dict(), lambda it, state: it.load_state_dict(state)
)
_NUMPY = Kind("numpy generator", ".bit_generator.state", lambda it: it.bit_generator.state, _put_numpy)
_NUMPY_LEGACY = Kind(
    "numpy legacy generator",
    ".get_state()",
    lambda it: it.get_state(legacy=False),
    lambda it, state: it.set_state(_safe(state)),
)
_PYTHON = Kind("random generator", ".getstate()", lambda it: it.getstate(), lambda it, state: it.setstate(state))
_TORCH = Kind(
    "torch generator",
    ".get_state()",
    lambda it: {"device": str(it.device.type), "state": it.get_state()},
    _put_torch,
)


# A loader of torch keeps its place in the generators of its samplers and, when distributed, in the sampler's epoch. One
# without a generator draws from torch's global state, which is kept anyway.


def _loader_parts(loader: Any) -> dict[str, Any]:
    batch_sampler = getattr(loader, "batch_sampler", None)
    return {
        "loader": loader,
        "sampler": getattr(loader, "sampler", None),
        "batch_sampler": batch_sampler,
        "batch_sampler.sampler": getattr(batch_sampler, "sampler", None),
    }


def _take_loader(loader: Any) -> dict[str, Any]:
    torch, state = torch_if_loaded(), {}
    for name, part in _loader_parts(loader).items():
        generator, epoch = getattr(part, "generator", None), getattr(part, "epoch", None)
        if isinstance(generator, torch.Generator):
            state[name] = _TORCH.take(generator)
        elif type(epoch) is int:
            state[name] = epoch
    return state


def _put_loader(loader: Any, state: Any) -> None:
    now = _take_loader(loader)
    if state.keys() != now.keys():
        differing = sorted(state.keys() ^ now.keys())
        raise ValueError(f"Only one of the two has a generator, or an epoch, of its own in its {', '.join(differing)}.")
    for name, part in _loader_parts(loader).items():
        if type(state.get(name)) is int:
            part.epoch = state[name]
        elif name in state:
            _TORCH.put(part.generator, state[name])


_LOADER = Kind("data loader", "", _take_loader, _put_loader)


# --------------------------------------------------------------------------------------------- global random states


def take_randomness() -> dict[str, Any]:
    """The global random states of Python, NumPy, and torch if the program uses it."""
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  (users draw from it)
    }
    torch = torch_if_loaded()
    if torch is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def put_randomness(states: Any, directory: Path) -> None:
    """Puts the global random states back; CUDA devices that this machine lacks are left out."""
    try:
        random.setstate(states["python"])
        np.random.set_state(_safe(states["numpy"]))  # noqa: NPY002
        if "torch" in states:
            torch = require("torch", "torch")
            torch.set_rng_state(states["torch"])
            n_devices = torch.cuda.device_count() if "cuda" in states else 0
            for device, state in enumerate(states.get("cuda", [])[:n_devices]):
                torch.cuda.set_rng_state(state, device)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointDamaged(directory, f"its random states cannot be used ({error})") from error
