"""Many writers and a reader on one database: no error, nothing missing, nobody waits long."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.synchronize import Barrier, Event
from typing import Any

from honed.domains import Domain, Float, Int
from honed.records import Draft, State, StudyRecord, Update
from honed.storage.postgres import PostgresStorage

N_PROCESSES, N_TRIALS, N_REPORTS = 32, 50, 10
DOMAINS: dict[str, Domain] = {"lr": Float(1e-5, 1, log=True), "layers": Int(1, 8)}


def contend(url: str, barrier: Barrier, answers: Any) -> None:
    """Adds, reports and tells; answers with the longest time that one call took."""
    storage = PostgresStorage(url)
    study = storage.create_study(StudyRecord(name="contention"))[0].id
    longest = 0.0

    def timed(call: Any) -> Any:
        nonlocal longest
        start = time.monotonic()
        answer = call()
        longest = max(longest, time.monotonic() - start)
        return answer

    try:
        barrier.wait()
        for _ in range(N_TRIALS):
            params = {"lr": random.uniform(1e-5, 1), "layers": random.randint(1, 8)}
            number = timed(lambda: storage.add(study, Draft(params=params, domains=DOMAINS), worker="w")).number  # noqa: B023
            for step in range(N_REPORTS):
                update = Update(steps={step: {"value": number + step / 10}})
                timed(lambda: storage.write(study, number, 1, update))  # noqa: B023
            timed(lambda: storage.write(study, number, 1, Update(state=State.COMPLETE, values=(float(number),))))  # noqa: B023
        storage.close()
        answers.put(longest)
    except BaseException as error:
        answers.put(repr(error))


def poll(url: str, stop: Event, answers: Any) -> None:
    """Reads ten times a second, as a dashboard does; answers with the number of reads."""
    try:
        storage = PostgresStorage(url, read_only=True)
        study, n_reads, revision, numbers = storage.studies()[0].id, 0, 0, set[int]()
        while not stop.wait(0.1):
            delta = storage.read(study, revision)
            revision, n_reads = delta.revision, n_reads + 1
            numbers.update(trial.number for trial in delta.trials)
            assert numbers == set(range(len(numbers))), "a trial was committed before one with a smaller number"
        storage.close()
        answers.put(n_reads)
    except BaseException as error:
        answers.put(repr(error))


def test_32_writers_and_a_polling_reader(database: str) -> None:
    storage = PostgresStorage(database)
    study = storage.create_study(StudyRecord(name="contention"))[0].id
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.flows.test_postgres_contention"])
    barrier, answers, reads, stop = context.Barrier(N_PROCESSES), context.Queue(), context.Queue(), context.Event()
    reader = context.Process(target=poll, args=(database, stop, reads), daemon=True)
    workers = [
        context.Process(target=contend, args=(database, barrier, answers), daemon=True) for _ in range(N_PROCESSES)
    ]
    for process in (reader, *workers):
        process.start()
    longest = [answers.get(timeout=110) for _ in workers]
    stop.set()
    assert [each for each in longest if not isinstance(each, float)] == []
    assert max(longest) < 5
    n_reads = reads.get(timeout=20)
    assert isinstance(n_reads, int), n_reads
    assert n_reads >= 3
    for process in (reader, *workers):
        process.join()
    delta = storage.read(study)
    n = N_PROCESSES * N_TRIALS
    assert sorted((trial.number, trial.value) for trial in delta.trials) == [(i, float(i)) for i in range(n)]
    assert {trial.state for trial in delta.trials} == {State.COMPLETE}
    assert len(delta.reports) == n * N_REPORTS
    assert all(report.values == {"value": report.number + report.step / 10} for report in delta.reports)
    assert storage.check() == []
    storage.close()
