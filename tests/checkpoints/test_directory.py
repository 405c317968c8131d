"""The directory store as its users see it: what is saved is there, whole, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest

from honed.checkpoints import slots
from honed.checkpoints.base import CheckpointStore, checkpoint_key
from honed.checkpoints.directory import DirectoryStore
from honed.checkpoints.manifest import MANIFEST, sync_all
from honed.clock import boot_id
from honed.errors import CheckpointDamaged, CheckpointError, CheckpointExists, CheckpointNotFound, CheckpointNotSaved

KEY = checkpoint_key(3, 42, 12, 1)
CONTENT = {"model.pt": b"weights" * 100, "deep/er/empty": b"", "naïve name\udcff": b"x"}


def fill(directory: Path, content: dict[str, bytes] = CONTENT) -> Path:
    for name, data in content.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (directory / "nothing in it").mkdir()
    return directory


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def leftovers(store: DirectoryStore) -> list[str]:
    return sorted(os.listdir(store.root / ".writing"))


@pytest.fixture
def store(tmp_path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "checkpoints")


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def test_what_is_saved_is_loaded(store):
    directory = fill(store.new_directory())
    store.save(KEY, directory)
    assert not directory.exists()
    loaded = store.load(KEY)
    assert files(loaded) == CONTENT
    assert (loaded / "nothing in it").is_dir()
    assert json.loads((loaded / MANIFEST).read_text())["step"] == 12
    assert leftovers(store) == []


def test_it_is_a_store():
    def check(store: CheckpointStore) -> None: ...

    check(DirectoryStore("x"))


def test_a_directory_from_elsewhere_is_moved(store, elsewhere):
    inode = fill(elsewhere).stat().st_ino
    store.save(KEY, elsewhere)
    assert store.load(KEY).stat().st_ino == inode
    assert not elsewhere.exists()
    assert leftovers(store) == []


def test_a_directory_on_another_file_system_is_copied(store, elsewhere, monkeypatch):
    rename = Path.rename

    def from_another_disk(source: Path, target: Path) -> Path:
        if source == elsewhere:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", from_another_disk)
    store.save(KEY, fill(elsewhere))
    assert files(store.load(KEY)) == CONTENT
    assert not elsewhere.exists()
    assert leftovers(store) == []


def test_another_store_sees_it_and_the_working_directory_does_not_matter(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = DirectoryStore("checkpoints")
    store.save(KEY, fill(store.new_directory()))
    monkeypatch.chdir("/")
    assert files(relative.load(KEY)) == CONTENT
    assert relative.keys() == store.keys()


def test_keys_have_sizes(store):
    assert store.keys() == {}
    other = checkpoint_key(3, 7, 1, 2)
    for key in (KEY, other):
        store.save(key, fill(store.new_directory()))
    (store.root / "study-3" / "t00042" / "s1-a1").mkdir()  # not ours
    (store.root / "notes.txt").write_text("mine")
    sizes = store.keys()
    assert sizes.keys() == {KEY, other}
    assert sizes[KEY] == sum(map(len, CONTENT.values())) + (store.load(KEY) / MANIFEST).stat().st_size


def test_a_missing_checkpoint_is_named(store):
    with pytest.raises(CheckpointNotFound, match=f"There is no checkpoint {KEY} in .*checkpoints: it was removed"):
        store.load(KEY)


def test_a_checkpoint_never_changes(store, elsewhere):
    store.save(KEY, fill(elsewhere, {"a": b"first"}))
    second = fill(store.new_directory(), {"a": b"second"})
    with pytest.raises(CheckpointExists, match=f"There is a checkpoint {KEY} in .* already"):
        store.save(KEY, second)
    assert files(store.load(KEY)) == {"a": b"first"}
    assert second.is_dir()  # nothing was taken away


def test_of_many_savers_of_one_key_one_wins(store):
    directories = [fill(store.new_directory(), {"who": bytes([i])}) for i in range(8)]
    lost: list[int] = []

    def save(i: int) -> None:
        try:
            store.save(KEY, directories[i])
        except CheckpointExists:
            lost.append(i)

    threads = [threading.Thread(target=save, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7
    (winner,) = set(range(8)) - set(lost)
    assert files(store.load(KEY)) == {"who": bytes([winner])}


def test_deleting(store):
    store.delete(KEY)  # nothing there: fine
    for step in (1, 2):
        store.save(checkpoint_key(3, 42, step, 1), fill(store.new_directory()))
    store.delete(checkpoint_key(3, 42, 1, 1))
    with pytest.raises(CheckpointNotFound):
        store.load(checkpoint_key(3, 42, 1, 1))
    assert store.load(checkpoint_key(3, 42, 2, 1))
    store.delete(checkpoint_key(3, 42, 2, 1))
    assert sorted(os.listdir(store.root)) == [".writing"]  # no empty folders stay
    assert leftovers(store) == []
    store.save(KEY, fill(store.new_directory()))
    assert files(store.load(KEY)) == CONTENT


def test_saving_and_deleting_at_once(store):
    """The folders of a trial come and go while others save into them."""

    def work(number: int) -> None:
        for step in range(30):
            key = checkpoint_key(1, 0, step, number)
            store.save(key, fill(store.new_directory(), {"a": b"a"}))
            store.load(key)
            store.delete(key)
        done.append(number)

    done: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2, 3]
    assert store.keys() == {}


def test_a_folder_is_made_while_another_removes_it(tmp_path):
    """What mkdir found there at its first look may be gone at its second."""
    folder = tmp_path / "study-1" / "t00000"
    is_over = threading.Event()

    def remove() -> None:
        while not is_over.is_set():
            for place in (folder, folder.parent):
                with contextlib.suppress(OSError):
                    place.rmdir()

    threads = [threading.Thread(target=remove) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3000):
            slots.make_folder(folder)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "study-1").touch()
    with pytest.raises(FileExistsError):
        slots.make_folder(tmp_path / "study-1")
    with pytest.raises(NotADirectoryError):
        slots.make_folder(tmp_path / "study-1" / "t00000")


@pytest.mark.parametrize("verb", ["save", "load", "delete"])
@pytest.mark.parametrize("key", ["../outside", "/etc", "study-1/../../x"])
def test_no_key_leads_out_of_the_root(store, elsewhere, verb, key):
    arguments = (key, elsewhere) if verb == "save" else (key,)
    with pytest.raises(ValueError, match="is no key of a checkpoint"):
        getattr(store, verb)(*arguments)


def test_only_directories_are_saved(store, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(ValueError, match="there is no such directory"):
            store.save(KEY, path)


def test_links_to_files_become_files(store, elsewhere, tmp_path):
    (tmp_path / "outside.txt").write_text("outside")
    fill(elsewhere, {"epoch=3.ckpt": b"three"})
    (elsewhere / "last.ckpt").symlink_to("epoch=3.ckpt")
    (elsewhere / "outside.txt").symlink_to(tmp_path / "outside.txt")
    store.save(KEY, elsewhere)
    assert files(store.load(KEY)) == {"epoch=3.ckpt": b"three", "last.ckpt": b"three", "outside.txt": b"outside"}
    assert not (store.load(KEY) / "last.ckpt").is_symlink()


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("/"), lambda path: path.symlink_to("nowhere"), os.mkfifo]
)
def test_other_things_are_refused_and_stay_where_they_are(store, elsewhere, make: Callable[[Path], None]):
    fill(elsewhere)
    make(elsewhere / "strange")
    with pytest.raises(ValueError, match=r"strange is (a link to a folder or to nothing|neither a file nor a folder)"):
        store.save(KEY, elsewhere)
    (elsewhere / "strange").unlink()
    assert files(elsewhere) == CONTENT
    store.save(KEY, elsewhere)
    assert files(store.load(KEY)) == CONTENT


def test_a_copy_of_a_checkpoint_can_be_saved(store, elsewhere):
    store.save(KEY, fill(store.new_directory(), {"a": b"a"}))
    for path in store.load(KEY).iterdir():
        if path.is_file():
            (elsewhere / path.name).write_bytes(path.read_bytes())  # the old manifest too
    (elsewhere / "b").write_bytes(b"b")
    store.save(checkpoint_key(3, 42, 13, 1), elsewhere)
    assert files(store.load(checkpoint_key(3, 42, 13, 1))) == {"a": b"a", "b": b"b"}


def test_files_that_came_later_do_no_harm(store):
    store.save(KEY, fill(store.new_directory()))
    (store.load(KEY) / ".DS_Store").touch()
    assert store.load(KEY)


# ------------------------------------------------------------------------------------------------------- trouble


def failing(
    name: str, error: int, monkeypatch: pytest.MonkeyPatch, *, when: Callable[..., bool] = lambda *_: True
) -> None:
    real = getattr(os, name)

    def function(*arguments, **keywords):
        if when(*arguments):
            raise OSError(error, os.strerror(error))
        return real(*arguments, **keywords)

    monkeypatch.setattr(os, name, function)


@pytest.mark.parametrize("name", ["fsync", "mkdir", "rename"])
@pytest.mark.parametrize("nth", range(13))
def test_a_full_disk_is_told_and_nothing_is_lost(store, elsewhere, monkeypatch, name, nth):
    before = checkpoint_key(3, 42, 11, 1)
    store.save(before, fill(store.new_directory(), {"a": b"a"}))
    fill(elsewhere)
    calls = iter(range(1000))
    with monkeypatch.context() as patch:
        failing(name, errno.ENOSPC, patch, when=lambda *_: next(calls) == nth)
        text = ""
        try:
            store.save(KEY, elsewhere)
        except CheckpointNotSaved as error:
            text = str(error)
    if text:
        assert f"The checkpoint {KEY} was not saved: the disk of {store.root} is full" in text
        assert files(elsewhere) == CONTENT
        assert store.keys().keys() == {before}
        assert leftovers(store) == []
    else:
        assert name == "mkdir" or next(calls) <= nth  # that many calls are not made; a folder may be there already
    assert files(store.load(before)) == {"a": b"a"}
    if elsewhere.exists():
        store.save(KEY, elsewhere)
    assert files(store.load(KEY)) == CONTENT


def test_a_full_disk_does_not_keep_from_deleting(store, monkeypatch):
    store.save(KEY, fill(store.new_directory()))
    failing("open", errno.ENOSPC, monkeypatch, when=lambda path, flags, *_: bool(flags & os.O_CREAT))
    store.delete(KEY)
    assert store.keys() == {}


def test_a_root_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointNotSaved, match=r"No checkpoint can be made: .*/file/root cannot be written"):
        DirectoryStore(tmp_path / "file" / "root").new_directory()


def test_a_disk_that_cannot_read_is_damage_and_a_forbidden_one_is_not(store, monkeypatch):
    store.save(KEY, fill(store.new_directory()))
    for error, kind in ((errno.EIO, CheckpointDamaged), (errno.EACCES, CheckpointError)):
        with monkeypatch.context() as patch:
            failing("scandir", error, patch)
            with pytest.raises(kind) as caught:
                store.load(KEY)
            assert caught.type is kind


def test_free_space_is_known_before_the_root_is(store):
    assert store.free_bytes() > 0
    assert not store.root.exists()


def test_all_is_on_the_disk_before_it_is_shown(store, elsewhere, monkeypatch):
    """Every file and folder, in any order; then the rename; then the folders above, in any order."""
    events: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> Path:
        events.append(f"-> {target.name}")
        return real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    directory = fill(store.new_directory(), {"a": b"a", "deep/b": b"b"})
    monkeypatch.setattr(Path, "rename", rename)
    store.save(KEY, directory)
    shown = events.index("-> s000012-a1")
    assert sorted(events[:shown]) == sorted(["a", "b", MANIFEST, "nothing in it", "deep", directory.name])
    assert sorted(events[shown + 1 :]) == sorted(["t00042", "study-3", "checkpoints", store.root.parent.name])


def test_a_file_that_the_disk_refuses_is_told_though_the_others_are_flushed(store, monkeypatch):
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    directory = fill(store.new_directory(), {"a": b"a", "b": b"b", "c": b"c"})
    with pytest.raises(CheckpointNotSaved, match="cannot be written"):
        store.save(KEY, directory)
    assert store.keys() == {}


def test_a_checkpoint_is_saved_where_no_more_threads_can_be_started(store, monkeypatch):
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    directory = fill(store.new_directory(), {"a": b"a", "deep/b": b"b"})
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        store.save(KEY, directory)
    assert files(store.load(KEY)) == {"a": b"a", "deep/b": b"b"}


# ------------------------------------------------------------------------------------------------ what is left behind


def abandoned(store: DirectoryStore, boot: str) -> Path:
    slot = store.root / ".writing" / f"{boot}.1234.abcdef"
    fill(slot)
    slot.with_name(slot.name + ".lock").touch()
    return slot


def test_live_writers_keep_their_directories(store):
    mine = fill(store.new_directory())
    again = DirectoryStore(store.root)
    again.sweep()
    again.new_directory()
    assert files(mine) == CONTENT
    store.save(KEY, mine)


def test_another_process_keeps_its_directory_as_long_as_it_lives(store):
    code = f"""
import sys
from honed.checkpoints.directory import DirectoryStore
sys.stdout.write(str(DirectoryStore({str(store.root)!r}).new_directory()) + "\\n")
sys.stdout.flush()
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout is not None
        slot = Path(other.stdout.readline().strip())
        (slot / "half").write_text("made")
        store.sweep()
        assert (slot / "half").exists()
        other.kill()
        other.wait()
        assert store.keys() == {}  # who looks tidies up
        assert leftovers(store) == []


def test_what_a_dead_process_of_this_machine_left_goes_at_once(store):
    abandoned(store, boot_id())
    fill(store.root / ".writing" / f"{boot_id()}.1.no-lock")
    directory = store.new_directory()
    assert leftovers(store) == [directory.name, f"{directory.name}.lock"]


def test_what_another_machine_has_there_stays_for_a_day(store):
    slot = abandoned(store, "another-boot")
    store.sweep()
    assert files(slot) == CONTENT
    for path in (slot.with_name(slot.name + ".lock"), *slot.rglob("*"), slot):
        os.utime(path, (1e9, 1e9))
    (slot / "model.pt").touch()  # it still writes
    store.sweep()
    assert files(slot)
    os.utime(slot / "model.pt", (1e9, 1e9))
    store.sweep()
    assert leftovers(store) == []


def test_a_file_system_without_locks(store, monkeypatch):
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    slot = abandoned(store, boot_id())
    store.save(KEY, fill(store.new_directory()))
    assert files(store.load(KEY)) == CONTENT
    assert files(slot) == CONTENT  # who knows


def test_a_directory_that_is_not_needed_may_be_removed(store):
    first = store.new_directory()
    first.rmdir()
    second = store.new_directory()
    assert leftovers(store) == [second.name, f"{second.name}.lock"]


def test_nothing_to_flush_is_no_error() -> None:
    sync_all((), ())
