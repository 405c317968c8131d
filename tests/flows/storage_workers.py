"""What the processes of the storage flows do; each function runs in a process of its own."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

from honed.domains import Domain, Float, Int
from honed.errors import StaleLease
from honed.records import Draft, State, StudyRecord, TrialRecord, Update
from honed.storage.base import Storage
from honed.storage.sqlite import SQLiteStorage
from honed.storage.url import open_storage

DOMAINS: dict[str, Domain] = {"lr": Float(1e-5, 1, log=True), "layers": Int(1, 8)}


def processes() -> ForkServerContext:
    """A context whose processes start in milliseconds, because a server has imported everything before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.flows.storage_workers"])
    return context


def add_one(storage: Storage, study: int) -> TrialRecord:
    params = {"lr": random.uniform(1e-5, 1), "layers": random.randint(1, 8)}
    trial = storage.add(study, Draft(params=params, domains=DOMAINS), worker=f"pid-{os.getpid()}")
    assert trial is not None
    return trial


def storm(folder: Path, rounds: int, barrier: Barrier, answers: Any) -> None:
    """Opens one new file and creates one study, at the same instant as all others, again and again."""
    for i in range(rounds):
        barrier.wait()
        try:
            storage = SQLiteStorage(folder / f"{i}.db")
            record, is_new = storage.create_study(StudyRecord(name="storm"))
            storage.close()
            answers.put((i, record.id, is_new))
        except BaseException as error:
            answers.put((i, repr(error), False))


def contend(target: str, n_trials: int, n_reports: int, barrier: Barrier, answers: Any) -> None:
    """Adds, reports and tells; answers with the longest time that one call took."""
    storage = open_storage(target)
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
        for _ in range(n_trials):
            number = timed(lambda: add_one(storage, study)).number
            for step in range(n_reports):
                update = Update(steps={step: {"value": number + step / 10}})
                timed(lambda: storage.write(study, number, 1, update))  # noqa: B023
            timed(lambda: storage.write(study, number, 1, Update(state=State.COMPLETE, values=(float(number),))))  # noqa: B023
        storage.close()
        answers.put(longest)
    except BaseException as error:
        answers.put(repr(error))


def poll(target: str, stop: Event, answers: Any) -> None:
    """Reads ten times a second, as a dashboard does; answers with the number of reads."""
    try:
        storage = open_storage(target, read_only=True)
        study, revision, numbers = storage.studies()[0].id, 0, set[int]()
        for i in itertools.count(1):
            delta = storage.read(study, revision)
            revision = delta.revision
            numbers.update(trial.number for trial in delta.trials)
            assert numbers == set(range(len(numbers))), "a trial was committed before one with a smaller number"
            if stop.wait(0.1):
                storage.close()
                answers.put(i)
                return
    except BaseException as error:
        answers.put(repr(error))


def work_until_killed(path: Path, log: Path) -> None:
    """Runs trials, lost ones first, and notes each told result in a log of its own, right after the tell."""
    storage = SQLiteStorage(path, durability="fast")  # kill -9 takes no page cache away
    study = storage.create_study(StudyRecord(name="killed"))[0].id
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    revision, paused = 0, set[int]()
    while True:
        delta = storage.read(study, revision)
        revision = delta.revision
        for changed in delta.trials:
            (paused.add if changed.state is State.PAUSED else paused.discard)(changed.number)
        free = [*delta.lost, *paused]
        claimed = storage.claim(study, random.choice(free), worker="w") if free else None
        trial = claimed or add_one(storage, study)
        try:
            run(storage, study, trial, descriptor)
        except StaleLease as error:
            os.write(descriptor, f"stale {error}\n".encode())  # nobody may take a living worker's trial
            raise


def run(storage: SQLiteStorage, study: int, trial: TrialRecord, log: int) -> None:
    number, attempt = trial.number, trial.attempt
    for step in range(3):
        storage.write(study, number, attempt, Update(steps={step: {"value": number + attempt / 10}}))
    if random.random() < 0.2:
        storage.write(study, number, attempt, Update(state=State.PAUSED, checkpoint=f"{number}-{attempt}"))
        return
    value = random.random()
    storage.write(study, number, attempt, Update(state=State.COMPLETE, values=(value,)))
    os.write(log, f"told {number} {attempt} {value!r}\n".encode())


def hold_write_lock(path: Path, held: Event) -> None:
    """Takes the write lock and never gives it back."""
    from honed.storage.locks import WriteLock

    WriteLock(path.with_name(path.name + "-lock"), path.name).acquire()
    held.set()
    time.sleep(600)
