"""Synchronous brackets: many trials for a few steps, then the chosen of them for more.

A bracket is a fixed number of trials and its rounds; a round is closed when each of its trials has reported at the rung or
is finished, and only then are the best of it chosen, once. Brackets follow each other without end, and which one a trial
belongs to follows from its number alone: so no two workers can disagree, and nobody waits at a round's end, because
the next bracket can always begin. Trials that failed before the first rung are replaced; one that fails or is stopped later
is the worst of its round, and nobody takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from honed.algorithms.rungs import kept, ordered
from honed.history import History, Ints
from honed.history.rungs import ALL_STATES, TO_THE_END
from honed.records import Resume, State
from honed.schedulers.base import Move
from honed.schedulers.moves import queued, start_or_wait
from honed.schedulers.ranking import Ranking

Bools = npt.NDArray[np.bool_]
_FINISHED = np.array([state.is_finished for state in ALL_STATES])


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one bracket.

    Attributes:
        grants: up to which step each round trains; ``TO_THE_END`` can be the last.
        counts: how many trials are in each round; the first is the bracket's size.
        bracket: its number, for notes; None before it can be known.
    """

    grants: tuple[int, ...]
    counts: tuple[int, ...]
    bracket: int | None = 0

    def of(self, n: int) -> Rounds:
        """The same rounds for a bracket that has only ``n`` trials, because the study may not have more."""
        counts = tuple(kept(n, count / self.counts[0]) for count in self.counts)
        return self if n >= self.counts[0] else replace(self, counts=counts)


def next_move(history: History, ranking: Ranking, brackets: Sequence[Rounds]) -> Move:
    """Goes on with the oldest bracket in which something can be done; else begins a trial.

    Args:
        history: the study.
        ranking: how trials are compared.
        brackets: those that follow each other, again and again.
    """
    table = _Table.of(history, brackets)
    number = queued(history)
    if number is not None:
        rounds = brackets[table.kind_at(int(table.places[number]))]
        return Resume(number=number, until=_until(rounds.grants[0]))
    stray = table.stray()
    if stray is not None:
        return stray
    for members, rounds in table.undone(history.may_start):
        chosen = _promotion(history, ranking, table, members, rounds)
        if chosen is not None:
            return chosen
    rounds = brackets[table.kind_at(table.n_members)]
    turn = table.n_members // int(table.ends[-1])
    note = {} if rounds.bracket is None else {"bracket": rounds.bracket, "turn": turn}
    return start_or_wait(history, _until(rounds.grants[0]), note)


def _until(step: int) -> int | None:
    return None if step == TO_THE_END else step


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """All trials by number [n]: place among those that count, kind of bracket, round."""

    brackets: Sequence[Rounds]
    ends: Ints = field(repr=False)  # [number of brackets] where each ends within one turn of all
    places: Ints  # -1: counts nowhere
    kinds: Ints
    stages: Ints  # the round that it was granted
    untils: Ints
    is_paused: Bools
    is_finished: Bools

    @staticmethod
    def of(history: History, brackets: Sequence[Rounds]) -> _Table:
        standings = history.standings()
        untils = standings.untils
        ends = np.cumsum([rounds.counts[0] for rounds in brackets])
        places = np.arange(len(untils))
        if history.count(State.FAILED):
            is_left = standings.are(State.FAILED)
            first = min(rounds.grants[0] for rounds in brackets)
            is_left[history.rung(first).numbers] = False  # it has been a member of its first round
            places = np.where(is_left, -1, np.cumsum(~is_left) - 1)
        kinds = np.searchsorted(ends, places % ends[-1], side="right")
        kinds[places < 0] = -1
        stages = np.zeros(len(untils), dtype=np.int64)
        for kind, rounds in enumerate(brackets):
            mine = kinds == kind
            stages[mine] = np.searchsorted(np.array(rounds.grants), untils[mine], side="left")
        return _Table(
            brackets=brackets, ends=ends, places=places, kinds=kinds, stages=stages, untils=untils,
            is_paused=standings.are(State.PAUSED), is_finished=_FINISHED[standings.states],
        )  # fmt: skip

    @property
    def n_members(self) -> int:
        return int(self.places.max(initial=-1)) + 1

    def kind_at(self, place: int) -> int:
        """Which of the brackets the trial at this place belongs to."""
        return int(np.searchsorted(self.ends, place % self.ends[-1], side="right"))

    def stray(self) -> Resume | None:
        """A trial that stands below or between the rungs of its bracket, as those are now."""
        rows = np.flatnonzero(self.is_paused)
        for kind, rounds in enumerate(self.brackets):
            grants = np.array([*rounds.grants, TO_THE_END])
            mine = rows[self.kinds[rows] == kind]
            off = mine[grants[np.minimum(self.stages[mine], len(grants) - 1)] != self.untils[mine]]
            if len(off):
                number = int(off[0])
                return Resume(number=number, until=_until(int(grants[self.stages[number]])))
        return None

    def undone(self, may_start: bool) -> Iterator[tuple[Ints, Rounds]]:
        """Brackets whose last round has not all its trials yet, oldest first, each with the numbers of its trials.

        Args:
            may_start: whether new trials may fill the last bracket; if not, it counts as full.
        """
        turns = self.places // self.ends[-1]
        identities = turns * len(self.brackets) + self.kinds
        rows = np.flatnonzero(self.places >= 0)
        lasts = np.array([len(rounds.counts) - 1 for rounds in self.brackets])
        sizes = np.bincount(identities[rows])
        in_last = rows[self.stages[rows] >= lasts[self.kinds[rows]]]
        arrived = np.bincount(identities[in_last], minlength=len(sizes))
        kinds = np.arange(len(sizes)) % len(self.brackets)
        wanted = np.array([rounds.counts[-1] for rounds in self.brackets])[kinds]
        full = np.array([rounds.counts[0] for rounds in self.brackets])[kinds]
        for i in np.flatnonzero(((sizes >= full) | (not may_start)) & (sizes > 0) & (arrived < wanted)).tolist():
            turn, kind = divmod(i, len(self.brackets))
            first = turn * int(self.ends[-1]) + (int(self.ends[kind - 1]) if kind else 0)
            yield (
                rows[first : first + int(sizes[i])],
                self.brackets[kind].of(int(sizes[i])),
            )  # rows are in order of places


def _promotion(history: History, ranking: Ranking, table: _Table, members: Ints, rounds: Rounds) -> Resume | None:
    """The next trial of one bracket that a closed round has chosen and that has not gone on yet."""
    stages = table.stages[members]
    for k, (step, n_next) in enumerate(zip(rounds.grants[:-1], rounds.counts[1:], strict=True)):
        is_here = stages >= k
        ranked = ranking.at(history, step)
        by_number = np.full(len(table.places), np.nan)
        by_number[ranked.numbers] = ranked.scores
        here = members[is_here]
        scores = by_number[here]
        is_known = ~np.isnan(scores)
        has_gone = stages[is_here] > k
        if not np.all(is_known | has_gone | table.is_finished[here]):
            return None  # the round is not closed
        left = n_next - int(np.count_nonzero(has_gone))
        is_lost = ~is_known | (table.is_finished[here] & ~has_gone)
        scores = np.where(is_lost, np.inf, scores)
        chosen = ordered(scores, here)[:n_next]
        for row in chosen.tolist():
            if left > 0 and table.is_paused[here[row]] and not has_gone[row] and scores[row] < np.inf:
                return Resume(number=int(here[row]), until=_until(rounds.grants[k + 1]))
    return None
