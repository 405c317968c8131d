"""A writer is killed before and after every system call of a save: nobody ever sees half a checkpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from honed.checkpoints.base import checkpoint_key
from honed.checkpoints.directory import DirectoryStore
from honed.errors import CheckpointNotFound

OLD, NEW = checkpoint_key(1, 2, 3, 1), checkpoint_key(1, 2, 4, 1)
CONTENT = {"model.pt": b"weights" * 500, "sub/optimizer.pt": b"moments"}

# Forks one child for each n; the child dies by SIGKILL at the n-th call of anything that changes a disk.
KILLER = """
import builtins, io, os, shutil, signal, sys
from pathlib import Path
from honed.checkpoints.directory import DirectoryStore

action, root, old, new = sys.argv[1:]
VERBS = "fsync mkdir rename replace unlink rmdir open close write sendfile utime link symlink".split()

def die_at(n):
    calls = iter(range(10**6))
    def wrapped(real):
        def function(*arguments, **keywords):
            if next(calls) == n:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = real(*arguments, **keywords)
            if next(calls) == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        return function
    for verb in VERBS:
        setattr(os, verb, wrapped(getattr(os, verb)))
    Path.open, io.open = wrapped(Path.open), wrapped(io.open)

def work(store, content):
    if action == "delete":
        return store.delete(old)
    directory = store.new_directory() if action == "new" else Path(root + "-elsewhere")
    for name, data in content.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    if action == "copy":
        rename = os.rename
        def from_another_disk(source, target):
            if str(source) == str(directory):
                raise OSError(18, "Invalid cross-device link")
            return rename(source, target)
        os.rename = from_another_disk
    store.save(new, directory)

def child(n):
    pid = os.fork()
    if not pid:
        die_at(n)
        work(DirectoryStore(root), {"model.pt": b"weights" * 500, "sub/optimizer.pt": b"moments"})
        os._exit(0)
    return os.waitpid(pid, 0)[1]

for n in map(int, sys.stdin):
    sys.stdout.write(f"{child(n)}\\n")
    sys.stdout.flush()
"""


def content_of(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("honed-"))
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def content_or_none(store: DirectoryStore, key: str) -> dict[str, bytes] | None:
    """What is saved under a key: any damage raises."""
    try:
        return content_of(store.load(key))
    except CheckpointNotFound:
        return None


def save(store: DirectoryStore, key: str) -> None:
    directory = store.new_directory()
    for name, data in CONTENT.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    store.save(key, directory)


@pytest.mark.parametrize("action", ["new", "move", "copy", "delete"])
def test_killed_at_every_point(tmp_path, action):
    root = tmp_path / "root"
    command = [sys.executable, "-c", KILLER, action, str(root), OLD, NEW]
    outcomes: set[bool] = set()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        for n in range(1000):
            if content_or_none(DirectoryStore(root), OLD) is None:
                save(DirectoryStore(root), OLD)
            killer.stdin.write(f"{n}\n")
            killer.stdin.flush()
            status = int(killer.stdout.readline())
            assert status in {0, 9}
            outcomes.add(see_what_is_there(root, action, finished=not status))
            if not status:
                break
        killer.stdin.close()
    assert n > 15, "the child met too few of the calls that it should die at"
    assert outcomes == {True, False}


def see_what_is_there(root: Path, action: str, *, finished: bool) -> bool:
    """Checks a root after a death and tidies up; returns whether the action has taken place."""
    store = DirectoryStore(root)
    old, new = content_or_none(store, OLD), content_or_none(store, NEW)
    assert old == CONTENT or (old is None and action == "delete")
    assert new == CONTENT or new is None
    is_done = old is None if action == "delete" else new is not None
    assert is_done or not finished
    assert store.keys().keys() == {key for key, content in ((OLD, old), (NEW, new)) if content}
    store.sweep()  # the dead one's lock is free, so all that it left is removed
    assert not list((root / ".writing").iterdir())
    store.delete(NEW)
    return is_done
