"""One epoch of training, and what a model is worth: the two calls of an objective's loop.

``evaluate`` gives the plain error, without weight decay or other penalties and with dropout switched off. Called
on the training and on the validation part between two epochs, it measures both with the very same weights, so that
the gap between them means something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
"""``loss(outputs, targets)`` -> scalar, the mean over a batch; such as ``torch.nn.functional.mse_loss``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a model is worth on some data; all NaN where training has diverged.

    Attributes:
        loss: mean over the examples.
        accuracy: share of right classes, 0..1; NaN when the targets are no classes.
    """

    loss: float
    accuracy: float


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    loss: Loss = functional.cross_entropy,
    max_gradient_norm: float | None = None,
) -> float:
    """Trains once on every batch and returns the mean loss on the way, while the weights were still changing.

    Args:
        batches: pairs of inputs ``[b, ...]`` and targets ``[b, ...]``: a ``Batches``, a ``DataLoader``, a list.
        loss: of raw outputs (logits) and targets.
        max_gradient_norm: longer gradients are scaled down to this length.
    """
    model.train()
    total, n = torch.zeros(()), 0
    for x, y in batches:
        optimizer.zero_grad()
        batch_loss = loss(model(x), y)
        batch_loss.backward()  # type: ignore[no-untyped-call]
        if max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_gradient_norm)
        optimizer.step()
        total = total.to(x.device) + batch_loss.detach() * len(x)  # on the device: no waiting in every step
        n += len(x)
    return float(total) / n if n else math.nan


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, loss: Loss = functional.cross_entropy
) -> Scores:
    """Loss and accuracy of the model as it is now, in evaluation mode; the model's mode is restored.

    Args:
        batches: pairs of inputs ``[b, ...]`` and targets: classes ``[b]`` or numbers ``[b, ...]``.
        loss: of raw outputs ``[b, n_classes]`` (logits) and targets.
    """
    was_training = model.training
    model.eval()
    total, right, n, is_classes = torch.zeros(()), torch.zeros(()), 0, True
    for x, y in batches:
        outputs = model(x)
        total = total.to(x.device) + loss(outputs, y) * len(x)
        is_classes = is_classes and not y.is_floating_point() and outputs.ndim == 2
        if is_classes:
            right = right.to(x.device) + (outputs.argmax(dim=1) == y).sum()
        n += len(x)
    model.train(was_training)
    mean = float(total) / n if n else math.nan
    if not math.isfinite(mean):
        return Scores(loss=math.nan, accuracy=math.nan)  # the argmax of NaNs would look like a result
    return Scores(loss=mean, accuracy=float(right) / n if is_classes else math.nan)
