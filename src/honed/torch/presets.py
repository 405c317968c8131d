"""Ready spaces: the parameters that a course on tuning lists for a fully connected network, with one call.

The list has eight: epochs, batch size, learning rate alpha, momentum beta, optimizer, layers, neurons, activation.
Seven are searched. The eighth, epochs, is budget and not a parameter: loop over ``trial.steps(epochs)`` and report
each one.

Here alpha has one range for all optimizers and every hidden layer the same number of neurons, as on paper. For a
search that is to find the best network, ``suggest_mlp`` and ``suggest_optimizer`` know more: widths for each layer,
and for each optimizer its own knobs and learning rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from honed.domains import Categorical, Conditional, Domain, Float, Int
from honed.space import Space
from honed.torch.activations import ACTIVATIONS
from honed.torch.models import INITS, MAX_DROPOUT, NORMALIZATIONS, MlpPlan, make_mlp
from honed.torch.optimizers import OPTIMIZERS, make_optimizer

FC_ACTIVATIONS: tuple[str, ...] = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "swish")

BETA_KNOBS: Mapping[str, str] = {
    "SGD": "momentum",
    "RMSprop": "momentum",
    **dict.fromkeys(("Adam", "RAdam", "NAdam", "AdamW", "Adamax"), "beta1"),
}
"""Optimizer -> what beta means for it; Adadelta and Adagrad have no momentum, and their trials no beta."""


def fc_space(*, extended: bool = False) -> Space:
    """The space of a fully connected network: ``honed.create_study("mnist", space=fc_space())``.

    Layers 2, 3, 4 and neurons 100, 200, ..., 1000 on a linear scale; alpha from 1e-4 to 1 on a log scale, whose grid
    of five is 1e-4, 1e-3, ..., 1. ``build_fc(trial.params, ...)`` makes network and optimizer of what a trial got.

    Args:
        extended: adds dropout, weight decay, initialisation, normalisation and a limit on weights.
    """
    domains: dict[str, Domain | Conditional] = {
        "batch_size": Int.pow2(16, 512),
        "alpha": Float(1e-4, 1.0, log=True),
        "optimizer": Categorical(OPTIMIZERS),
        "beta": Float.near_one(0.0, 0.99).when(optimizer=list(BETA_KNOBS)),
        "layers": Int(2, 4),
        "neurons": Int(100, 1000, step=100),
        "activation": Categorical(FC_ACTIVATIONS),
    }
    if extended:
        domains |= {
            "dropout": Float(0.0, MAX_DROPOUT),
            "weight_decay": Float(1e-6, 1e-1, log=True),
            "init": Categorical(list(INITS)),
            "normalization": Categorical(list(NORMALIZATIONS)),
            "max_norm": Float(1.0, 5.0),
        }
    return Space(domains)


def build_fc(params: Mapping[str, Any], n_inputs: int, n_outputs: int) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    """Network ``[b, ...] -> [b, n_outputs]`` and optimizer for params of ``fc_space``, extended or not.

    Args:
        params: name -> value, such as ``trial.params``; ``batch_size`` is the caller's business.
        n_inputs: numbers in one example; inputs are flattened first.
    """
    units = (int(params["neurons"]),) * int(params["layers"])
    plan = MlpPlan(
        units=units,
        activation=ACTIVATIONS[params["activation"]],
        dropout=(params.get("dropout", 0.0),) * len(units),
        normalization=params.get("normalization", "none"),
        init=params.get("init", "default"),
        max_norm=params.get("max_norm"),
    )
    model = make_mlp(plan, n_inputs, n_outputs)
    knobs = {"lr": params["alpha"], "weight_decay": params.get("weight_decay", 0.0)}
    if params["optimizer"] in BETA_KNOBS:
        knobs[BETA_KNOBS[params["optimizer"]]] = params["beta"]
    return model, make_optimizer(params["optimizer"], model.parameters(), **knobs)
