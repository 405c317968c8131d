"""A training that is interrupted after any step and restored goes on bit for bit: losses, weights, data, learning rates."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.checkpoints.base import checkpoint_key
from honed.checkpoints.directory import DirectoryStore
from honed.checkpoints.states import restore_states, save_states

torch = pytest.importorskip("torch")
nn = torch.nn
N_EPOCHS = 5

Optimizer = Callable[[Any], Any]
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
}
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, N_EPOCHS * 4),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=N_EPOCHS * 4),
}

How = tuple[str, str, bool]


@dataclass
class Training:
    """All that a script has, made from a seed as a script would."""

    optimizer_name: str
    schedule_name: str
    own_generator: bool
    seed: int
    trace: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        random.seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002
        data = torch.utils.data.TensorDataset(*make_data())
        self.model = nn.Sequential(
            nn.Linear(6, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(16, 8),
            nn.GELU(),
            nn.Linear(8, 3),
        )
        groups = [{"params": self.model[0].parameters(), "weight_decay": 0.01}, {"params": self.model[4:].parameters()}]
        self.optimizer = OPTIMIZERS[self.optimizer_name](groups)
        self.schedule = SCHEDULES[self.schedule_name](self.optimizer)
        self.rng = np.random.default_rng(self.seed)
        generator = torch.Generator().manual_seed(self.seed) if self.own_generator else None
        self.loader = torch.utils.data.DataLoader(data, 8, shuffle=True, generator=generator)

    def objects(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "rng": self.rng,
            "loader": self.loader,
        }

    def epoch(self) -> None:
        self.model.train()
        for x, y in self.loader:
            x = x + 0.1 * self.rng.normal() + 0.1 * np.random.normal() + 0.1 * random.random()  # noqa: NPY002
            loss = nn.functional.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            self.trace.append(
                (loss.item().hex(), x.sum().item().hex(), [g["lr"].hex() for g in self.optimizer.param_groups])
            )

    def everything(self) -> str:
        """Trace, weights and optimizer state, to the bit."""
        weights = [tensor.numpy().tobytes().hex() for tensor in self.model.state_dict().values()]
        states = [
            {name: value.numpy().tobytes().hex() if torch.is_tensor(value) else value for name, value in state.items()}
            for state in self.optimizer.state_dict()["state"].values()
        ]
        return repr((self.trace, weights, states, self.schedule.state_dict(), torch.rand(3).tolist(), random.random()))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are slower with many, above all beside other processes."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def make_data() -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 6, generator=generator), torch.randint(0, 3, (32,), generator=generator)


def uninterrupted(directory: Path, how: How) -> tuple[str, list[int]]:
    """What a whole training amounts to, and the length of its trace after each epoch; saved after every epoch."""
    training, lengths = Training(*how, 1), list[int]()
    store = DirectoryStore(directory)
    for epoch in range(N_EPOCHS + 1):
        place = store.new_directory()
        save_states(place, training.objects(), step=epoch)
        store.save(checkpoint_key(1, 0, epoch, 1), place)
        lengths.append(len(training.trace))
        if epoch < N_EPOCHS:
            training.epoch()
    return training.everything(), lengths


def resumed(directory: Path, epoch: int, how: How, trace: list[Any]) -> str:
    training = Training(*how, 99)
    training.epoch()  # it has gone another way
    assert restore_states(DirectoryStore(directory).load(checkpoint_key(1, 0, epoch, 1)), training.objects()) == epoch
    training.trace = trace
    for _ in range(epoch, N_EPOCHS):
        training.epoch()
    return training.everything()


@pytest.mark.parametrize("own_generator", [False, True], ids=["default generator", "own generator"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_goes_on_bit_for_bit_after_every_epoch(tmp_path, optimizer, schedule, own_generator):
    how = (optimizer, schedule, own_generator)
    whole, lengths = uninterrupted(tmp_path, how)
    alone = Training(*how, 1)
    for _ in range(N_EPOCHS):
        alone.epoch()
    assert alone.everything() == whole, "saving has changed the training"
    for epoch in range(N_EPOCHS + 1):
        trace = alone.trace[: lengths[epoch]]
        assert resumed(tmp_path, epoch, how, trace) == whole, f"interrupted after epoch {epoch}"


def test_in_another_process(tmp_path):
    """Nothing is left in memory that could help."""
    how = ("adamw", "one cycle", False)
    whole, _ = uninterrupted(tmp_path, how)
    code = f"""
import sys
from pathlib import Path
import torch
from tests.checkpoints.test_resume import resumed
torch.set_num_threads(1)
sys.stdout.write(resumed(Path({str(tmp_path)!r}), 2, {how!r}, []))
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    expected = eval(whole)
    assert eval(run.stdout) == (expected[0][2 * 4 :], *expected[1:])
