"""The training loop of an objective in one call: epochs, schedule, clipping, mixed precision, patience, pause and resume.

``fit`` does what a careful loop of one's own would do, and leaves the same records: after each epoch both errors, measured
with the same weights, and the objective's metric. Everything with a state is tracked, so a paused training goes on
bit for bit; the learning rate follows the full number of epochs, however often the training is cut.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, RandomSampler

from honed.checkpoints.states import check_objects
from honed.errors import CannotBeKept
from honed.torch.data import Batches
from honed.torch.train import Loss, Scores, evaluate, train_epoch
from honed.trial import Trial

Pairs = Iterable[tuple[Tensor, Tensor]]
Metric = Literal["accuracy", "loss"] | Callable[[Tensor, Tensor], Any]
Schedule = LRScheduler | Literal["cosine"] | Callable[[torch.optim.Optimizer, int], LRScheduler]


def fit(
    trial: Trial,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Pairs,
    validation: Pairs,
    *,
    epochs: int,
    loss: Loss | None = None,
    schedule: Schedule | None = None,
    clip: float | None = None,
    metric: Metric = "accuracy",
    mixed_precision: bool = False,
    patience: int | None = None,
    device: torch.device | str | None = None,
) -> None:
    """Trains a model for a trial and reports every epoch: the objective's metric, ``train_loss`` and ``val_loss``.

    >>> def objective(trial):
    ...     model = suggest_mlp(trial, 64, 10)
    ...     optimizer = suggest_optimizer(trial, model.parameters())
    ...     fit(trial, model, optimizer, data.train.batches(64, shuffle=True), data.validation.batches(1024), epochs=27)

    The training ends early where it is paused or stopped, when the loss is no finite number, and by ``patience``. The training
    part is looked at a second time in each epoch, to measure both losses with the same weights.

    Args:
        train, validation: pairs of inputs and targets, to be looped over again and again: ``Batches``, a ``DataLoader``, a list.
        epochs: of a full training; the schedule is made for these, wherever the trial is paused.
        loss: of raw outputs and targets; cross-entropy by default, for targets that are classes.
        schedule: "cosine" (down to 0), ``lambda optimizer, epochs: ...``, or a learning-rate scheduler of this optimizer. It
            makes a step after each epoch; ``ReduceLROnPlateau`` looks at the validation loss.
        clip: longer gradients are scaled down to this length.
        metric: "accuracy", "loss", or a function of all validation outputs ``[n, ...]`` and targets ``[n, ...]``.
        mixed_precision: float16 with scaled gradients on a GPU, bfloat16 on a CPU.
        patience: ends after so many epochs without a smaller validation loss.
        device: the model is moved there; by default everything goes to where the model is.

    Raises:
        ValueError: the model has nothing to train, or an argument does not fit; says which.
    """
    _check(model, optimizer, epochs, metric, patience)
    if device is not None:
        model.to(device)
    place = next(model.parameters()).device
    scaler = torch.amp.GradScaler(place.type, enabled=mixed_precision and place.type == "cuda")
    course = _Course(model, optimizer, loss or _cross_entropy, clip, metric, place, scaler, mixed_precision)
    rates = _schedule(schedule, optimizer, epochs)
    waiting = _Waiting(patience)
    _track(trial, train, model=model, optimizer=optimizer, schedule=rates, scaler=scaler, patience=waiting)
    for epoch in trial.steps(epochs, schedule=_announced(rates)):
        if waiting.is_over:
            break
        set_epoch = getattr(getattr(train, "sampler", None), "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch - 1)
        course.train(trial.batches(train))
        train_loss, validated, value = course.judge(train, validation)
        if isinstance(rates, ReduceLROnPlateau):
            rates.step(validated)
        elif rates is not None:
            rates.step()
        waiting.look(validated)
        trial.report(value, step=epoch, train_loss=train_loss, val_loss=validated)
        if waiting.is_over or not (math.isfinite(validated) and math.isfinite(value)):
            break


@dataclass(frozen=True, slots=True)
class _Course:
    """How one training is trained and judged."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    clip: float | None
    metric: Metric
    device: torch.device
    scaler: torch.amp.GradScaler
    is_mixed: bool

    def train(self, batches: Pairs) -> None:
        """One epoch."""
        if not self.is_mixed:
            moved = _Moved(batches, self.device)
            train_epoch(self.model, self.optimizer, moved, loss=self.loss, max_gradient_norm=self.clip)
            return
        self.model.train()
        for x, y in _Moved(batches, self.device):
            self.optimizer.zero_grad()
            with self.precision():
                batch_loss = self.loss(self.model(x), y)
            self.scaler.scale(batch_loss).backward()  # type: ignore[no-untyped-call]
            if self.clip is not None:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def judge(self, train: Pairs, validation: Pairs) -> tuple[float, ...]:
        """Training loss, validation loss, and the objective's metric, all of the present weights. Draws no random number."""
        kept: list[tuple[Tensor, Tensor]] = []

        def keeping(outputs: Tensor, targets: Tensor) -> Tensor:
            if callable(self.metric):
                kept.append((outputs, targets))
            return self.loss(outputs, targets)

        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []), self.precision():
            training = evaluate(self.model, _Moved(_in_order(train), self.device), loss=self.loss)
            scores = evaluate(self.model, _Moved(_in_order(validation), self.device), loss=keeping)
        value = self.value(scores, kept)
        return _agreed(self.model, self.device, training.loss, scores.loss, value)

    def value(self, scores: Scores, kept: list[tuple[Tensor, Tensor]]) -> float:
        """The objective's metric; NaN where the training has diverged."""
        if callable(self.metric):
            is_sound = bool(kept) and math.isfinite(scores.loss)
            outputs, targets = (torch.cat(parts) for parts in zip(*kept, strict=True)) if is_sound else ((), ())
            return float(self.metric(outputs, targets)) if is_sound else math.nan  # type: ignore[arg-type]
        if self.metric == "accuracy" and math.isfinite(scores.loss) and math.isnan(scores.accuracy):
            raise ValueError(
                "fit: metric='accuracy' is for targets that are classes; write metric='loss', or a function"
            )
        return scores.loss if self.metric == "loss" else scores.accuracy

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Lower precision, where it is asked for."""
        return torch.autocast(self.device.type) if self.is_mixed else contextlib.nullcontext()


@dataclass(slots=True)
class _Waiting:
    """Counts the epochs since the smallest validation loss."""

    patience: int | None
    best: float = math.inf
    since: int = 0

    @property
    def is_over(self) -> bool:
        return self.patience is not None and self.since >= self.patience

    def look(self, loss: float) -> None:
        """One more epoch."""
        self.since = 0 if loss < self.best else self.since + 1
        self.best = min(self.best, loss) if loss == loss else self.best

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.since = float(state["best"]), int(state["since"])


class _Moved:
    """Batches on another device."""

    def __init__(self, batches: Pairs, device: torch.device) -> None:
        self.batches, self.device = batches, device

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.batches:
            yield x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)


def _in_order(batches: Pairs) -> Pairs:
    """The same examples in their own order, so that looking at them does not shuffle the next epoch otherwise."""
    if isinstance(batches, Batches) and batches.shuffle:
        return Batches(batches.x, batches.y, batches.batch_size)
    if isinstance(batches, DataLoader) and type(batches.sampler) is RandomSampler and batches.batch_size is not None:
        return DataLoader(
            batches.dataset,
            batch_size=batches.batch_size,
            num_workers=batches.num_workers,
            collate_fn=batches.collate_fn,
            pin_memory=batches.pin_memory,
        )
    if isinstance(batches, DataLoader) and batches.generator is not None and not batches.persistent_workers:
        still = copy.copy(batches)
        object.__setattr__(still, "generator", None)  # a loader draws the seed of its workers from it
        return still
    return batches


def _agreed(model: nn.Module, device: torch.device, *values: float) -> tuple[float, ...]:
    """The mean over all ranks where the model is trained by several: each has seen its own part, all decide alike."""
    if not isinstance(model, DistributedDataParallel):
        return values
    group = model.process_group
    together = torch.tensor(values, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(together, group=group)
    means: list[float] = (together / torch.distributed.get_world_size(group)).tolist()
    return tuple(means)


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point() and targets.shape != outputs.shape:
        raise ValueError(
            f"fit: the targets are {targets.dtype} {tuple(targets.shape)} and no classes; say which loss to use, for example "
            "loss=torch.nn.functional.mse_loss"
        )
    return functional.cross_entropy(outputs, targets)


def _schedule(schedule: Schedule | None, optimizer: torch.optim.Optimizer, epochs: int) -> LRScheduler | None:
    if schedule is None:
        return None
    made: Any = schedule
    if isinstance(schedule, str):
        if schedule != "cosine":
            raise ValueError(
                f"fit: schedule={schedule!r} is unknown; use 'cosine', a function, or a scheduler of torch"
            )
        return CosineAnnealingLR(optimizer, T_max=epochs)
    if not isinstance(schedule, LRScheduler):
        made = schedule(optimizer, epochs)
    if not isinstance(made, LRScheduler):
        raise TypeError(f"fit: schedule={made!r} must be a learning-rate scheduler of torch")
    if made.optimizer is not optimizer:
        raise ValueError("fit: schedule belongs to another optimizer than the given one")
    length = made.T_max if isinstance(made, CosineAnnealingLR) else getattr(made, "total_steps", None)
    if isinstance(made, CosineAnnealingLR | OneCycleLR) and length != epochs:
        text = (
            f"fit: the schedule is made for {length} steps, the training has {epochs} epochs; tie it to the full number"
        )
        warnings.warn(text, stacklevel=3)
    result: LRScheduler = made
    return result


def _announced(rates: LRScheduler | None) -> str | None:
    """The name of a schedule that is made for the number of epochs."""
    return "cosine" if isinstance(rates, CosineAnnealingLR) else "one-cycle" if isinstance(rates, OneCycleLR) else None


def _track(trial: Trial, train: Pairs, **objects: Any) -> None:
    """Tracks what is there and has a state; a list of batches, and a stream, have none."""
    tracked = {name: thing for name, thing in objects.items() if thing is not None}
    with contextlib.suppress(CannotBeKept):
        check_objects({"train": train})
        tracked["train"] = train
    trial.track(**tracked)


def _check(
    model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int, metric: Metric, patience: int | None
) -> None:
    own = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if not own:
        raise ValueError(f"fit: the model ({type(model).__name__}) has no parameters to train")
    if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError(
            "fit: the optimizer holds none of the model's parameters; make it after the model: "
            "torch.optim.AdamW(model.parameters())"
        )
    if metric not in ("accuracy", "loss") and not callable(metric):
        raise ValueError(
            f"fit: metric={metric!r} is unknown; use 'accuracy', 'loss', or a function of outputs and targets"
        )
    for name, value in (("epochs", epochs), ("patience", patience)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"fit: {name}={value!r} must be a whole number of at least 1")
