"""Workers on a real Ray cluster: several nodes on this machine, one of which is lost in the middle of a study."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import honed
from honed.launchers import ray as launching
from honed.launchers.command import Share, Work
from honed.launchers.ray import Fleet, Outcome, Plan, connect, detached, drive, end_detached, leave, shown
from honed.records import State
from tests.launchers.objectives import folder_with_script, plain_environment, steps

pytestmark = [
    pytest.mark.timeout(180),
    # Ray's own: sockets and processes that it leaves to the collector, and words about its plans.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray.*"),
]

MEMORY = 80 * 2**20
QUICK_CHECKS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that has no place for workers, and what the tests add to it."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_DEDUP_LOGS": "0"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": MEMORY,
            "include_dashboard": False,
            "_system_config": QUICK_CHECKS,
        },
    )
    os.environ["RAY_ADDRESS"] = made.address
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        del os.environ["RAY_ADDRESS"]


@pytest.fixture
def add_node(cluster: Any) -> Iterator[Callable[..., Any]]:
    """Adds a node under a name; no node outlives its test, whatever becomes of the test."""
    added: list[Any] = []

    def add(name: str, **resources: float) -> Any:
        added.append(cluster.add_node(object_store_memory=MEMORY, env_vars={"HONED_NODE": name}, **resources))
        return added[-1]

    yield add
    for node in added:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


@pytest.fixture
def said() -> list[str]:
    return []


def plan(folder: Path, n_trials: int, share: Share, objective: str = "objective", **settings) -> Plan:
    folder.mkdir(exist_ok=True)
    folder_with_script(folder)
    work = Work(
        target=str(folder / f"train.py:{objective}"),
        storage=str(folder / "honed.db"),
        study="s",
        trials=n_trials,
        options=("--sampler=random",),
    )
    environment = work.environment | {"STEP_SECONDS": settings.pop("step_seconds", "0.1")}
    found: dict[str, Any] = {
        "work": work,
        "share": share,
        "environment": environment,
        "is_file": True,
        "grace": 20.0,
    } | settings
    return Plan(**found)


def until(condition: Callable[[], object], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Driver(threading.Thread):
    """Drives a fleet, so that the test can do something meanwhile."""

    def __init__(self, fleet: Fleet, said: list[str]) -> None:
        super().__init__(daemon=True)
        self.fleet, self.said, self.stop = fleet, said, threading.Event()
        self.outcome: Outcome | None = None

    def run(self) -> None:
        self.outcome = drive(self.fleet, self.said.append, self.stop)


@pytest.fixture
def driven(add_node: Callable[..., Any]) -> Iterator[Callable[[Fleet, list[str]], Driver]]:
    """Starts to drive a fleet; what a failed test leaves running is told to stop before its nodes go."""
    started: list[Driver] = []

    def start(fleet: Fleet, said: list[str]) -> Driver:
        started.append(Driver(fleet, said))
        started[-1].start()
        return started[-1]

    yield start
    for driver in started:
        driver.stop.set()
        driver.join(60)


def halted(folder: Path, node: str) -> list[str]:
    """The last step of a node's worker, which has been stopped with steps of that training still to come."""
    found: list[str] = []

    def in_the_middle() -> bool:
        found[:] = next((line for line in reversed(steps(folder)) if line[6] == node), [])
        return bool(found) and 4 <= int(found[2]) < 8

    def halt() -> bool:
        if not in_the_middle():
            return False
        os.kill(int(found[4]), signal.SIGSTOP)
        if in_the_middle():
            return True
        os.kill(int(found[4]), signal.SIGCONT)  # it was quicker: the next training, then
        return False

    until(halt)
    return found


def kill_node(cluster: Any, node: Any, worker: int) -> None:
    """A machine loses its power: nothing on it can say good-bye."""
    actor = psutil.Process(psutil.Process(worker).ppid())
    actor.send_signal(signal.SIGSTOP)  # it must not start the worker again
    os.kill(worker, signal.SIGKILL)
    actor.kill()
    cluster.remove_node(node, allow_graceful=False)


def test_the_trials_of_a_lost_node_go_on_elsewhere(
    cluster: Any, add_node: Callable[..., Any], driven: Callable[..., Driver], tmp_path: Path, said: list[str]
) -> None:
    ray = connect(cluster.address)
    node = add_node("a", num_cpus=1)
    add_node("b", num_cpus=1)
    driver = driven(Fleet(ray, plan(tmp_path, 6, Share(workers=2), step_seconds="0.2")), said)
    until(lambda: {line[6] for line in steps(tmp_path)} == {"a", "b"})
    number, attempt, step, _, worker, _, _ = halted(tmp_path, "a")
    kill_node(cluster, node, int(worker))
    last = int(step)
    add_node("c", num_cpus=1)
    driver.join(120)

    assert driver.outcome is not None
    assert driver.outcome.ok, (driver.outcome, said)
    trials = honed.load_study("s", storage=tmp_path / "honed.db").trials
    assert [trial.state for trial in trials] == [State.COMPLETE] * 6
    assert trials[int(number)].attempt == int(attempt) + 1
    assert sum(trial.attempt for trial in trials) == 7
    again = [line for line in steps(tmp_path) if line[0] == number and line[1] != attempt]
    assert {line[6] for line in again} <= {"b", "c"}
    first = int(again[0][2])
    assert 1 < first <= last + 1, "it did not go on from a checkpoint"
    assert [int(line[2]) for line in again] == list(range(first, 9))
    for line in steps(tmp_path):
        assert int(line[3]) == sum(range(int(line[2]) + 1)), "a step was left out, or counted twice"
    once = [tuple(line[:1] + line[2:3]) for line in steps(tmp_path) if line[0] != number]
    assert len(once) == len(set(once)) == 5 * 8
    assert any("2 of 2 workers run" in line for line in said)
    assert any("its node is lost" in line for line in said), said


def test_workers_that_find_no_place_are_told_within_seconds_and_cards_are_shared(
    cluster: Any,
    add_node: Callable[..., Any],
    driven: Callable[..., Driver],
    tmp_path: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launching, "SAY_AFTER", 1.0)
    ray = connect(cluster.address)
    add_node("g", num_cpus=2, num_gpus=1)
    fleet = Fleet(ray, plan(tmp_path / "a", 2, Share(workers=2, gpus=0.5)))
    assert drive(fleet, said.append, threading.Event()).ok, said
    assert {line[5] for line in steps(tmp_path / "a")} == {"0"}

    monkeypatch.setattr(launching, "SAY_EVERY", 1.0)
    told: list[str] = []
    greedy = driven(Fleet(ray, plan(tmp_path / "b", 2, Share(workers=2, gpus=2))), told)
    line = "0 of 2 workers started: each needs 2 GPUs and 1 CPU, the cluster has 1 GPU and 2 CPUs free"
    until(lambda: line in told)  # once the cluster has noticed that the others are gone
    greedy.stop.set()
    greedy.join(60)
    assert greedy.outcome is not None
    assert greedy.outcome.ok is None


def test_a_failing_script_ends_the_launch_with_its_last_words(
    cluster: Any, add_node: Callable[..., Any], tmp_path: Path, said: list[str]
) -> None:
    ray = connect(cluster.address)
    add_node("d", num_cpus=1)
    outcome = drive(Fleet(ray, plan(tmp_path, 2, Share(workers=1), "broken")), said.append, threading.Event())
    assert outcome.ok is False
    assert "exit code 1" in outcome.text
    assert "shape mismatch" in outcome.text


def test_detached_workers_live_on_and_can_be_ended(
    cluster: Any, add_node: Callable[..., Any], tmp_path: Path, said: list[str]
) -> None:
    ray = connect(cluster.address)
    add_node("e", num_cpus=2)
    outcome = leave(Fleet(ray, plan(tmp_path, 1000, Share(workers=2), detach=True)), said.append)
    assert outcome.ok
    assert re.match(r"\d of 2 workers run by themselves", outcome.text)  # a slow machine starts them later
    until(lambda: len({line[4] for line in steps(tmp_path)}) == 2)
    assert len(detached(ray, "s")) == 2
    assert end_detached(ray, "s", 20.0) == 2
    assert detached(ray, "s") == []
    study = honed.load_study("s", storage=tmp_path / "honed.db")
    until(lambda: study.history.count(State.RUNNING) == 0)


def test_ctrl_c_in_the_command_gives_the_trials_back(
    cluster: Any, add_node: Callable[..., Any], tmp_path: Path
) -> None:
    add_node("f", num_cpus=1)
    folder_with_script(tmp_path)
    command = [sys.executable, "-m", "honed", "launch", "ray", "train.py", "--workers", "1", "--trials", "50"]
    command += ["--", "--scheduler", "full"]
    env = plain_environment(RAY_ADDRESS=cluster.address, STEP_SECONDS="0.1", STEPS="1000")
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    until(lambda: len(steps(tmp_path)) >= 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 130, errors
    assert "1 of 1 workers run" in errors
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    trials = honed.load_study("train", storage=tmp_path / "honed.db").trials
    (trial,) = [each for each in trials if not each.state.is_finished]
    assert trial.state is State.WAITING
    assert trial.checkpoint is not None


def test_workers_do_not_outlive_a_killed_command(cluster: Any, add_node: Callable[..., Any], tmp_path: Path) -> None:
    add_node("h", num_cpus=1)
    folder_with_script(tmp_path)
    command = [sys.executable, "-m", "honed", "launch", "ray", "train.py", "--workers", "1", "--trials", "50"]
    command += ["--", "--scheduler", "full"]
    env = plain_environment(RAY_ADDRESS=cluster.address, STEP_SECONDS="0.1", STEPS="1000")
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
    until(lambda: len(steps(tmp_path)) >= 3)
    process.kill()
    process.wait()
    study = honed.load_study("train", storage=tmp_path / "honed.db")
    until(lambda: study.history.lost or study.history.count(State.WAITING))  # Ray may be too quick for a farewell
    worker = int(steps(tmp_path)[-1][4])
    until(lambda: not is_running(worker))
    (trial,) = [each for each in study.trials if not each.state.is_finished]
    assert trial.checkpoint is not None


def test_what_would_be_launched_shows_no_password(tmp_path: Path) -> None:
    work = Work(target="train.py", storage="postgresql://me:secret@db/x", study="s", trials=3)
    text = shown(Plan(work=work, share=Share(workers=2), environment={}))
    assert "secret" not in text
    assert "2 Ray actors" in text
