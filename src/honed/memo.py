"""What is expensive to compute again: remembered by a key that says all it depends on, so that forgetting changes nothing."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

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
