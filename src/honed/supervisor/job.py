"""What a worker process is told: the objective and everything it needs to run the search, packed once for all workers.

Functions of a script, a notebook or a lambda travel by value (cloudpickle), so a worker does not run the script again: no
``if __name__ == "__main__"`` is needed, and nothing starts itself twice. Large arrays go into one file that all workers map:
they share its pages as long as they only read. It goes from a process to the ones it starts, and is never stored.
"""

from __future__ import annotations

import inspect
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.checkpoints.sizes import format_size
from honed.search import Search
from honed.space import Space
from honed.supervisor import parcel

LARGE_BYTES = 256 * 1024**2
"""An objective that carries more than this is worth a word."""

_ALIGNED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One search as its workers are told of it.

    Attributes:
        objective: what is run for each trial.
        search: who decides, when it ends.
        address, durability: of the storage.
        study: its name.
        space: the declared one, with its objects and rules.
        checkpoints, checkpoint_budget: where they lie, and how many bytes they may take.
        setup: called once in each process.
        recycle_after: trials of one process.
    """

    objective: Callable[..., Any]
    search: Search
    address: str
    durability: str
    study: str
    space: Space | None
    checkpoints: str
    checkpoint_budget: int | None
    setup: Callable[[], Any] | None = None
    recycle_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A job as bytes.

    Attributes:
        header: what must be known before the job is unpacked (JSON): search path, folder, where the arrays lie.
        body: the job.
        shared_bytes: size of the file with the arrays.
    """

    header: Mapping[str, Any]
    body: bytes
    shared_bytes: int


def pack(job: Job, folder: Path) -> Packed:
    """The job as bytes; its large arrays in a file in ``folder``.

    Raises:
        TypeError: the objective uses something that cannot be sent, with its name.
    """
    buffers: list[memoryview] = []
    try:
        body = parcel.wrap(job, buffers.append)
    except Exception as error:
        raise TypeError(_blame(job, error)) from error
    path, places = folder / "arrays", []
    if buffers:
        with path.open("wb") as file:
            for view in buffers:
                file.write(b"\0" * (-file.tell() % _ALIGNED))
                places.append((file.tell(), view.nbytes))
                file.write(view)
    header = {"path": sys.path, "folder": os.getcwd(), "file": str(path), "places": places}
    return Packed(header=header, body=body, shared_bytes=sum(length for _, length in places))


def unpack(header: Mapping[str, Any], body: bytes) -> Job:
    """The job; its arrays are mapped, and copied page by page only where they are written to."""
    views: list[memoryview] = []
    if header["places"]:
        with open(header["file"], "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        views = [whole[start : start + length] for start, length in header["places"]]
    job: Job = parcel.unwrap(body, views)
    return job


def weight_notice(job: Job, packed: Packed, n_workers: int) -> str | None:
    """A sentence about an objective that carries much data; None for others."""
    if len(packed.body) + packed.shared_bytes < LARGE_BYTES:
        return None
    sizes = {name: parcel.size(value) or 0 for name, value in _used(job.objective)}
    name = max(sizes, key=lambda each: sizes[each], default="")
    what = f"objective() carries {name!r} ({format_size(sizes[name])})" if name else "objective() carries much data"
    if packed.shared_bytes > len(packed.body):
        return f"{what}. The {n_workers} workers share one copy of its arrays as long as they only read them."
    return (
        f"{what}, of which each of the {n_workers} workers gets a copy. Load it in the objective, or once for each worker: "
        "workers=Workers(n, setup=load)."
    )


# ----------------------------------------------------------------------------------------------- what is to blame


def _blame(job: Job, error: Exception) -> str:
    """Which variable cannot be sent, and what to do."""
    for owner, thing in (("objective", job.objective), ("setup", job.setup), ("the sampler", job.search.sampler)):
        found = None if thing is None or parcel.is_sendable(thing) else _culprit(thing)
        if found is not None:
            name, value = found
            kind = type(value)
            return (
                f"{owner} uses {name!r} ({kind.__module__}.{kind.__qualname__}), which cannot be sent to a worker process: "
                f"{error}. Make it inside the objective, or in Workers(setup=...), or use workers=1."
            )
    return f"the objective cannot be sent to a worker process: {error}. Use workers=1, or a function of a module."


def _culprit(thing: Any, depth: int = 3) -> tuple[str, Any] | None:
    for name, value in _used(thing):
        if not parcel.is_sendable(value):
            inner = _culprit(value, depth - 1) if depth else None
            return inner or (name, value)
    return None


def _used(thing: Any) -> Iterator[tuple[str, Any]]:
    """Variables that a function uses, or attributes of an object."""
    function = getattr(thing, "__func__", thing)
    if inspect.isfunction(function):
        variables = inspect.getclosurevars(function)
        yield from variables.nonlocals.items()
        if function.__module__ == "__main__":
            yield from variables.globals.items()
        if hasattr(thing, "__self__"):
            yield "self", thing.__self__
    elif hasattr(thing, "__dict__") and not inspect.ismodule(thing) and not inspect.isclass(thing):
        yield from vars(thing).items()
