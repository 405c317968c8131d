"""The joint space of a study: what was declared, and what trials have asked for beyond it.

It is a function of the records alone, not of the order in which they became known: two processes, or one that reads
everything at once, agree on it. Declared domains stay as they are. Discovered names follow in the order in which trials
first asked for them, by trial number, each with the domain of the latest trial; names that only unfinished trials have
asked for so far come last.
"""

from __future__ import annotations

from collections.abc import Mapping

from honed.domains import Domain
from honed.records import TrialRecord
from honed.space import Space


class Asked:
    """What finished trials have asked for; grows with every one of them.

    Most trials share one mapping of domains with the trial before, and cost two comparisons.
    """

    __slots__ = ("_declared", "_entries", "_first", "_last", "_mapping", "_names")

    def __init__(self, declared: Space) -> None:
        self._declared = declared
        self._names = set(declared.domains)
        self._entries: dict[str, _Entry] = {}
        self._mapping: Mapping[str, Domain] | None = None  # of the latest trials, of which it says all
        self._first = self._last = 0  # their numbers

    def learn(self, record: TrialRecord) -> bool:
        """Takes in a finished trial; whether the joint space may have changed."""
        number, domains = record.number, record.domains
        if domains is self._mapping and number > self._first:
            self._last = max(self._last, number)
            return False
        self._settle()
        changed, is_latest = False, True
        for position, (name, domain) in enumerate(domains.items()):
            if name in self._declared:
                continue
            entry = self._entries.get(name)
            if entry is None:
                self._entries[name] = _Entry((number, position), number, domain)
                self._names.add(name)
                changed = True
                continue
            if (number, position) < entry.first:
                entry.first, changed = (number, position), True
            if number < entry.last:
                is_latest = False
                continue
            entry.last = number
            if domain is not entry.domain and domain != entry.domain:
                entry.domain, changed = domain, True
        self._mapping = domains if is_latest else None
        self._first = self._last = number
        return changed

    def _settle(self) -> None:
        """Writes down the numbers of trials that were taken in by their shared mapping."""
        for name in self._mapping or ():
            entry = self._entries.get(name)
            if entry is not None:
                entry.last = max(entry.last, self._last)

    def knows(self, domains: Mapping[str, Domain]) -> bool:
        """Whether all these names are declared, or asked for by a finished trial."""
        return domains is self._mapping or self._names.issuperset(domains)

    def space(self, unfinished: Mapping[int, TrialRecord]) -> Space:
        """The joint space: declared, asked by finished trials, asked by ``unfinished`` ones only."""
        ordered = sorted(self._entries, key=lambda name: self._entries[name].first)
        found = {name: self._entries[name].domain for name in ordered}
        for number in sorted(unfinished):
            domains = unfinished[number].domains
            found |= {name: domain for name, domain in domains.items() if name not in self._names}
        return self._declared.with_domains(found) if found else self._declared


class _Entry:
    __slots__ = ("domain", "first", "last")

    def __init__(self, first: tuple[int, int], last: int, domain: Domain) -> None:
        self.first = first  # trial number and position of the first asking
        self.last = last  # number of the latest trial that asked
        self.domain = domain
