from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from honed.errors import Infeasible
from honed.torch import (
    Batches,
    MlpPlan,
    MlpRanges,
    evaluate,
    make_mlp,
    suggest_mlp,
    suggest_optimizer,
    train_epoch,
)
from honed.torch.models import INITS, NORMALIZATIONS, SHAPES, widths

EVERYTHING = MlpRanges(
    layers=(1, 5),
    units=(32, 64),
    shapes=SHAPES,
    dropout="per_layer",
    normalizations=list(NORMALIZATIONS),
    inits=list(INITS),
    max_norm=(1.0, 5.0),
)


def linears(model):
    return [layer for layer in model if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("seed", range(20))
def test_random_configurations_train_an_epoch(seed, random_trial):
    torch.manual_seed(seed)
    trial = random_trial(seed)
    model = suggest_mlp(trial, 6, 3, EVERYTHING if seed % 2 else None)
    optimizer = suggest_optimizer(trial, model.parameters())
    batches = Batches(torch.randn(41, 2, 3), torch.randint(3, (41,)), batch_size=8, shuffle=True)
    assert math.isfinite(train_epoch(model, optimizer, batches))
    assert model(torch.randn(5, 2, 3)).shape == (5, 3)
    assert 0 <= evaluate(model, batches).accuracy <= 1


def test_widths_are_asked_for_the_layers_that_exist(random_trial):
    trial = random_trial(n_layers=2)
    model = suggest_mlp(trial, 7, 3)
    assert [name for name in trial.params if name.startswith("units")] == ["units_0", "units_1"]
    sizes = [7, trial["units_0"], trial["units_1"], 3]
    built = [(layer.in_features, layer.out_features) for layer in linears(model)]
    assert built == list(itertools.pairwise(sizes))


def test_what_is_fixed_is_not_asked(random_trial):
    trial = random_trial()
    suggest_mlp(trial, 7, 3, MlpRanges(layers=(2, 2), units=(8, 8), dropout="none"))
    assert set(trial.params) == {"activation"}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("brick", (100, 100, 100)),
        ("funnel", (100, 70, 40)),
        ("slope", (100, 50, 25)),
        ("triangle", (33, 66, 100)),
    ],
)
def test_shapes(shape, expected):
    assert widths(shape, 100, 3, 10) == expected


def test_dropout_is_shared_or_per_layer(random_trial):
    shared, apart = random_trial(n_layers=3), random_trial(n_layers=3)
    suggest_mlp(shared, 7, 3)
    suggest_mlp(apart, 7, 3, MlpRanges(dropout="per_layer"))
    assert [name for name in shared.params if "dropout" in name] == ["dropout"]
    assert [name for name in apart.params if "dropout" in name] == ["dropout_0", "dropout_1", "dropout_2"]


def test_a_shape_that_narrows_to_nothing_is_infeasible(random_trial):
    trial = random_trial(n_layers=4, units=4)
    with pytest.raises(Infeasible, match="layers 7 → 4 → 2 → 1 → 0 → 3: each needs at least one unit"):
        suggest_mlp(trial, 7, 3, MlpRanges(units=(4, 8), shapes=["slope"]))


def test_too_many_parameters_are_infeasible(random_trial):
    ranges = MlpRanges(layers=(1, 1), units=(9, 10), max_parameters=100)
    model = suggest_mlp(random_trial(units_0=9), 7, 3, MlpRanges(layers=(1, 1), units=(9, 10), max_parameters=102))
    assert sum(parameter.numel() for parameter in model.parameters()) == 102
    with pytest.raises(Infeasible, match="layers 7 → 9 → 3: 102 parameters, more than max_parameters=100"):
        suggest_mlp(random_trial(units_0=9), 7, 3, ranges)


def test_max_norm_holds_while_training():
    model = make_mlp(MlpPlan(units=(5, 5), max_norm=0.5), 7, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train_epoch(model, optimizer, [(torch.randn(8, 7), torch.randint(3, (8,)))] * 20)
    for layer in linears(model)[:-1]:
        assert layer.weight.norm(dim=1).max() <= 0.5 + 1e-5


def test_initialisation_fills_every_layer():
    model = make_mlp(MlpPlan(units=(6, 6), init="orthogonal"), 6, 6)
    for layer in linears(model):
        torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(6))
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (3, 2)}, r"layers=\(3, 2\) must be \(smallest, largest\)"),
        ({"units": (0, 2)}, r"units=\(0, 2\) must be"),
        ({"shapes": ["fnnel"]}, "shapes 'fnnel' is unknown.*Did you mean 'funnel'"),
        ({"shapes": "brick"}, "must be a list"),
        ({"normalizations": []}, "at least one of none, batch, layer"),
        ({"dropout": "shard"}, "Did you mean 'shared'"),
    ],
)
def test_wrong_ranges_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MlpRanges(**settings)


def test_dropout_for_another_number_of_layers_is_refused():
    with pytest.raises(ValueError, match="1 values of dropout for 2 hidden layers"):
        make_mlp(MlpPlan(units=(5, 5), dropout=(0.1,)), 7, 3)
