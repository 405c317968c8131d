"""What past studies know: their trials by parameter name and value, and how far their order is trusted here.

Past studies are read once, when a study is created, and kept with it (``attributes["sources"]``): every worker and every later
run has the same ones, and the files they came from may go. Losses of different studies share no unit, so only ranks are kept.

A source's weight is Kendall's tau between what it predicts for the finished trials of this study and what these have reached.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from honed.algorithms.agreement import Agreement, agreement, merits, predicted
from honed.domains import Categorical, Domain, Scalar
from honed.encode import coordinate, coordinates
from honed.errors import closest
from honed.history import Floats, History
from honed.space import Space

SOURCES = "sources"
"""The study's attribute with its past studies."""
DEFAULTS = "defaults"
"""The study's attribute with the user's default values."""

MOST_TRIALS = 200
FIRST = 3
"""So many of a source's best configurations are tried first, at most."""
_FIRST_SHARE = 10  # together at most one in ten trials
_USUAL_TRIALS = 30  # where nobody has said how many there will be
_LEAST_TRIALS = 4  # finished ones before an order can be compared
_MOST_COMPARED = 100


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A past study.

    Attributes:
        name: as users know it.
        metric: what its objective was called.
        numbers: of its trials, the best one first.
        params: name -> stored value, for each trial.
        losses: [n] ranks in [0, 1], 0 is its best.
    """

    name: str
    metric: str
    numbers: tuple[int, ...]
    params: tuple[Mapping[str, Scalar], ...]
    losses: Floats

    @property
    def names(self) -> dict[str, None]:
        """All parameters that its trials have, in order."""
        return {name: None for params in self.params for name in params}

    def configuration(self, i: int, history: History, space: Space) -> dict[str, Scalar] | None:
        """The params of its ``i``-th trial in another space; None where that has no such choice.

        Numbers beyond a range move to its nearer end, what is missing takes the default, what is more is left out.
        """
        defaults: Mapping[str, Scalar] = history.study.attributes.get(DEFAULTS) or {}
        mapped: dict[str, Scalar] = {}
        for name, domain in space.domains.items():
            if name in self.params[i]:
                value = nearest(domain, self.params[i][name])
                if value is None:
                    return None
                mapped[name] = value[0]
            else:
                mapped[name] = default_value(domain, name, defaults)
        return space.active(mapped)


def nearest(domain: Domain, value: Scalar) -> tuple[Scalar] | None:
    """The value of a domain next to one from elsewhere; None where none is near."""
    try:
        return (domain.to_stored(value),)
    except ValueError:
        pass
    if domain.n_values == 1:  # fixed: it does not matter what it was elsewhere
        return (domain.grid()[0],)
    at = coordinate(domain, value)
    if isinstance(domain, Categorical) or math.isnan(at):
        return None
    if hasattr(domain, "labels"):  # ordinal
        return None
    return (domain.decode(min(max(at, 0.0), 1.0)),)


def default_value(domain: Domain, name: str, defaults: Mapping[str, Scalar]) -> Scalar:
    """The user's default of a parameter, or the middle of its domain; of choices the first one."""
    if name in defaults and domain.contains(defaults[name]):
        return domain.to_stored(defaults[name])
    return domain.grid()[0] if isinstance(domain, Categorical) else domain.decode(0.5)


def checked_values(what: str, values: Mapping[str, Any], history: History) -> dict[str, Scalar]:
    """Values that a user has set for a whole study, as they are stored.

    Args:
        what: the argument's name in messages.

    Raises:
        TypeError: an object in a space that nobody has declared.
        ValueError: a value outside its known domain, or a name that a declared space lacks.
    """
    stored: dict[str, Scalar] = {}
    for name, value in values.items():
        if name in history.space:
            try:
                stored[name] = history.space[name].to_stored(value)
            except ValueError as error:
                raise ValueError(f"{what}: {name}: {error}; give a value of its domain, or widen the domain") from None
            continue
        if len(history.declared):
            raise ValueError(f"{what}: {name!r} is not in the space.{closest(name, history.space.domains)}")
        plain = value.item() if hasattr(value, "item") else value
        if plain is not None and not isinstance(plain, str | bool | int | float):
            raise TypeError(f"{what}: {name}={value!r} must be a number, a text, a bool, None, or a choice's label")
        stored[name] = plain
    return stored


# -------------------------------------------------------------------------------------------------------- collecting


def gathered(history: History, name: str) -> dict[str, Any] | None:
    """A past study as JSON: the best half of what is kept, and a spread of the rest; None without any result.

    Args:
        history: of the past study.
        name: by which it is known.
    """
    columns = history.columns
    merit = merits(columns.losses, columns.violations, columns.is_infeasible)
    rows = np.flatnonzero(~np.isnan(merit) & ~columns.is_infeasible)
    rows = rows[np.lexsort((columns.numbers[rows], merit[rows]))]
    if not len(rows):
        return None
    ranks = np.linspace(0.0, 1.0, len(rows)) if len(rows) > 1 else np.zeros(1)
    equal = np.append(False, np.diff(merit[rows]) == 0.0)
    for i in np.flatnonzero(equal).tolist():  # equals share the rank of the first of them
        ranks[i] = ranks[i - 1]
    if len(rows) > MOST_TRIALS:
        half = MOST_TRIALS // 2
        kept = np.append(np.arange(half), np.unique(np.linspace(half, len(rows) - 1, half).astype(np.int64)))
        rows, ranks = rows[kept], ranks[kept]
    numbers = columns.numbers[rows].tolist()
    trials = [[n, dict(history[n].params), loss] for n, loss in zip(numbers, ranks.round(6).tolist(), strict=True)]
    return {"name": name, "metric": ", ".join(history.study.metrics), "trials": trials}


_known: dict[int, tuple[Sequence[Any], tuple[Source, ...]]] = {}


def sources_of(history: History) -> tuple[Source, ...]:
    """The past studies that a study was given; empty without any."""
    data = history.study.attributes.get(SOURCES)
    if not data:
        return ()
    found = _known.get(id(data))
    if found is None or found[0] is not data:
        if len(_known) > 16:
            _known.clear()
        found = _known[id(data)] = (data, tuple(map(_source, data)))
    return found[1]


def _source(data: Mapping[str, Any]) -> Source:
    numbers, params, losses = zip(*data["trials"], strict=True)
    return Source(data["name"], data["metric"], numbers, params, np.array(losses, dtype=np.float64))


# ------------------------------------------------------------------------------------------------------- first points


def first_points(history: History) -> Iterator[tuple[Source, int]]:
    """The configurations that are tried first: the best ones of each source in turn."""
    sources = sources_of(history)
    most = max(1, (history.max_trials or _USUAL_TRIALS) // _FIRST_SHARE)
    seen: list[Mapping[str, Scalar]] = []
    for rank in range(FIRST):
        for source in sources:
            if len(seen) < most and rank < len(source.params) and source.params[rank] not in seen:
                seen.append(source.params[rank])
                yield source, rank


# ------------------------------------------------------------------------------------------------------------ weights


def agreements(history: History) -> dict[str, Agreement]:
    """For each source, how its order and that of the finished trials agree."""
    columns = history.columns
    n = len(columns.numbers)
    rows = slice(max(n - _MOST_COMPARED, 0), n)
    merit = merits(columns.losses[rows], columns.violations[rows], columns.is_infeasible[rows])
    known = ~np.isnan(merit)
    found = {}
    for source in sources_of(history):
        shared = [i for i, name in enumerate(columns.space.domains) if name in source.names]
        if not shared or known.sum() < _LEAST_TRIALS or len(source.params) < _LEAST_TRIALS:
            found[source.name] = Agreement(int(known.sum()))
            continue
        points = np.array([coordinates(columns.space, params) for params in source.params])[:, shared]
        domains = list(columns.space.domains.values())
        is_choice = np.array([isinstance(domains[i], Categorical) for i in shared])
        expected = predicted(points, source.losses, columns.params[rows][known][:, shared], is_choice)
        found[source.name] = agreement(expected, merit[known])
    return found


def warm_start_text(history: History) -> str | None:
    """One sentence on what past studies contribute; None where there are none."""
    sources = sources_of(history)
    if not sources:
        return None
    found, space = agreements(history), history.space
    return "Warm start: " + ", ".join(_text(source, found[source.name], space) for source in sources) + "."


def _text(source: Source, found: Agreement, space: Space) -> str:
    name, n = f"'{source.name}'", len(source.params)
    trials = f"{n} trial{'s' if n != 1 else ''}"
    if len(space) and not any(name in space for name in source.names):
        return f"{name} not used (it has none of this study's parameters: {', '.join(source.names)})"
    if not found.pairs:
        return f"{name} ({trials}) is tried first"
    if found.tau <= 0.0:
        return f"{name} not used (no agreement: {found.alike} of {found.pairs} pairs ordered alike)"
    return f"{name} weight {found.tau:.2f} ({found.alike} of {found.pairs} pairs ordered alike)"
