"""What only a file has: places, permissions, readers, syncs, other programs."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from honed.domains import Float
from honed.errors import NetworkFileSystem, StaleLease, StorageError, StorageLocked, StorageReadOnly
from honed.records import Draft, Report, State, StudyRecord, Update
from honed.storage import connections, filesystem, locks
from honed.storage.base import LEASE_SECONDS
from honed.storage.sqlite import SQLiteStorage
from honed.testing.storage_suite import ManualClock

ROOT = Path(__file__).parents[2]
TOLD = Update(state=State.COMPLETE, values=(0.5,))


def new_study(storage: SQLiteStorage) -> int:
    return storage.create_study(StudyRecord(name="x"))[0].id


def run_as_nobody(code: str, *arguments: object) -> str:
    """What a process without any permission prints."""
    begin = "import os, sys; sys.path.insert(0, 'src')\nfrom honed.storage.sqlite import SQLiteStorage\n"
    if os.getuid() == 0:
        begin += "os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def shown_folder() -> Iterator[Path]:
    """A folder that everybody may read, but only its owner may write."""
    folder = Path(tempfile.mkdtemp(prefix="honed-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


# ------------------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize("name", ["a b.db", "größe 🙂.db", "100%?#&'.db", "x" * 200 + ".db", "no_suffix"])
def test_any_file_name_will_do(name: str, tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / name)
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")
    storage.write(study, 0, 1, TOLD)
    storage.close()
    assert {each.name for each in tmp_path.iterdir()} == {name, f"{name}-lock", f"{name}-workers"}
    reader = SQLiteStorage(str(tmp_path / name), read_only=True)
    assert len(reader.read(study).trials) == 1
    reader.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=re.escape(f"the folder {tmp_path / 'runs'} does not exist. Create it first")
    ):
        SQLiteStorage(tmp_path / "runs" / "honed.db")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"is a folder; name a file in it: .*honed\.db"):
        SQLiteStorage(tmp_path)


def test_a_path_that_cannot_be_written_is_refused_with_another_one(shown_folder: Path) -> None:
    path = shown_folder / "honed.db"
    storage = SQLiteStorage(path)
    new_study(storage)
    shown_folder.chmod(0o555)
    opening = "SQLiteStorage(sys.argv[1])"
    said = run_as_nobody(opening, shown_folder / "new.db")
    assert "StorageReadOnly" in said
    assert f"no permission for {shown_folder}. Use another path, such as /" in said
    assert "To look only, open it with read_only=True." in run_as_nobody(opening, path)

    reading = "print([study.name for study in SQLiteStorage(sys.argv[1], read_only=True).studies()])"
    assert run_as_nobody(reading, path) == "['x']\n"  # beside a writer
    shown_folder.chmod(0o755)
    storage.close()
    shown_folder.chmod(0o555)
    assert run_as_nobody(reading, path) == "['x']\n"  # alone, where nobody may make a file


def test_network_file_systems_are_refused_with_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    point = str(tmp_path / "on the net").replace(" ", r"\040")
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nnonsense\nserver:/x {point} nfs4 rw 0 0\n/dev/sdb {point}/disk xfs rw 0 0\n"
    )
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    local = tmp_path / "on the net" / "disk"
    local.mkdir(parents=True)
    with pytest.raises(
        NetworkFileSystem, match=r"network file system \(nfs4\).*a path on a local disk, such as .*Postgre"
    ):
        SQLiteStorage(local.parent / "honed.db")
    SQLiteStorage(local / "honed.db").close()
    assert SQLiteStorage(local / "honed.db", read_only=True).studies() == ()


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "gpfs", "beegfs", "fuse.s3fs"])
def test_kinds_of_network_file_systems(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nx {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    assert filesystem.network_kind(tmp_path / "honed.db") == kind
    assert filesystem.network_kind(Path("/")) is None


def test_a_system_without_a_list_of_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "MOUNTS", tmp_path / "none")
    assert filesystem.network_kind(tmp_path) is None


def test_durability_is_full_or_fast(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'slow' is unknown; use 'full' or 'fast'"):
        SQLiteStorage(tmp_path / "honed.db", durability="slow")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ readers


def test_a_reader_changes_nothing_and_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist; there is nothing to read"):
        SQLiteStorage(tmp_path / "honed.db", read_only=True)
    assert list(tmp_path.iterdir()) == []
    writer = SQLiteStorage(tmp_path / "honed.db")
    study = new_study(writer)
    reader = SQLiteStorage(tmp_path / "honed.db", read_only=True)
    calls: list[Any] = [
        lambda: reader.create_study(StudyRecord(name="new")),
        lambda: reader.add(study, Draft(), worker="w"),
        lambda: reader.claim(study, 0, worker="w"),
        lambda: reader.renew(study, 0, 1),
        lambda: reader.write(study, 0, 1, TOLD),
        lambda: reader.delete_study(study),
    ]
    for call in calls:
        with pytest.raises(StorageReadOnly, match=r"read_only=True"):
            call()
    assert reader.create_study(StudyRecord(name="x")) == (writer.studies()[0], False)
    writer.add(study, Draft(), worker="w")
    assert len(reader.read(study).trials) == 1
    writer.close()
    assert reader.read(study).lost == (0,)
    reader.close()


def test_a_reader_in_a_long_transaction_blocks_no_writer(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db", lock_seconds=1)
    study = new_study(storage)
    reader = sqlite3.connect(tmp_path / "honed.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM studies").fetchall()
    for i in range(600):  # through two checkpoints at least
        storage.add(study, Draft(state=State.COMPLETE, values=(float(i),)), worker="w")
    reader.close()
    assert len(storage.read(study).trials) == 600
    storage.close()


def test_another_program_that_holds_the_file_is_said(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db", lock_seconds=0.2)
    study = new_study(storage)
    shell = sqlite3.connect(tmp_path / "honed.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageLocked, match=r"for 0\.2 s; a program other than honed holds it"):
        storage.add(study, Draft(), worker="w")
    assert storage.read(study).trials == ()
    shell.close()
    assert storage.add(study, Draft(), worker="w") is not None
    storage.close()


# ---------------------------------------------------------------------------------------------------- syncs and the log


@pytest.mark.parametrize(("durability", "n_told"), [("full", 1), ("fast", 0)])
def test_one_sync_for_a_told_result_and_none_for_reports(
    durability: Any, n_told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db", durability=durability)
    study = new_study(storage)
    monkeypatch.setattr(connections, "_WRITES_PER_CHECKPOINT", 10**9)
    storage._connections._writes_left = 10**9
    synced: list[str] = []
    sync = os.fdatasync

    def count(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", count)
    for number in range(3):
        storage.add(study, Draft(), worker="w")
        storage.write(study, number, 1, Update(steps={0: {"value": 1.0}}))
        storage.write(study, number, 1, Update(state=State.PAUSED))
        storage.claim(study, number, worker="w")
        storage.renew(study, number, 2)
    assert synced == []
    storage.write(study, 0, 2, TOLD)
    storage.write(study, 1, 2, Update(state=State.FAILED, cause=None, values=(1.0,)))
    storage.write(study, 2, 2, Update(state=State.STOPPED, values=(1.0,)))
    storage.add(study, Draft(state=State.COMPLETE, values=(1.0,)), worker="w")
    assert synced == [str(tmp_path / "honed.db-wal")] * 4 * n_told
    storage.close()


def test_a_told_result_survives_a_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lost = tmp_path / "honed.db", tmp_path / "after the loss.db"
    storage = SQLiteStorage(path)
    study = new_study(storage)
    on_disk: list[tuple[bytes, bytes]] = []

    def sync(descriptor: int) -> None:  # all that is on the disk for sure is what was there at a sync
        on_disk.append((path.read_bytes(), Path(f"{path}-wal").read_bytes()))

    monkeypatch.setattr(os, "fdatasync", sync)
    for number in range(5):
        storage.add(study, Draft(), worker="w")
        storage.write(study, number, 1, TOLD)
        database, log = on_disk[-1]
        lost.write_bytes(database)
        Path(f"{lost}-wal").write_bytes(log)
        after = SQLiteStorage(lost)
        assert [trial.state for trial in after.read(study).trials] == [State.COMPLETE] * (number + 1)
        after.close()
    storage.close()


def test_a_disk_that_does_not_confirm_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db")
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(StorageError, match=r"the disk did not confirm it \(Input/output error\)"):
        storage.write(study, 0, 1, TOLD)
    storage.close()


def test_the_log_does_not_grow_without_end(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db", durability="fast")
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")
    for step in range(2000):
        storage.write(study, 0, 1, Update(steps={step: {"value": 1.0}}))
    assert (tmp_path / "honed.db-wal").stat().st_size < 12_000_000
    assert (tmp_path / "honed.db").stat().st_size > 50_000
    storage.close()


# -------------------------------------------------------------------------------------------------------- owners, time


def test_a_changed_wall_clock_and_a_restart_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    storage, other = (SQLiteStorage(tmp_path / "honed.db", clock=clock) for _ in range(2))
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")
    clock._start = clock._start.replace(year=2040)
    assert other.read(study).lost == ()
    monkeypatch.setattr("honed.storage.sqlite.boot_id", lambda: "another boot")
    assert other.read(study).lost == (0,)
    clock.sleep(-LEASE_SECONDS)  # the new boot's clock begins anew
    claimed = other.claim(study, 0, worker="w")
    assert claimed is not None
    with pytest.raises(StaleLease):
        storage.write(study, 0, 1, TOLD)
    storage.close()
    other.close()


def test_files_of_dead_owners_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "honed.db-workers"
    storage = SQLiteStorage(tmp_path / "honed.db")
    study = new_study(storage)
    folder.mkdir()
    (folder / "1-dead").touch()
    storage.add(study, Draft(), worker="w")
    (mine,) = folder.iterdir()
    other = SQLiteStorage(tmp_path / "honed.db")
    other.add(study, Draft(), worker="w")
    assert len(list(folder.iterdir())) == 2
    other.close()
    assert storage.read(study).lost == (1,)
    assert list(folder.iterdir()) == [mine]
    storage.close()
    assert list(folder.iterdir()) == []


def test_a_storage_that_nobody_uses_any_more_gives_its_trials_back(tmp_path: Path) -> None:
    storage, other = (SQLiteStorage(tmp_path / "honed.db") for _ in range(2))
    study = new_study(other)
    storage.add(study, Draft(), worker="w")
    assert other.read(study).lost == ()
    del storage
    gc.collect()
    assert other.read(study).lost == (0,)
    other.close()


def test_a_folder_of_workers_that_somebody_deleted(tmp_path: Path) -> None:
    storage, other = (SQLiteStorage(tmp_path / "honed.db") for _ in range(2))
    study = new_study(storage)
    storage.add(study, Draft(), worker="w")
    for path in (tmp_path / "honed.db-workers").iterdir():
        path.unlink()
    (tmp_path / "honed.db-workers").rmdir()
    assert other.read(study).lost == (0,)
    assert other.claim(study, 0, worker="w") is not None
    storage.close()
    other.close()


@pytest.mark.parametrize("verb", ["add", "read"])
def test_a_call_from_a_signal_handler_is_refused_not_hung(verb: str, tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db", durability="fast", lock_seconds=2)
    study = new_study(storage)
    answers: list[object] = []

    def handler(signum: int, frame: object) -> None:
        try:
            answers.append(
                storage.read(study, 10**9) if verb == "read" else storage.add(study, Draft(), worker="handler")
            )
        except StorageLocked as error:
            answers.append(error)
        signal.setitimer(signal.ITIMER_VIRTUAL, random.uniform(1e-5, 1e-3))

    before = signal.signal(signal.SIGVTALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.001)
        for _ in range(1000):
            storage.add(study, Draft(), worker="w")
            storage.read(study, 10**9)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    refused = [answer for answer in answers if isinstance(answer, StorageLocked)]
    assert all("signal handler" in str(error) for error in refused)
    assert len(refused) < len(answers)
    trials = storage.read(study).trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert sum(trial.worker == "w" for trial in trials) == 1000
    storage.close()


def test_a_signal_handler_may_write_while_a_reader_asks_who_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, other = (SQLiteStorage(tmp_path / "honed.db") for _ in range(2))
    study = new_study(storage)
    other.add(study, Draft(), worker="w")
    try_lock = locks._try_lock
    signals = [True]

    def interrupted(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
        if kind == fcntl.LOCK_SH and signals:
            signals.clear()
            storage.add(study, Draft(), worker="handler")
        return try_lock(descriptor, kind)

    monkeypatch.setattr(locks, "_try_lock", interrupted)
    assert storage.read(study).lost == ()
    assert signals == []
    assert [trial.worker for trial in storage.read(study).trials] == ["w", "handler"]
    storage.close()
    other.close()


def test_a_thread_that_waits_long_gets_the_lock_in_the_end(tmp_path: Path) -> None:
    storage, other = (SQLiteStorage(tmp_path / "honed.db", lock_seconds=20) for _ in range(2))
    study = new_study(storage)
    thread = threading.Thread(target=lambda: other.add(study, Draft(), worker="w"))
    with storage._connections.writing():
        thread.start()
        thread.join(0.6)  # by now it stands in the kernel's queue
        assert thread.is_alive()
    thread.join(5)
    assert len(storage.read(study).trials) == 1
    for each in (storage, other):
        each.add(study, Draft(), worker="w")
        each.close()


def test_who_gave_up_waiting_does_not_keep_the_lock(tmp_path: Path) -> None:
    storage, hasty = SQLiteStorage(tmp_path / "honed.db"), SQLiteStorage(tmp_path / "honed.db", lock_seconds=0.3)
    study = new_study(storage)
    with storage._connections.writing(), pytest.raises(StorageLocked, match=rf"held by pid {os.getpid()} "):
        hasty.add(study, Draft(), worker="w")
    for each in (storage, hasty):
        assert each.add(study, Draft(), worker="w") is not None
        each.close()


# ------------------------------------------------------------------------------------------------------------ contents


def test_numpy_numbers_are_taken_as_numbers(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    storage = SQLiteStorage(tmp_path / "honed.db")
    study = new_study(storage)
    draft = Draft(
        params={"lr": np.float64(0.1)}, domains={"lr": Float(0, 1)}, until=np.int64(3), note={"x": np.float64(2)}
    )
    trial = storage.add(study, draft, worker="w", number=np.int64(0), limit=np.int64(5))
    assert trial is not None
    storage.write(study, np.int64(0), np.int64(1), Update(steps={np.int64(1): {"value": np.float32(0.5)}}))
    storage.renew(study, np.int64(0), np.int64(1))
    storage.write(study, 0, 1, Update(state=State.COMPLETE, values=(np.float64(0.25),)))
    delta = storage.read(study)
    assert (delta.trials[0].params, delta.trials[0].until, delta.trials[0].values) == ({"lr": 0.1}, 3, (0.25,))
    assert delta.reports == (Report(0, 1, {"value": 0.5}),)
    with pytest.raises(TypeError):
        storage.add(study, Draft(note={"x": np.zeros(2)}), worker="w")
    storage.close()


def test_an_argument_of_a_wrong_type_is_not_called_damage(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "honed.db")
    study = new_study(storage)
    with pytest.raises(TypeError):
        storage.add(study, Draft(checkpoint=Path("c")), worker="w")  # type: ignore[arg-type]
    assert storage.read(study).revision == 0
    storage.close()
