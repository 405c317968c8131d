"""``honed delete`` and ``honed doctor``: take a study away for good; look whether a storage is sound."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from honed.cli.app import EXIT_FAILED, EXIT_NOT_FOUND, fail, json_option, plain_errors, storage_option
from honed.clock import SYSTEM_CLOCK
from honed.errors import StorageError
from honed.opening import load_study
from honed.records import State
from honed.storage.base import Storage
from honed.storage.filesystem import network_kind
from honed.storage.hiding import hidden
from honed.storage.url import file_of, open_storage
from honed.study import Study


@click.command()
@click.argument("study")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@storage_option
@json_option
@plain_errors
def delete(study: str, yes: bool, storage: str, as_json: bool) -> None:
    """Remove a study with all its trials, for good."""
    found = load_study(study, storage=open_storage(storage))
    n_trials = len(found.history)
    if not yes and not click.confirm(f"Delete study {study!r} with {n_trials} trials?", err=True):
        fail("nothing was deleted", EXIT_FAILED)
    found.storage.delete_study(found.record.id)
    click.echo(
        json.dumps({"deleted": study, "n_trials": n_trials}) if as_json else f"Deleted {study!r}, {n_trials} trials."
    )


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's answer."""

    name: str
    ok: bool
    found: str


@click.command()
@storage_option
@json_option
@plain_errors
def doctor(storage: str, as_json: bool) -> None:
    """Check a storage: file system, locks, disk, integrity, interrupted trials. Exit code 1 if something is wrong."""
    path = file_of(storage)
    if path is not None and not path.exists():
        fail(f"{storage} does not exist; name another file with --storage", EXIT_NOT_FOUND)
    checks = list(_server_checks(storage) if path is None else _checks(path, storage))
    if as_json:
        shown = hidden(storage) if path is None else storage
        click.echo(json.dumps({"storage": shown, "ok": all(c.ok for c in checks), "checks": list(map(asdict, checks))}))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = click.style("ok   ", fg="green") if check.ok else click.style("WRONG", fg="red")
            click.echo(f"{mark} {check.name:<{width}}  {check.found}")
    if not all(check.ok for check in checks):
        sys.exit(EXIT_FAILED)


def _checks(path: Path, storage: str) -> Iterator[Check]:
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}"
    yield Check("versions", True, versions)
    kind = network_kind(path)
    yield Check("file system", kind is None, "local" if kind is None else f"{kind}: SQLite is not safe there")
    try:
        opened = open_storage(storage, read_only=True)
        studies = opened.studies()
    except StorageError as error:
        yield Check("file", False, str(error))
        return
    yield Check(
        "file", True, f"{path.stat().st_size:,} bytes, {len(studies)} stud{'y' if len(studies) == 1 else 'ies'}"
    )
    yield _integrity(path)
    yield _sync_speed(path.parent)
    if os.access(path, os.W_OK):
        yield _lock_speed(storage)
    yield from _trials(opened)


def _server_checks(storage: str) -> Iterator[Check]:
    """The same for a storage behind a URL."""
    yield Check("versions", True, f"Python {platform.python_version()}, {platform.system()}")
    try:
        opened = open_storage(storage, read_only=True)
    except StorageError as error:
        yield Check("server", False, str(error))
        return
    seconds = []
    for _ in range(10):
        begun = SYSTEM_CLOCK.monotonic()
        studies = opened.studies()
        seconds.append(SYSTEM_CLOCK.monotonic() - begun)
    n = len(studies)
    answered = f"{n} stud{'y' if n == 1 else 'ies'}, answers in {1e3 * statistics.median(seconds):.1f} ms"
    yield Check("server", True, answered)
    check = getattr(opened, "check", None)
    if check is not None:
        problems = check()
        yield Check("integrity", not problems, "; ".join(problems) or "ok")
    yield from _trials(opened)
    opened.close()


def _integrity(path: Path) -> Check:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    connection.close()
    return Check("integrity", found == ["ok"], "; ".join(found))


def _sync_speed(folder: Path) -> Check:
    """Median time until a small write is safe on the disk: the cost of a told result."""
    seconds = []
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            for _ in range(20):
                begun = SYSTEM_CLOCK.monotonic()
                file.write(b"honed" * 800)
                file.flush()
                os.fsync(file.fileno())
                seconds.append(SYSTEM_CLOCK.monotonic() - begun)
    except OSError as error:
        return Check("disk", False, f"cannot write beside the file: {error}")
    median = statistics.median(seconds)
    return Check(
        "disk", True, f"{1e3 * median:.2f} ms for a durable write, about {1 / median:,.0f} told trials/s at most"
    )


def _lock_speed(storage: str) -> Check:
    """How long a writer waits for its turn."""
    begun = SYSTEM_CLOCK.monotonic()
    try:
        writer = open_storage(storage)
        for study in writer.studies()[:1]:
            writer.create_study(study)  # an existing one: takes the lock, changes nothing
        writer.close()
    except StorageError as error:
        return Check("write lock", False, str(error))
    return Check("write lock", True, f"had after {1e3 * (SYSTEM_CLOCK.monotonic() - begun):.1f} ms")


def _trials(storage: Storage) -> Iterator[Check]:
    for record in storage.studies():
        history = Study(storage, record).history
        counts = ", ".join(f"{history.count(state)} {state}" for state in State if history.count(state)) or "no trial"
        lost = (
            f"; interrupted: {', '.join(map(str, history.lost))} (the next run goes on with them)"
            if history.lost
            else ""
        )
        yield Check(f"study {record.name!r}", True, counts + lost)
