"""Low-discrepancy points for trials: the point's index is the trial's number, its coordinates are the parameters.

A parameter keeps its dimension as long as the joint space keeps its order: dimensions follow the joint space, and names that
it does not know yet follow in the order in which the trial asks for them. So a trial that asks for one parameter after
the other gets the same point as one whose space was declared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal

from honed.algorithms.sequences import halton, sobol
from honed.domains import Scalar
from honed.history import History
from honed.samplers.base import Stream
from honed.space import Space

Kind = Literal["sobol", "halton"]

_BLOCK = 64  # points made at once
_ROUND = 8  # dimensions are rounded up to a multiple of this, which changes no coordinate


def point(kind: Kind, seed: int | None, index: int, n_dimensions: int) -> list[float]:
    """Coordinates in [0, 1): at least ``n_dimensions`` of them.

    Args:
        seed: of the scrambling; None for the plain sequence without its first point, in which all coordinates are 0.
    """
    if seed is None:
        index += 1
    block, row = divmod(index, _BLOCK)
    return _block(kind, seed, -(-n_dimensions // _ROUND) * _ROUND, block)[row]


def dimensions(history: History, space: Space, given: Mapping[str, Scalar]) -> Iterator[tuple[str, int]]:
    """Each name of ``space`` with its dimension; ``given`` is what the trial asked for before."""
    joint = history.space.domains
    if space.domains.keys() == joint.keys():
        yield from zip(joint, range(len(joint)), strict=True)
        return
    places = {name: i for i, name in enumerate(joint)}
    following = len(places) + sum(1 for name in given if name not in places)
    for name in space.domains:
        if name in places:
            yield name, places[name]
        else:
            yield name, following
            following += 1


def quasi_random(history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The active params of a trial at its Sobol point; in later rounds at a random one."""
    if rng.round or not len(space):
        return space.active({name: domain.decode(rng.uniform(name)) for name, domain in space.domains.items()})
    places = dict(dimensions(history, space, given))
    units = point("sobol", rng.seed, rng.number, max(places.values()) + 1)
    return space.active({name: domain.decode(units[places[name]]) for name, domain in space.domains.items()})


@lru_cache(maxsize=64)
def _block(kind: Kind, seed: int | None, n_dimensions: int, block: int) -> list[list[float]]:
    make = sobol if kind == "sobol" else halton
    seeds = None if seed is None else [_seed_of(kind, seed, j) for j in range(n_dimensions)]
    rows: list[list[float]] = make(block * _BLOCK, _BLOCK, n_dimensions, seeds).tolist()
    return rows


def _seed_of(kind: Kind, seed: int, dimension: int) -> int:
    text = f"{kind}/{seed}/{dimension}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
