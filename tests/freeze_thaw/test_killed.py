"""Workers killed by SIGKILL: what the study decides afterwards is what it would have decided."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import honed
from honed.freeze_thaw import FreezeThaw
from honed.samplers.base import Stream
from tests.freeze_thaw import killed


def opened(path: Path) -> Path:
    """The storage of a new study."""
    honed.create_study("killed", storage=path, seed=5)
    return path


def kill_after(path: Path, n_steps: int) -> None:
    """Runs the study in a process of its own until it has made so many steps, and kills it there."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.freeze_thaw.killed", str(path), "0.02"]
    process = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    deadline = time.monotonic() + 60
    while honed.load_study("killed", storage=path).history.n_steps < n_steps:
        assert process.poll() is None, "it has ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def told(study: honed.Study) -> list[tuple[object, ...]]:
    """What was decided: params, states and steps of all trials."""
    return [
        (dict(record.params), record.state, [(r.step, dict(r.values)) for r in record.reports])
        for record in study.trials
    ]


def test_a_study_that_was_killed_twice_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = killed.run(opened(tmp_path / "whole.db"))
    path = opened(tmp_path / "killed.db")
    kill_after(path, 30)
    kill_after(path, 60)
    assert told(killed.run(path)) == told(whole)


def test_whoever_opens_the_study_decides_what_its_worker_would_have(tmp_path: Path) -> None:
    path, policy = opened(tmp_path / "s.db"), FreezeThaw(n_startup=4)
    study, found = honed.load_study("killed", storage=path), 0

    def curve(trial: honed.Trial) -> None:
        nonlocal found
        x = trial.suggest_float("x", 0, 1)
        trial.track(state=np.random.default_rng(trial.number))
        for epoch in trial.steps(killed.STEPS):
            trial.report((x - 0.3) ** 2 + 1 / epoch)
        here, again = (s.history.limited(None, 90) for s in (study, honed.load_study("killed", storage=path)))
        if here.revision == again.revision:
            found += 1
            assert policy.next(again) == policy.next(here)
            rng = Stream(here.study.seed, len(here))
            assert policy.suggest(again, again.space, rng, {}) == policy.suggest(here, here.space, rng, {})

    study.optimize(curve, policy, total_steps=90, progress="quiet")
    assert found > 10
