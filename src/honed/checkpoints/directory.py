"""Checkpoints as directories under a root, on a local or a shared disk.

::

    root/study-3/t00042/s000012-a1/honed-manifest.json, ...      a checkpoint
    root/.writing/<boot>.<process>.<token>/                      one that is being made, or removed
    root/.writing/<boot>.<process>.<token>.lock

A checkpoint is made in ``.writing``: the manifest is the last file, then all files and folders are flushed, then one rename
shows all of it, and the folders above are flushed. It is removed the other way round: one rename hides it. Whoever dies in
between leaves something in ``.writing`` only, where the next process finds it.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from honed.checkpoints import slots
from honed.checkpoints.base import parse_key
from honed.checkpoints.manifest import MANIFEST, replace_links, seal, sync_all, verify, walk
from honed.errors import CheckpointDamaged, CheckpointError, CheckpointExists, CheckpointNotFound, CheckpointNotSaved

_WRITING = ".writing"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY}


class DirectoryStore:
    """Keeps checkpoints in a folder; it is made when the first one is saved.

    Args:
        root: the folder. Storages must not share one: their studies bear the same ids.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))
        self._writing = self.root / _WRITING
        self._has_swept = False
        self._is_root_synced = False
        self._given: set[Path] = set()  # from new_directory
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"DirectoryStore({str(self.root)!r})"

    def new_directory(self) -> Path:
        try:
            self._sweep_once()
            slot = slots.make_slot(self._writing)
        except OSError as error:
            raise self._not_saved("No checkpoint can be made", error) from error
        with self._lock:
            gone = {given for given in self._given if not given.exists()}  # saved, or removed by who had it
            self._given = (self._given - gone) | {slot}
        for given in gone:
            slots.release(given)
        return slot

    def save(self, key: str, directory: Path) -> None:
        place, source = self._place(key), Path(os.path.abspath(directory))
        if not source.is_dir() or source.is_symlink():
            raise ValueError(f"save({key!r}, {str(directory)!r}): there is no such directory")
        try:
            if place.exists():
                raise self._exists(key)
            replace_links(source)
            slot = source if slots.is_own(source) else self._take(source)
            self._publish(slot, source, key)
        except OSError as error:
            raise self._not_saved(f"The checkpoint {key} was not saved", error) from error

    def load(self, key: str) -> Path:
        place = self._place(key)
        try:
            verify(place, key)
        except FileNotFoundError:
            if place.is_dir():
                raise CheckpointDamaged(key, "a file vanished while it was read") from None
            raise CheckpointNotFound(key, self.root) from None
        except NotADirectoryError:
            raise CheckpointDamaged(key, "it is no directory") from None
        except OSError as error:
            if error.errno == errno.EIO:
                raise CheckpointDamaged(key, f"the disk cannot read it ({error})") from error
            raise CheckpointError(f"The checkpoint {key} cannot be read: {error}") from error
        return place

    def delete(self, key: str) -> None:
        place = self._place(key)
        if not place.exists():
            return
        slot = slots.unowned_slot(self._writing)
        try:
            slots.make_folder(self._writing)
            place.rename(slot)  # nobody sees half of the checkpoint; this needs no space on a full disk
        except FileNotFoundError:
            return  # somebody else was faster
        except OSError as error:
            raise CheckpointError(f"The checkpoint {key} in {self.root} cannot be removed: {error}") from error
        shutil.rmtree(slot, ignore_errors=True)
        for folder in (place.parent, place.parent.parent):
            try:
                folder.rmdir()
            except OSError:  # other checkpoints are in it
                break

    def keys(self) -> Mapping[str, int]:
        self.sweep()  # who asks for all of them is about to tidy up
        found = {}
        for path in sorted(self.root.glob("study-*/t*/s*-a*")):
            key = path.relative_to(self.root).as_posix()
            try:
                parse_key(key)
                found[key] = sum(entry.stat().st_size for entry, _ in walk(path) if entry.is_file())
            except (ValueError, FileNotFoundError, NotADirectoryError):  # not one of ours; removed meanwhile
                continue
        return found

    def free_bytes(self) -> int:
        """Free space on the disk, for this user."""
        folder = self.root
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def sweep(self) -> None:
        """Removes what crashed processes have left half-made or half-removed; live ones keep theirs."""
        slots.sweep(self._writing)

    # ---------------------------------------------------------------------------------------------------- helpers

    def _place(self, key: str) -> Path:
        parse_key(key)
        return self.root / key

    def _sweep_once(self) -> None:
        with self._lock:
            has_swept, self._has_swept = self._has_swept, True
        if not has_swept:
            self.sweep()

    def _take(self, source: Path) -> Path:
        """Moves a directory from elsewhere into a slot of ours, or copies it from another file system."""
        self._sweep_once()
        slot = slots.reserve_slot(self._writing)
        try:
            source.rename(slot)
        except OSError as error:
            try:
                if error.errno not in {errno.EXDEV, errno.EPERM, errno.EACCES}:
                    raise
                shutil.copytree(source, slot)
            except BaseException:
                slots.release(slot)
                raise
        return slot

    def _publish(self, slot: Path, source: Path, key: str) -> None:
        """From a slot to a checkpoint; on an error the directory goes back to where it came from."""
        try:
            seal(slot, key)
            self._show(slot, key)
        except BaseException:
            if slot != source:
                if not source.exists():
                    (slot / MANIFEST).unlink(missing_ok=True)
                    slot.rename(source)
                slots.release(slot)
            raise
        slots.release(slot)
        if source.exists():  # it was copied
            shutil.rmtree(source, ignore_errors=True)

    def _show(self, slot: Path, key: str) -> None:
        place = self._place(key)
        above = (place.parent, place.parent.parent, self.root)
        # Whoever makes a folder makes its name survive a power loss; the names of those that are there do.
        fresh = [folder.parent for folder in (place, *above[:2]) if not folder.is_dir()]
        fresh += [] if self._is_root_synced else [self.root.parent]
        while True:
            slots.make_folder(place.parent)
            try:
                slot.rename(place)
                break
            except FileNotFoundError:  # the folder was empty, and whoever emptied it removed it just now
                fresh = [*above, self.root.parent]
                if not slot.exists():
                    raise
            except OSError as error:
                if error.errno in _TAKEN:
                    raise self._exists(key) from error
                raise
        try:
            sync_all((), fresh)
        except OSError:
            place.rename(slot)
            raise
        self._is_root_synced = True

    def _exists(self, key: str) -> CheckpointExists:
        return CheckpointExists(f"There is a checkpoint {key} in {self.root} already, and checkpoints never change.")

    def _not_saved(self, what: str, error: OSError) -> CheckpointNotSaved:
        if error.errno in _FULL:
            return CheckpointNotSaved(
                f"{what}: the disk of {self.root} is full ({error.strerror}). Checkpoints that were there are "
                "untouched. Free some space, or set a smaller disk budget for checkpoints."
            )
        return CheckpointNotSaved(f"{what}: {self.root} cannot be written ({error}).")
