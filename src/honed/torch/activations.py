"""Activation functions by name, and the question which one to use.

Hidden layers choose among eight. Softmax is known too, for output layers only: inside a network it squeezes a
layer to values that sum to one, so it is never offered for hidden layers unless someone asks for it, and then with
a warning.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from torch import nn

from honed.errors import closest
from honed.trial import Trial

MakeActivation = Callable[[], nn.Module]
"""Makes a new activation module: one for each layer, since PReLU has parameters of its own."""

ACTIVATIONS: Mapping[str, MakeActivation] = MappingProxyType(
    {
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "relu": nn.ReLU,
        "leaky_relu": functools.partial(nn.LeakyReLU, negative_slope=0.01),
        "prelu": nn.PReLU,  # its slope is learned
        "swish": nn.SiLU,  # x * sigmoid(x); PyTorch calls it SiLU
        "gelu": nn.GELU,
        "elu": nn.ELU,
        "softmax": functools.partial(nn.Softmax, dim=-1),
    }
)
"""Name -> factory of the module."""

HIDDEN_ACTIVATIONS: tuple[str, ...] = tuple(name for name in ACTIVATIONS if name != "softmax")
"""The names that hidden layers choose from by default."""


def make_activation(name: str) -> nn.Module:
    """A new activation module.

    Args:
        name: one of ``ACTIVATIONS``; ``"softmax"`` (over the last axis) is for output layers.

    Raises:
        ValueError: an unknown name.
    """
    return _factory(name)()


def suggest_activation(
    trial: Trial, name: str = "activation", choices: Sequence[str] = HIDDEN_ACTIVATIONS
) -> MakeActivation:
    """The activation of hidden layers, as a factory: call it once for each layer.

    >>> activation = suggest_activation(trial)
    >>> model = nn.Sequential(nn.Linear(64, 128), activation(), nn.Linear(128, 10))

    The record keeps the activation's name.

    Args:
        name: the parameter's name.
        choices: names out of ``ACTIVATIONS``.

    Raises:
        ValueError: an unknown name among the choices.
    """
    if "softmax" in choices:
        warnings.warn(
            f"{name!r} offers softmax to hidden layers: it squeezes each layer to values that sum to one, and "
            "such networks hardly learn. Keep softmax for the output layer.",
            stacklevel=2,
        )
    factory: MakeActivation = trial.suggest_categorical(name, {choice: _factory(choice) for choice in choices})
    return factory


def _factory(name: str) -> MakeActivation:
    if name not in ACTIVATIONS:
        raise ValueError(
            f"activation {name!r} is unknown; there are {', '.join(ACTIVATIONS)}.{closest(name, ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]
