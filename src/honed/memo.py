"""What is expensive to compute again: remembered by a key that says all it depends on, so that forgetting changes nothing."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

K = TypeVar("K")
T = TypeVar("T")


def digest(*arrays: npt.NDArray[Any]) -> bytes:
    """A fingerprint of arrays and their shapes."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(f"{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.digest()


class Memo:
    """What was made for the latest keys.

    Args:
        most: how many of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` makes, or made before: a function of the key alone."""
        if key in self._made:
            self._made.move_to_end(key)
            found: T = self._made[key]
            return found
        made = self._made[key] = make()
        while len(self._made) > self._most:
            self._made.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forgets everything."""
        self._made.clear()


class Facts(Generic[K, T]):
    """What is read of objects that never change, such as records and histories: known while the same objects come again.

    Args:
        most: of how many objects.
        read: reads it from an object and a setting.
    """

    def __init__(self, most: int, read: Callable[[K, Any], T]) -> None:
        self._most, self._read = most, read
        self._known: OrderedDict[int, tuple[K, Any, T]] = OrderedDict()

    def of(self, thing: K, setting: Any = None) -> T:
        """A function of the object and the setting."""
        known = self._known.get(id(thing))
        if known is not None and known[0] is thing and (known[1] is setting or known[1] == setting):
            return known[2]
        found = self._read(thing, setting)
        self._known[id(thing)] = (thing, setting, found)  # it keeps the object, whose place in memory is its name here
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return found

    def all_of(self, things: Iterable[K], setting: Any = None) -> list[T]:
        """Of many objects; quicker than one by one."""
        found = []
        for thing in things:
            known = self._known.get(id(thing))
            if known is not None and known[0] is thing and known[1] is setting:
                found.append(known[2])
            else:
                found.append(self.of(thing, setting))
        return found
