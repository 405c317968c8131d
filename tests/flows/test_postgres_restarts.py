"""Workers train on while their server is restarted, and while it crashes."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.synchronize import Event
from typing import Any

import honed
from honed.records import Cause, Draft, State
from honed.storage.postgres import PostgresStorage
from tests.storage.postgres_server import running

N_PROCESSES, N_TRIALS = 3, 120


def work(url: str, half_done: Event, is_there: Event, answers: Any) -> None:
    """Optimizes until the study has its trials; answers with nothing, or an error."""
    try:
        storage = PostgresStorage(url, retry_seconds=60)
        study = honed.create_study("restarts", storage=storage, seed=0)

        def objective(trial: honed.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            for step in trial.steps(3):
                trial.report(x + 1 / step, step=step)
            if trial.number == N_TRIALS // 3:
                half_done.set()
                is_there.wait(60)  # so that the restart is in the midst of this trial
            if trial.number == 2 * N_TRIALS // 3:
                half_done.set()
            return x

        study.optimize(objective, "random", n_trials=N_TRIALS, progress="quiet")
        study.close()
        storage.close()
        answers.put("")
    except BaseException as error:
        answers.put(f"{os.getpid()}: {error!r}")


def test_workers_go_on_after_a_restart_and_after_a_crash() -> None:
    with running() as server:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.flows.test_postgres_restarts"])
        answers, point, is_there = context.Queue(), context.Event(), context.Event()
        watcher = PostgresStorage(server.url, retry_seconds=60)
        arguments = (server.url, point, is_there, answers)
        workers = [context.Process(target=work, args=arguments, daemon=True) for _ in range(N_PROCESSES)]
        for process in workers:
            process.start()
        assert point.wait(60)
        server.stop()
        server.start()
        point.clear()
        is_there.set()
        assert point.wait(60)
        study = watcher.studies()[0].id
        told = {trial.number: trial.values for trial in watcher.read(study).trials if trial.state is State.COMPLETE}
        watcher.add(
            study, Draft(state=State.FAILED, cause=Cause.CANCELLED), worker="w"
        )  # waits for the disk: all told is there
        server.kill()
        server.start()
        ends = [answers.get(timeout=100) for _ in workers]
        assert ends == [""] * N_PROCESSES
        for process in workers:
            process.join()
        delta = watcher.read(study)
        trials = {trial.number: trial for trial in delta.trials}
        assert sorted(trials) == list(range(len(trials)))
        assert sum(trial.state is State.COMPLETE for trial in trials.values()) == N_TRIALS
        assert {trial.state for trial in trials.values()} <= {State.COMPLETE, State.FAILED}
        assert {number: trials[number].values for number in told} == told
        assert delta.lost == ()
        assert watcher.check() == []
        watcher.close()
