from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from honed.torch import OPTIMIZERS, Batches, build_fc, fc_space, train_epoch


def test_the_grids_are_those_of_the_list():
    space = fc_space()
    assert list(space.domains) == [
        "batch_size",
        "alpha",
        "optimizer",
        "beta",
        "layers",
        "neurons",
        "activation",
    ]
    assert space["layers"].grid() == (2, 3, 4)
    assert space["neurons"].grid() == (100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
    assert space["alpha"].grid(5) == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert space["optimizer"].grid() == OPTIMIZERS
    assert space["activation"].grid() == ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "swish")


def test_alpha_is_uniform_in_its_logarithm():
    alpha = fc_space()["alpha"]
    draws = np.log10(np.array([alpha.decode(u) for u in np.random.default_rng(0).random(4000)], dtype=float))
    shares = np.histogram(draws, bins=[-4, -3, -2, -1, 0])[0] / 4000
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_beta_exists_only_where_there_is_a_momentum():
    space = fc_space()
    assert [name for name in OPTIMIZERS if not space.is_active("beta", {"optimizer": name})] == [
        "Adadelta",
        "Adagrad",
    ]


def draw(space, rng):
    params: dict[str, Any] = {}
    while (name := space.next_name(params)) is not None:
        params[name] = space[name].decode(rng.random())
    return params


@pytest.mark.parametrize("seed", range(20))
def test_random_configurations_train_an_epoch(seed):
    torch.manual_seed(seed)
    params = draw(fc_space(extended=seed % 2 == 1), np.random.default_rng(seed)) | {
        "neurons": 100,
        "alpha": 1e-3,
    }
    model, optimizer = build_fc(params, n_inputs=6, n_outputs=3)
    batches = Batches(torch.randn(40, 6), torch.randint(3, (40,)), params["batch_size"])
    assert math.isfinite(train_epoch(model, optimizer, batches))
    assert type(optimizer).__name__ == params["optimizer"]


def test_beta_is_the_momentum():
    params = {"layers": 2, "neurons": 100, "activation": "relu", "alpha": 0.1, "beta": 0.7}
    _, sgd = build_fc(params | {"optimizer": "SGD"}, 6, 3)
    _, adam = build_fc(params | {"optimizer": "Adam"}, 6, 3)
    assert (sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"]) == (0.1, 0.7)
    assert adam.param_groups[0]["betas"] == (0.7, 0.999)
