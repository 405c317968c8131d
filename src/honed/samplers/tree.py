"""The tree of configurations: what has been tried, what is running, what is left.

A trial is a path: the parameters that it asked for, each with the cell of its value. A node is a prefix; it knows which
parameter comes next (from a trial that went on there, or from the declared space), which cells are used up, and whether
a running trial is inside whose further path nobody knows yet. Where a single trial has been, the rest of its path stays
folded up in one node, so that 10,000 trials with 20 parameters make some 10,000 nodes.

Finished trials are taken in once (``History.fold``). Unfinished ones claim a place, which is compared with the history at
every question. A parameter without cells (a continuous one) is never used up: there a path ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from honed.domains import Domain, Scalar
from honed.history import History
from honed.records import Cause, State, TrialRecord
from honed.samplers.nodes import Claim, Level, Node, Status, identity
from honed.space import Space

CellsOf = Callable[[str, Domain], tuple[Scalar, ...] | None]
"""The values of a parameter that are counted; None where they cannot be."""


class Tree:
    """The configurations of one study.

    Args:
        declared: the declared part of its space.
        domains: domains that count instead of those that trials asked with.
        cells_of: the values that are counted.
    """

    def __init__(self, declared: Space, domains: Mapping[str, Domain], cells_of: CellsOf) -> None:
        self.root = Node()
        self._declared = declared
        self._domains = domains
        self.cells_of = cells_of
        self._levels: dict[tuple[str, Domain], Level] = {}
        self._claims: dict[int, Claim] = {}
        self._unplaced: dict[int, TrialRecord] = {}  # results from elsewhere: finished, of domains that nobody knows
        self._elsewhere: set[frozenset[tuple[str, Scalar]]] = set()  # their params
        self._has_extras = False  # trials ask for more than is declared
        self._version = 0  # grows with what is known of the structure
        self._is_stale = False  # a claim may have the wrong place

    # ------------------------------------------------------------------------------------------------- questions

    def level(self, node: Node | None, params: Mapping[str, Scalar]) -> Level | None:
        """The parameter that follows ``params``; None at the end of a path, and where nobody knows.

        Args:
            node: where they lead; None is a place where no trial has been.
        """
        if node is not None:
            if node.tail is not None:
                self._unfold(node)
            if node.level is not None or node.is_leaf:
                return node.level
        name = self._declared.next_name(params)
        if name is None:
            return None
        level = self._level(name, self._declared[name])
        if node is not None:
            node.level = level
            node.refresh()
        return level

    def is_end(self, node: Node | None, params: Mapping[str, Scalar]) -> bool:
        """Whether ``params`` are complete, as far as is known."""
        if node is not None and node.is_leaf:
            return True
        return bool(self._declared.declared) and not self._has_extras and self.level(node, params) is None

    def judge(self, params: Mapping[str, Scalar], space: Space) -> tuple[Status, Mapping[str, Scalar]]:
        """Whether a proposal for ``space`` is still to be tried, and the part of it that stands.

        A place that a running trial is about to reveal is taken for a whole branch, in which two trials will part, unless trials
        have ended right beside it.
        """
        node: Node | None = self.root
        used = dict[str, Scalar]()
        if self._elsewhere and frozenset(params.items()) in self._elsewhere:
            return Status.CLOSED, params
        while node is not None:
            level = self.level(node, used)
            if node.status is Status.CLOSED:
                return Status.CLOSED, params
            if level is None or level.name not in params:
                is_doubtful = level is None and node.n_waiting and node.has_leaf_beside()
                return Status.PENDING if is_doubtful else Status.FREE, params
            if not is_planned(level, space):
                return Status.FREE, used
            cell = level.cell(params[level.name])
            used[level.name] = params[level.name]
            node = None if cell is None else self.enter(node, cell)
        return Status.FREE, params

    def find(self, params: Mapping[str, Scalar]) -> tuple[Node | None, dict[str, Scalar]]:
        """The place that ``params`` lead to, and what of them leads there; None where no trial has been."""
        node: Node | None = self.root
        used = dict[str, Scalar]()
        while True:
            level = self.level(node, used)
            if level is None or level.name not in params:
                return node, used
            cell = None if level.cells is None else level.cell(params[level.name])
            node = None if node is None or cell is None else self.enter(node, cell)
            used[level.name] = params[level.name]

    def options(self, params: Mapping[str, Scalar], name: str, domain: Domain) -> list[tuple[Scalar, Status]] | None:
        """The values of a parameter that a trial asks for beside ``params``, and what is left in each.

        None where values are not counted, or nothing is known.
        """
        values = self.cells_of(name, domain)
        if values is None:
            return None
        node, used = self.find(params)
        level = self.level(node, used)
        if node is None or level is None or level.name != name:
            if not self._elsewhere:
                return None
            tried = (frozenset({**params, name: value}.items()) in self._elsewhere for value in values)
            return [
                (value, Status.CLOSED if known else Status.FREE) for value, known in zip(values, tried, strict=True)
            ]
        cells = [level.cell(value) for value in values]
        status = [Status.FREE if cell is None else node.status_of(cell) for cell in cells]
        return list(zip(values, status, strict=True))

    def forbid(self, params: Mapping[str, Scalar]) -> None:
        """Closes a configuration that a rule forbids."""
        node, used = self.root, dict[str, Scalar]()
        while (level := self.level(node, used)) is not None and level.name in params:
            cell = level.cell(params[level.name])
            if cell is None:
                return
            used[level.name] = params[level.name]
            node = self.enter(node, cell) or self._grow(node, cell)
        node.is_forbidden = True
        node.refresh()

    def n_tried(self) -> int:
        """How many configurations were tried or are running."""
        return sum(1 for _ in self.root.leaves())

    def enter(self, node: Node, cell: int) -> Node | None:
        """The node of a cell; a guest that lies folded up in it moves on."""
        child = node.children.get(cell)
        if child is not None and child.guest is not None:
            self._move(child.guest)
        return child

    def _grow(self, node: Node, cell: int) -> Node:
        child = node.children[cell] = Node(node, cell)
        return child

    def _level(self, name: str, domain: Domain) -> Level:
        domain = self._domains.get(name, domain)
        level = self._levels.get((name, domain))
        if level is None:
            cells = self.cells_of(name, domain)
            index = {identity(domain, value): i for i, value in enumerate(cells or ())}
            level = self._levels[name, domain] = Level(name, domain, cells, index)
        return level

    def _is_single(self, name: str, domain: Domain) -> bool:
        cells = self._level(name, domain).cells
        return cells is not None and len(cells) == 1

    # ------------------------------------------------------------------------------------------- finished trials

    def add(self, record: TrialRecord) -> None:
        """Takes in a finished trial."""
        if len(record.domains) < len(record.params):
            self._unplaced[record.number] = record
            self._elsewhere.add(frozenset(record.params.items()))
            return
        if not self._has_extras and not self._declared.domains.keys() >= record.params.keys():
            self._has_extras = True
        self._insert(self.root, record, list(record.params))

    def _insert(self, node: Node, record: TrialRecord, names: list[str]) -> None:
        """Lays the path of a finished trial from ``node`` on; ``names`` are left of it."""
        is_sure = record.state is State.COMPLETE or record.cause is Cause.INFEASIBLE
        while names:
            if node.tail is not None:
                self._unfold(node)
            level = node.level
            if level is None or level.name not in names:
                if node.is_proven and not is_sure:
                    return  # a trial that was cut short says less than the one that went on otherwise
                level = self._learn(node, names[0], record.domains[names[0]])
            elif not node.is_proven or (is_sure and level.domain is not record.domains[level.name]):
                level = self._learn(node, level.name, record.domains[level.name])
            cell = None if level.cells is None else level.cell(record.params[level.name])
            if cell is None:
                return
            names.remove(level.name)
            child = self.enter(node, cell)
            if child is None:
                child = self._grow(node, cell)
                if not all(self._is_single(name, record.domains[name]) for name in names):
                    child.tail = (record, tuple(names))
                    return
            node = child
        if node.tail is not None:
            self._unfold(node)
        self._end(node, record, is_sure)

    def _unfold(self, node: Node) -> None:
        assert node.tail is not None
        record, names = node.tail
        node.tail = None
        self._insert(node, record, list(names))

    def _end(self, node: Node, record: TrialRecord, is_sure: bool) -> None:
        """A finished trial has ended here."""
        if record.cause in (Cause.LOST, Cause.CANCELLED):
            return
        node.n_ends += 1
        if node.is_proven:
            if not is_sure:
                return
            self._drop_children(node)  # the objective has changed, its latest trial is right
            node.level, node.is_proven = None, False
        # A declared parameter that one trial has not asked for may be new in the space; two trials settle it.
        if node.n_ends > 1 or self._declared.next_name(record.params) is None:
            self._is_stale |= not node.is_leaf and bool(node.n_waiting or node.children)
            node.is_leaf = True
            node.refresh()

    def _learn(self, node: Node, name: str, domain: Domain) -> Level:
        """A trial has asked for ``name`` here."""
        before, level = node.level, self._level(name, domain)
        node.is_proven, node.is_leaf = True, False
        if before is not level:
            self._version += 1
            self._is_stale |= bool(node.children or node.n_claims)
            if before is not None and before.name == name:
                self._remap(node, before, level)
            else:
                self._drop_children(node)
            node.level = level
        node.refresh()
        return level

    def _remap(self, node: Node, before: Level, after: Level) -> None:
        """Moves the children to the cells of a changed domain."""
        old = node.children
        node.children, node.n_closed, node.n_pending = {}, 0, 0
        for child in old.values():
            place = None if before.cells is None else after.cell(before.cells[child.cell])
            if place is None:
                child.parent = None
                continue
            node.children[place], child.cell = child, place
            node.n_closed += child.status is Status.CLOSED
            node.n_pending += child.status is Status.PENDING

    def _drop_children(self, node: Node) -> None:
        for child in node.children.values():
            child.parent = None
        self._is_stale |= bool(node.children)
        node.children, node.n_closed, node.n_pending = {}, 0, 0

    # ------------------------------------------------------------------------------------------- unfinished trials

    def sync(self, history: History, number: int) -> None:
        """Lets the unfinished trials of a history, except ``number``, claim their places."""
        level = self.level(self.root, {})
        if level is not None and level.cells is None:
            return
        present = {record.number: record for record in history.unfinished if record.number != number}
        present |= self._unplaced
        for claim in list(self._claims.values()):
            number = claim.record.number
            is_current = claim.is_settled or claim.version == self._version
            if self._is_stale or present.get(number) is not claim.record or not is_current:
                self._release(self._claims.pop(number))
        self._is_stale = False
        for number, record in present.items():
            if number not in self._claims:
                claim = self._claims[number] = Claim(record, self._version)
                self._place(claim, self.root)

    def _release(self, claim: Claim) -> None:
        node = claim.node
        if node is None:
            return
        if node.guest is claim:
            node.guest = None
            if node.parent is not None and not (node.children or node.is_proven or node.is_forbidden or node.n_ends):
                del node.parent.children[node.cell]
                return
        elif claim.is_settled:
            node.n_claims -= 1
        else:
            node.n_waiting -= 1
        node.refresh()

    def _move(self, claim: Claim) -> None:
        """Unfolds a guest by one node."""
        node = claim.node
        assert node is not None
        node.guest = None
        self._place(claim, node)

    def _place(self, claim: Claim, node: Node) -> None:
        """Finds the place of an unfinished trial, from ``node`` on.

        Before its first report a trial's params are a plan, of which it may never ask some, or the first of those that it
        will ask for; from then on they are what it has asked for.
        """
        record, used = claim.record, claim.used
        has_asked_all = bool(record.reports) or record.state.is_finished
        while True:
            level = self.level(node, used)
            if level is None:
                rest = next((name for name in record.params if name not in used), None)
                is_known = rest is not None and has_asked_all and rest in record.domains and not node.is_leaf
                if not is_known:
                    self._settle(
                        claim, node, self.is_end(node, used) or (has_asked_all and rest is None and bool(used))
                    )
                    return
                assert rest is not None
                level = node.level = self._level(rest, record.domains[rest])
                self._version += 1
                node.refresh()
            if level.name not in record.params:
                self._settle(claim, node, False)
                return
            cell = None if level.cells is None else level.cell(record.params[level.name])
            if cell is None or level.cells is None:
                claim.node = None
                return
            used[level.name] = record.params[level.name]
            child = self.enter(node, cell)
            if child is None:
                node = self._grow(node, cell)
                following = self.level(node, used)
                if following is not None and (following.cells is None or len(following.cells) > 1):
                    claim.node, node.guest = node, claim
                    return
                continue
            node = child

    def _settle(self, claim: Claim, node: Node, is_end: bool) -> None:
        """The trial ends at ``node``, or waits there if it goes on."""
        claim.is_settled = is_end
        claim.node = node if is_end or not claim.record.state.is_finished else None
        if claim.node is None:
            return
        node.n_claims += is_end
        node.n_waiting += not is_end
        node.refresh()


def is_planned(level: Level, space: Space) -> bool:
    """Whether a trial will take a planned value at this level: it asks again where its domain is not the joint space's."""
    domain = space.domains.get(level.name)
    return domain is level.domain or domain == level.domain


def is_joint(history: History, space: Space, given: Mapping[str, Scalar]) -> bool:
    """Whether a whole new trial is asked for, not what a trial that has begun still needs."""
    joint = history.space
    return not given and (space is joint or (len(space) == len(joint) and space.declared == joint.declared))


def used_up(n: int) -> str:
    """The sentence for the user at the end of a finite space."""
    if n < 2:
        return "The only configuration was tried" if n else "No configuration is allowed"
    return f"All {n:,} configurations tried"


def tree_of(history: History, space: Space, given: Mapping[str, Scalar], number: int, cells_of: CellsOf) -> Tree:
    """The tree of a study as its history knows it, seen from trial ``number``.

    Args:
        space: what is asked for; where it is the joint space, its domains count.
        given: what the trial has already.
        cells_of: which values count; hashable, the same for the same values.
    """
    joint, declared = history.space, history.declared
    held: dict[str, Domain] = {}
    if space is not joint and is_joint(history, space, given):
        held = {name: domain for name, domain in space.domains.items() if joint.domains.get(name) is not domain}
    tree = history.fold(
        ("tree", cells_of, tuple(held.items())),
        lambda: Tree(declared, {**declared.domains, **held}, cells_of),
        Tree.add,
    )
    tree.sync(history, number)
    return tree
