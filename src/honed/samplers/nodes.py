"""The nodes of the tree of configurations: prefixes of params, and what is left below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from honed.domains import Categorical, Domain, Ordinal, Scalar
from honed.records import TrialRecord


class Status(IntEnum):
    """What is left at a node and below."""

    FREE = 0
    PENDING = 1
    """Nothing, or just what a running trial will reveal or try."""
    CLOSED = 2


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The parameter that comes next at a node, and the cells that its values fall into."""

    name: str
    domain: Domain
    cells: tuple[Scalar, ...] | None
    index: Mapping[object, int]

    def cell(self, value: Scalar) -> int | None:
        """The index of a value's cell."""
        return self.index.get(identity(self.domain, value))


class Node:
    """A prefix of params that trials have had; only its tree changes it."""

    __slots__ = ("cell", "children", "guest", "is_forbidden", "is_leaf", "is_proven", "level", "n_claims", "n_closed",
                 "n_ends", "n_pending", "n_waiting", "parent", "status", "tail")  # fmt: skip

    def __init__(self, parent: Node | None = None, cell: int = 0) -> None:
        self.parent = parent
        self.cell = cell  # its place in the parent
        self.status = Status.FREE
        self.level: Level | None = None
        self.is_proven = False  # a trial went on with this level; otherwise the declared space says so
        self.is_leaf = False  # trials end here
        self.is_forbidden = False
        self.children: dict[int, Node] = {}
        self.n_closed = self.n_pending = 0  # children with that status
        self.n_ends = 0  # finished trials that ended here
        self.n_claims = 0  # unfinished trials that will end here
        self.n_waiting = 0  # unfinished trials that go on from here, nobody knows how
        self.tail: tuple[TrialRecord, tuple[str, ...]] | None = None  # a finished trial, and the names it asked here on
        self.guest: Claim | None = None  # an unfinished trial whose path goes on from here, folded up

    def status_of(self, cell: int) -> Status:
        """What is left in a cell."""
        child = self.children.get(cell)
        return Status.FREE if child is None else child.status

    def has_leaf_beside(self) -> bool:
        """Whether trials end at a neighbouring cell, as they probably do here."""
        return self.parent is not None and any(child.is_leaf for child in self.parent.children.values())

    def refresh(self) -> None:
        """Brings the status up to date, here and above."""
        node: Node | None = self
        while node is not None:
            before, status = node.status, node._judge()
            if status is before:
                return
            node.status = status
            node = node.parent
            if node is not None:
                node.n_closed += (status is Status.CLOSED) - (before is Status.CLOSED)
                node.n_pending += (status is Status.PENDING) - (before is Status.PENDING)

    def _judge(self) -> Status:
        if self.is_leaf or self.is_forbidden or self.n_claims:
            return Status.CLOSED
        level = self.level
        n_cells = -1 if level is None or level.cells is None else len(level.cells)
        if self.n_closed == n_cells:
            return Status.CLOSED
        if self.n_waiting or self.n_closed + self.n_pending == n_cells:
            return Status.PENDING
        return Status.FREE

    def leaves(self) -> Iterator[Node]:
        """All configurations from here on that were tried or are running."""
        nodes = [self]
        while nodes:
            node = nodes.pop()
            if node.is_leaf or node.n_claims:
                yield node
            nodes.extend(node.children.values())


@dataclass(slots=True, eq=False)
class Claim:
    """The place of an unfinished trial: it will end at ``node``, wait there for its further path, or is folded up there."""

    record: TrialRecord
    version: int
    node: Node | None = None
    is_settled: bool = True
    used: dict[str, Scalar] = field(default_factory=dict)


def identity(domain: Domain, value: Scalar) -> object:
    """What tells values apart: 1 and True are two choices, 1 and 1.0 one number."""
    return (type(value), value) if isinstance(domain, Categorical | Ordinal) else value
