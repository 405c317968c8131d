"""Studies from one storage into another, exactly; and a copy of a whole storage in one file while workers go on.

A copy is a reading, which is a snapshot, and one transaction of the target: it is there as a whole, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from honed.errors import StorageError, StudyNotFound
from honed.records import Report, State, StudyRecord, TrialRecord
from honed.storage.base import Storage
from honed.storage.filesystem import sync_folder
from honed.storage.restoring import name_taken
from honed.storage.sqlite import SQLiteStorage
from honed.storage.url import describe


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied of one study.

    Attributes:
        n_running: trials that were running; in the copy they count as interrupted.
        n_checkpoints: trials that name a checkpoint, which is not copied.
    """

    name: str
    new_name: str
    n_trials: int
    n_reports: int
    n_running: int
    n_checkpoints: int


def chosen(
    source: Storage, names: Sequence[str] = (), renames: Mapping[str, str] | None = None
) -> list[tuple[StudyRecord, str]]:
    """Studies and the names that their copies get.

    Args:
        source: where they are.
        names: of the studies; all by default.
        renames: name -> name of the copy.

    Raises:
        StudyNotFound: there is no such study.
        ValueError: one that is not copied is renamed.
    """
    renames = renames or {}
    there = {record.name: record for record in source.studies()}
    for name in (*names, *renames):
        if name not in there:
            raise StudyNotFound(name, describe(source), there)
    for name in renames:
        if names and name not in names:
            raise ValueError(f"--rename {name}=...: study {name!r} is not copied; add --study {name}")
    return [(there[name], renames.get(name, name)) for name in (dict.fromkeys(names) if names else there)]


def copy_studies(source: Storage, target: Storage, studies: Sequence[tuple[StudyRecord, str]]) -> list[Copied]:
    """Copies studies with numbers, times, attempts and all; RUNNING trials become lost ones, which anybody may claim.

    Args:
        source: is only read.
        target: a file, a memory storage or PostgreSQL.
        studies: what ``chosen`` gives.

    Raises:
        ValueError: the target has a study of that name; nothing was copied.
        StorageError: the target is no storage that can be written like that.
    """
    restore: Any = getattr(target, "restore", None)
    if restore is None:
        raise StorageError(
            f"{describe(target)} takes new trials, but no copies of old ones with their times and attempts. Copy into the file "
            "or database itself, on the machine where `honed serve` runs."
        )
    taken = {record.name for record in target.studies()}
    for _, name in studies:
        if name in taken:
            raise ValueError(name_taken(name, describe(target)))
        taken.add(name)
    return [_copied(source, restore, record, name) for record, name in studies]


def whole(storage: Storage, study: int) -> tuple[StudyRecord, tuple[TrialRecord, ...]]:
    """A study and all its trials with their reports, by their last change."""
    delta = storage.read(study)
    reports: dict[int, list[Report]] = {}
    for report in delta.reports:
        reports.setdefault(report.number, []).append(report)
    assert delta.study is not None  # in every first delta
    trials = (
        trial.with_reports(tuple(sorted(reports.get(trial.number, ()), key=lambda report: report.step)))
        for trial in delta.trials
    )
    return delta.study, tuple(trials)


def backup(storage: Storage, path: Path, *, force: bool = False) -> None:
    """Makes an SQLite file with all that the storage has now; workers go on meanwhile.

    It is written aside, brought to the disk and renamed: a file of that name is whole.

    Args:
        storage: of any kind; a file is copied page by page, all others study by study.
        path: of the new file.
        force: replace what is there.

    Raises:
        ValueError: there is such a file.
        StorageError: it cannot be written.
    """
    _check_free(path, force=force)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if isinstance(storage, SQLiteStorage):
            _copy_pages(storage.path, part)
        else:
            with tempfile.TemporaryDirectory(prefix="honed-") as folder:
                target = SQLiteStorage(Path(folder) / "honed.db", durability="fast")
                with contextlib.closing(target):
                    copy_studies(storage, target, chosen(storage))
                    _copy_pages(target.path, part)
        _publish(part, path, force=force)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _copied(source: Storage, restore: Any, record: StudyRecord, name: str) -> Copied:
    study, trials = whole(source, record.id)
    restore(replace(study, name=name), trials)
    return Copied(
        name=record.name,
        new_name=name,
        n_trials=len(trials),
        n_reports=sum(len(trial.reports) for trial in trials),
        n_running=sum(trial.state is State.RUNNING for trial in trials),
        n_checkpoints=sum(trial.checkpoint is not None for trial in trials),
    )


def _check_free(path: Path, *, force: bool) -> None:
    if not path.parent.is_dir():
        raise StorageError(f"{path}: the folder {path.parent} does not exist. Create it first: mkdir -p {path.parent}")
    if path.exists() and not force:
        raise ValueError(f"{path} is there already; name another file, or replace it with --force")
    log = path.with_name(path.name + "-wal")
    if log.exists():  # SQLite would play that log into the new file
        raise StorageError(f"{path} is in use, or was not closed ({log.name} lies beside it); name another file.")


def _copy_pages(source: Path, part: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as reading,
        contextlib.closing(sqlite3.connect(part)) as writing,
    ):
        try:
            reading.backup(writing)
        except sqlite3.Error as error:
            raise StorageError(f"{source} cannot be copied: {error}.") from error


def _publish(part: Path, path: Path, *, force: bool) -> None:
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if force:
        part.replace(path)
    else:
        try:
            os.link(part, path)  # unlike a rename it never replaces what came meanwhile
        except FileExistsError:
            raise ValueError(f"{path} is there already; name another file, or replace it with --force") from None
        except OSError:  # a file system without links
            part.replace(path)
    sync_folder(path.parent)
