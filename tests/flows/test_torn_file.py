"""Files as a power loss, a failing disk or a full one leaves them: opened and used, or refused in plain words."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from honed.errors import StorageError
from honed.records import Delta, Draft, State, StudyRecord, Update
from honed.storage.sqlite import SQLiteStorage
from tests.flows.storage_workers import DOMAINS, add_one

ROOT = Path(__file__).parents[2]
FRAME_HEADER = 24


def tell_one(storage: SQLiteStorage, study: int) -> None:
    number = add_one(storage, study).number
    storage.write(study, number, 1, Update(steps={0: {"value": 0.5}, 1: {"value": 0.25}}))
    storage.write(study, number, 1, Update(state=State.COMPLETE, values=(0.25,)))


class Torn:
    """A file with its log, as it lay on the disk when the power went, and where the last transactions begin in the log."""

    def __init__(self, folder: Path, page_size: int) -> None:
        self.copy = folder / "copy.db"
        path = folder / "honed.db"
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute("VACUUM")
        connection.close()
        random.seed(0)  # the log is not moved into the file while it is filled here
        storage = SQLiteStorage(path)
        study = storage.create_study(StudyRecord(name="torn"))[0].id
        log = path.with_name("honed.db-wal")
        for _ in range(3):
            tell_one(storage, study)
        self.states: list[tuple[int, Delta]] = []  # what was there at that size of the log
        tell_one(storage, study)
        self.states.append((log.stat().st_size, storage.read(study)))
        number = add_one(storage, study).number
        self.states.append((log.stat().st_size, storage.read(study)))
        storage.write(study, number, 1, Update(state=State.COMPLETE, values=(0.5,), steps={5: {"value": 0.5}}))
        self.states.append((log.stat().st_size, storage.read(study)))
        self.database, self.log = path.read_bytes(), log.read_bytes()
        self.frame = FRAME_HEADER + page_size
        self.study = study
        storage.close()

    def sizes(self) -> range:
        """All sizes of the log within its last two transactions."""
        return range(self.states[0][0], self.states[-1][0] + 1)

    def expected(self, size: int) -> Delta:
        """All transactions that are whole within that size."""
        return [delta for begin, delta in self.states if begin <= size][-1]

    def check(self, size: int) -> None:
        """A log cut at that size: what is whole is there, and the file is as good as new."""
        for name in self.copy.parent.glob("copy.db-*"):
            if name.is_file():
                name.unlink()
        self.copy.write_bytes(self.database)
        self.copy.with_name("copy.db-wal").write_bytes(self.log[:size])
        is_written = size % 8 == 0  # reading alone is several times faster
        storage = SQLiteStorage(self.copy, durability="fast", read_only=not is_written)
        delta = storage.read(self.study)
        wanted = self.expected(size)
        running = tuple(trial.number for trial in wanted.trials if trial.state is State.RUNNING)
        assert delta == dataclasses.replace(wanted, lost=running), size
        assert not is_written or add_one(storage, self.study).number == len(delta.trials)
        storage.close()


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that needs no disk, for thousands of files."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    folder = shared / f"honed-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_a_log_cut_at_every_byte_of_its_last_two_transactions(memory_disk: Path) -> None:
    torn = Torn(memory_disk, page_size=512)
    for size in torn.sizes():
        torn.check(size)


def test_a_log_with_usual_pages_cut_around_every_frame(memory_disk: Path) -> None:
    torn = Torn(memory_disk, page_size=4096)
    first, last = torn.sizes()[0], torn.sizes()[-1]
    near = {frame + i for frame in range(first, last + 1, torn.frame) for i in (-1, 0, 1, 23, 24, 25, 2000)}
    sizes = sorted(near & set(torn.sizes()))
    assert len(sizes) > 60
    for size in sizes:
        torn.check(size)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_log_with_usual_pages_cut_at_every_byte(memory_disk: Path) -> None:
    torn = Torn(memory_disk, page_size=4096)
    for size in torn.sizes():
        torn.check(size)


def flip_and_use(torn: Torn, kind: str, position: int, bit: int) -> str:
    """Opens the file with one wrong bit; the kind of answer it gives."""
    database, log = bytearray(torn.database), bytearray(torn.log)
    flipped = database if kind == "database" else log
    flipped[position] ^= 1 << bit
    for name in torn.copy.parent.glob("copy.db-*"):
        if name.is_file():
            name.unlink()
    torn.copy.write_bytes(database)
    torn.copy.with_name("copy.db-wal").write_bytes(log)
    storage = None
    try:
        storage = SQLiteStorage(torn.copy, durability="fast")
        for record in storage.studies():
            storage.read(record.id)
            number = add_one(storage, record.id).number
            storage.write(record.id, number, 1, Update(steps={0: {"value": 1.0}}, note={"a": 1}))
            storage.claim(record.id, 0, worker="w")
        return "used"
    except StorageError as error:
        return type(error).__name__
    except LookupError:  # a study's or a trial's number was hit: the rest is there
        return "lookup"
    finally:
        if storage is not None:
            storage.close()


@pytest.mark.parametrize("n", [600, pytest.param(30_000, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_a_wrong_bit_is_reported_or_the_rest_is_read(memory_disk: Path, n: int) -> None:
    torn = Torn(memory_disk, page_size=1024)
    connection = sqlite3.connect(memory_disk / "honed.db")  # everything in the file itself, nothing in the log
    connection.close()
    torn.database = (memory_disk / "honed.db").read_bytes()
    torn.log = b""
    rng = random.Random(n)
    answers = [flip_and_use(torn, "database", rng.randrange(len(torn.database)), rng.randrange(8)) for _ in range(n)]
    assert answers.count("used") > n // 10
    assert answers.count("StorageDamaged") > n // 20


def test_a_wrong_bit_in_the_log_costs_the_end_of_the_log(memory_disk: Path) -> None:
    torn = Torn(memory_disk, page_size=1024)
    rng = random.Random(0)
    answers = {flip_and_use(torn, "log", rng.randrange(32, len(torn.log)), rng.randrange(8)) for _ in range(200)}
    assert answers <= {"used", "lookup"}  # SQLite's checksums find every one


def fill_the_disk(path: str, seed: int) -> None:
    """Adds trials until the disk is full, makes room, goes on; prints what it saw. Runs in a process of its own."""
    random.seed(seed)  # when the log is moved into the file
    ballast = Path(path).with_name("ballast")
    ballast.write_bytes(bytes(200_000))
    storage = SQLiteStorage(path)
    study = storage.create_study(StudyRecord(name="full"))[0].id
    told = []

    def tell(n: int) -> None:
        for _ in range(n):
            trial = storage.add(study, Draft(domains=DOMAINS, note={"text": "x" * 3000}), worker="w")
            assert trial is not None
            storage.write(study, trial.number, 1, Update(state=State.COMPLETE, values=(float(trial.number),)))
            told.append(trial.number)

    messages = []
    for _ in range(3):  # it stays an error in plain words while there is no space
        try:
            tell(100_000)
        except StorageError as error:
            messages.append(f"{type(error).__name__}: {error}")
    ballast.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    tell(5)
    trials = storage.read(study).trials
    complete = [trial.number for trial in trials if trial.state is State.COMPLETE]
    dense = sorted(trial.number for trial in trials) == list(range(len(trials)))
    storage.close()
    check = sqlite3.connect(path)
    integrity = check.execute("PRAGMA integrity_check").fetchall()
    check.close()
    print(json.dumps({"messages": messages, "told": told, "complete": complete, "dense": dense, "ok": integrity}))  # noqa: T201


def may_mount(mount: str) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("seed", [1, 2, 21])
@pytest.mark.parametrize("how", ["memory disk", "limit"])
def test_a_full_disk_is_said_and_when_there_is_room_it_goes_on(tmp_path: Path, how: str, seed: int) -> None:
    run = [sys.executable, "-m", "tests.flows.test_torn_file"]
    if how == "memory disk":
        mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}"
        if not may_mount(mount):
            pytest.skip("this user may not mount a small disk; the limit on file sizes is tested instead")
        run = ["unshare", "-m", "sh", "-c", f"{mount} && exec {' '.join(run)} {tmp_path}/honed.db 0 {seed}"]
    else:
        run += [str(tmp_path / "honed.db"), "700000", str(seed)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert len(seen["messages"]) == 3
    for message in seen["messages"]:
        assert message.startswith("StorageError: ")
        assert "space" in message
        assert "kept" in message
    assert seen["ok"] == [["ok"]]
    assert seen["dense"]
    assert len(seen["told"]) > 20
    assert set(seen["told"]) <= set(seen["complete"])


if __name__ == "__main__":
    if limit := int(sys.argv[2]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    fill_the_disk(sys.argv[1], seed=int(sys.argv[3]))
