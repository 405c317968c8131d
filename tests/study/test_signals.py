"""SIGTERM and SIGUSR1 to real processes: the training is saved and given back, the program ends with 0, the next goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import honed
from honed.checkpoints.base import parse_key
from honed.records import State, TrialRecord

ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGTERM, signal.SIGUSR1]


@contextmanager
def training(mode: str, folder: Path, *grace: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.study.signalled", mode, str(folder), *map(str, grace)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {path.name} after {seconds} s"
        time.sleep(0.01)


def interrupt(process: subprocess.Popen[str], folder: Path, step: int, *signals: signal.Signals) -> tuple[str, str]:
    """Sends signals inside a step, which then goes on; returns what the process has said."""
    wait_for(folder / f"step-{step}-{process.pid}", process)
    for signum in signals:
        process.send_signal(signum)
        wait_for(folder / f"heard-{process.pid}", process)
    (folder / "go").touch()
    out, err = process.communicate(timeout=60)
    (folder / "go").unlink()
    assert process.returncode == 0, err
    return out, err


def finish(mode: str, folder: Path) -> str:
    """Runs the study to its end."""
    (folder / "go").touch()
    with training(mode, folder) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def trial(folder: Path, number: int = 0) -> TrialRecord:
    with honed.load_study("signalled", storage=folder / "honed.db") as study:
        return study.trials[number]


def steps_run(folder: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("step-*"))


@pytest.mark.parametrize(
    ("signum", "steps"),
    [(signal.SIGTERM, (1, 3, 5)), (signal.SIGUSR1, (1,))],  # as often as a trial may be lost, and once more
)
def test_a_training_is_saved_after_its_step_and_nothing_is_repeated(
    tmp_path: Path, signum: signal.Signals, steps: tuple[int, ...]
) -> None:
    for attempt, step in enumerate(steps, start=1):
        with training("steps", tmp_path) as process:
            out, _ = interrupt(process, tmp_path, step, signum)
        assert out == f"terminated ({signum.name})"  # and not on
        record = trial(tmp_path)
        assert (record.state, record.attempt, record.last_step) == (State.WAITING, attempt, step)
        assert record.checkpoint is not None
        assert parse_key(record.checkpoint).step == step
    assert "terminated" not in finish("steps", tmp_path)
    record = trial(tmp_path)
    assert (record.state, record.attempt, record.value) == (State.COMPLETE, len(steps) + 1, 1.0)
    assert [report.values["value"] for report in record.reports] == [1, 2, 3, 4, 5, 6]
    assert "n_lost" not in record.note
    assert steps_run(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_loop_of_ones_own_asks_should_checkpoint(tmp_path: Path) -> None:
    with training("own", tmp_path) as process:
        interrupt(process, tmp_path, 3, signal.SIGTERM)
    record = trial(tmp_path)
    assert record.state is State.WAITING
    assert parse_key(str(record.checkpoint)).step == 3
    finish("own", tmp_path)
    assert [report.values["value"] for report in trial(tmp_path).reports] == [1, 2, 3, 4, 5, 6]
    assert steps_run(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    with training("steps", tmp_path) as process:
        out, err = interrupt(process, tmp_path, 1, signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM)
    assert out == "terminated (SIGTERM)"
    assert err.count("current trial is given back") == 1
    assert (trial(tmp_path).state, trial(tmp_path).last_step) == (State.WAITING, 1)


def test_a_training_without_steps_may_end_within_the_grace(tmp_path: Path) -> None:
    with training("deaf", tmp_path) as process:
        out, _ = interrupt(process, tmp_path, 3, signal.SIGTERM)
    assert out == "terminated (SIGTERM)"
    assert (trial(tmp_path).state, trial(tmp_path).value) == (State.COMPLETE, 7.0)


def test_a_training_that_fails_after_the_signal_is_given_back(tmp_path: Path) -> None:
    with training("broken", tmp_path) as process:
        interrupt(process, tmp_path, 3, signal.SIGTERM)
    assert trial(tmp_path).state is State.WAITING


@pytest.mark.parametrize(("mode", "signum"), [("hang", signal.SIGUSR1), ("hang_in_c", signal.SIGTERM)])
def test_a_step_that_hangs_is_left_when_the_grace_is_over(tmp_path: Path, mode: str, signum: signal.Signals) -> None:
    with training(mode, tmp_path, 0.3) as process:
        wait_for(tmp_path / f"step-3-{process.pid}", process)
        process.send_signal(signum)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == f"terminated ({signum.name})"
    assert "The step did not end in 0.3 s; the trial goes on from its last checkpoint." in err
    record = trial(tmp_path)
    assert (record.state, record.attempt, record.last_step) == (State.WAITING, 1, 2)
    saved = parse_key(str(record.checkpoint)).step
    assert saved in (1, 2)  # the first step is always saved
    for path in tmp_path.glob("step-*"):
        path.unlink()
    finish(mode, tmp_path)
    record = trial(tmp_path)
    assert (record.state, record.attempt, record.last_step) == (State.COMPLETE, 2, 6)
    assert steps_run(tmp_path) == list(range(saved + 1, 7))
    assert "n_lost" not in record.note


def test_a_training_without_steps_that_goes_on_is_left_when_the_grace_is_over(tmp_path: Path) -> None:
    with training("deaf", tmp_path, 0) as process:
        wait_for(tmp_path / f"step-3-{process.pid}", process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert (trial(tmp_path).state, trial(tmp_path).attempt) == (State.WAITING, 1)


def test_a_forked_child_of_the_training_ends_at_sigterm_and_ends_nothing_else(tmp_path: Path) -> None:
    assert finish("forked", tmp_path).endswith(" and on")
    assert (trial(tmp_path).state, trial(tmp_path).value) == (State.COMPLETE, -signal.SIGTERM)


def test_handlers_are_as_before_after_a_run() -> None:
    seen: list[object] = []

    def mine(signum: int, frame: object) -> None:
        seen.append(signum)

    def objective(trial: honed.Trial) -> float:
        assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGUSR1) is mine
        os.kill(os.getpid(), signal.SIGUSR1)
        return 1.0

    before = {signum: signal.signal(signum, mine) for signum in SIGNALS}
    try:
        honed.create_study(storage="memory").optimize(objective, n_trials=3, progress="quiet")
        assert seen == [signal.SIGUSR1] * 3
        assert [signal.getsignal(signum) for signum in SIGNALS] == [mine, mine]
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def test_fixed_trials_never_ask_for_a_checkpoint() -> None:
    trial = honed.FixedTrial({})
    trial.report(1.0, step=1)
    assert (trial.should_checkpoint(), trial.should_checkpoint(1)) == (False, False)
    with pytest.raises(TypeError, match=r"step=1\.5"):
        trial.should_checkpoint(1.5)  # type: ignore[arg-type]
