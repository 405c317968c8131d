"""What samplers that evolve points know of finished trials: losses, coordinates, and the members of generations.

A member of a generation is found again by the note on its trial, under the name of its sampler. The note also says of which
run it is: a run belongs to one space, and begins after a certain number of finished trials.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from honed.domains import Domain, Scalar
from honed.history import Floats, History
from honed.records import Cause, State, Suggestion, TrialRecord
from honed.samplers.axes import Axes, Axis
from honed.samplers.base import Stream
from honed.space import Space

_SILENT = frozenset({Cause.LOST, Cause.CANCELLED})
_MOST = 1e300

Merit = tuple[float, float]
"""By how much a trial violates measured constraints, then its loss: smaller is better."""

WORST: Merit = (math.inf, math.inf)

Key = tuple[tuple[str, Domain], ...]
"""A space as something to look up by."""


def sign_of(history: History) -> float:
    """1 where the first objective is minimised, -1 where it is maximised."""
    return 1.0 if history.study.directions[0] == "minimize" else -1.0


def merit_of(record: TrialRecord, sign: float) -> Merit | None:
    """How good a finished trial is; ``WORST`` for failures and NaN, None for what says nothing."""
    if record.state is State.FAILED or record.values is None:
        return None if record.cause in _SILENT else WORST
    loss = sign * record.values[0]
    return WORST if loss != loss or loss == math.inf else (record.violation, max(loss, -_MOST))


def point_of(axes: Axes, params: Mapping[str, Scalar]) -> Floats:
    """The coordinates [d] of params, NaN where one is missing or its value unknown; numbers are cut to the range."""
    point = np.full(len(axes.axes), np.nan)
    for i, (name, axis) in enumerate(zip(axes.space.domains, axes.axes, strict=True)):
        if name in params:
            at = axis.unit(params[name])
            if axis.prior is None:
                point[i] = min(max(at, 0.0), 1.0) if at == at else np.nan
            elif at >= 0.0:
                point[i] = at
    return point


def random_point(axes: Axes, rng: Stream, salt: str = "") -> Floats:
    """Coordinates [d] with each domain's own density."""
    named = zip(axes.space.domains, axes.axes, strict=True)
    return np.array([axis.unit(axis.domain.decode(rng.uniform(name + salt))) for name, axis in named])


def filled(axes: Axes, point: Floats, rng: Stream) -> Floats:
    """The point with random coordinates where it has none."""
    is_missing = np.isnan(point)
    return np.where(is_missing, random_point(axes, rng), point) if is_missing.any() else point


def reflected(point: Floats) -> Floats:
    """Coordinates beyond 0 or 1 thrown back by what they went too far."""
    turned = np.mod(point, 2.0)
    return np.where(turned > 1.0, 2.0 - turned, turned)


def stepped(axis: Axis, at: float, width: float, rng: np.random.Generator) -> float:
    """Another value of a parameter: a normal step for numbers, at least to the next value; any other choice.

    Args:
        width: standard deviation of the step, of the unit interval.
    """
    if axis.prior is not None:
        shares = np.where(np.arange(len(axis.prior)) == at, 0.0, axis.prior)
        return float(rng.choice(len(shares), p=shares / shares.sum())) if shares.any() else at
    to = float(reflected(np.array(at + width * rng.standard_normal())))
    if axis.units is None or axis.borders is None or axis.borders.searchsorted(to) != axis.borders.searchsorted(at):
        return to
    here, n = int(axis.borders.searchsorted(at)), len(axis.units)
    there = here + (1 if to >= at else -1)
    return float(axis.units[there if 0 <= there < n else 2 * here - there])


def is_single(history: History, space: Space, given: Mapping[str, Scalar]) -> bool:
    """Whether one parameter is asked for by a trial that has begun: no point of a search."""
    return len(space) == 1 and (bool(given) or space is not history.space)


def at_random(space: Space, rng: Stream) -> Suggestion:
    """Independent draws."""
    return Suggestion(space.active({name: domain.decode(rng.uniform(name)) for name, domain in space.domains.items()}))


def suggestion(axes: Axes, point: Floats, note: Mapping[str, Any] | None = None) -> Suggestion:
    """The active params at a point."""
    return Suggestion(axes.space.active(axes.params(point.tolist())), dict(note or {}))


def key_of(space: Space) -> Key:
    """What tells two spaces apart."""
    return tuple(space.domains.items())


@lru_cache(maxsize=1_024)
def fingerprint(key: Key) -> str:
    """A short text for a space, the same in any process."""
    text = json.dumps([[name, domain.to_json()] for name, domain in key])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """The place of a trial in a run.

    Attributes:
        begun: how many trials were finished when the run began; what it starts from.
        restart: counts the runs on this space, and
        generation: the generations of a run, and
        index: the members drawn for a generation, each from 0.
        round: how often the draw was refused before.
    """

    begun: int
    restart: int
    generation: int
    index: int
    round: int = 0

    def note(self, sampler: str, tag: str) -> dict[str, Any]:
        """What is left with the trial."""
        places = dict(zip(("begun", "restart", "generation", "index", "round"), astuple(self), strict=True))
        return {sampler: {"space": tag, **places}}

    @staticmethod
    def of(record: TrialRecord, sampler: str, tag: str) -> Member | None:
        """The place of a trial; None for one that is no member of a run on this space."""
        note = record.note.get(sampler)
        if not isinstance(note, Mapping) or note.get("space") != tag:
            return None
        return Member(note["begun"], note["restart"], note["generation"], note["index"], note["round"])

    def seed(self, study: int) -> int:
        """32 bits that depend on the study's seed and the place alone."""
        text = f"{study}/{self.restart}/{self.generation}/{self.index}/{self.round}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
