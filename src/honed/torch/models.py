"""Fully connected networks: depth, widths, activation, dropout, normalisation, initialisation by a trial's choice.

``MlpRanges`` says what may be tried, ``plan_mlp`` asks the trial, an ``MlpPlan`` is the answer, ``make_mlp`` builds
it, and ``suggest_mlp`` is all of it in one call. Each hidden layer is Linear, normalisation, activation, dropout;
the last layer gives raw outputs (logits), as PyTorch's losses want them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from honed.errors import Infeasible, closest
from honed.torch.activations import HIDDEN_ACTIVATIONS, MakeActivation, suggest_activation
from honed.trial import Trial

MAX_DROPOUT = 0.5

SHAPES: tuple[str, ...] = ("free", "brick", "funnel", "slope", "triangle")
"""How widths follow one another; see ``MlpRanges``."""

NORMALIZATIONS: Mapping[str, Callable[[int], nn.Module] | None] = MappingProxyType(
    {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
)
"""Name -> factory, given the layer's width."""

INITS: Mapping[str, Callable[[Tensor], Tensor] | None] = MappingProxyType(
    {
        "default": None,  # what PyTorch does by itself
        "xavier_uniform": nn.init.xavier_uniform_,
        "xavier_normal": nn.init.xavier_normal_,
        "kaiming_uniform": nn.init.kaiming_uniform_,
        "kaiming_normal": nn.init.kaiming_normal_,
        "orthogonal": nn.init.orthogonal_,
    }
)
"""Name -> function that fills a weight matrix; biases then start at 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpRanges:
    """What ``suggest_mlp`` may try. A range or a list with a single value is fixed and not asked for.

    Attributes:
        layers: fewest and most hidden layers (parameter ``n_layers``).
        units: narrowest and widest layer, searched on a log scale (``units_0``, ``units_1``, ... or ``units``).
        shapes: out of ``SHAPES`` (``shape``). ``"free"``: each layer has its own ``units_i``. The others follow from
            one width ``units``: ``"brick"`` all equal; ``"funnel"`` evenly down to the outputs; ``"slope"`` each half
            as wide as the one before; ``"triangle"`` evenly up to ``units``.
        activations: names out of ``ACTIVATIONS`` (``activation``).
        dropout: ``"shared"`` (one ``dropout``), ``"per_layer"`` (``dropout_0``, ...), both 0..0.5, or ``"none"``.
        normalizations: out of ``NORMALIZATIONS`` (``normalization``).
        inits: out of ``INITS`` (``init``).
        max_norm: range for the longest weight vector of a hidden unit (``max_norm``); None does not limit it.
        max_parameters: larger networks are infeasible.
    """

    layers: tuple[int, int] = (1, 4)
    units: tuple[int, int] = (16, 512)
    shapes: Sequence[str] = ("free",)
    activations: Sequence[str] = HIDDEN_ACTIVATIONS
    dropout: str = "shared"
    normalizations: Sequence[str] = ("none",)
    inits: Sequence[str] = ("default",)
    max_norm: tuple[float, float] | None = None
    max_parameters: int | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in (("layers", self.layers), ("units", self.units)):
            if not 1 <= low <= high:
                raise ValueError(f"MlpRanges: {name}=({low}, {high}) must be (smallest, largest), both at least 1")
        _check_choices("shapes", self.shapes, SHAPES)
        _check_choices("dropout", [self.dropout], ("shared", "per_layer", "none"))
        _check_choices("normalizations", self.normalizations, NORMALIZATIONS)
        _check_choices("inits", self.inits, INITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpPlan:
    """One fully connected network, as ``make_mlp`` builds it.

    Attributes:
        units: width of each hidden layer.
        activation: factory of the module after each hidden layer.
        dropout: share of dropped values after each hidden layer; as many as ``units``, or empty for none.
        normalization: a key of ``NORMALIZATIONS``.
        init: a key of ``INITS``.
        max_norm: longest weight vector of a hidden unit; None does not limit it.
    """

    units: tuple[int, ...]
    activation: MakeActivation = nn.ReLU
    dropout: tuple[float, ...] = ()
    normalization: str = "none"
    init: str = "default"
    max_norm: float | None = None


def suggest_mlp(trial: Trial, n_inputs: int, n_outputs: int, ranges: MlpRanges | None = None) -> nn.Sequential:
    """A fully connected network ``[b, ...] -> [b, n_outputs]`` with everything about it chosen by the trial.

    >>> model = suggest_mlp(trial, 28 * 28, 10, MlpRanges(layers=(2, 4), units=(100, 1000)))

    Args:
        n_inputs: numbers in one example, whatever its shape: inputs are flattened first.
        n_outputs: width of the last layer: number of classes, or of predicted values.
        ranges: what may be tried.

    Raises:
        honed.errors.Infeasible: this choice cannot be built: a layer without units, or too many parameters.
    """
    ranges = MlpRanges() if ranges is None else ranges
    plan = plan_mlp(trial, n_outputs, ranges)
    _check_size(plan.units, n_inputs, n_outputs, ranges.max_parameters)
    return make_mlp(plan, n_inputs, n_outputs)


def plan_mlp(trial: Trial, n_outputs: int, ranges: MlpRanges) -> MlpPlan:
    """Asks the trial for everything that ``ranges`` leaves open."""
    units = _suggest_units(trial, n_outputs, ranges)
    activation = suggest_activation(trial, choices=ranges.activations)
    dropout: tuple[float, ...] = ()
    if ranges.dropout == "shared":
        dropout = (trial.suggest_float("dropout", 0.0, MAX_DROPOUT),) * len(units)
    elif ranges.dropout == "per_layer":
        dropout = tuple(trial.suggest_float(f"dropout_{i}", 0.0, MAX_DROPOUT) for i in range(len(units)))
    return MlpPlan(
        units=units,
        activation=activation,
        dropout=dropout,
        normalization=_suggest_choice(trial, "normalization", ranges.normalizations),
        init=_suggest_choice(trial, "init", ranges.inits),
        max_norm=None if ranges.max_norm is None else trial.suggest_float("max_norm", *ranges.max_norm),
    )


def make_mlp(plan: MlpPlan, n_inputs: int, n_outputs: int) -> nn.Sequential:
    """The network of a plan: ``[b, ...] -> [b, n_outputs]``, inputs flattened to ``[b, n_inputs]``.

    Raises:
        honed.errors.Infeasible: a layer without units.
        ValueError: dropout for another number of layers.
    """
    if plan.dropout and len(plan.dropout) != len(plan.units):
        raise ValueError(f"MlpPlan: {len(plan.dropout)} values of dropout for {len(plan.units)} hidden layers")
    _check_size(plan.units, n_inputs, n_outputs, None)
    normalize = NORMALIZATIONS[plan.normalization]
    parts: list[nn.Module] = [nn.Flatten()]
    for i, (before, width) in enumerate(itertools.pairwise((n_inputs, *plan.units))):
        parts.append(_linear(before, width, plan.init, plan.max_norm))
        if normalize is not None:
            parts.append(normalize(width))
        parts.append(plan.activation())
        if plan.dropout and plan.dropout[i] > 0:
            parts.append(nn.Dropout(plan.dropout[i]))
    parts.append(_linear((n_inputs, *plan.units)[-1], n_outputs, plan.init, None))
    return nn.Sequential(*parts)


class _MaxNorm(nn.Module):
    """Shortens the incoming weight vector of each unit, a row of ``[out, in]``, to a largest Euclidean length."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, weight: Tensor) -> Tensor:
        return torch.renorm(weight, p=2, dim=0, maxnorm=self.limit)


def _linear(n_inputs: int, n_outputs: int, init: str, max_norm: float | None) -> nn.Module:
    layer = nn.Linear(n_inputs, n_outputs)
    fill = INITS[init]
    if fill is not None:
        fill(layer.weight)
        nn.init.zeros_(layer.bias)
    if max_norm is not None:
        parametrize.register_parametrization(layer, "weight", _MaxNorm(max_norm))
    return layer


def _suggest_units(trial: Trial, n_outputs: int, ranges: MlpRanges) -> tuple[int, ...]:
    n_layers = _suggest_int(trial, "n_layers", ranges.layers, log=False)
    shape = _suggest_choice(trial, "shape", ranges.shapes)
    if shape == "free":
        return tuple(_suggest_int(trial, f"units_{i}", ranges.units, log=True) for i in range(n_layers))
    return widths(shape, _suggest_int(trial, "units", ranges.units, log=True), n_layers, n_outputs)


def widths(shape: str, units: int, n_layers: int, n_outputs: int) -> tuple[int, ...]:
    """Widths of the hidden layers of a shape: ``widths("funnel", 100, 3, 10)`` is (100, 70, 40).

    Args:
        shape: ``"brick"``, ``"funnel"``, ``"slope"`` or ``"triangle"``; see ``MlpRanges``.
        units: width of the widest layer.
    """
    match shape:
        case "brick":
            return (units,) * n_layers
        case "funnel":
            return tuple(round(units + (n_outputs - units) * i / n_layers) for i in range(n_layers))
        case "slope":
            return tuple(units >> i for i in range(n_layers))
        case "triangle":
            return tuple(units * (i + 1) // n_layers for i in range(n_layers))
    raise ValueError(f"shape {shape!r} is unknown; there are {', '.join(SHAPES[1:])}.{closest(shape, SHAPES[1:])}")


def _suggest_int(trial: Trial, name: str, bounds: tuple[int, int], *, log: bool) -> int:
    low, high = bounds
    return low if low == high else trial.suggest_int(name, low, high, log=log)


def _suggest_choice(trial: Trial, name: str, choices: Sequence[str]) -> str:
    return choices[0] if len(choices) == 1 else trial.suggest_categorical(name, list(choices))


def _check_size(units: tuple[int, ...], n_inputs: int, n_outputs: int, most: int | None) -> None:
    sizes = (n_inputs, *units, n_outputs)
    shown = " → ".join(map(str, sizes))
    if min(sizes) < 1:
        raise Infeasible(f"layers {shown}: each needs at least one unit; use fewer layers or a wider first one")
    n_parameters = sum((before + 1) * after for before, after in itertools.pairwise(sizes))
    if most is not None and n_parameters > most:
        raise Infeasible(f"layers {shown}: {n_parameters:,} parameters, more than max_parameters={most:,}")


def _check_choices(name: str, choices: Sequence[str], known: Sequence[str] | Mapping[str, object]) -> None:
    wrong = next((choice for choice in choices if choice not in known), None)
    if isinstance(choices, str) or not choices:
        raise ValueError(f"MlpRanges: {name}={choices!r} must be a list of at least one of {', '.join(known)}")
    if wrong is not None:
        raise ValueError(
            f"MlpRanges: {name} {wrong!r} is unknown; there are {', '.join(known)}.{closest(wrong, known)}"
        )
