"""Objects that travel from a process to the ones it has started, and errors that come back: the only pickles in honed.

They go over connections that nobody else can open, within one run of the user's own program; nothing of it is ever stored,
and nothing that was stored is read here.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

OUT_OF_BAND = 64 * 1024
"""Arrays of so many bytes or more are kept aside, to be shared."""


def by_value(module: ModuleType) -> None:
    """Functions and classes of this module travel as code: who receives them need not be able to import it."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)


def wrap(thing: Any, keep: Callable[[memoryview], object]) -> bytes:
    """An object as bytes; its large arrays are handed to ``keep`` in order."""
    import cloudpickle

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < OUT_OF_BAND:
            return True
        keep(view)
        return False

    wrapped: bytes = cloudpickle.dumps(thing, protocol=5, buffer_callback=is_small)
    return wrapped


def unwrap(sent: bytes, kept: Sequence[memoryview] = ()) -> Any:
    """The object; ``kept`` are its large arrays."""
    return pickle.loads(sent, buffers=kept)


def is_sendable(thing: Any) -> bool:
    """Whether an object can travel."""
    return size(thing) is not None


def size(thing: Any) -> int | None:
    """Bytes that an object takes on its way; None where it cannot travel."""
    aside: list[int] = []
    try:
        return len(wrap(thing, lambda view: aside.append(view.nbytes))) + sum(aside)
    except Exception:
        return None


def error_text(error: BaseException) -> str:
    """An exception as text for ``error_from``; empty where it cannot travel."""
    try:
        return base64.b64encode(wrap(error, lambda view: None)).decode()
    except Exception:
        return ""


def error_from(text: str) -> BaseException | None:
    """The exception; None where it did not travel."""
    try:
        error = unwrap(base64.b64decode(text))
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None
