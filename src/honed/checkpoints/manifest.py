"""The list of a checkpoint's files, by which it is known to be whole.

The manifest is the last file written into a directory. It is JSON: the format, the key, the step, every file with its size
and its BLAKE2b digest, and the digest of all this. There is one way to write it down, so a single changed bit anywhere, in the
files or in the manifest itself, is seen.

Only what lies in the directory counts: names are compared with what a walk finds there, and links are refused. A crafted
manifest can name files elsewhere and will not find them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from honed.checkpoints.base import parse_key
from honed.errors import CheckpointDamaged, CheckpointTooNew

MANIFEST = "honed-manifest.json"
FORMAT = 1
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}
"""Some file systems do not sync folders: they need not. Some folders above ours may not be opened."""

_AT_ONCE = 16  # threads that wait for the disk

# ------------------------------------------------------------------------------------------------------- writing


def seal(directory: Path, key: str) -> None:
    """Writes the manifest of a finished directory; every file and folder in it survives a power loss from now on.

    Raises:
        ValueError: something in it is neither a file nor a folder (``replace_links`` comes before).
    """
    path = directory / MANIFEST
    path.unlink(missing_ok=True)  # one that came along with files of an older checkpoint
    names, folders = listing(directory)
    files = {name: _entry(directory / name) for name in names}
    body = {"format": FORMAT, "key": key, "step": parse_key(key).step, "files": files, "folders": folders}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(written(body))
    sync_all([*(directory / name for name in names), path], [directory / folder for folder in [*folders, "."]])


def written(body: Mapping[str, Any]) -> bytes:
    """The one way to write a manifest down, closed with the digest of what stands above it."""
    closed = {**body, "digest": hashlib.blake2b(_canonical(body), digest_size=32).hexdigest()}
    return _canonical(closed)


def _canonical(body: Mapping[str, Any]) -> bytes:
    return (json.dumps(body, indent=1) + "\n").encode("ascii")


def _entry(path: Path) -> dict[str, Any]:
    """Size and digest of a file."""
    with path.open("rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "blake2b": _digest(file)}


def _digest(file: Any) -> str:
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def replace_links(directory: Path) -> None:
    """Puts copies in the place of links to files (``last.ckpt``): their targets are not the checkpoint's to keep.

    Raises:
        ValueError: a link to a folder or to nothing.
    """
    for path, mode in walk(directory):
        if not stat.S_ISLNK(mode):
            continue
        if not path.is_file():
            raise ValueError(f"{path} is a link to a folder or to nothing; a checkpoint holds files. Copy it instead")
        copy = path.with_name(f"{path.name}.copy-{os.getpid()}")
        try:
            shutil.copyfile(path, copy)
            copy.replace(path)
        finally:
            copy.unlink(missing_ok=True)


def sync_all(files: Sequence[Path], folders: Sequence[Path]) -> None:
    """Makes files, and the names in folders, survive a power loss.

    All at once: file systems with a journal commit what waits together, where one after the other each waits for a commit.
    """
    todo = [*((_sync_file, path) for path in files), *((sync_folder, path) for path in folders)]
    try:
        with ThreadPoolExecutor(min(max(len(todo), 1), _AT_ONCE), "honed-sync") as pool:
            for done in [pool.submit(sync, path) for sync, path in todo]:
                done.result()
    except RuntimeError:  # no thread can be started: there are too many, or the interpreter is about to end
        for sync, path in todo:
            sync(path)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power loss."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


# ------------------------------------------------------------------------------------------------------- reading


def verify(directory: Path, key: str) -> None:
    """Whether a directory holds, bit for bit, what was saved under that key. Files that came later are left alone.

    Raises:
        CheckpointDamaged, CheckpointTooNew: it does not.
        FileNotFoundError: there is no such directory.
    """
    os.stat(directory)
    body = _read(directory / MANIFEST, key)
    if body["key"] != key:
        raise CheckpointDamaged(key, f"its manifest belongs to {body['key']}")
    try:
        names, folders = listing(directory)
    except ValueError as error:
        raise CheckpointDamaged(key, str(error)) from error
    missing = sorted({*body["files"], *body["folders"]} - {*names, *folders})
    if missing:
        raise CheckpointDamaged(key, f"{missing[0]} is missing")
    for name, entry in body["files"].items():
        _compare(directory / name, name, entry, key)


def _compare(path: Path, name: str, entry: Mapping[str, Any], key: str) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry["bytes"]:
            raise CheckpointDamaged(key, f"{name} has {size} bytes instead of {entry['bytes']}")
        if _digest(file) != entry["blake2b"]:
            raise CheckpointDamaged(key, f"the content of {name} has changed")


def _read(path: Path, key: str) -> dict[str, Any]:
    """The manifest without its digest, which fits."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise CheckpointDamaged(key, f"{MANIFEST} is no file")
        raw = path.read_bytes()
    except FileNotFoundError:
        os.stat(path.parent)  # the whole checkpoint was removed meanwhile: the caller's FileNotFoundError
        raise CheckpointDamaged(key, f"{MANIFEST} is missing") from None
    try:
        body = json.loads(raw)
        del body["digest"]
        fits = written(body) == raw
    except (ValueError, TypeError, KeyError, RecursionError):
        fits = False
    if not fits:
        raise CheckpointDamaged(key, f"{MANIFEST} has changed")
    version = body.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointTooNew(
            f"The checkpoint {key} was written by a later version of honed (format {version}, this one knows "
            f"{FORMAT}). Upgrade with: pip install -U honed"
        )
    if version != FORMAT or not _is_sound(body):
        raise CheckpointDamaged(key, f"{MANIFEST} lacks what it must say")
    return body  # type: ignore[no-any-return]


def _is_sound(body: Mapping[str, Any]) -> bool:
    files, folders = body.get("files"), body.get("folders")
    return (
        isinstance(body.get("key"), str)
        and isinstance(folders, list)
        and all(isinstance(folder, str) for folder in folders)
        and isinstance(files, dict)
        and all(isinstance(entry, dict) and {"bytes", "blake2b"} <= entry.keys() for entry in files.values())
    )


def listing(directory: Path) -> tuple[list[str], list[str]]:
    """Names of all files, without the manifest, and of all folders, relative and sorted.

    Raises:
        ValueError: something is neither.
    """
    files, folders = [], []
    for path, mode in walk(directory):
        name = path.relative_to(directory).as_posix()
        if stat.S_ISDIR(mode):
            folders.append(name)
        elif not stat.S_ISREG(mode):
            raise ValueError(f"{name} is neither a file nor a folder; a checkpoint holds nothing else")
        elif name != MANIFEST:
            files.append(name)
    return sorted(files), sorted(folders)


def walk(directory: Path) -> Iterator[tuple[Path, int]]:
    """Everything below a directory with its mode, links not followed."""
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        yield Path(entry.path), mode
        if stat.S_ISDIR(mode):
            yield from walk(Path(entry.path))
