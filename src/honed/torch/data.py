"""From arrays to batches: a seeded split, standardisation that sees the training part only, batches without overhead.

Small data sets fit in memory as two tensors. Slicing those is many times faster than a ``DataLoader``, which
collects a batch example by example; ``Batches`` does just that, reshuffles every epoch from a seed, and remembers
its epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ints = npt.NDArray[np.int64]


class Batches:
    """Goes through ``(x, y)`` in batches, as often as you like; shuffled anew, and reproducibly, every time.

    The batches have ``batch_size`` examples or fewer: as few batches as possible, whose sizes differ by one at
    most. No batch of a few leftovers gets the weight of a full one, or spoils a normalisation.

    Args:
        x: ``[n, ...]`` inputs.
        y: ``[n, ...]`` targets.
        batch_size: most examples in a batch.
        seed: of the order; together with the epoch it fixes the order completely.
        shuffle: whether to shuffle at all; leave it out for evaluation.

    Raises:
        ValueError: no example, different lengths, or a batch size below 1.
    """

    def __init__(self, x: Tensor, y: Tensor, batch_size: int, *, seed: int = 0, shuffle: bool = False) -> None:
        if len(x) != len(y):
            raise ValueError(f"Batches: x has {len(x)} examples and y has {len(y)}; they must be as many")
        if not len(x):
            raise ValueError("Batches: there is no example in x")
        if batch_size < 1:
            raise ValueError(f"Batches: batch_size={batch_size} must be at least 1")
        self.x, self.y = x, y
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches."""
        return math.ceil(len(self.x) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.shuffle:
            yield from zip(self.x.tensor_split(len(self)), self.y.tensor_split(len(self)), strict=True)
            return
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.x))
        self.epoch += 1
        for part in torch.from_numpy(order).to(self.x.device).tensor_split(len(self)):
            yield self.x[part], self.y[part]

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: what a checkpoint keeps of it."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on with the epoch after the one in which ``state_dict`` was taken."""
        self.epoch = int(state["epoch"])


@dataclass(frozen=True, slots=True)
class Standardizer:
    """Moves and scales each feature to mean 0 and standard deviation 1; constant features become 0.

    Attributes:
        mean, scale: ``[...]`` the shape of one example.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, x: Tensor) -> Self:
        """Learns mean and scale from ``[n, ...]`` examples: the training part, and nothing else."""
        deviation = x.std(dim=0, unbiased=False)
        return cls(x.mean(dim=0), torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


@dataclass(frozen=True, slots=True)
class Part:
    """The training, validation or test part of a data set; ``train + validation`` is a part too.

    Attributes:
        x: ``[n, ...]`` inputs.
        y: ``[n, ...]`` targets.
        index: ``[n]`` which examples of the whole data set these are.
    """

    x: Tensor
    y: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __add__(self, other: Part) -> Part:
        x, y, index = ((self.x, other.x), (self.y, other.y), (self.index, other.index))
        return Part(torch.cat(x), torch.cat(y), torch.cat(index))

    def batches(self, batch_size: int, *, seed: int = 0, shuffle: bool = False) -> Batches:
        """Its examples in batches."""
        return Batches(self.x, self.y, batch_size, seed=seed, shuffle=shuffle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A data set cut into three parts that share no example, and how its inputs were standardised."""

    train: Part
    validation: Part
    test: Part
    standardizer: Standardizer


def split(x: Any, y: Any, *, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> Split:
    """Cuts arrays into training, validation and test parts and standardises them by the training part.

    Class labels (whole numbers) keep their shares in every part. The same seed gives the same parts.

    Args:
        x: ``[n, ...]`` array or tensor; becomes float32.
        y: ``[n, ...]`` array or tensor; whole numbers become int64, others float32.
        validation, test: shares of all examples.

    Raises:
        ValueError: different lengths, shares that leave no training part, or a part without an example.
    """
    inputs, targets = _tensor(x).to(torch.float32), _tensor(y)
    targets = targets.to(torch.float32 if targets.is_floating_point() else torch.int64)
    if len(inputs) != len(targets):
        raise ValueError(f"split: x has {len(inputs)} examples and y has {len(targets)}; they must be as many")
    if validation <= 0 or test <= 0 or validation + test >= 1:
        raise ValueError(
            f"split: validation={validation:g} and test={test:g} must be above 0 and leave something to train on, "
            "e.g. 0.2 and 0.2"
        )
    rows = [torch.from_numpy(row) for row in _cut(targets, validation, test, seed)]
    if not all(map(len, rows)):
        raise ValueError(f"split: {len(inputs)} examples are too few for three parts; parts got {[*map(len, rows)]}")
    standardizer = Standardizer.fit(inputs[rows[0]])
    train, held_out, last = (Part(standardizer(inputs[row]), targets[row], row) for row in rows)
    return Split(train=train, validation=held_out, test=last, standardizer=standardizer)


def _tensor(array: Any) -> Tensor:
    return array if isinstance(array, Tensor) else torch.from_numpy(np.asarray(array))


def _cut(targets: Tensor, validation: float, test: float, seed: int) -> tuple[Ints, Ints, Ints]:
    """Shuffled rows of the three parts, class by class where the targets are classes."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(len(targets), dtype=np.int64)
    if targets.ndim == 1 and not targets.is_floating_point():
        labels = targets.cpu().numpy()
    parts: tuple[list[Ints], list[Ints], list[Ints]] = ([], [], [])
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        first = round(len(rows) * (1 - validation - test))
        second = first + round(len(rows) * validation)
        for part, chosen in zip(parts, np.split(rows, [first, second]), strict=True):
            part.append(chosen)
    train, held_out, last = (rng.permutation(np.concatenate(part)) for part in parts)
    return train, held_out, last
