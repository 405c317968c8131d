"""``honed storage``: copy studies, back a storage up, bring it up to date, check it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from honed.cli.app import EXIT_FAILED, EXIT_NOT_FOUND, fail, json_option, plain_errors, storage_option
from honed.clock import SYSTEM_CLOCK
from honed.errors import StorageDamaged, StorageError
from honed.storage.base import Storage
from honed.storage.copying import backup, chosen, copy_studies
from honed.storage.sqlite import SQLiteStorage
from honed.storage.url import address, beside, describe, file_of, open_storage


@click.group()
def storage() -> None:
    """Copy, back up, upgrade or check a storage."""


@contextlib.contextmanager
def _opened(target: str, *, read_only: bool = False) -> Iterator[Storage]:
    found = open_storage(target, read_only=read_only)
    try:
        yield found
    finally:
        found.close()


@storage.command()
@click.argument("source")
@click.argument("target")
@click.option("--study", "names", multiple=True, metavar="NAME", help="Only this study; may be given several times.")
@click.option("--rename", "renames", multiple=True, metavar="OLD=NEW", help="Another name in TARGET.")
@plain_errors
def copy(source: str, target: str, names: Sequence[str], renames: Sequence[str]) -> None:
    """Copy studies from SOURCE into TARGET, exactly.

    SOURCE and TARGET are files or URLs (postgresql://..., http://... as SOURCE only).
    """
    new_names = dict(map(_renaming, renames))
    with _opened(source, read_only=True) as old:
        studies = chosen(old, names, new_names)  # first: a wrong name shall make no target
        with _opened(target) as new:
            done = copy_studies(old, new, studies)
            for each in done:
                other = "" if each.new_name == each.name else f" as {each.new_name!r}"
                running = (
                    f"; {each.n_running} running, which count as interrupted in the copy" if each.n_running else ""
                )
                click.echo(f"Copied {each.name!r}{other}: {each.n_trials} trials, {each.n_reports} reports{running}.")
            if not done:
                click.echo(f"{describe(old)} has no study yet.")
            if any(each.n_checkpoints for each in done):
                click.echo(_checkpoints(old, new), err=True)


@storage.command("backup")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@storage_option
@plain_errors
def back_up(file: Path | None, force: bool, storage: str) -> None:
    """Copy a whole storage into FILE while workers go on; any kind of storage becomes one SQLite file.

    By default FILE lies beside the storage and bears the time.
    """
    with _opened(storage, read_only=True) as found:
        path = file or _dated(found)
        backup(found, path, force=force)
        click.echo(f"Backed up {describe(found)} to {path}, {path.stat().st_size:,} bytes.")
        if _has_checkpoints(found):
            click.echo(_checkpoints(found, None), err=True)


@storage.command()
@storage_option
@plain_errors
def upgrade(storage: str) -> None:
    """Bring a storage of an older honed up to date; a file is copied first."""
    path = file_of(storage)
    if path is None:
        with _opened(storage) as found:
            if getattr(found, "restore", None) is None:
                raise _behind_a_server(found)
            found.studies()
            click.echo(
                f"{describe(found)} is up to date; a database is brought there whenever it is opened for writing."
            )
        return
    if not path.exists():
        fail(f"{storage} does not exist; name another file with --storage", EXIT_NOT_FOUND)
    before = _schema(path)
    SQLiteStorage(path).close()
    after = _schema(path)
    if before in (0, after):
        click.echo(f"{storage} has schema {after}, the latest; nothing to do.")
    else:
        copied = path.with_name(f"{path.name}.schema-{before}.backup")
        click.echo(f"Brought {storage} from schema {before} to {after}; as it was before: {copied}")


@storage.command()
@storage_option
@json_option
@plain_errors
def check(storage: str, as_json: bool) -> None:
    """Check every page and row of a storage. Exit code 1 if something is wrong."""
    path = file_of(storage)
    if path is not None and not path.exists():
        fail(f"{storage} does not exist; name another file with --storage", EXIT_NOT_FOUND)
    problems = _problems(storage)
    if as_json:
        click.echo(json.dumps({"storage": storage, "ok": not problems, "problems": problems}))
    elif problems:
        for line in problems:
            click.echo(click.style("WRONG ", fg="red") + line)
        click.echo(
            f"{len(problems)} found. Copy the file before anything else; then restore a backup, or delete the study."
        )
    else:
        click.echo(f"{storage} is sound.")
    if problems:
        sys.exit(EXIT_FAILED)


def _problems(storage: str) -> list[str]:
    try:
        with _opened(storage, read_only=True) as found:
            check: Any = getattr(found, "check", None)
            if check is None:
                raise _behind_a_server(found)
            problems: list[str] = check()
            return problems
    except StorageDamaged as error:  # so badly that it cannot even be opened
        return [str(error)]


def _behind_a_server(found: Storage) -> StorageError:
    return StorageError(f"{describe(found)}: run this where `honed serve` runs, with the server's own --storage.")


def _renaming(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not (sign and old and new):
        raise ValueError(f"--rename {text} must be OLD=NEW: the name in SOURCE, then that in TARGET")
    return old, new


def _schema(path: Path) -> int:
    """The schema of a file, 0 for an empty one."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise StorageDamaged(f"{path} is no honed storage ({error}).") from error


def _dated(found: Storage) -> Path:
    time = SYSTEM_CLOCK.now().strftime("%Y%m%d-%H%M%S")
    if isinstance(found, SQLiteStorage):
        return found.path.with_name(f"{found.path.stem}-{time}{found.path.suffix}")
    return Path(f"honed-{time}.db")


def _has_checkpoints(found: Storage) -> bool:
    studies = found.studies()
    return any(trial.checkpoint for study in studies for trial in found.read(study.id).trials)


def _checkpoints(old: Storage, new: Storage | None) -> str:
    """Where the checkpoints lie that nobody copied."""
    to = "" if new is None or address(new) is None else f" to {beside(new)}"
    return f"Checkpoints are files and were not copied; to go on with paused trainings, copy {beside(old)}{to}."
