"""Two trainings on handwritten digits: a convolutional network, and a recurrent one that reads an image row by row.

One image in five is trained on, so that an epoch takes tens of milliseconds and choices matter; three in ten are for
validation, and half, which no search sees, for the test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from honed.torch import Batches, Part, Split, evaluate, split, train_epoch

N_CLASSES, SIDE, N_EPOCHS = 10, 8, 25
VALIDATION, TEST = 0.3, 0.5

CHANCE = 1.0 - 1.0 / N_CLASSES
"""The error of guessing, which a training that diverges is worth."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "sigmoid": nn.Sigmoid}
CELLS: dict[str, Callable[..., nn.Module]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Asked(Protocol):
    """What honed's trial, Optuna's trial and ``honed.FixedTrial`` have in common."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One configuration, as it is trained.

    Attributes:
        max_gradient_norm: longer gradients are cut; None leaves them.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    max_gradient_norm: float | None = None

    def epoch(self) -> None:
        """Trains once on every batch."""
        train_epoch(self.model, self.optimizer, self.batches, max_gradient_norm=self.max_gradient_norm)

    def error(self, part: Part) -> float:
        """Share of wrong answers; NaN when the training has diverged."""
        return 1.0 - evaluate(self.model, part.batches(len(part))).accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A network to tune.

    Attributes:
        n_epochs: of a full training.
        build: asks a trial for everything, and makes the training from it.
    """

    name: str
    n_epochs: int
    build: Callable[[Asked, Split, int], Training]


@lru_cache(maxsize=4)
def digits(seed: int) -> Split:
    """The images, cut differently for each seed."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return split(data.images, data.target, validation=VALIDATION, test=TEST, seed=seed)


def tasks() -> dict[str, Task]:
    """Name -> task."""
    both = (Task(name="cnn", n_epochs=N_EPOCHS, build=build_cnn), Task(name="rnn", n_epochs=N_EPOCHS, build=build_rnn))
    return {task.name: task for task in both}


# ---------------------------------------------------------------------------------------------------------- networks


def build_cnn(trial: Asked, data: Split, seed: int) -> Training:
    """One to three convolutions, with what users commonly tune around them."""
    torch.manual_seed(seed)
    activation = ACTIVATIONS[trial.suggest_categorical("activation", list(ACTIVATIONS))]
    n_layers = trial.suggest_int("n_layers", 1, 3)
    channels = trial.suggest_int("channels", 4, 16, log=True)
    normalised = trial.suggest_categorical("batch_norm", ["no", "yes"]) == "yes"
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    layers: list[nn.Module] = [nn.Unflatten(1, (1, SIDE))]
    before, side = 1, SIDE
    for i in range(n_layers):
        layers.append(nn.Conv2d(before, channels, 3, padding=1))
        layers += [nn.BatchNorm2d(channels)] if normalised else []
        layers.append(activation())
        if i < 2:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        before = channels
        channels = min(2 * channels, 32)
    layers += [nn.Flatten(), nn.Dropout(dropout), nn.Linear(before * side * side, N_CLASSES)]
    model = nn.Sequential(*layers)
    return Training(model=model, optimizer=_optimizer(trial, model), batches=_batches(trial, data, seed))


class Reader(nn.Module):
    """A recurrent network that reads an image row by row, then names the digit."""

    def __init__(self, cell: str, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        between = dropout if depth > 1 else 0.0
        self.cells = CELLS[cell](SIDE, width, depth, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.cells(x)[0]
        answer: Tensor = self.out(self.dropout(rows[:, -1]))
        return answer


def build_rnn(trial: Asked, data: Split, seed: int) -> Training:
    """Plain cells, GRU or LSTM; gradients are cut at a tuned length."""
    torch.manual_seed(seed)
    cell = trial.suggest_categorical("cell", list(CELLS))
    width = trial.suggest_int("width", 8, 64, log=True)
    depth = trial.suggest_int("depth", 1, 2)
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    norm = trial.suggest_float("max_gradient_norm", 0.1, 10.0, log=True)
    model = Reader(cell, width, depth, dropout)
    optimizer, batches = _optimizer(trial, model), _batches(trial, data, seed)
    return Training(model=model, optimizer=optimizer, batches=batches, max_gradient_norm=norm)


def _batches(trial: Asked, data: Split, seed: int) -> Batches:
    return data.train.batches(trial.suggest_int("batch_size", 16, 128, log=True), shuffle=True, seed=seed)


def _optimizer(trial: Asked, model: nn.Module) -> torch.optim.Optimizer:
    """One of three, with its own knobs only; what is dense near 1 is asked as its distance from 1."""
    kind = trial.suggest_categorical("optimizer", ["sgd", "adam", "rmsprop"])
    rate = trial.suggest_float("lr", 1e-5, 1.0, log=True)
    decay = trial.suggest_float("weight_decay", 1e-7, 1e-1, log=True)
    if kind == "adam":
        betas = (_near_one(trial, "beta1", 0.01, 1.0), _near_one(trial, "beta2", 1e-4, 0.1))
        return torch.optim.AdamW(model.parameters(), rate, betas=betas, weight_decay=decay)
    momentum = _near_one(trial, "momentum", 0.01, 1.0)
    if kind == "sgd":
        return torch.optim.SGD(model.parameters(), rate, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
    return torch.optim.RMSprop(model.parameters(), rate, momentum=momentum, weight_decay=decay)


def _near_one(trial: Asked, name: str, low: float, high: float) -> float:
    return max(1.0 - trial.suggest_float(f"1-{name}", low, high, log=True), 0.0)


# -------------------------------------------------------------------------------------------------------------- test


def error_when_trained_again(
    task: Task, params: dict[str, Any], n_epochs: int, data: Split, seeds: Sequence[int]
) -> float:
    """Mean error on the test part of a configuration that is trained afresh, for so many epochs, with new seeds."""
    import honed

    errors = []
    for seed in seeds:
        training = task.build(honed.FixedTrial(params), data, seed)
        for _ in range(n_epochs):
            training.epoch()
        error = training.error(data.test)
        errors.append(CHANCE if math.isnan(error) else error)
    return math.fsum(errors) / len(errors)
