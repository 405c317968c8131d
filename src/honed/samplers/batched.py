"""The same suggestions for any number of workers: trials are proposed in batches, and a batch sees only those before it.

Trial ``k`` belongs to the batch that begins at ``b = k - k % size``. Its proposal is a function of the study's seed, ``k``,
the results of the trials below ``b`` in order of their numbers, and the proposals for ``b`` to ``k - 1``, which count as
running. Those are computed again, in any process; what these trials have really reached by now plays no part. The price: the
first trial of a batch waits for the last one of the batch before, and proposals know of up to ``size - 1`` results less.

Where a proposal would repeat one of its batch as far as it is known (parameters that nobody has declared, in the first trials
or behind a new branch), or the sampler would wait, the rest of the batch sees the results of those before it. So with an
undeclared space the second trial begins when the first one is done: declare the space to begin with all workers.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from honed.domains import Domain, Scalar
from honed.history import History
from honed.records import Delta, State, Suggestion, TrialRecord, Wait
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.combine import Distinct, fit_for_use
from honed.space import Space

_MOST_BATCHES = 8  # that are remembered


@dataclass(frozen=True, slots=True)
class Batched:
    """Suggestions that do not depend on how many workers there are, nor on who is done first.

    The outermost wrapper; what it wraps is made fit for use. What a trial asks for that the batches before have not shown is
    drawn from what is known of those, too.

    Args:
        sampler: who proposes.
        size: trials in a batch; at least as many as there are workers keeps all of them busy.
    """

    is_exact: ClassVar[bool] = True  # see combine.fit_for_use: what it wraps is fit already
    in_batches: ClassVar[bool] = True  # asked for every trial, even before any parameter is known: it may have to wait

    sampler: Sampler
    size: int = 8
    _memo: _Memo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"Batched: size={self.size!r} must be a whole number of at least 1, such as 8")
        if not isinstance(self.sampler, Distinct):
            object.__setattr__(self, "sampler", fit_for_use(self.sampler))
        object.__setattr__(self, "_memo", _Memo())

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        if space is not history.space or given:
            return self._complete(history, space, rng, given)
        first = rng.number - rng.number % self.size
        if _is_open(history, first):
            return Wait(f"trial {rng.number} is proposed when all trials before {first} are done")
        batch, proposal = self._reach(history, rng)
        if not isinstance(proposal, Suggestion):
            return proposal
        known = batch.before(rng.number).space  # what the trial will ask for otherwise, it asks for one by one
        params = {name: v for name, v in proposal.params.items() if _is_same(space.domains.get(name), known[name])}
        return Suggestion(params, proposal.note)

    def _complete(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        """For a trial that has begun: the same answer whatever others have done since."""
        number = rng.number
        if number in history and "given" in history[number].note:  # it may begin before the batches in front of it end
            past, planned, lock = History.empty(history.study, history.declared), Suggestion({}), threading.Lock()
        else:
            batch, proposal = self._reach(history, rng)
            past, lock = batch.before(number), batch.lock
            planned = proposal if isinstance(proposal, Suggestion) and not rng.round else Suggestion({})
        params, asked = dict[str, Scalar](), dict[str, Domain]()
        for name, domain in space.domains.items():
            if name in planned.params and _is_same(domain, past.space[name]):
                params[name] = planned.params[name]
            elif len(space) == 1 or name in past.space:  # the rest is asked for one by one
                asked[name] = domain
        if not asked:
            return Suggestion(params)
        with lock:
            proposal = self.sampler.suggest(past, space if len(asked) == len(space) else Space(asked), rng, given)
        return Suggestion({**params, **proposal.params}) if isinstance(proposal, Suggestion) else proposal

    def _reach(self, history: History, rng: Stream) -> tuple[_Batch, Proposal]:
        """The batch that a trial belongs to, computed up to it, and the proposal for it."""
        first = rng.number - rng.number % self.size
        while True:
            batch = self._memo.batch(history, rng.seed, first, self.size)
            with batch.lock:
                cut = batch.advance(self.sampler, history, rng)
                proposal = batch.proposals.get(rng.number)
            if cut is None:
                return batch, proposal if proposal is not None else Suggestion({})
            if _is_open(history, cut):
                return batch, Wait(f"trial {rng.number} is proposed when all trials before {cut} are done")
            first = cut


class _Batch:
    """One batch: what lies before it, and its proposals one after the other."""

    def __init__(self, history: History, first: int, size: int, finished: list[TrialRecord]) -> None:
        self.first = first
        self.finished = finished
        self.declared = history.declared
        ended = [record for record in finished if record.state is not State.FAILED] or finished
        always = set(ended[0].params) - set(self.declared.domains) if ended else set[str]()
        self._always = always.intersection(*(record.params for record in ended))
        self.proposals: dict[int, Proposal] = {}
        self.given: dict[int, Mapping[str, Any] | None] = {}
        self.lock = threading.Lock()  # for the histories, which gather what samplers derive from them
        past = Delta(
            revision=first * (size + 1) + 1,  # no two histories that a sampler sees here have the same one
            trials=tuple(record.with_reports(()) for record in finished),
            reports=tuple(report for record in finished for report in record.reports),
        )
        self._states = [History.empty(history.study, history.declared).extend(past)]

    def before(self, number: int) -> History:
        """What is known for a trial: the batches before, and the proposals of its own one."""
        return self._states[min(number - self.first, len(self._states) - 1)]

    def fits(self, history: History, finished: list[TrialRecord]) -> bool:
        """Whether this is the batch of that history, not of one that looks like it."""
        same = (
            history.declared == self.declared
            and len(finished) == len(self.finished)
            and all(map(operator.is_, finished, self.finished))
        )
        return same and all(_given(history, number) == given for number, given in list(self.given.items()))

    def advance(self, sampler: Sampler, history: History, rng: Stream) -> int | None:
        """Proposes up to a trial; a number where the sampler must see the results of the trials before it."""
        for number in range(self.first + len(self._states) - 1, rng.number + 1):
            given = _given(history, number)
            if given is not None and number < rng.number:
                self.proposals[number] = Suggestion(given)
            elif number not in self.proposals:
                self.proposals[number] = self._propose(sampler, number, rng.seed)
            proposal = self.proposals[number]
            if number > self.first and given is None and self._must_see(number, proposal):
                return number
            if number < rng.number:
                self.given[number] = given
                self._add(number, proposal if isinstance(proposal, Suggestion) else Suggestion({}))
        return None

    def _must_see(self, number: int, proposal: Proposal) -> bool:
        """Whether the trials of the batch must end before this one: it would only repeat what is known of one of them."""
        if not isinstance(proposal, Suggestion):
            return isinstance(proposal, Wait)
        before = (self.proposals[other] for other in range(self.first, number))
        mine = self._sure(proposal)
        return any(isinstance(other, Suggestion) and self._sure(other) == mine for other in before)

    def _sure(self, proposal: Suggestion) -> Mapping[str, Any]:
        """What a trial will have for sure: declared parameters that are active, and what all trials have asked for."""
        params, declared = proposal.params, self.declared.active(proposal.params)
        return {name: v for name, v in params.items() if name in declared or name in self._always}

    def _propose(self, sampler: Sampler, number: int, seed: int) -> Proposal:
        state = self._states[-1]
        if not len(state.space):
            return Suggestion({})
        return sampler.suggest(state, state.space, Stream(seed, number), {})

    def _add(self, number: int, proposal: Suggestion) -> None:
        """A proposal counts as a running trial for those after it."""
        state, params = self._states[-1], proposal.params
        domains = {name: state.space[name] for name in params if name in state.space}
        record = TrialRecord(
            number=number, state=State.RUNNING, params=params, domains=domains, attempt=1, note=proposal.note
        )
        self._states.append(state.extend(Delta(revision=state.revision + 1, trials=(record,))))


class _Memo:
    """The batches that were computed last; a copy, or another process, computes its own."""

    def __init__(self) -> None:
        self._batches: dict[tuple[Any, ...], _Batch] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[_Memo], tuple[()]]:
        return _Memo, ()

    def batch(self, history: History, seed: int, first: int, size: int) -> _Batch:
        study = history.study
        key = (study.id, study.name, seed, first)
        finished = sorted((r for r in history.finished if r.number < first), key=lambda record: record.number)
        with self._lock:
            found = self._batches.pop(key, None)
            if found is None or not found.fits(history, finished):
                found = _Batch(history, first, size, finished)
            self._batches[key] = found
            if len(self._batches) > _MOST_BATCHES:
                del self._batches[next(iter(self._batches))]
            return found


def _is_open(history: History, first: int) -> bool:
    """Whether a trial below that number has not ended yet."""
    return any(record.number < first for record in history.unfinished)


def _given(history: History, number: int) -> Mapping[str, Any] | None:
    """The params of a trial that a person has queued or added; None for what samplers have proposed."""
    if number not in history:
        return None
    record = history[number]
    if "given" in record.note:
        return dict(record.note["given"])
    return dict(record.params) if "added" in record.note else None


def _is_same(one: Domain | None, other: Domain) -> bool:
    return one is other or one == other
