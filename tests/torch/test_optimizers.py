from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from torch import nn

from honed.torch import OPTIMIZERS, make_optimizer, suggest_optimizer

ADAM = {"lr", "beta1", "beta2"}
KNOBS = {
    "SGD": {"sgd.lr", "momentum", "nesterov"},
    "RMSprop": {"lr", "alpha", "momentum"},
    "Adam": ADAM,
    "RAdam": ADAM,
    "NAdam": ADAM,
    "AdamW": ADAM,
    "Adadelta": {"adadelta.lr", "rho"},
    "Adagrad": {"adagrad.lr", "lr_decay"},
    "Adamax": {"adamax.lr", "beta1", "beta2"},
}
LR_RANGES = {
    "SGD": (1e-4, 1),
    "RMSprop": (1e-5, 1e-2),
    "Adam": (1e-5, 1e-2),
    "RAdam": (1e-5, 1e-2),
    "NAdam": (1e-5, 1e-2),
    "AdamW": (1e-5, 1e-2),
    "Adadelta": (0.1, 10),
    "Adagrad": (1e-3, 1),
    "Adamax": (1e-5, 2e-2),
}


def test_the_nine_are_there():
    assert set(OPTIMIZERS) == set(KNOBS)


@pytest.mark.parametrize("name", KNOBS)
def test_each_builds_with_its_knobs_and_steps(name, random_trial):
    for seed in range(10):
        model = nn.Linear(3, 2)
        before = model.weight.detach().clone()
        trial = random_trial(seed, optimizer=name)
        optimizer = suggest_optimizer(trial, model.parameters())
        for _ in range(10):  # RAdam's first steps may be tiny
            optimizer.zero_grad()
            model(torch.ones(4, 3)).pow(2).sum().backward()
            optimizer.step()
        assert type(optimizer) is getattr(torch.optim, name)
        assert not torch.equal(model.weight, before)
        assert set(trial.params) == {"optimizer", "weight_decay"} | KNOBS[name]


@pytest.mark.parametrize("name", KNOBS)
def test_what_is_recorded_is_what_the_optimizer_uses(name, random_trial):
    trial = random_trial(3, optimizer=name)
    used = suggest_optimizer(trial, nn.Linear(1, 1).parameters()).param_groups[0]
    for knob, value in trial.params.items():
        if knob in ("beta1", "beta2"):
            assert used["betas"][("beta1", "beta2").index(knob)] == value
        elif knob != "optimizer":
            assert used[knob.rpartition(".")[2]] == value


@pytest.mark.parametrize("name", KNOBS)
def test_learning_rates_are_searched_in_log_within_their_own_range(name, random_trial):
    trial = random_trial(optimizer=name)
    suggest_optimizer(trial, nn.Linear(1, 1).parameters())
    domains = trial._backend.domains
    lr = next(domain for knob, domain in domains.items() if knob.rpartition(".")[2] == "lr")
    assert (lr.low, lr.high, lr.log) == (*LR_RANGES[name], True)


def test_one_name_means_one_domain_whatever_the_optimizer(random_trial):
    seen = defaultdict(set)
    for name in OPTIMIZERS:
        trial = random_trial(optimizer=name)
        suggest_optimizer(trial, nn.Linear(1, 1).parameters())
        for knob, domain in trial._backend.domains.items():
            seen[knob].add(domain)
    assert {knob: len(domains) for knob, domains in seen.items()} == dict.fromkeys(seen, 1)


def test_nesterov_needs_a_momentum(random_trial):
    trial = random_trial(optimizer="SGD", momentum=0.0)
    suggest_optimizer(trial, nn.Linear(1, 1).parameters())
    assert "nesterov" not in trial.params


def test_names_do_not_depend_on_what_else_is_offered(random_trial):
    trial = random_trial()
    suggest_optimizer(trial, nn.Linear(1, 1).parameters(), choices=["SGD"])
    assert {"optimizer", "sgd.lr"} <= set(trial.params)


def test_two_optimizers_in_two_scopes(random_trial):
    trial = random_trial()
    for part in ("generator", "critic"):
        with trial.scope(part):
            suggest_optimizer(trial, nn.Linear(1, 1).parameters(), choices=["Adam"])
    assert {"generator.lr", "critic.lr"} <= set(trial.params)


def test_an_unknown_name_gets_the_nine(random_trial):
    with pytest.raises(ValueError, match=r"'adam' is unknown; the nine are SGD, .*Adamax.*Did you mean 'Adam'"):
        suggest_optimizer(random_trial(), nn.Linear(1, 1).parameters(), choices=["adam"])


def test_a_foreign_knob_is_refused():
    with pytest.raises(TypeError, match="momentum"):
        make_optimizer("Adam", nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
