"""What the user knows before: a wrapper that tries past studies' best configurations and draws a share from beliefs.

Half of the first trials, and a share of the later ones that fades, are drawn from the study's beliefs (``honed.beliefs``). The
share follows the evidence: it falls when trials in the believed region do no better than the others. Samplers with a model
may weigh their candidates by the beliefs besides.

Past studies (``honed.transfer``) give the first points. Further ones follow while their order agrees with this study's,
unless the sampler has a model of them itself (``learns_from_sources = True``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from honed.beliefs import PRIOR, Prior, prior_of, trust
from honed.domains import Scalar
from honed.history import History
from honed.records import Suggestion
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.points import dimensions, point
from honed.samplers.tree import is_joint
from honed.space import Space
from honed.transfer import FIRST, SOURCES, Source, agreements, first_points, sources_of

_START = 10  # trials, of which every other one is drawn from the beliefs
_START_SHARE = 0.5
_LATER_SHARE = 0.25  # at first; as beta / n from trial beta on (pi-BO, Hvarfner et al. 2022, arXiv 2204.11051)
_BETA = 20
_LAST = 1000  # trials, after which the share is not worth a look
_MOST_ROUNDS = 20  # draws that were all refused: the beliefs lie where nothing is left, or nothing is allowed
_SOURCE_SHARE, _SOURCE_TRIALS = 0.2, 10  # of the later trials, which fades from that number on as above
_SOURCE_BEST = 0.25  # of a source is worth trying
_GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, fill [0, 1] evenly
_MOST_DIMENSIONS = 21_201  # of Sobol points


@dataclass(frozen=True, slots=True)
class Believing:
    """A share of trials by what the user believes and past studies have found, the others by the wrapped sampler.

    A study without beliefs and past studies is left to the wrapped sampler.

    Args:
        sampler: who proposes the others.
    """

    sampler: Sampler

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        attributes = history.study.attributes
        proposal: Suggestion | None = None
        if attributes and SOURCES in attributes:
            proposal = self._from_sources(history, space, rng, given)
        if proposal is None and attributes and PRIOR in attributes:
            proposal = _from_prior(history, space, rng, given)
        return self.sampler.suggest(history, space, rng, given) if proposal is None else proposal

    def _from_sources(
        self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]
    ) -> Suggestion | None:
        """A configuration of a past study, where it is its turn."""
        if rng.round:  # it was refused
            return None
        place = _rank(history, rng.number)
        if not is_joint(history, space, given):
            return _part(history, space, place)
        firsts = [
            (source, i, params)
            for source, i in (first_points(history) if place < FIRST * len(sources_of(history)) else ())
            if any(name in source.names for name in space.domains)
            and (params := source.configuration(i, history, space)) is not None
        ]
        if place < len(firsts):
            return _suggestion(*firsts[place])
        if getattr(self.sampler, "learns_from_sources", False):
            return None
        return _further(history, space, rng.number)


def _suggestion(source: Source, i: int, params: Mapping[str, Scalar]) -> Suggestion:
    return Suggestion(params, {"from": f"study {source.name}, trial {source.numbers[i]}"})


def _rank(history: History, number: int) -> int:
    """How many trials before this one were left to the sampler: not queued, nor entered with results."""
    most, rank = FIRST * len(sources_of(history)), 0
    for before in range(min(number, len(history))):
        note = history[before].note
        rank += "given" not in note and "added" not in note
        if rank > most:
            break
    return rank + max(number - len(history), 0)


def _part(history: History, space: Space, place: int) -> Suggestion | None:
    """Single parameters of a first point, for a trial that began before anybody knew them."""
    firsts = list(first_points(history))
    if place >= len(firsts):
        return None
    source, i = firsts[place]
    if not all(name in source.params[i] for name in space.domains):
        return None
    params = source.configuration(i, history, space)
    return None if params is None else Suggestion(params)


def _further(history: History, space: Space, number: int) -> Suggestion | None:
    """The next good configuration of the source that agrees best, while one does beyond chance."""
    if number * _GOLDEN % 1.0 >= _SOURCE_SHARE * min(1.0, _SOURCE_TRIALS / max(number, 1)) or number >= _LAST:
        return None
    found = agreements(history)
    known = [record.params for record in history]
    for source in sorted(sources_of(history), key=lambda source: -found[source.name].tau):
        if found[source.name].tau <= found[source.name].error:
            break
        for i in range(len(source.params)):
            if source.losses[i] > _SOURCE_BEST:
                break
            params = source.configuration(i, history, space)
            if params is not None and params not in known:
                return _suggestion(source, i, params)
    return None


def _from_prior(history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion | None:
    """A draw from the beliefs, where it is their turn; for a trial that has begun, of what it asks for."""
    number, prior = rng.number, prior_of(history)
    if prior is None or number >= _LAST or rng.round > _MOST_ROUNDS or prior.beliefs.keys().isdisjoint(space.domains):
        return None
    turn = number * _GOLDEN % 1.0
    share = _START_SHARE if number < _START else _LATER_SHARE * min(1.0, _BETA / number)
    if turn >= share or turn >= share * trust(history, prior):
        return None
    if not is_joint(history, space, given):
        return _drawn(prior, history, space, rng, given, {}) if prior.beliefs.keys() >= space.domains.keys() else None
    best = history.best if number >= _START else None
    kept = {} if best is None else {name: v for name, v in best.params.items() if name not in prior.beliefs}
    return _drawn(prior, history, space, rng, given, kept)


def _drawn(
    prior: Prior, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar], kept: Mapping[str, Scalar]
) -> Suggestion:
    """Believed parameters by belief; of the others, those of the best trial where they fit, else even points."""
    places = dict(dimensions(history, space, given))
    most = max(places.values(), default=0) + 1
    if rng.round or most > _MOST_DIMENSIONS:
        units = {name: rng.uniform(name) for name in space.domains}
    else:
        row = point("sobol", rng.seed, rng.number, most)
        units = {name: row[place] for name, place in places.items()}
    params = {
        name: kept[name] if name in kept and domain.contains(kept[name]) else prior.draw(domain, name, units[name])
        for name, domain in space.domains.items()
    }
    return Suggestion(space.active(params), {"from": "prior"})
