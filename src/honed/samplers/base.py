"""The sampler port: which values next? One method, and the randomness that belongs to a trial.

A sampler is a frozen dataclass of settings and a pure function of what it is given: the same history, number and seed
give the same suggestion in any process. What it needs to find again later it leaves in ``Suggestion.note``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from honed.domains import Scalar
from honed.history import Floats, History
from honed.records import Exhausted, Suggestion, Wait
from honed.space import Space

if TYPE_CHECKING:
    import numpy as np

Proposal = Suggestion | Wait | Exhausted
"""What a sampler may answer: values, "not before another trial has moved on", or "nothing is left"."""

_TO_UNIT = 2.0**-53
_WORD = 2**64 - 1


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=65_536)
def _name_key(name: str) -> int:
    return _hashed(f"name/{name}")


@dataclass(frozen=True, slots=True)
class Stream:
    """The randomness of one trial: every draw is a function of (study seed, trial number, name, round).

    A draw depends on its name, not on how many were made before: declared and define-by-run spaces draw the same values,
    and a new parameter does not change the others.

    Attributes:
        seed: the study's.
        number: the trial's.
        round: 0, then 1, 2, ... when a proposal had to be drawn again (forbidden, or tried before).
    """

    seed: int
    number: int
    round: int = 0
    _key: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", _hashed(f"{self.seed}/{self.number}/{self.round}"))

    def uniform(self, name: str) -> float:
        """A uniform number in [0, 1)."""
        # The finalizer of SplitMix64 (Steele, Lea, Flood 2014) over the sum of two hashes.
        x = (self._key + _name_key(name)) & _WORD
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _WORD
        return ((x ^ (x >> 31)) >> 11) * _TO_UNIT

    def generator(self, name: str = "") -> np.random.Generator:
        """A NumPy generator of its own for each name."""
        import numpy as np

        text = f"{self.seed}/{self.number}/{self.round}/{name}"
        return np.random.default_rng(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little"))

    def uniforms(self, name: str, shape: tuple[int, ...]) -> Floats:
        """An array of uniform numbers in [0, 1); quicker than a generator of one's own for some hundreds of them."""
        import numpy as np

        text = f"{self.seed}/{self.number}/{self.round}/{name}/uniforms"
        drawn = hashlib.shake_128(text.encode()).digest(8 * math.prod(shape))  # 64 bits for each
        words = np.frombuffer(drawn, dtype="<u8") >> np.uint64(11)
        units: Floats = np.multiply(words, _TO_UNIT, dtype=np.float64).reshape(shape)
        return units

    def again(self) -> Self:
        """The stream of the next round."""
        return type(self)(self.seed, self.number, self.round + 1)


@runtime_checkable
class Sampler(Protocol):
    """Which values next?

    ``suggest`` is called for a whole new trial with the joint ``space`` and empty ``given``, and for a single parameter that a
    trial asks for and its suggestion lacks, with a space of one and ``given`` = what the trial has. Params are stored values
    (labels of choices) inside their domains; names may be left out, they are asked for later. Inactive names may be
    suggested, they are dropped. Any history is survived: empty, all failed, all equal, NaN, other domains than today's.
    """

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        """Values for (some of) the names of ``space``."""
        ...
