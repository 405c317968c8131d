"""Trainings that are paused, interrupted or killed at every step, and resumed: bit for bit what they would have been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import honed
from honed.records import State
from tests.slices import Slices
from tests.study.test_study import notices, quiet

N_STEPS = 6
torch.set_num_threads(1)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    return torch.tensor(data.data[:256], dtype=torch.float32) / 16, torch.tensor(data.target[:256])


def train(
    trial: honed.Trial, log: Callable[[str], object], *, after: Callable[[int], None] = lambda step: None
) -> None:
    """A training with everything that has a state: momentum, a schedule, dropout, batch statistics, shuffling."""
    torch.manual_seed(trial.number)
    x, y = digits()
    rate = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
    model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, N_STEPS)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True)
    trial.track(model=model, optimizer=optimizer, schedule=schedule)
    for step in trial.steps(N_STEPS):
        order = 0
        for inputs, labels in loader:
            order = hash((order, labels[0].item(), labels[-1].item()))
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        schedule.step()
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        moments = sum(state["exp_avg"].double().sum().item() for state in optimizer.state.values())
        log(f"{trial.number} {step} {loss.item()!r} {weights.double().sum().item()!r} {moments!r} {order}\n")
        trial.report(loss.item(), step=step)
        after(step)


def lines(file: Path) -> list[str]:
    return sorted(file.read_text().splitlines()) if file.exists() else []


def uninterrupted(folder: Path, n_trials: int) -> list[str]:
    study = honed.create_study("whole", storage="memory", seed=5)
    file = folder / "whole.log"

    def objective(trial: honed.Trial) -> None:
        with file.open("a") as log:
            train(trial, log.write)

    quiet(study, objective, "random", n_trials)
    return lines(file)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_training_in_slices_equals_the_whole_one_bit_for_bit(tmp_path: Path, size: int) -> None:
    study = honed.create_study("sliced", storage=tmp_path / "h.db", seed=5)
    file = tmp_path / "sliced.log"

    def objective(trial: honed.Trial) -> None:
        with file.open("a") as log:
            train(trial, log.write)

    quiet(study, objective, "random", 3, scheduler=Slices(size))
    assert lines(file) == uninterrupted(tmp_path, 3)  # no step twice, none missing, all numbers equal
    assert [(t.state, t.attempt) for t in study.trials] == [(State.COMPLETE, -(-N_STEPS // size))] * 3
    assert not list((tmp_path / "h.db-checkpoints").glob("study-*/t*/s*"))  # nobody needs them any more


def test_a_training_that_fails_at_a_step_and_is_tried_again_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "failed.log"
    study = honed.create_study("stopped", storage=tmp_path / "h.db", seed=5)
    stops = iter(range(1, N_STEPS))

    def objective(trial: honed.Trial) -> None:
        stop = next(stops, None)

        def after(step: int) -> None:
            if step == stop:
                os.kill(os.getpid(), signal.SIGINT)

        with file.open("a") as log:
            train(trial, log.write, after=after)

    for _ in range(N_STEPS - 1):
        quiet(study, objective, "random", 1)
        assert study.trials[0].state is State.WAITING
        assert study.trials[0].checkpoint is not None
    quiet(study, objective, "random", 1)
    assert study.trials[0].state is State.COMPLETE
    assert lines(file) == uninterrupted(tmp_path, 1)


def kill_at(storage: str, file: str, stop: int) -> None:
    """A process that kills itself after a step."""

    def objective(trial: honed.Trial) -> None:
        def log(line: str) -> None:
            with open(file, "a") as stream:
                stream.write(line)

        def after(step: int) -> None:
            if step == stop:
                os.kill(os.getpid(), signal.SIGKILL)

        train(trial, log, after=after)

    study = honed.create_study("killed", storage=storage, seed=5)
    study.optimize(objective, "random", 1, progress="plain", report=False)


def kill_at_every_step(folder: str) -> None:
    """For each step a child that kills itself after it, then one that goes on to the end."""
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # what torch loads late is loaded once, before the children
    for stop in range(1, N_STEPS + 1):
        for last in (stop, N_STEPS + 1):
            child = os.fork()
            if child == 0:
                kill_at(f"{folder}/{stop}.db", f"{folder}/{stop}.log", last)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            print(stop, os.waitstatus_to_exitcode(status))  # noqa: T201


def test_a_training_killed_at_any_step_repeats_only_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    code = "import sys; from tests.flows.test_pause import kill_at_every_step; kill_at_every_step(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    status = [line for line in done.stdout.splitlines() if line[0].isdigit()]
    assert status == [f"{stop} {code}" for stop in range(1, N_STEPS + 1) for code in (-signal.SIGKILL, 0)], done.stderr
    whole = uninterrupted(tmp_path, 1)
    for stop in range(1, N_STEPS + 1):
        found = lines(tmp_path / f"{stop}.log")
        assert sorted(set(found)) == whole
        again = [int(line.split()[1]) for line in whole if found.count(line) == 2]
        assert again == list(range(stop + 1 - len(again), stop + 1))  # what came after the last checkpoint, once
        assert len(found) == len(whole) + len(again)


def test_a_missing_checkpoint_is_said_and_the_training_starts_again(tmp_path: Path) -> None:
    file = tmp_path / "again.log"
    study = honed.create_study("again", storage=tmp_path / "h.db", seed=5)

    def objective(trial: honed.Trial) -> None:
        with file.open("a") as log:
            train(trial, log.write, after=lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 3 else None)

    quiet(study, objective, "random", 1)
    for path in (tmp_path / "h.db-checkpoints").glob("study-*/t*/s*/*"):
        path.write_bytes(path.read_bytes()[:-1])

    def whole(trial: honed.Trial) -> None:
        with file.open("a") as log:
            train(trial, log.write)

    events = quiet(study, whole, "random", 1)
    assert "Trial 0 starts again from step 0" in notices(events)
    assert study.trials[0].state is State.COMPLETE
    assert study.trials[0].note["n_restarts"] == 1
    assert sorted(set(lines(file))) == uninterrupted(tmp_path, 1)


def test_a_directory_of_ones_own(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def objective(trial: honed.Trial) -> None:
        total = 0
        if trial.resume_directory is not None:
            total = int((trial.resume_directory / "total.txt").read_text())
        for step in trial.steps(4):
            total += step
            seen.append((step, total))
            trial.report(-total, step=step)
            with trial.checkpoint() as directory:
                (directory / "total.txt").write_text(str(total))

    study = honed.create_study("own", storage=tmp_path / "h.db", seed=5)
    quiet(study, objective, "random", 1, scheduler=Slices(1))
    assert seen == [(1, 1), (2, 3), (3, 6), (4, 10)]


def test_without_checkpoints_a_resumed_training_starts_again(tmp_path: Path) -> None:
    seen: list[int] = []

    def objective(trial: honed.Trial) -> None:
        for step in trial.steps(3):
            seen.append(step)
            trial.report(1 / step, step=step)

    study = honed.create_study("none", storage="memory", seed=5)
    events = quiet(study, objective, "random", 1, scheduler=Slices(1))
    assert seen == [1, 1, 2, 1, 2, 3]
    assert notices(events).count("No checkpoint is saved") == 1
    assert study.trials[0].state is State.COMPLETE


def test_what_cannot_be_kept_is_refused_by_name() -> None:
    study = honed.create_study("a", storage="memory")

    def objective(trial: honed.Trial) -> Any:
        trial.track(model=object())

    with pytest.raises(honed.HonedError, match="model"):
        quiet(study, objective, "random", 1)


def test_a_disk_budget_stops_the_paused_trials_that_are_worst(tmp_path: Path) -> None:
    class Weights:
        def __init__(self) -> None:
            self.data = bytes(100_000)

        def state_dict(self) -> dict[str, Any]:
            return {"data": self.data}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.data = state["data"]

    def objective(trial: honed.Trial) -> None:
        x = trial.suggest_float("x", 0, 1)
        trial.track(weights=Weights())
        for step in trial.steps(27):
            trial.report(x + 1 / step, step=step)

    study = honed.create_study("small", storage=tmp_path / "h.db", seed=5, checkpoint_budget="1MB")
    events = quiet(study, objective, "random", 30, scheduler="asha")
    assert "removed" in notices(events)
    sizes = [path.stat().st_size for path in (tmp_path / "h.db-checkpoints").rglob("*") if path.is_file()]
    assert 0 < sum(sizes) < 1_100_000
    paused = [t.reports[0].values["value"] for t in study.trials if t.state is State.PAUSED]
    gone = [t.reports[0].values["value"] for t in study.trials if t.state is State.STOPPED]
    assert len(gone) >= 10
    assert sum(gone) / len(gone) > sum(paused) / len(paused)
    assert study.history.count(State.COMPLETE) >= 1
