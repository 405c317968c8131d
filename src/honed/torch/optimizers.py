"""The nine classical optimizers of ``torch.optim``, each with its own learning rates and only its own knobs.

A knob keeps PyTorch's name, and one name always means one range: models then learn from all trials that have it.
Five adaptive optimizers share the parameter ``lr``; the other four work on another scale, and their learning rates
are ``sgd.lr``, ``adamax.lr``, ``adadelta.lr`` and ``adagrad.lr``. A knob that the chosen optimizer lacks is not in
the record. (docs/decisions/009-optimizer-knobs.md)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from honed.domains import Bool, Domain, Float
from honed.errors import closest
from honed.trial import Trial

_MOMENTUM = Float.near_one(0.0, 0.99)  # half of the draws lie above 0.9
_WEIGHT_DECAY = Float(1e-6, 1e-1, log=True)
_ADAM = {
    "lr": Float(1e-5, 1e-2, log=True),
    "beta1": Float.near_one(0.5, 0.99),
    "beta2": Float.near_one(0.9, 0.9999),
}
_ADAMAX = {"adamax.lr": Float(1e-5, 2e-2, log=True), "beta1": _ADAM["beta1"], "beta2": _ADAM["beta2"]}

KNOBS: Mapping[str, Mapping[str, Domain]] = MappingProxyType(
    {
        "SGD": {"sgd.lr": Float(1e-4, 1.0, log=True), "momentum": _MOMENTUM, "nesterov": Bool()},
        "RMSprop": {"lr": _ADAM["lr"], "alpha": Float.near_one(0.9, 0.999), "momentum": _MOMENTUM},
        "Adam": _ADAM,
        "RAdam": _ADAM,
        "NAdam": _ADAM,
        "AdamW": _ADAM,
        "Adadelta": {"adadelta.lr": Float(0.1, 10.0, log=True), "rho": Float.near_one(0.8, 0.99)},
        "Adagrad": {"adagrad.lr": Float(1e-3, 1.0, log=True), "lr_decay": Float(1e-6, 1e-1, log=True)},
        "Adamax": _ADAMAX,
    }
)
"""Optimizer -> parameter -> domain, in the order in which they are asked for; ``weight_decay`` comes on top for all."""

OPTIMIZERS: tuple[str, ...] = tuple(KNOBS)
"""The nine names, as in ``torch.optim``."""


def suggest_optimizer(
    trial: Trial, parameters: Iterable[nn.Parameter], choices: Sequence[str] = OPTIMIZERS
) -> torch.optim.Optimizer:
    """An optimizer with all its knobs chosen: the parameter ``optimizer``, then only what that optimizer understands.

    ====================  ==============================================================
    optimizer             parameters asked for
    ====================  ==============================================================
    SGD                   ``sgd.lr`` 1e-4..1, ``momentum``, ``nesterov`` if momentum > 0
    RMSprop               ``lr`` 1e-5..1e-2, ``alpha``, ``momentum``
    Adam(W), RAdam NAdam  ``lr`` 1e-5..1e-2, ``beta1``, ``beta2``
    Adamax                ``adamax.lr`` 1e-5..2e-2, ``beta1``, ``beta2``
    Adadelta              ``adadelta.lr`` 0.1..10, ``rho``
    Adagrad               ``adagrad.lr`` 1e-3..1, ``lr_decay``
    all                   ``weight_decay`` 1e-6..0.1
    ====================  ==============================================================

    Learning rates, ``lr_decay`` and ``weight_decay`` are drawn on a log scale; momenta, betas, ``alpha`` and ``rho``
    on a log scale in 1 - x. The rate in use is ``optimizer.param_groups[0]["lr"]``, whatever the parameter is
    called. A model trained with two optimizers asks for each in its own ``trial.scope``.

    Args:
        parameters: what is to be trained, ``model.parameters()``.
        choices: names out of ``OPTIMIZERS``; a single one is kept in the record as a constant.

    Raises:
        ValueError: an unknown name among the choices.
    """
    for choice in choices:
        _check_name(choice)
    name: str = trial.suggest_categorical("optimizer", list(choices))
    knobs: dict[str, Any] = {}
    for parameter, domain in {**KNOBS[name], "weight_decay": _WEIGHT_DECAY}.items():
        knob = parameter.rpartition(".")[2]
        if knob == "nesterov" and not knobs["momentum"] > 0:
            continue  # Nesterov's correction is a correction of the momentum
        knobs[knob] = trial.suggest(parameter, domain)
    return make_optimizer(name, parameters, **knobs)


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], **knobs: Any) -> torch.optim.Optimizer:
    """One of the nine optimizers with the given knobs.

    Args:
        name: one of ``OPTIMIZERS``.
        parameters: what is to be trained.
        **knobs: PyTorch's keywords; ``beta1`` and ``beta2`` stand for ``betas``.

    Raises:
        ValueError: an unknown name.
        TypeError: a knob that this optimizer does not have.
    """
    _check_name(name)
    if "beta1" in knobs or "beta2" in knobs:
        knobs["betas"] = (knobs.pop("beta1", 0.9), knobs.pop("beta2", 0.999))
    optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(parameters, **knobs)
    return optimizer


def _check_name(name: str) -> None:
    if name not in KNOBS:
        raise ValueError(
            f"optimizer {name!r} is unknown; the nine are {', '.join(OPTIMIZERS)}.{closest(name, OPTIMIZERS)}"
        )
