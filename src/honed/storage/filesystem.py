"""Whether a storage may lie at a path: what is refused before SQLite touches it, and with which advice."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

from honed.errors import NetworkFileSystem, StorageError, StorageReadOnly

MOUNTS = Path("/proc/mounts")
_NETWORK = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|afs|ceph|lustre|gpfs|mmfs|beegfs|fhgfs|glusterfs|orangefs|pvfs2?|panfs|wekafs|ncpfs|davfs"
    r"|coda|ocfs2|gfs2?"
    r"|fuse\.(sshfs|glusterfs|ceph|ceph-fuse|beegfs|lustre|s3fs|goofys|gcsfuse|rclone|juicefs|davfs2?|cvmfs2|smbnetfs|hdfs))"
)


def network_kind(path: Path) -> str | None:
    """The type of the network file system on which ``path`` lies, such as ``nfs4``; None on a local one."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # a system without that list
        return None
    place = Path(os.path.realpath(path))
    found, longest = "", -1
    for line in mounts:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1])
        if len(point) >= longest and place.is_relative_to(point):  # the last of equal ones lies on top
            found, longest = fields[2], len(point)
    return found if _NETWORK.fullmatch(found) else None


def check_local(path: Path, shown: str) -> None:
    """Whether SQLite is safe at that path.

    Raises:
        NetworkFileSystem: naming the ways out.
    """
    kind = network_kind(path)
    if kind is not None:
        raise NetworkFileSystem(
            f"{shown} would lie on a network file system ({kind}), where SQLite's locks and shared memory do not work and "
            f"files get damaged. Ways out: a path on a local disk, such as {_writable(path.name)}, when all workers run "
            "on this machine; for many machines a PostgreSQL storage (postgresql://user@host/database), or `honed serve` on one "
            "of them with a local disk."
        )


def check_place(path: Path, shown: str, *, read_only: bool) -> None:
    """Whether a file can be opened, or made, at that path.

    Raises:
        StorageError: it is a folder, or its folder does not exist.
        StorageReadOnly: it cannot be written.
    """
    folder = path.parent
    if path.is_dir():
        raise StorageError(f"{shown} is a folder; name a file in it: {Path(shown) / 'honed.db'}")
    if not folder.is_dir():
        raise StorageError(f"{shown}: the folder {folder} does not exist. Create it first: mkdir -p {folder}")
    if read_only:
        if not path.exists():
            raise StorageError(f"{shown} does not exist; there is nothing to read.")
        return
    blocked = path if path.exists() and not os.access(path, os.W_OK) else None
    if blocked is None and not os.access(folder, os.W_OK | os.X_OK):
        blocked = folder
    if blocked is not None:
        reading = " To look only, open it with read_only=True." if path.exists() else ""
        raise StorageReadOnly(
            f"{shown} cannot be written: no permission for {blocked}. Use another path, such as "
            f"{_writable(path.name)}.{reading}"
        )


def sync_folder(folder: Path) -> None:
    """Makes the names of new files in a folder survive a power loss."""
    with contextlib.suppress(OSError):  # some file systems do not sync folders: they need not
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _writable(name: str) -> Path:
    """A path on a local disk that this user can write."""
    folders = [Path.cwd(), Path.home(), Path(tempfile.gettempdir())]
    fit = (folder for folder in folders if os.access(folder, os.W_OK | os.X_OK) and network_kind(folder) is None)
    return next(fit, folders[-1]) / name
