from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from honed.torch import Batches, evaluate, train_epoch


def two_classes(n=64):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    return torch.randn(n, 3, generator=generator) + 3.0 * y[:, None], y


def test_training_learns():
    torch.manual_seed(0)
    x, y = two_classes()
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batches = Batches(x, y, 16, shuffle=True)
    losses = [train_epoch(model, optimizer, batches) for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]
    assert evaluate(model, batches).accuracy > 0.95


def test_both_errors_come_from_one_state_of_the_model():
    x, y = two_classes()
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = {batch_size: evaluate(model, Batches(x, y, batch_size)) for batch_size in (5, 64)}
    assert scores[5].loss == pytest.approx(scores[64].loss, rel=1e-5)
    assert scores[5].accuracy == scores[64].accuracy
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training  # as it was found


def test_the_loss_is_the_mean_over_examples():
    x, y = two_classes(10)
    model = nn.Linear(3, 2)
    unequal = [(x[:7], y[:7]), (x[7:], y[7:])]
    expected = functional.cross_entropy(model(x), y).item()
    assert evaluate(model, unequal).loss == pytest.approx(expected, rel=1e-5)
    assert train_epoch(model, torch.optim.SGD(model.parameters(), lr=0.0), unequal) == pytest.approx(expected, rel=1e-5)


def test_a_diverged_model_has_no_accuracy():
    x, y = two_classes()
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, math.nan)
    scores = evaluate(model, [(x, y)])
    assert math.isnan(scores.loss)
    assert math.isnan(scores.accuracy)


def test_regression_has_a_loss_only():
    x, _ = two_classes()
    model = nn.Linear(3, 1)
    scores = evaluate(model, [(x, x.sum(1, keepdim=True))], loss=functional.mse_loss)
    assert scores.loss > 0
    assert math.isnan(scores.accuracy)


def test_gradients_are_shortened_on_request():
    x, y = two_classes()
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    train_epoch(model, torch.optim.SGD(model.parameters(), lr=1.0), [(1e3 * x, y)], max_gradient_norm=1e-3)
    assert (model.weight - before).norm() <= 1.01e-3


def test_no_batch_is_no_number():
    assert math.isnan(train_epoch(nn.Linear(1, 1), torch.optim.SGD([torch.zeros(1)], lr=1.0), []))
    assert math.isnan(evaluate(nn.Linear(1, 1), []).loss)
