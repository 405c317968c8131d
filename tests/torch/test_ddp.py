"""Ranks as real processes on the CPU: few are started, and each start runs many checks."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import honed
from honed.history import History
from honed.records import Decision, Start, State, TrialRecord
from honed.schedulers.base import Move
from honed.torch import ddp
from tests.slices import Slices

N_STEPS = 4
TIMEOUT = 10.0
multiprocessing.get_context("forkserver").set_forkserver_preload(["torch._dynamo"])  # it is slow, and DDP needs it


def launch(main, folder, n_ranks):
    ddp.launch(main, str(folder), n_ranks=n_ranks, grace=60, method="forkserver")


@dataclass(frozen=True)
class Odd:
    """Stops trials of odd numbers at their second step."""

    def next(self, history: History) -> Move:
        return Start()

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.STOP if trial.number % 2 and trial.last_step == 2 else Decision.CONTINUE


def rank() -> int:
    return int(os.environ["RANK"])


def hide_storage():
    """Other ranks cannot open any database: they must not even try."""
    if rank():

        def refused(*_, **__):
            raise AssertionError("storage was opened on another rank")

        sqlite3.connect = refused
        honed.create_study = refused


def note(folder, run, **facts):
    with open(Path(folder) / f"{run}-{rank()}.jsonl", "a") as file:
        file.write(json.dumps(facts) + "\n")


def training(folder, run):
    """An objective with a wrapped model, dropout of its own on each rank, data of its own on each rank."""

    def objective(trial):
        lr = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
        units = trial.suggest_int("units", 4, 16)
        torch.manual_seed(100 * trial.number + rank())
        model = nn.Sequential(nn.Linear(3, units), nn.ReLU(), nn.Dropout(0.3), nn.Linear(units, 1))
        wrapped = DistributedDataParallel(model, find_unused_parameters=True)  # buckets keep their order
        optimizer = torch.optim.AdamW(wrapped.parameters(), lr=lr)
        trial.track(model=wrapped, optimizer=optimizer)
        for step in trial.steps(N_STEPS):
            optimizer.zero_grad()
            loss = wrapped(torch.randn(8, 3)).square().mean()
            loss.backward()
            optimizer.step()
            weights = float(sum(p.double().sum() for p in model.parameters()))
            note(
                folder, run, trial=trial.number, step=step, loss=loss.item(), weights=weights, params=dict(trial.params)
            )
            trial.report(weights, step=step)
            trial.annotate("rank", rank())

    return objective


def study(folder, name):
    return lambda: honed.create_study(name, storage=Path(folder) / "honed.db", seed=3)


QUIET: dict[str, Any] = {"progress": "quiet", "rank_timeout": TIMEOUT}


def boom(trial):
    trial.suggest_float("lr", 0, 1)
    model = DistributedDataParallel(nn.Linear(2, 1))
    if trial.number == 1 and rank() == 1:
        raise ValueError("boom")
    for step in trial.steps(2):
        model(torch.ones(1, 2)).sum().backward()  # the other ranks wait in here
        trial.report(1.0, step=step)


def crossed(trial):
    names = ["lr", "units"] if rank() == 0 else ["units", "lr"]
    for name in names:
        trial.suggest_float(name, 0, 1)
    return 1.0


def many_runs(folder):
    torch.set_num_threads(1)
    hide_storage()
    for run, scheduler in (("whole", "full"), ("sliced", Slices()), ("odd", Odd())):
        ddp.optimize(study(folder, run), training(folder, run), "random", 3, scheduler=scheduler, **QUIET)
    begun = time.monotonic()
    ddp.optimize(study(folder, "boom"), boom, "random", 3, on_error="continue", **QUIET)
    note(folder, "boom", seconds=time.monotonic() - begun)
    try:
        ddp.optimize(study(folder, "crossed"), crossed, "random", 3, **QUIET)
    except honed.HonedError as error:
        note(folder, "crossed", error=str(error))


def notes(folder, run, of):
    return [json.loads(line) for line in (folder / f"{run}-{of}.jsonl").read_text().splitlines()]


def trials(folder, name):
    with honed.load_study(name, storage=folder / "honed.db") as found:
        return found.trials


@pytest.fixture(scope="module", params=[2, 4])
def ran(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    launch(many_runs, folder, request.param)
    return folder, range(request.param)


def test_all_ranks_have_the_same_params_and_weights(ran):
    folder, ranks = ran
    for run in ("whole", "sliced", "odd"):
        seen = [[(n["trial"], n["step"], n["params"], n["weights"]) for n in notes(folder, run, r)] for r in ranks]
        assert all(one == seen[0] for one in seen)
    records = trials(folder, "whole")
    assert [record.state for record in records] == [State.COMPLETE] * 3
    assert [dict(record.params) for record in records] == [n["params"] for n in notes(folder, "whole", 1)[::N_STEPS]]
    assert all(record.attributes == {"rank": 0} for record in records)
    assert len({n["loss"] for r in ranks for n in notes(folder, "whole", r)}) == 3 * N_STEPS * len(ranks)


def test_a_training_cut_at_every_step_is_the_same_bit_for_bit_on_all_ranks(ran):
    folder, ranks = ran
    for r in ranks:
        assert notes(folder, "sliced", r) == notes(folder, "whole", r)
    assert [record.attempt for record in trials(folder, "sliced")] == [N_STEPS] * 3


def test_all_ranks_stop_at_the_same_step(ran):
    folder, ranks = ran
    assert [record.state for record in trials(folder, "odd")] == [State.COMPLETE, State.STOPPED, State.COMPLETE]
    for r in ranks:
        assert [n["step"] for n in notes(folder, "odd", r) if n["trial"] == 1] == [1, 2]


def test_an_exception_on_one_rank_fails_the_trial_on_all_and_the_run_goes_on(ran):
    folder, ranks = ran
    records = trials(folder, "boom")
    assert [record.state for record in records] == [State.COMPLETE, State.FAILED, State.COMPLETE, State.COMPLETE]
    message = records[1].message or ""
    assert "Rank 1 failed" in message
    assert 'raise ValueError("boom")' in message
    assert all(notes(folder, "boom", r)[0]["seconds"] < 20 for r in ranks)


def test_ranks_that_ask_in_another_order_are_told(ran):
    folder, ranks = ran
    expected = "asked for 'units' while rank 0 asked for 'lr': objective() must ask in the same order on all ranks"
    assert all(expected in notes(folder, "crossed", r)[0]["error"] for r in ranks)
    (record,) = trials(folder, "crossed")
    assert record.state is State.FAILED


def killed(trial):
    model = DistributedDataParallel(nn.Linear(2, 1))
    for step in trial.steps(50):
        if rank() == 1 and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        model(torch.ones(1, 2)).sum().backward()
        trial.report(1.0, step=step)


def run_killed(folder):
    torch.set_num_threads(1)
    ddp.optimize(study(folder, "killed"), killed, "random", 5, on_error="continue", **QUIET)


def test_a_rank_that_dies_fails_the_trial_in_time_and_ends_the_run(tmp_path):
    with pytest.raises(RuntimeError, match=r"rank 0 with exit code 1, rank 1 with signal 9"):
        launch(run_killed, tmp_path, 2)
    (record,) = trials(tmp_path, "killed")
    assert record.state is State.FAILED
    assert f"Rank 1 gave no sign of life for {TIMEOUT:g} s" in (record.message or "")


def test_the_example_runs_by_torchrun(tmp_path):
    example = Path(__file__).parents[2] / "examples" / "ddp.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(example)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--trials", "2", "--epochs", "2"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "was trained by 2 ranks" in done.stdout


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="study='mnist' must be a function"):
        ddp.optimize("mnist", killed)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="objective=1 must be a function"):
        ddp.optimize(lambda: None, 1)  # type: ignore[type-var,arg-type]
    with pytest.raises(ValueError, match="n_ranks=0"):
        ddp.launch(run_killed, n_ranks=0)
