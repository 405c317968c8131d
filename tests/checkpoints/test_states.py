"""Objects go back to where they were, or it is said which one does not fit and why."""

from __future__ import annotations

import errno
import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.checkpoints import trees
from honed.checkpoints.base import checkpoint_key
from honed.checkpoints.directory import DirectoryStore
from honed.checkpoints.states import check_objects, restore_states, save_states
from honed.errors import CannotBeKept, CheckpointMismatch, CheckpointNotSaved

torch = pytest.importorskip("torch")
nn = torch.nn


class Memory:
    """An object of the user's own."""

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.state = state


def through(directory: Path, saved: dict[str, Any], restored: dict[str, Any], step: int = 12) -> int:
    save_states(directory, saved, step=step)
    return restore_states(directory, restored)


def test_own_classes(tmp_path):
    state = {"best": (0.5, 3), 7: np.arange(3), "tensor": torch.ones(2)}
    memory = Memory()
    assert through(tmp_path, {"memory": Memory(state)}, {"memory": memory}) == 12
    assert memory.state["best"] == (0.5, 3)
    assert memory.state[7].tolist() == [0, 1, 2]
    assert torch.equal(memory.state["tensor"], torch.ones(2))


def test_through_a_store(tmp_path):
    store, memory = DirectoryStore(tmp_path), Memory()
    directory = store.new_directory()
    save_states(directory, {"memory": Memory([1, 2])}, step=np.int64(3))  # type: ignore[arg-type]
    store.save(checkpoint_key(1, 0, 3, 1), directory)
    assert restore_states(store.load(checkpoint_key(1, 0, 3, 1)), {"memory": memory}) == 3
    assert memory.state == [1, 2]


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (np.random.default_rng, lambda rng: rng.normal()),
        (lambda seed: np.random.Generator(np.random.MT19937(seed)), lambda rng: rng.integers(10**9)),
        (lambda seed: np.random.Generator(np.random.Philox(seed)), lambda rng: rng.random(dtype=np.float32)),
        (np.random.RandomState, lambda rng: rng.normal()),
        (random.Random, lambda rng: rng.gauss(0, 1)),
        (lambda seed: torch.Generator().manual_seed(seed), lambda rng: torch.rand((), generator=rng).item()),
    ],
    ids=["default_rng", "MT19937", "Philox", "RandomState", "Random", "torch"],
)
def test_generators_go_on_in_place(tmp_path, make: Callable[[int], Any], draw: Callable[[Any], float]):
    rng, other = make(1), make(2)
    for _ in range(5):  # an odd number: normal numbers are drawn in pairs
        draw(rng)
    save_states(tmp_path, {"rng": rng}, step=1)
    expected = [draw(rng) for _ in range(5)]
    restore_states(tmp_path, {"rng": other})
    assert [draw(other) for _ in range(5)] == expected


def test_global_random_states_are_always_kept(tmp_path):
    def draw() -> list[float]:
        return [random.gauss(0, 1), np.random.normal(), torch.randn(()).item()]  # noqa: NPY002

    draw()
    save_states(tmp_path, {}, step=0)
    expected = [draw() for _ in range(3)]
    assert restore_states(tmp_path, {}) == 0
    assert [draw() for _ in range(3)] == expected


def test_saving_draws_no_random_number(tmp_path):
    model = nn.Linear(2, 2)
    before = random.getstate(), torch.get_rng_state().tolist()
    save_states(tmp_path, {"model": model}, step=1)
    assert (random.getstate(), torch.get_rng_state().tolist()) == before


def test_models_are_restored_in_place(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    weight = other[0].weight
    model(torch.randn(5, 3))
    through(tmp_path, {"model": model}, {"model": other})
    assert other[0].weight is weight
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_state_dicts_of_modules_keep_their_versions(tmp_path):
    seen: list[Any] = []

    class Old(nn.Linear):  # type: ignore[name-defined]
        _version = 3

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            seen.append(local_metadata.get("version"))
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    through(tmp_path, {"model": Old(2, 2)}, {"model": Old(2, 2)})
    assert seen == [3]


SCHEDULERS = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 2),
    "multi step": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 3, 3]),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    "restarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
    "cyclic": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "sequential": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=3),
            torch.optim.lr_scheduler.CosineAnnealingLR(o, 7),
        ],
        milestones=[3],
    ),
    "chained": lambda o: torch.optim.lr_scheduler.ChainedScheduler(
        [torch.optim.lr_scheduler.ConstantLR(o), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=1),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("n_before", [1, 3, 5])
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_learning_rates_go_on(tmp_path, name, n_before):
    def make() -> tuple[Any, Any]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.5, momentum=0.9)
        return optimizer, SCHEDULERS[name](optimizer)

    def rates(optimizer: Any, scheduler: Any, n: int) -> list[tuple[float, float]]:
        found = []
        for _ in range(n):
            optimizer.step()
            scheduler.step(*([1.0] if name == "plateau" else []))
            found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        return found

    optimizer, scheduler = make()
    rates(optimizer, scheduler, n_before)
    save_states(tmp_path, {"optimizer": optimizer, "scheduler": scheduler}, step=n_before)
    expected = rates(optimizer, scheduler, 10 - n_before)
    optimizer, scheduler = make()
    restore_states(tmp_path, {"optimizer": optimizer, "scheduler": scheduler})
    assert rates(optimizer, scheduler, 10 - n_before) == expected


def test_gradient_scalers(tmp_path):
    scaler, other = (torch.amp.GradScaler("cpu", init_scale=scale) for scale in (128.0, 2.0))
    through(tmp_path, {"scaler": scaler}, {"scaler": other})
    assert other.get_scale() == 128.0


def test_shuffling_loaders(tmp_path):
    def make(seed: int) -> Any:
        return torch.utils.data.DataLoader(range(20), 4, shuffle=True, generator=torch.Generator().manual_seed(seed))

    def epoch(loader: Any) -> list[Any]:
        return [batch.tolist() for batch in loader]

    loader, other = make(1), make(2)
    epoch(loader)
    save_states(tmp_path, {"loader": loader}, step=1)
    expected = [epoch(loader), epoch(loader)]
    restore_states(tmp_path, {"loader": other})
    assert [epoch(other), epoch(other)] == expected
    with pytest.raises(CheckpointMismatch, match=r"Only one of the two has a generator, or an epoch, of its own"):
        restore_states(tmp_path, {"loader": torch.utils.data.DataLoader(range(20), 4, shuffle=True)})


def test_distributed_samplers_keep_their_epoch(tmp_path):
    def make() -> Any:
        sampler = torch.utils.data.DistributedSampler(range(20), num_replicas=2, rank=0)
        return torch.utils.data.DataLoader(range(20), 4, sampler=sampler)

    loader, other = make(), make()
    loader.sampler.set_epoch(5)
    through(tmp_path, {"loader": loader}, {"loader": other})
    assert other.sampler.epoch == 5
    assert list(other.sampler) == list(loader.sampler)


# --------------------------------------------------------------------------------------------- what does not fit


def test_objects_without_a_state_are_refused_by_name(tmp_path):
    with pytest.raises(CannotBeKept, match="scaler is a list and has no state_dict and no load_state_dict: its state"):
        check_objects({"model": nn.Linear(1, 1), "scaler": [1]})
    half = type("Half", (), {"state_dict": lambda self: {}})()
    with pytest.raises(CannotBeKept, match="half is a Half and has no load_state_dict:"):
        save_states(tmp_path, {"half": half}, step=1)
    with pytest.raises(CannotBeKept, match="model is the class Linear; track an object of it"):
        check_objects({"model": nn.Linear})
    with pytest.raises(CannotBeKept, match="rng is a SystemRandom"):
        check_objects({"rng": random.SystemRandom()})
    assert not list(tmp_path.iterdir())


def test_values_that_cannot_be_kept_are_named_with_their_place(tmp_path):
    with pytest.raises(CannotBeKept) as error:
        save_states(tmp_path, {"scheduler": Memory({"steps": [1, {"fn": print}]})}, step=1)
    assert str(error.value).startswith(
        "scheduler.state_dict()['steps'][1]['fn'] is the function print. A checkpoint keeps"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": Memory()}, "holds a and b; the script now tracks a. b is missing now."),
        ({"a": Memory(), "b": Memory(), "c": Memory()}, "the script now tracks a, b and c. c is new."),
        ({"x": Memory(), "y": Memory()}, "now tracks x and y. a and b are missing now. x and y are new."),
        ({}, "the script now tracks nothing. a and b are missing now."),
    ],
)
def test_other_names_than_before(tmp_path, given, words):
    save_states(tmp_path, {"a": Memory(1), "b": Memory(2)}, step=12)
    with pytest.raises(CheckpointMismatch) as error:
        restore_states(tmp_path, given)
    assert "The checkpoint after step 12 holds a and b" in str(error.value)
    assert words in str(error.value)
    assert all(memory.state is None for memory in given.values())


def test_another_optimizer_is_noticed(tmp_path):
    make = functools.partial(torch.optim.SGD, [nn.Parameter(torch.ones(2))])
    other = torch.optim.Adam([nn.Parameter(torch.ones(2))])
    with pytest.raises(
        CheckpointMismatch, match=r"optimizer was a SGD \(state_dict\) when .* step 12; now it is a Adam"
    ):
        through(tmp_path, {"optimizer": make(lr=0.1)}, {"optimizer": other})
    with pytest.raises(CheckpointMismatch, match=r"rng was a Generator .*; now it is a Random"):
        through(tmp_path, {"rng": np.random.default_rng()}, {"rng": random.Random()})
    with pytest.raises(CheckpointMismatch, match="The state of rng after step 12 does not fit the Generator"):
        through(tmp_path, {"rng": np.random.default_rng()}, {"rng": np.random.Generator(np.random.MT19937())})


def test_a_class_of_the_user_may_change_its_name(tmp_path):
    class Renamed(Memory): ...

    renamed = Renamed()
    through(tmp_path, {"memory": Memory(3)}, {"memory": renamed})
    assert renamed.state == 3


def test_another_size_is_told_in_the_models_words(tmp_path):
    with pytest.raises(CheckpointMismatch, match=r"(?s)The state of model after step 12 does not fit .*size mismatch"):
        through(tmp_path, {"model": nn.Linear(2, 2)}, {"model": nn.Linear(3, 2)})


def test_a_full_disk(tmp_path, monkeypatch):
    with pytest.raises(CheckpointNotSaved, match=r"The states of step 1 cannot be written to .*FileNotFoundError"):
        save_states(tmp_path / "missing", {}, step=1)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointNotSaved, match="No space left on device"):
        save_states(tmp_path, {"model": nn.Linear(2, 2)}, step=1)


def test_without_torch(tmp_path, monkeypatch):
    """A program that never imports torch keeps JSON and arrays only, and one that does goes on from there."""
    monkeypatch.setattr(trees, "torch_if_loaded", lambda: None)
    monkeypatch.setattr("honed.checkpoints.states.torch_if_loaded", lambda: None)
    memory = Memory()
    assert through(tmp_path, {"m": Memory({"a": np.ones(2)})}, {"m": memory}) == 12
    assert memory.state["a"].tolist() == [1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays.npz", "states.json"]
    monkeypatch.undo()
    assert restore_states(tmp_path, {"m": memory}) == 12
