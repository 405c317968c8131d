"""What a user believes before the first trial: where good values of a parameter lie, and how far to trust that.

Beliefs are kept with the study (``attributes["prior"]``), so that every worker and every later run has the same ones. On a
domain a belief becomes a density over the unit interval, relative to the domain's own: 1 says nothing. A part of it stays
uniform, so that nothing is impossible, and ``trust`` falls when the trials in the dense part do no better than the others.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from honed.algorithms.agreement import advantage, merits
from honed.domains import Categorical, Domain, Float, Int, Ordinal, Scalar
from honed.errors import closest
from honed.history import Floats, History

PRIOR = "prior"
"""The study's attribute with the beliefs."""

_FLOOR = 0.05  # of a belief is uniform: nothing is impossible
_CELLS = 256  # of a continuous range
_MOST_VALUES = 1024  # a domain with more values is divided like a continuous one
_LEAST_MASS = 1e-300
_MOST_EVIDENCE = 200  # finished trials that are compared; by then a share of all trials matters no more
_DOUBT = 1.0  # standard deviations by which the dense part must do worse until a belief is not trusted at all


@dataclass(frozen=True, slots=True)
class Normal:
    """Good values lie around ``mean``: two thirds of the belief within one ``sd`` on both sides.

    Args:
        mean: in the parameter's own unit.
        sd: one standard deviation, above 0.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _number(self, "mean", -math.inf)
        _number(self, "sd", 0.0)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Good values lie around ``median`` on a logarithmic scale.

    Args:
        median: in the parameter's own unit, above 0.
        factor: one standard deviation: two thirds of the belief lie between median / factor and median * factor; above 1.
    """

    median: float
    factor: float

    def __post_init__(self) -> None:
        _number(self, "median", 0.0)
        _number(self, "factor", 1.0)


@dataclass(frozen=True, slots=True)
class Weights:
    """How likely the choices are good, in any unit: ``Weights({"relu": 3, "tanh": 1})``; one that is not named has 0.

    Args:
        shares: label -> weight.
    """

    shares: Mapping[Any, float] | tuple[tuple[Any, float], ...]

    def __post_init__(self) -> None:
        pairs = tuple(self.shares.items()) if isinstance(self.shares, Mapping) else tuple(self.shares)
        for label, weight in pairs:
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0.0 <= weight < math.inf:
                raise ValueError(f"Weights: {label!r} has weight {weight!r}; it must be a number of at least 0")
        if not any(weight for _, weight in pairs):
            raise ValueError(f"Weights: {dict(pairs)} has no weight above 0; give at least one choice some")
        object.__setattr__(self, "shares", pairs)

    def of(self, label: Scalar) -> float:
        """The weight of a choice."""
        return next((w for known, w in self.shares if known == label and type(known) is type(label)), 0.0)


Belief = Normal | LogNormal | Weights
"""What may be believed of one parameter."""

_KINDS: Mapping[str, type[Normal] | type[LogNormal]] = {"normal": Normal, "lognormal": LogNormal}


def _number(belief: Normal | LogNormal, name: str, above: float) -> None:
    value, kind = getattr(belief, name), type(belief).__name__
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{kind}: {name}={value!r} must be a number")
    if not above < value < math.inf:
        rule = "be finite" if above < 0.0 else f"be above {above:g}"
        raise ValueError(f"{kind}: {name}={value!r} must {rule}")
    object.__setattr__(belief, name, float(value))


# ---------------------------------------------------------------------------------------------------- as users write


def checked_prior(prior: Mapping[str, Belief | Mapping[Any, float]], domains: Mapping[str, Domain]) -> dict[str, Any]:
    """Beliefs as JSON for a study's attributes.

    Args:
        prior: as the user wrote it.
        domains: of the declared space; empty where it is discovered.

    Raises:
        TypeError: something that is no belief.
        ValueError: a name or a choice that a declared space lacks, or a belief that does not fit its domain.
    """
    found: dict[str, Any] = {}
    for name, entry in prior.items():
        belief = Weights(entry) if isinstance(entry, Mapping) else entry
        if not isinstance(belief, Normal | LogNormal | Weights):
            raise TypeError(f"prior: {name}={entry!r} is no belief; write Normal, LogNormal, or {{choice: weight}}")
        if domains:
            if name not in domains:
                raise ValueError(f"prior: {name!r} is not in the space.{closest(name, domains)}")
            belief = _fitting(name, belief, domains[name])
        found[name] = _to_json(name, belief)
    return found


def far_off(prior: Mapping[str, Any], domains: Mapping[str, Domain]) -> list[str]:
    """Sentences for the user about beliefs, as ``checked_prior`` gave them, whose middle a declared domain does not have."""
    found = []
    for name, data in prior.items():
        belief, domain = _from_json(data), domains.get(name)
        if isinstance(domain, Float | Int) and not isinstance(belief, Weights):
            middle = belief.mean if isinstance(belief, Normal) else belief.median
            if not domain.low <= middle <= domain.high:
                found.append(f"Belief: {name} around {middle:g} lies outside {domain}; its nearest end is believed in.")
    return found


def _fitting(name: str, belief: Belief, domain: Domain) -> Belief:
    """The belief with the labels that the domain keeps, when it fits."""
    if isinstance(belief, Weights):
        if domain.n_values is None or domain.n_values > _MOST_VALUES:
            raise ValueError(
                f"prior: {name} has weights, and {domain} has no choices; write Normal(mean, sd) or LogNormal(median, factor)"
            )
        try:
            return Weights(tuple((domain.to_stored(label), weight) for label, weight in belief.shares))
        except ValueError as error:
            raise ValueError(f"prior: {name}: {error}; weights are for the choices of the domain") from None
    if not isinstance(domain, Float | Int) and _numbers(domain) is None:
        raise ValueError(f"prior: {name}={belief} is for numbers, and {domain} has none; write {{choice: weight, ...}}")
    return belief


def _to_json(name: str, belief: Belief) -> dict[str, Any]:
    if isinstance(belief, Weights):
        for label, _ in belief.shares:
            if label is not None and not isinstance(label, str | bool | int | float):
                raise TypeError(f"prior: {name}: {label!r} must be the label of a choice: a text, a number or a bool")
        return {"type": "weights", "shares": [list(pair) for pair in belief.shares]}
    kind = next(kind for kind, known in _KINDS.items() if type(belief) is known)
    return {"type": kind, **{entry.name: getattr(belief, entry.name) for entry in fields(belief)}}


def _from_json(data: Mapping[str, Any]) -> Belief:
    if data["type"] == "weights":
        return Weights(tuple((label, weight) for label, weight in data["shares"]))
    if data["type"] not in _KINDS:
        raise ValueError(f"belief type {data['type']!r} is unknown to this version of honed; upgrade it")
    return _KINDS[data["type"]](**{key: value for key, value in data.items() if key != "type"})


# ---------------------------------------------------------------------------------------------------------- densities


@dataclass(frozen=True, slots=True)
class Prior:
    """The beliefs of a study, by parameter."""

    beliefs: Mapping[str, Belief]

    def log_density(self, domains: Mapping[str, Domain], coordinates: Floats) -> Floats:
        """[m] the log density of points, relative to the domains' own: 0 where nothing is believed, never below log 0.05.

        Args:
            domains: one for each column.
            coordinates: [m, d] as ``honed.encode`` has them; NaN (not active) adds nothing.
        """
        total = np.zeros(len(coordinates))
        for i, (name, domain) in enumerate(domains.items()):
            belief = self.beliefs.get(name)
            if belief is not None:
                total += _table(belief, domain).log_density(coordinates[:, i])
        return total

    def draw(self, domain: Domain, name: str, unit: float) -> Scalar:
        """The value at ``unit`` in [0, 1]: even units give values as dense as the belief.

        A parameter that nothing is believed of gets its domain's own density.
        """
        belief = self.beliefs.get(name)
        return domain.decode(unit if belief is None else _table(belief, domain).unit(unit))


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """A belief on a domain: cells of the unit interval.

    Attributes:
        borders: [k + 1] of the cells.
        cumulative: [k + 1] the belief below each border.
        logs: [k + 1] log densities; the last one is for choices that the domain does not have.
        n_choices: of a domain whose coordinates are choices; 0 for numbers.
        is_ordered: whether its coordinates are ranks in [0, 1], not indices.
    """

    borders: list[float]
    cumulative: list[float]
    logs: Floats
    n_choices: int
    is_ordered: bool

    def log_density(self, coordinates: Floats) -> Floats:
        """[m] at coordinates of this domain."""
        active = ~np.isnan(coordinates)
        at, n = np.where(active, coordinates, 0.0), len(self.logs) - 1
        if self.n_choices:
            cells = np.rint(at * (n - 1) if self.is_ordered else at).astype(np.int64)
            cells[(at < 0.0) | (cells >= n)] = n
        else:
            cells = np.clip(np.searchsorted(self.borders, at, side="right") - 1, 0, n - 1)
        return np.where(active, self.logs[cells], 0.0)

    def unit(self, share: float) -> float:
        """The unit below which this share of the belief lies."""
        cumulative, borders = self.cumulative, self.borders
        cell = min(max(bisect_right(cumulative, share) - 1, 0), len(borders) - 2)
        width = cumulative[cell + 1] - cumulative[cell]
        part = min((share - cumulative[cell]) / width, 1.0) if width > 0.0 else 1.0
        return borders[cell] + part * (borders[cell + 1] - borders[cell])


@lru_cache(maxsize=1024)
def _table(belief: Belief, domain: Domain) -> _Table:
    is_ordered = isinstance(domain, Ordinal)
    if isinstance(domain, Categorical | Ordinal):
        shares = np.asarray(getattr(domain, "weights", None) or (1.0,) * len(domain.labels))
        borders = np.append(0.0, np.cumsum(shares / shares.sum()))
        masses = _masses_of_choices(belief, domain, np.diff(borders))
        n_choices = len(domain.labels)
    else:
        borders, masses = _masses_of_numbers(belief, domain)
        n_choices = 0
    widths = np.diff(borders)
    mixed = (1.0 - _FLOOR) * masses + _FLOOR * widths
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(widths > 0.0, mixed / widths, _FLOOR)  # a choice of weight 0 is never drawn
    logs = np.log(np.append(np.maximum(density, _FLOOR), _FLOOR))
    return _Table(borders.tolist(), np.append(0.0, np.cumsum(mixed)).tolist(), logs, n_choices, is_ordered)


def _masses_of_choices(belief: Belief, domain: Categorical | Ordinal, shares: Floats) -> Floats:
    """[k] how the belief is spread over choices; as the domain's own where it says nothing about them."""
    if isinstance(belief, Weights):
        return _normalised(np.array([belief.of(label) for label in domain.labels]) * (shares > 0.0), shares)
    numbers = _numbers(domain)
    if numbers is None:
        return shares
    return _spread(belief, _between(numbers, by_factor=False))


def _masses_of_numbers(belief: Belief, domain: Domain) -> tuple[Floats, Floats]:
    """[k + 1] borders of cells on the unit interval, and [k] how the belief is spread over them."""
    n = domain.n_values
    if n is None:
        borders = np.linspace(0.0, 1.0, _CELLS + 1)
        edges = [float(domain.decode(unit)) for unit in borders.tolist()]  # type: ignore[arg-type]  # numbers
        is_even = isinstance(belief, Weights)
        return borders, np.diff(borders) if is_even else _spread(belief, edges)
    few = n <= _MOST_VALUES
    found = domain.grid() if few else {domain.decode((i + 0.5) / _CELLS) for i in range(_CELLS)}
    values = sorted(float(value) for value in found)  # type: ignore[arg-type]  # numbers
    edges = _between(values, by_factor=getattr(domain, "factor", None) is not None)
    borders = np.array([0.0, *(domain.encode(edge) for edge in edges[1:-1]), 1.0])
    if isinstance(belief, Weights):
        weights = {float(label): w for label, w in belief.shares if isinstance(label, int | float)}
        return borders, _normalised(np.array([weights.get(value, 0.0) for value in values]), np.diff(borders))
    return borders, _spread(belief, edges)


def _between(values: Sequence[float], *, by_factor: bool) -> list[float]:
    """[k + 1] the borders between neighbouring values, and as far beyond the first and the last."""
    if len(values) == 1:
        return [-math.inf, math.inf]
    if by_factor:
        inner = [math.sqrt(a * b) for a, b in itertools.pairwise(values)]
        return [values[0] ** 2 / inner[0], *inner, values[-1] ** 2 / inner[-1]]
    inner = [(a + b) / 2.0 for a, b in itertools.pairwise(values)]
    return [2.0 * values[0] - inner[0], *inner, 2.0 * values[-1] - inner[-1]]


def _numbers(domain: Domain) -> list[float] | None:
    """The labels of an ordinal domain of rising numbers."""
    if not isinstance(domain, Ordinal):
        return None
    labels = domain.labels
    if not all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels):
        return None
    numbers = [float(label) for label in labels]  # type: ignore[arg-type]  # just seen
    return numbers if numbers == sorted(numbers) else None


def _spread(belief: Belief, edges: Sequence[float]) -> Floats:
    """[k] the belief between neighbouring edges; all of it at the nearer end where it lies far outside."""
    assert not isinstance(belief, Weights)
    distance = _distance_of(belief)
    far = [distance(edge) for edge in edges]
    masses = np.array([_mass(a, b) for a, b in itertools.pairwise(far)])
    if masses.sum() < _LEAST_MASS:
        masses[-1 if far[0] + far[-1] < 0.0 else 0] = 1.0
    return _normalised(masses, np.ones(len(masses)))


def _distance_of(belief: Normal | LogNormal) -> Callable[[float], float]:
    """The distance from a belief's middle in standard deviations."""
    if isinstance(belief, Normal):
        mean, sd = belief.mean, belief.sd
        return lambda x: (x - mean) / sd
    middle, sd = math.log(belief.median), math.log(belief.factor)
    return lambda x: (math.log(x) - middle) / sd if x > 0.0 else -math.inf


def _mass(a: float, b: float) -> float:
    """The standard normal probability between two distances, exact in both tails."""
    if a > 0.0:
        a, b = -b, -a
    return 0.5 * (math.erfc(-b / math.sqrt(2.0)) - math.erfc(-a / math.sqrt(2.0)))


def _normalised(masses: Floats, otherwise: Floats) -> Floats:
    total = float(masses.sum())
    shares: Floats = masses / total if total > 0.0 else otherwise / otherwise.sum()
    return shares


# ------------------------------------------------------------------------------------------------------ of a study


_known: dict[int, tuple[Mapping[str, Any], Prior]] = {}


def prior_of(history: History) -> Prior | None:
    """The beliefs that a study was given; None without any."""
    data = history.study.attributes.get(PRIOR)
    if not data:
        return None
    found = _known.get(id(data))
    if found is None or found[0] is not data:
        if len(_known) > 16:
            _known.clear()
        found = _known[id(data)] = (data, Prior({name: _from_json(entry) for name, entry in data.items()}))
    return found[1]


def trust(history: History, prior: Prior) -> float:
    """How far the beliefs may be followed: 1 until trials speak against them, 0 when these are clear.

    Compared are the ranks of the trials where the beliefs are denser than the domains and of the others; where few are, of the
    half that the beliefs call likelier and of the other half.
    """
    columns = history.columns
    n = min(len(columns.numbers), _MOST_EVIDENCE)
    merit = merits(columns.losses[:n], columns.violations[:n], columns.is_infeasible[:n])
    known = ~np.isnan(merit)
    density = prior.log_density(columns.space.domains, columns.params[:n])[known]
    if not len(density):
        return 1.0
    border = min(float(np.median(density)), 0.0)
    return min(max(1.0 + advantage(merit[known], density > border) / _DOUBT, 0.0), 1.0)
