"""Results that could not be told because the storage was away: files beside the checkpoints, merged by the next run.

A file holds one update and says which study, trial and attempt it belongs to. It counts as the late result that it is: where
another worker has taken the trial over meanwhile, the storage refuses it, and the file is put aside.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from honed.checkpoints.base import CheckpointStore
from honed.errors import StaleLease, StorageError, TrialNotFound
from honed.events import Listener, Notice
from honed.records import StudyRecord, Update
from honed.storage.base import Storage
from honed.storage.wire import Reader, update_to_json

_PREFIX, _SUFFIX = "honed-pending-", ".json"


class Link(Protocol):
    """What is needed of a connection to a study."""

    storage: Storage
    checkpoints: CheckpointStore
    study: StudyRecord
    listen: Listener


def keep(link: Link, number: int, attempt: int, update: Update) -> str:
    """Puts a result into a file; returns a sentence for the user that says where it is."""
    study = link.study
    kept = {"study": _identity(study), "number": number, "attempt": attempt, "update": update_to_json(update)}
    text = json.dumps(kept)
    mark = hashlib.blake2b(json.dumps(kept["study"]).encode(), digest_size=4).hexdigest()  # folders may be shared
    name = f"{_PREFIX}{study.id}-t{number:05d}-a{attempt}-{mark}{_SUFFIX}"
    for folder in _folders(link):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / name, text)
        except OSError:
            continue
        return f"The result of trial {number} is kept in {folder / name}; the next run of this study on this machine merges it."
    return f"The result of trial {number} could not be kept in a file, either; this is it: {text}"


def merge(link: Link) -> int:
    """Tells the storage what earlier runs of this study on this machine could not tell.

    Call it before lost trials are claimed. What still cannot be told stays where it is.

    Returns:
        How many results were merged.
    """
    n_merged = 0
    for path in list(_waiting(link)):
        with contextlib.suppress(FileNotFoundError), _locked(path) as is_mine:
            n_merged += is_mine and _merge_one(link, path)
    return n_merged


def _merge_one(link: Link, path: Path) -> bool:
    try:
        kept: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept["study"] != _identity(link.study):
            return False
        number, attempt, update = int(kept["number"]), int(kept["attempt"]), Reader().update(kept["update"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        _notice(link, "warning", f"{path} holds no result that can be read ({error}); it is left where it is.")
        return False
    try:
        _tell(link, number, attempt, update)
    except (StaleLease, TrialNotFound) as error:
        aside = path.with_suffix(".superseded")
        path.rename(aside)
        _notice(
            link, "warning", f"The result of trial {number} that was kept in a file came too late: {error} See {aside}."
        )
        return False
    except StorageError as error:
        _notice(link, "warning", f"The result of trial {number} is still kept in {path}: {error}")
        return False
    path.unlink(missing_ok=True)
    _notice(link, "info", f"The result of trial {number}, kept in {path.name} while the storage was away, is merged.")
    return True


def _tell(link: Link, number: int, attempt: int, update: Update) -> None:
    try:
        link.storage.write(link.study.id, number, attempt, update)
    except ValueError:  # the trial was given back afterwards, and nobody has gone on with it
        claimed = link.storage.claim(link.study.id, number, worker="kept result")
        if claimed is None:
            raise StaleLease(number, attempt) from None
        link.storage.write(link.study.id, number, claimed.attempt, update)


def _folders(link: Link) -> list[Path]:
    """Where results are kept: beside the checkpoints where those are in a folder, else where the program runs."""
    root = getattr(link.checkpoints, "root", None)
    folders = [root] if isinstance(root, Path) else []
    with contextlib.suppress(OSError):  # where the program runs may be gone
        folders.append(Path.cwd())
    return folders


def _waiting(link: Link) -> Iterator[Path]:
    for folder in _folders(link):
        with contextlib.suppress(OSError):
            yield from sorted(folder.glob(f"{_PREFIX}{link.study.id}-*{_SUFFIX}"))


def _identity(study: StudyRecord) -> dict[str, Any]:
    """What tells a study from one of the same name in another storage."""
    created = None if study.created is None else study.created.isoformat()
    return {"name": study.name, "id": study.id, "seed": study.seed, "created": created}


def _write(path: Path, text: str) -> None:
    """All or nothing, and there after a power loss."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether nobody else merges this file now."""
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield path.exists()


def _notice(link: Link, level: Any, text: str) -> None:
    link.listen(Notice(level=level, text=text))
