"""Hypothesis strategies: domains, spaces, params, histories, and changes of a space.

``from honed.testing import strategies as honed_st``, then ``@given(honed_st.histories())``. They are made to be nasty: tiny and
huge ranges, conditions on conditions, NaN and infinite losses, failed trials, domains that differ from trial to trial.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from honed.domains import Bool, Categorical, Conditional, Const, Domain, Float, Int, Log, Ordinal, Scalar
from honed.history import History
from honed.records import Cause, Delta, Report, State, StudyRecord, TrialRecord
from honed.space import Space

UNITS = st.floats(0.0, 1.0)
LOSSES = st.one_of(
    st.floats(-1e3, 1e3),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 5e-324, 1e308, -1e308, 1.0, 1.0]),
)
_LOGS: st.SearchStrategy[Log] = st.sampled_from([True, "reverse"])
_NAMES = ["lr", "units", "opt", "depth", "a.b", "größe", "x 1", "dropout"]


def floats() -> st.SearchStrategy[Float]:
    """``Float`` of every scale."""
    wide = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6)).map(lambda pair: Float(pair[0], pair[0] + pair[1]))
    positive = st.tuples(st.floats(1e-8, 1e3), st.floats(1.001, 1e6))
    log = st.tuples(positive, _LOGS).map(lambda drawn: Float(drawn[0][0], drawn[0][0] * drawn[0][1], log=drawn[1]))
    near_one = st.tuples(st.floats(-1.0, 0.9), st.floats(0.901, 0.99999)).map(lambda pair: Float.near_one(*pair))
    stepped = st.tuples(st.integers(-50, 50), st.integers(1, 40), st.sampled_from([0.1, 0.25, 0.5, 3.0])).map(
        lambda drawn: Float(round(drawn[0] * drawn[2], 6), round((drawn[0] + drawn[1]) * drawn[2], 6), step=drawn[2])
    )
    factor = st.tuples(st.sampled_from([1e-4, 0.5, 3.0]), st.integers(1, 6), st.sampled_from([2.0, 10.0])).map(
        lambda drawn: Float(drawn[0], drawn[0] * drawn[2] ** drawn[1], factor=drawn[2])
    )
    return st.one_of(wide, log, near_one, stepped, factor)


def ints() -> st.SearchStrategy[Int]:
    """``Int`` of every scale."""
    plain = st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 30), st.sampled_from([1, 1, 1, 2, 7])).map(
        lambda drawn: Int(drawn[0], drawn[0] + drawn[1] * drawn[2], step=drawn[2])
    )
    huge = st.integers(2**31, 2**53).map(lambda high: Int(0, high))
    log = st.tuples(st.integers(1, 50), st.integers(1, 60), st.sampled_from([1, 8]), _LOGS)
    return st.one_of(
        plain,
        huge,
        log.map(lambda drawn: Int(drawn[0], drawn[0] + drawn[1] * drawn[2], step=drawn[2], log=drawn[3])),
        st.tuples(st.integers(0, 5), st.integers(1, 6)).map(lambda p: Int.pow2(2 ** p[0], 2 ** (p[0] + p[1]))),
    )


def choices() -> st.SearchStrategy[Domain]:
    """``Categorical`` and ``Ordinal`` of scalars and objects, with and without weights."""
    scalars: st.SearchStrategy[Any] = st.one_of(
        st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "relu", ""]), st.floats(-2, 2)
    )
    distinct: st.SearchStrategy[list[Any]] = st.lists(
        scalars, min_size=1, max_size=5, unique_by=lambda value: (type(value), value)
    )
    objects: st.SearchStrategy[list[Any]] = st.sampled_from(
        [[(3, 3), (5, 5), None], [max, min], [int, float, str], [{"a": 1}, {"a": 2}]]
    )
    weighted = st.integers(1, 4).flatmap(
        lambda n: st.lists(st.floats(0.01, 10), min_size=n, max_size=n).map(
            lambda weights: Categorical(list("abcd"[: len(weights)]), weights=weights)
        )
    )
    categorical: st.SearchStrategy[Domain] = st.builds(Categorical, st.one_of(distinct, objects))
    ordinals = st.builds(Ordinal, distinct.filter(lambda values: len(values) > 1))
    return st.one_of(
        categorical,
        weighted,
        ordinals,
        st.just(Bool()),
        st.just(Const(0.5)),
        st.just(Categorical({"relu": max, "gelu": min})),
    )


def domains() -> st.SearchStrategy[Domain]:
    """Any domain."""
    return st.one_of(floats(), ints(), choices())


def finite_domains() -> st.SearchStrategy[Domain]:
    """Domains with at most a few values."""
    whole = st.tuples(st.integers(-3, 3), st.integers(1, 4)).map(lambda pair: Int(pair[0], pair[0] + pair[1]))
    return st.one_of(choices(), whole, st.just(Float(0, 1, step=0.25)), st.just(Int.pow2(16, 64)))


@st.composite
def spaces(draw: st.DrawFn, of: st.SearchStrategy[Domain] | None = None, max_size: int = 5) -> Space:
    """Spaces with conditions, also on parameters that are conditional themselves."""
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=max_size, unique=True))
    entries: dict[str, Domain | Conditional] = {}
    parents: dict[str, Domain] = {}
    for name in names:
        domain = draw(domains() if of is None else of)
        is_conditional: bool = draw(st.booleans())
        if parents and is_conditional:
            parent = draw(st.sampled_from(sorted(parents)))
            wanted = draw(st.lists(UNITS.map(parents[parent].decode), min_size=1, max_size=2))
            entries[name] = Conditional(domain, {parent: wanted})
        else:
            entries[name] = domain
        parents[name] = domain
    return Space(entries)


@st.composite
def params(draw: st.DrawFn, space: Space) -> dict[str, Scalar]:
    """Active params of a space."""
    return space.active({name: domain.decode(draw(UNITS)) for name, domain in space.domains.items()})


@st.composite
def edits(draw: st.DrawFn, space: Space) -> Space:
    """Another space that a user may come back with: domains changed, added, removed, put in another order."""
    entries: dict[str, Domain | Conditional] = {}
    names = draw(st.permutations(list(space.domains)))
    for name in names:
        fate = draw(st.sampled_from(["keep", "keep", "change", "drop"]))
        if fate != "drop":
            entries[name] = draw(domains()) if fate == "change" else space[name]
    for name in draw(st.lists(st.sampled_from(["new", "newer"]), unique=True)):
        entries[name] = draw(domains())
    return Space(entries) if entries else Space(lr=Float(0, 1))


@st.composite
def records(draw: st.DrawFn, space: Space, number: int, n_objectives: int = 1) -> TrialRecord:
    """A trial in any state, without reports."""
    state = draw(st.sampled_from(list(State)))
    found: dict[str, Scalar] = draw(params(space))
    if state in (State.WAITING, State.FAILED):  # queued with some values only, or failed before it asked for all
        found = dict(list(found.items())[: draw(st.integers(0, len(found)))])
    has_values = state in (State.COMPLETE, State.STOPPED)
    return TrialRecord(
        number=number,
        state=state,
        params=found,
        domains={name: space[name] for name in found},
        values=tuple(draw(LOSSES) for _ in range(n_objectives)) if has_values else None,
        cause=draw(st.sampled_from(list(Cause))) if state is State.FAILED else None,
        attempt=draw(st.integers(0, 3)),
    )


@st.composite
def reports(draw: st.DrawFn, number: int, metric: str = "value") -> tuple[Report, ...]:
    """A curve: steps in any order, some of them twice."""
    steps = draw(st.lists(st.integers(0, 9), max_size=6))
    return tuple(Report(number, step, {metric: draw(LOSSES), "train_loss": 1.0}) for step in steps)


@st.composite
def delta_lists(draw: st.DrawFn, space: Space, max_size: int = 8) -> list[Delta]:
    """The changes of a study one by one: trials begin, report, change, and end; numbers are dense from 0."""
    n = draw(st.integers(0, max_size))
    unfinished: dict[int, TrialRecord] = {}
    found: list[Delta] = []
    begun = 0
    while begun < n or (unfinished and draw(st.booleans())):
        is_new = begun < n and (not unfinished or draw(st.booleans()))
        number = begun if is_new else draw(st.sampled_from(sorted(unfinished)))
        begun += is_new
        record = draw(records(space, number))
        new = () if record.state is State.WAITING else draw(reports(number))
        unfinished.pop(number, None)
        if not record.state.is_finished:
            unfinished[number] = record
        found.append(Delta(revision=len(found) + 1, trials=(record,), reports=new))
    return found


def merged(deltas: list[Delta]) -> Delta:
    """What a storage answers to somebody who reads all changes at once: each trial and each report as it is now."""
    trials: dict[int, TrialRecord] = {}
    curves: dict[tuple[int, int], Report] = {}
    for delta in deltas:
        for record in delta.trials:
            trials.pop(record.number, None)
            trials[record.number] = replace(record, reports=())
        for report in delta.reports:
            curves.pop((report.number, report.step), None)
            curves[report.number, report.step] = report
    return Delta(
        revision=deltas[-1].revision if deltas else 0, trials=tuple(trials.values()), reports=tuple(curves.values())
    )


@st.composite
def histories(draw: st.DrawFn, max_size: int = 8) -> History:
    """Histories of a declared or a discovered space, whose trials may have had another space than today's."""
    space = draw(spaces())
    before = draw(st.one_of(st.just(space), edits(space)))
    declared = draw(st.booleans())
    study = StudyRecord(
        name="drawn",
        seed=draw(st.integers(0, 2**32)),
        directions=draw(st.sampled_from([("minimize",), ("maximize",)])),
        space=space.to_json() if declared else None,
    )
    history = History.empty(study, space if declared else None)
    return history.extend(merged(draw(delta_lists(before, max_size))))
