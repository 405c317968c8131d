"""The search space: names and their domains, when each is active, and what is forbidden.

Written down beforehand (``Space(lr=Float(1e-4, 1, log=True))``) or discovered from the trials of a define-by-run
objective, it is the same object. A parameter may depend on others: ``Float(0, 0.99).when(optimizer="SGD")`` exists
only in trials whose optimizer is SGD, and only active parameters ever stand in a record.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self, TypeVar

from honed.domains import Conditional, Domain, Scalar, domain_from_json

Rule = Callable[[Mapping[str, Any]], bool]
"""A forbidden region: True for params (objects, not labels) that must not be tried."""

S = TypeVar("S", bound="Space")

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_MOST_CHECKED = 20_000


@dataclass(frozen=True, slots=True, init=False)
class Space:
    """What may be tried: names, domains, conditions, forbidden regions.

    Args:
        domains: a mapping from name to domain; names that are no Python identifiers go here.
        **named: the same by keyword: ``Space(lr=Float(1e-4, 1, log=True), n_layers=Int(1, 4))``.

    Raises:
        TypeError: something that is not a domain.
        ValueError: a condition on a parameter that is missing, or that stands later in the space.
    """

    domains: Mapping[str, Domain]
    conditions: Mapping[str, Mapping[str, tuple[Scalar, ...]]]
    rules: tuple[Rule, ...] = field(compare=False)
    declared: tuple[str, ...] = field(compare=False)
    """The names that were written down beforehand; the others were discovered from trials."""

    def __init__(
        self, domains: Mapping[str, Domain | Conditional] | None = None, /, **named: Domain | Conditional
    ) -> None:
        plain: dict[str, Domain] = {}
        conditions: dict[str, Mapping[str, tuple[Scalar, ...]]] = {}
        for name, entry in itertools.chain((domains or {}).items(), named.items()):
            domain = entry.domain if isinstance(entry, Conditional) else entry
            if not isinstance(name, str) or not name:
                raise TypeError(f"Space: the name {name!r} must be a text")
            if not isinstance(domain, Domain):
                raise TypeError(f"Space: {name}={entry!r} is no domain; write Float, Int, Categorical or Ordinal")
            if name in plain:
                raise ValueError(f"Space: {name!r} is given twice")
            if isinstance(entry, Conditional):
                conditions[name] = _checked_conditions(name, entry.conditions, plain)
            plain[name] = domain
        object.__setattr__(self, "domains", MappingProxyType(plain))
        object.__setattr__(self, "conditions", MappingProxyType(conditions))
        object.__setattr__(self, "rules", ())
        object.__setattr__(self, "declared", tuple(plain))

    def __len__(self) -> int:
        return len(self.domains)

    def __contains__(self, name: str) -> bool:
        return name in self.domains

    def __getitem__(self, name: str) -> Domain:
        return self.domains[name]

    def forbid(self, rule: Rule) -> Self:
        """This space without the params for which ``rule(params)`` is true.

        Forbidden params are never tried; a rule that reads a parameter which is not active does not apply.

        Args:
            rule: for example ``lambda p: p["layers"] * p["width"] > 4096``.
        """
        if not callable(rule):
            raise TypeError(f"forbid: rule={rule!r} must be a function of params, e.g. lambda p: p['a'] + p['b'] > 100")
        space = _copy(self)
        object.__setattr__(space, "rules", (*self.rules, rule))
        return space

    def with_domain(self, name: str, domain: Domain) -> Self:
        """This space with one more domain (a discovered one), or one that changed."""
        return self.with_domains({name: domain})

    def with_domains(self, domains: Mapping[str, Domain]) -> Self:
        """This space with more, or changed, domains."""
        space = _copy(self)
        object.__setattr__(space, "domains", MappingProxyType({**self.domains, **domains}))
        return space

    def is_active(self, name: str, params: Mapping[str, Scalar]) -> bool:
        """Whether the parameter exists beside these stored params (those before it in the space suffice)."""
        for parent, wanted in self.conditions.get(name, _EMPTY).items():
            if parent not in params or not any(_same(params[parent], value) for value in wanted):
                return False
        return True

    def active(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The part of stored ``params`` that is active, in the space's order."""
        if not self.conditions:
            return {name: params[name] for name in self.domains if name in params}
        kept: dict[str, Scalar] = {}
        for name in self.domains:
            if name in params and self.is_active(name, kept):
                kept[name] = params[name]
        return kept

    def is_allowed(self, params: Mapping[str, Scalar]) -> bool:
        """Whether no rule forbids these stored params; a rule that needs an absent parameter does not apply."""
        return not self.rules or not any(_applies(rule, self._objects(params)) for rule in self.rules)

    def broken_rules(self, params: Mapping[str, Scalar]) -> tuple[int, ...]:
        """The positions of the rules that forbid these stored params."""
        return tuple(i for i, rule in enumerate(self.rules) if _applies(rule, self._objects(params)))

    def _objects(self, params: Mapping[str, Scalar]) -> dict[str, Any]:
        """What an objective would receive; a value that today's domain does not have stays as it is stored."""
        known = ((name, value, self.domains.get(name)) for name, value in params.items())
        return {
            name: value if domain is None or not domain.contains(value) else domain.to_object(value)
            for name, value, domain in known
        }

    def next_name(self, params: Mapping[str, Scalar]) -> str | None:
        """The first active parameter that ``params`` lacks; None when they are complete."""
        for name in self.domains:
            if name not in params and self.is_active(name, params):
                return name
        return None

    def n_configurations(self, most: int = 1_000_000) -> int | None:
        """How many allowed configurations there are.

        None for continuous spaces, above ``most``, and where rules would have to be asked more than 20,000 times.
        """
        if any(domain.n_values is None for domain in self.domains.values()):
            return None
        total = _Counter(self).count(0, {})
        if not self.rules:
            return total if total <= most else None
        if total > _MOST_CHECKED:
            return None
        allowed = sum(1 for _ in self.configurations())
        return allowed if allowed <= most else None

    def configurations(self, grid: Mapping[str, tuple[Scalar, ...]] | None = None) -> Iterator[dict[str, Scalar]]:
        """All allowed configurations of a finite space, or of the grid of values given for each name.

        Args:
            grid: values for each name; a name it lacks takes all values of its domain.
        """
        yield from self._extend({}, dict(grid or {}))

    def _extend(self, params: dict[str, Scalar], grid: dict[str, tuple[Scalar, ...]]) -> Iterator[dict[str, Scalar]]:
        name = self.next_name(params)
        if name is None:
            if self.is_allowed(params):
                yield params
            return
        for value in grid.get(name) or self.domains[name].grid():
            yield from self._extend({**params, name: value}, grid)

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which ``space_from_json`` makes an equal space; rules (code) are not part of it."""
        conditions = {name: {k: list(v) for k, v in when.items()} for name, when in self.conditions.items()}
        return {"domains": {name: d.to_json() for name, d in self.domains.items()}, "conditions": conditions}

    def changes_from(self, before: Mapping[str, Any] | None) -> str:
        """In words, what is different from a space that was stored as JSON."""
        old: Mapping[str, Domain] = {} if before is None else space_from_json(before).domains
        parts = [f"new {name} {domain}" for name, domain in self.domains.items() if name not in old]
        parts += [f"{name} {old[name]} -> {d}" for name, d in self.domains.items() if name in old and old[name] != d]
        parts += [f"{name} is gone" for name in old if name not in self.domains]
        return "; ".join(parts) or "conditions only"

    def __str__(self) -> str:
        count = self.n_configurations()
        lines = [f"{len(self)} parameters, " + ("continuous" if count is None else f"{count:,} configurations")]
        width = max((len(name) for name in self.domains), default=0)
        for name, domain in self.domains.items():
            when = " and ".join(
                f"{parent} is {' or '.join(map(repr, values))}"
                for parent, values in self.conditions.get(name, _EMPTY).items()
            )
            lines.append(f"  {name:<{width}}  {domain}" + (f"  when {when}" if when else ""))
        if self.rules:
            regions = f"{len(self.rules)} forbidden region{'s' if len(self.rules) > 1 else ''}"
            lines.append(f"  {regions}" + (f", feasible: {feasible_share(self):.0%}" if self.domains else ""))
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        state = [dict(value) if isinstance(value, Mapping) else value for value in map(self.__getattribute__, _FIELDS)]
        state[1] = {name: dict(when) for name, when in self.conditions.items()}
        return _restored, tuple(state)


def feasible_share(space: Space, n: int = 1000, seed: int = 0) -> float:
    """Which part of a space its rules allow: the share of ``n`` random configurations."""
    return sum(map(space.is_allowed, random_params(space, n, seed))) / n if space.rules else 1.0


def random_params(space: Space, n: int, seed: int = 0) -> Iterator[dict[str, Scalar]]:
    """``n`` random configurations, allowed or not."""
    draw = random.Random(seed).random
    for _ in range(n):
        yield space.active({name: domain.decode(draw()) for name, domain in space.domains.items()})


def space_from_json(data: Mapping[str, Any]) -> Space:
    """The space that ``to_json`` described, without its rules."""
    entries: dict[str, Domain | Conditional] = {}
    for name, spec in data["domains"].items():
        domain = domain_from_json(spec)
        when = data.get("conditions", {}).get(name)
        entries[name] = Conditional(domain, {k: tuple(v) for k, v in when.items()}) if when else domain
    return Space(entries)


_FIELDS = ("domains", "conditions", "rules", "declared")


def _copy(space: S) -> S:
    """A shallow copy of a space, to be changed by its own methods only."""
    copy = object.__new__(type(space))
    for name in _FIELDS:
        object.__setattr__(copy, name, getattr(space, name))
    return copy


def _restored(domains: Any, conditions: Any, rules: Any, declared: Any) -> Space:
    """The space that ``__reduce__`` took apart."""
    space = object.__new__(Space)
    views = {name: MappingProxyType(when) for name, when in conditions.items()}
    for name, value in zip(_FIELDS, (MappingProxyType(domains), MappingProxyType(views), rules, declared), strict=True):
        object.__setattr__(space, name, value)
    return space


def _checked_conditions(
    name: str, conditions: Mapping[str, Any], before: Mapping[str, Domain]
) -> Mapping[str, tuple[Scalar, ...]]:
    checked: dict[str, tuple[Scalar, ...]] = {}
    for parent, wanted in conditions.items():
        if parent not in before:
            raise ValueError(
                f"Space: {name!r} depends on {parent!r}, which does not stand before it; put {parent!r} first"
            )
        try:
            checked[parent] = _wanted(before[parent], wanted)
        except ValueError as error:
            raise ValueError(f"Space: {name!r} is active when {parent!r} is {wanted!r}, but {error}") from None
    return MappingProxyType(checked)


def _wanted(domain: Domain, wanted: Any) -> tuple[Scalar, ...]:
    """The stored values of a condition: of one value (which may be a tuple), or of several."""
    if not isinstance(wanted, list | tuple | set | frozenset | range):
        return (domain.to_stored(wanted),)
    if isinstance(wanted, tuple):
        try:
            return (domain.to_stored(wanted),)
        except ValueError:
            pass
    stored = {domain.to_stored(value) for value in wanted}
    if not stored:
        raise ValueError("that is no value at all; name at least one")
    return tuple(sorted(stored, key=domain.encode))


class _Counter:
    """Counts the configurations of a finite space without listing them: only what conditions ask about branches."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._names: list[str] = []
        for name in space.domains:
            self._place(name)
        self._mentioned: dict[str, set[Scalar]] = {}
        for when in space.conditions.values():
            for parent, values in when.items():
                self._mentioned.setdefault(parent, set()).update(values)
        self._needed = [
            {parent for name in self._names[i:] for parent in space.conditions.get(name, _EMPTY)}
            for i in range(len(self._names) + 1)
        ]
        self._memo: dict[tuple[Any, ...], int] = {}

    def _place(self, name: str) -> None:
        """Puts a name into the order, and at once what depends on it: the fewer branches stay open."""
        conditions = self._space.conditions
        if name in self._names or not all(parent in self._names for parent in conditions.get(name, _EMPTY)):
            return
        self._names.append(name)
        for child, when in conditions.items():
            if name in when:
                self._place(child)

    def count(self, i: int, params: dict[str, Scalar]) -> int:
        """The number of ways to complete ``params`` from the ``i``-th name on."""
        if i == len(self._names):
            return 1
        key = (i, *((name, value) for name, value in params.items() if name in self._needed[i]))
        if key not in self._memo:
            self._memo[key] = self._count(i, params)
        return self._memo[key]

    def _count(self, i: int, params: dict[str, Scalar]) -> int:
        name = self._names[i]
        if not self._space.is_active(name, params):
            return self.count(i + 1, params)
        size = self._space[name].n_values or 0
        mentioned = self._mentioned.get(name, set())
        total = sum(self.count(i + 1, {**params, name: value}) for value in mentioned)
        if size > len(mentioned):
            total += (size - len(mentioned)) * self.count(i + 1, {**params, name: _OTHER})
        return total


_OTHER = "\0 none of the values that conditions mention"


def _same(left: Scalar, right: Scalar) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _applies(rule: Rule, objects: Mapping[str, Any]) -> bool:
    try:
        return bool(rule(objects))
    except KeyError:
        return False
