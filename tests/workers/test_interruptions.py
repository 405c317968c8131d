"""Signals to a run and to its workers, at any moment: nothing told is lost, nothing is done twice, nobody is left behind."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from honed.records import Cause, State
from tests.workers.runs import finish, is_running, kill, lines, run, start, study, until

TRAINING = """
    import os
    import random
    import time

    import honed

    N_STEPS, PAUSE = {n_steps}, {pause}

    class Counter:
        def __init__(self):
            self.n = 0

        def state_dict(self):
            return {{"n": self.n}}

        def load_state_dict(self, state):
            self.n = state["n"]

    def note(name, text):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, (text + "\\n").encode())
        os.close(descriptor)

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        counter = Counter()
        trial.track(counter=counter)
        note("pids", str(os.getpid()))
        for step in trial.steps(N_STEPS):
            time.sleep(PAUSE)
            counter.n += 1
            assert counter.n == step
            note("steps", f"{{trial.number}}:{{step}}")
            trial.report(x + 1 / step)
        note("told", f"{{trial.number}}")
        return x

    study = honed.create_study("s", seed=1)
    study.optimize(objective, "random", n_trials={n_trials}, workers={workers}, grace={grace})
    print("the script goes on")
"""


def training(n_trials: int, workers: int, n_steps: int = 20, pause: float = 0.05, grace: float = 20) -> str:
    return TRAINING.format(n_trials=n_trials, workers=workers, n_steps=n_steps, pause=pause, grace=grace)


def check_complete(folder: Path, n_trials: int, n_steps: int, *, repeats: bool = False) -> None:
    """All trials are there once, and no step was run twice (but after a checkpoint that a kill prevented)."""
    made = study(folder)
    assert [(record.number, record.state) for record in made.trials] == [(i, State.COMPLETE) for i in range(n_trials)]
    assert {len(record.reports) for record in made.trials} == {n_steps}
    steps = lines(folder / "steps")
    assert set(steps) == {f"{i}:{step}" for i in range(n_trials) for step in range(1, n_steps + 1)}
    if not repeats:
        assert len(steps) == n_trials * n_steps


def both_have_begun(folder: Path) -> bool:
    """Whether two trainings are well under way: each has done its first steps."""
    return {"0:2", "1:2"} <= set(lines(folder / "steps"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_run_that_is_terminated_saves_its_trainings_and_leaves_with_0(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, training(4, 2, n_steps=40))
    until(lambda: both_have_begun(tmp_path))
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, "the script goes on" in out) == (0, False), err
    records = study(tmp_path).trials
    assert {record.state for record in records} == {State.WAITING}
    assert all(record.checkpoint is not None for record in records)
    code, _, err = run(tmp_path, training(4, 2, n_steps=40))
    assert code == 0, err
    check_complete(tmp_path, 4, 40)
    assert not any("n_lost" in record.note for record in study(tmp_path).trials)


def test_ctrl_c_once_gives_trainings_back_and_the_script_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, training(4, 2, n_steps=40))
    until(lambda: both_have_begun(tmp_path))
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code, "the script goes on" in out) == (0, True), err
    assert "Ctrl-C: the workers finish their current step or trial" in err
    code, _, err = run(tmp_path, training(4, 2, n_steps=40))
    assert code == 0, err
    check_complete(tmp_path, 4, 40)


def test_ctrl_c_twice_ends_trainings_now(tmp_path: Path) -> None:
    process = start(tmp_path, training(4, 2, pause=30))
    until(lambda: len(lines(tmp_path / "pids")) == 2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert time.monotonic() - begun < 15
    assert code == 0, err
    records = study(tmp_path).trials
    assert [(record.state, record.cause) for record in records] == [(State.FAILED, Cause.CANCELLED)] * 2
    assert not any(is_running(int(pid)) for pid in lines(tmp_path / "pids"))


def test_workers_whose_supervisor_was_killed_give_their_trainings_back(tmp_path: Path) -> None:
    process = start(tmp_path, training(4, 2, n_steps=40))
    until(lambda: both_have_begun(tmp_path))
    process.kill()
    for pid in lines(tmp_path / "pids"):
        until(lambda pid=int(pid): not is_running(pid), "a worker was left behind")  # type: ignore[misc]
    assert {record.state for record in study(tmp_path).trials} == {State.WAITING}
    code, _, err = run(tmp_path, training(4, 2, n_steps=40))
    assert code == 0, err
    check_complete(tmp_path, 4, 40)


def test_six_scripts_share_one_study_and_three_die(tmp_path: Path) -> None:
    scripts = {(script := start(tmp_path, training(12, 1, n_steps=10, pause=0.2))).pid: script for _ in range(6)}
    until(lambda: len(set(lines(tmp_path / "pids"))) >= 4)
    doomed = [scripts.pop(int(pid)) for pid in list(dict.fromkeys(lines(tmp_path / "pids")))[:3]]
    for script in doomed:
        script.kill()
    results = [finish(script) for script in scripts.values()]
    assert [code for code, _, _ in results] == [0, 0, 0], results
    check_complete(tmp_path, 12, 10, repeats=True)
    joined = sum("Using an existing study with name 's'" in err for _, _, err in results)
    assert joined >= 2


def kill_workers(folder: Path, script: str, seconds: float, pause: float, seed: int) -> None:
    """Runs a script while its workers are killed and terminated at random; runs it to its end."""
    rng = random.Random(seed)
    process = start(folder, script)
    until(lambda: lines(folder / "steps"))
    end, n_kills = time.monotonic() + seconds, 0
    while time.monotonic() < end and process.poll() is None:
        time.sleep(pause)
        alive = [int(pid) for pid in set(lines(folder / "pids")) if is_running(int(pid))]
        if alive and process.poll() is None:
            kill(rng.choice(alive), rng.choice([signal.SIGKILL, signal.SIGTERM]))
            n_kills += 1
    code, _, err = finish(process)
    assert code == 0, err
    assert n_kills >= 5
    assert "Traceback" not in err, err


def check_told(folder: Path, n_trials: int) -> None:
    """Each number has ended once, as the training said, or was given up for its worker's deaths."""
    records = study(folder).trials
    good = [record for record in records if record.state is State.COMPLETE]
    assert len(good) == n_trials
    assert {record.cause for record in records if record.state is State.FAILED} <= {Cause.LOST}
    assert {record.number for record in good} <= set(map(int, lines(folder / "told")))
    assert all(len(record.reports) == 10 for record in good)


def test_killed_and_terminated_workers_cost_no_result(tmp_path: Path) -> None:
    kill_workers(tmp_path, training(60, 4, n_steps=10, pause=0.06), seconds=20, pause=1.0, seed=1)
    check_told(tmp_path, 60)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_killed_and_terminated_workers_for_five_minutes(tmp_path: Path) -> None:
    kill_workers(tmp_path, training(600, 4, n_steps=10, pause=0.1), seconds=300, pause=2.0, seed=2)
    check_told(tmp_path, 600)
