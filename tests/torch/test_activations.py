from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from honed.torch import ACTIVATIONS, HIDDEN_ACTIVATIONS, make_activation, suggest_activation

X = torch.tensor([-2.0, -0.5, 0.0, 1.0, 3.0])
BY_HAND = {
    "sigmoid": 1 / (1 + torch.exp(-X)),
    "tanh": torch.tanh(X),
    "relu": torch.clamp(X, min=0),
    "leaky_relu": torch.where(X > 0, X, 0.01 * X),
    "prelu": torch.where(X > 0, X, 0.25 * X),
    "swish": X / (1 + torch.exp(-X)),
    "gelu": X * (1 + torch.erf(X / 2**0.5)) / 2,
    "elu": torch.where(X > 0, X, torch.exp(X) - 1),
    "softmax": torch.exp(X) / torch.exp(X).sum(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_names_resolve_to_the_functions_they_say(name):
    torch.testing.assert_close(make_activation(name)(X).detach(), BY_HAND[name])


def test_softmax_is_no_hidden_default():
    assert set(ACTIVATIONS) - set(HIDDEN_ACTIVATIONS) == {"softmax"}


def test_softmax_in_hidden_layers_is_warned(random_trial):
    with pytest.warns(UserWarning, match="Keep softmax for the output layer"):
        suggest_activation(random_trial(), choices=["relu", "softmax"])


def test_prelu_slopes_are_learned_for_each_layer_apart(random_trial):
    activation = suggest_activation(random_trial(activation="prelu"))
    model = nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 4), activation(), nn.Linear(4, 1))
    model(torch.randn(8, 3)).sum().backward()
    slopes = [layer.weight for layer in model if isinstance(layer, nn.PReLU)]
    assert len({id(slope) for slope in slopes}) == 2
    assert all(slope.grad is not None and slope.grad.abs() > 0 for slope in slopes)


def test_the_record_has_the_name(random_trial):
    trial = random_trial()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factory = suggest_activation(trial, "act")
    assert trial.params == {"act": next(name for name, known in ACTIVATIONS.items() if known is factory)}


def test_an_unknown_name_gets_the_list_and_the_closest(random_trial):
    for make in (make_activation, lambda name: suggest_activation(random_trial(), choices=[name])):
        with pytest.raises(ValueError, match=r"'leakyrelu' is unknown; there are .*Did you mean 'leaky_relu'"):
            make("leakyrelu")
