"""One study of one tool: ask, measure, tell, one trial after the other."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.problems import Params, Problem, Values
from benchmarks.tables.base import Floats
from honed.samplers.base import Stream


class Peer(Protocol):
    """A tool in one study."""

    def ask(self) -> Params | None:
        """Params in our own words; None when the tool has nothing left to try."""
        ...

    def tell(self, params: Params, values: Values) -> None:
        """The result of the latest ask; in pool mode the params are the row's that was measured."""
        ...


Enter = Callable[[Problem, int, int], Peer]
"""A tool enters a study: of this problem, with this seed, for so many trials."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a study was told and what its trials are worth [n, m], seconds of each suggestion [n], CPU seconds in all."""

    told: Floats
    worth: Floats
    seconds: Floats
    cpu_seconds: float


Beside = Callable[[Problem, int, int, int], Played]
"""A study of this problem, with this seed, of so many trials, with so many workers."""


def play(enter: Enter, problem: Problem, seed: int, n: int) -> Played:
    """Plays a study of ``n`` trials, fewer where the tool stops."""
    told, worth, seconds, taken = list[Values](), list[Values](), list[float](), list[int]()
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peers have to say
        peer = enter(problem, seed, n)
        for number in range(n):
            asked = time.perf_counter()
            params = peer.ask()
            seconds.append(time.perf_counter() - asked)
            if params is None:
                break
            params = problem.moved(params, taken)
            values, true = problem.tell(params, Stream(seed, number))
            peer.tell(params, values)
            told.append(values)
            worth.append(true)
    return Played(np.array(told), np.array(worth), np.array(seconds), time.process_time() - began)
