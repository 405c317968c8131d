"""Wrappers that give any sampler a property: no configuration twice, none that is forbidden, some parameters fixed.

What a study's user has said beforehand stands in the study's attributes, so that every worker knows it: ``Held`` obeys what
is fixed, ``honed.samplers.beliefs.Believing`` follows beliefs and past studies.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from honed.domains import Const, Domain, Scalar
from honed.errors import NoFeasiblePoint, closest
from honed.history import History
from honed.records import Exhausted, Suggestion, Wait
from honed.samplers.base import Proposal, Sampler, Stream
from honed.samplers.beliefs import Believing
from honed.samplers.nodes import Node, Status
from honed.samplers.random import Random
from honed.samplers.tree import Tree, is_joint, is_planned, tree_of, used_up
from honed.space import Space, feasible_share, random_params
from honed.transfer import DEFAULTS, default_value

MOST_CELLS = 100_000
"""A parameter with more values than this counts as continuous: it is never used up."""

FIXED = "fixed"
"""The study's attribute with the values that its user has fixed."""

__all__ = ["FIXED", "MOST_CELLS", "Countable", "Distinct", "Feasible", "Fixed", "Held", "feasible_share", "fit_for_use",
           "refuse_empty"]  # fmt: skip

_OWN_ROUNDS = 4  # proposals of the wrapped sampler before somebody else draws
_RANDOM_ROUNDS = 100
_FEASIBLE_ROUNDS = 100
_FEASIBLE_DRAWS = 10_000


def fit_for_use(sampler: Sampler) -> Sampler:
    """The sampler as studies use it: nothing forbidden, nothing twice, and what the user has said beforehand.

    A sampler that keeps a book of its own says so with ``is_exact = True``, as ``Grid`` does: it is only held to what is fixed.
    """
    if isinstance(sampler, Held) or getattr(
        sampler, "in_batches", False
    ):  # fit already, and so is what the latter wraps
        return sampler
    return Held(sampler if getattr(sampler, "is_exact", False) else Distinct(Feasible(Believing(sampler))))


# ------------------------------------------------------------------------------------------------------- no duplicates


@dataclass(frozen=True, slots=True)
class Distinct:
    """Never a configuration that was tried or is running, while the space has others; then exhausted.

    It draws again where a proposal is used up: by the wrapped sampler, then at random, and at last it looks for what is left.
    Parameters with more than 100,000 values cannot be used up, a space made of them costs nothing.

    Args:
        sampler: who proposes.
    """

    sampler: Sampler

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        if all(is_endless(domain) for domain in space.domains.values()):
            return self.sampler.suggest(history, space, rng, given)
        tree = tree_of(history, space, given, rng.number, countable)
        if not is_joint(history, space, given):
            return self._complete(tree, history, space, rng, given)
        if tree.root.status is Status.CLOSED:
            return Exhausted(used_up(tree.n_tried()))
        for sampler in (*[self.sampler] * _OWN_ROUNDS, *[Random()] * _RANDOM_ROUNDS):
            proposal = sampler.suggest(history, space, rng, given)
            if not isinstance(proposal, Suggestion):
                return proposal
            status, params = tree.judge(proposal.params, space)
            if status is Status.FREE and history.space.is_allowed(params):
                return Suggestion(params, proposal.note)
            rng = rng.again()
        return self._what_is_left(tree, history, space, rng)

    def _complete(
        self, tree: Tree, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]
    ) -> Proposal:
        """For a trial that has begun: something untried if there is, anything otherwise."""
        proposal = self.sampler.suggest(history, space, rng, given)
        if not isinstance(proposal, Suggestion):
            return proposal
        params = dict(given)
        for name, domain in space.domains.items():
            if name not in proposal.params:
                continue
            options = None if is_endless(domain) else tree.options(params, name, domain)
            value = params[name] = proposal.params[name]
            if options is None or any(value == option and status is Status.FREE for option, status in options):
                continue
            free = [option for option, status in options if status is Status.FREE]
            free = [option for option in free if history.space.is_allowed({**params, name: option})]
            if free:
                params[name] = free[int(rng.uniform(f"{name}/free") * len(free))]
        return Suggestion({name: params[name] for name in space.domains if name in params}, proposal.note)

    def _what_is_left(self, tree: Tree, history: History, space: Space, rng: Stream) -> Proposal:
        """One of the few untried configurations of a space that is nearly used up."""
        for _ in range(MOST_CELLS):
            if tree.root.status is not Status.FREE:
                break
            found = _descend(tree, space, rng)
            while (name := history.declared.next_name(found)) is not None:  # what is endless
                found[name] = space[name].decode(rng.uniform(name))
            if history.space.is_allowed(found):
                return Suggestion(found)
            tree.forbid(found)
        if tree.root.status is Status.PENDING:
            return Wait("every configuration that is known was tried; running trials will show whether there are more")
        return Exhausted(used_up(tree.n_tried()))


def _descend(tree: Tree, space: Space, rng: Stream) -> dict[str, Scalar]:
    """A free configuration: at each parameter the first free cell in an order that is drawn at random."""
    node: Node | None = tree.root
    params = dict[str, Scalar]()
    while (level := tree.level(node, params)) is not None and level.cells and is_planned(level, space):
        n = len(level.cells)
        start, step = int(rng.uniform(level.name) * n), _step(n, rng.uniform(f"{level.name}/step"))
        order = ((start + i * step) % n for i in range(n))
        cell = next((i for i in order if node is None or node.status_of(i) is Status.FREE), start)
        params[level.name] = level.cells[cell]
        node = None if node is None else tree.enter(node, cell)
    return params


def _step(n: int, unit: float) -> int:
    """A random step that visits all of ``n`` cells, one after the other."""
    first = 1 + int(unit * (n - 1))
    return next(step for step in range(first, first + n + 1) if gcd(step, n) == 1)


def countable(name: str, domain: Domain) -> tuple[Scalar, ...] | None:
    """All values of a domain, if they are not too many to be used up."""
    return None if is_endless(domain) else domain.grid()


def is_endless(domain: Domain) -> bool:
    """Whether a study cannot use up this domain."""
    n = domain.n_values
    return n is None or n > MOST_CELLS


@dataclass(frozen=True, slots=True)
class Countable:
    """One sampler for what can be used up, another one as soon as something cannot.

    Args:
        sampler: for parameters with at most 100,000 values.
        otherwise: for the others, and for whole trials that have such parameters; made fit for use.
    """

    sampler: Sampler
    otherwise: Sampler

    def __post_init__(self) -> None:
        object.__setattr__(self, "otherwise", fit_for_use(self.otherwise))

    @property
    def is_exact(self) -> bool:
        """Whether it keeps book itself of what was tried."""
        return bool(getattr(self.sampler, "is_exact", False))

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        is_countable = not any(is_endless(domain) for domain in space.domains.values())
        chosen = self.sampler if is_countable else self.otherwise
        return chosen.suggest(history, space, rng, given)


# --------------------------------------------------------------------------------------------------- forbidden regions


@dataclass(frozen=True, slots=True)
class Feasible:
    """Only what the space's rules allow: draws again, by the wrapped sampler, then at random.

    Args:
        sampler: who proposes.
    """

    sampler: Sampler

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        proposal = self.sampler.suggest(history, space, rng, given)
        if not history.space.rules:
            return proposal
        for attempt in range(_FEASIBLE_ROUNDS + _FEASIBLE_DRAWS):
            if not isinstance(proposal, Suggestion) or is_allowed(history, space, proposal.params, given):
                return proposal
            rng = rng.again()
            sampler = self.sampler if attempt < _FEASIBLE_ROUNDS else Random()
            proposal = sampler.suggest(history, space, rng, given)
        raise _no_feasible_point(history.space)


def is_allowed(history: History, space: Space, params: Mapping[str, Scalar], given: Mapping[str, Scalar]) -> bool:
    """Whether no rule of the study forbids ``params`` beside ``given``."""
    joint = history.space
    if space is not joint and any(joint.domains.get(name) is not domain for name, domain in space.domains.items()):
        joint = joint.with_domains(space.domains)
    return joint.is_allowed({**given, **space.active(params)})


def refuse_empty(space: Space) -> None:
    """Refuses a space without (almost) any allowed configuration.

    Raises:
        NoFeasiblePoint: none of 10,000 random configurations is allowed.
    """
    if space.rules and len(space) and not any(map(space.is_allowed, random_params(space, _FEASIBLE_DRAWS))):
        raise _no_feasible_point(space)


def _no_feasible_point(space: Space) -> NoFeasiblePoint:
    broken = Counter(i for params in random_params(space, 1000) for i in space.broken_rules(params))
    shares = [f"rule {i + 1}{_place(rule)} forbids {broken[i] / 1000:.0%}" for i, rule in enumerate(space.rules)]
    return NoFeasiblePoint(
        f"None of {_FEASIBLE_DRAWS:,} random configurations is allowed: {', '.join(shares)}. "
        "Loosen a rule, or narrow the domains to where the rules allow something."
    )


def _place(rule: Any) -> str:
    """Where a rule was written."""
    code = getattr(rule, "__code__", None)
    return "" if code is None else f" ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


# ------------------------------------------------------------------------------------------------------ fixed parameters


@dataclass(frozen=True, slots=True)
class Fixed:
    """Holds some parameters at given values and lets the wrapped sampler choose the rest.

    Args:
        sampler: who proposes the rest.
        params: name -> value (an object, a label or a number).
    """

    sampler: Sampler
    params: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", dict(self.params))

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        if len(history.declared):
            for name in self.params:
                if name not in history.space and name not in space:
                    raise ValueError(f"Fixed: {name!r} is not in the space.{closest(name, history.space.domains)}")
        held = {name: self._stored(name, space[name]) for name in self.params if name in space}
        if len(held) == len(space):
            return Suggestion(held)
        narrowed = space.with_domains({name: Const(value) for name, value in held.items()}) if held else space
        return self.sampler.suggest(history, narrowed, rng, given)

    def _stored(self, name: str, domain: Domain) -> Scalar:
        try:
            return domain.to_stored(self.params[name])
        except ValueError as error:
            raise ValueError(f"Fixed: {name!r}: {error}; fix it at a value of its domain") from None


@dataclass(frozen=True, slots=True)
class Held:
    """The wrapped sampler, held to what the study's user has said: fixed values, and a first trial of defaults.

    Args:
        sampler: who proposes the rest.
    """

    sampler: Sampler

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        attributes = history.study.attributes
        if not attributes or (DEFAULTS not in attributes and FIXED not in attributes):
            return self.sampler.suggest(history, space, rng, given)
        fixed: Mapping[str, Any] = attributes.get(FIXED) or {}
        sampler: Sampler = self.sampler
        if rng.number == 0 and DEFAULTS in attributes:
            sampler = _Middle(attributes[DEFAULTS])
        held = Fixed(sampler, fixed) if fixed else sampler
        return held.suggest(history, space, rng, given)


@dataclass(frozen=True, slots=True)
class _Middle:
    """The user's defaults, and the middle of each other domain."""

    defaults: Mapping[str, Scalar]

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        if rng.round:  # forbidden beside what the trial has: anything else
            return Random().suggest(history, space, rng, given)
        return Suggestion(
            space.active({name: default_value(d, name, self.defaults) for name, d in space.domains.items()})
        )
