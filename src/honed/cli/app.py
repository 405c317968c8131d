"""The command group: common options, errors as one line, exit codes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import click

from honed.errors import HonedError, StorageError, StudyNotFound, TrialNotFound, closest

EXIT_FAILED = 1
EXIT_NOT_FOUND = 3
EXIT_INTERRUPTED = 130

Command = Callable[..., Any]


class _Commands(click.Group):
    """A group that loads its commands when they are needed and proposes the closest name for a wrong one."""

    HOMES: ClassVar[dict[str, str]] = {
        "run": "running",
        "studies": "looking",
        "show": "looking",
        "best": "looking",
        "explain": "explaining",
        "export": "export",
        "delete": "caring",
        "doctor": "caring",
        "storage": "storing",
        "serve": "serving",
        "launch": "launching",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.HOMES:
            return None
        import importlib

        module = importlib.import_module(f"honed.cli.{self.HOMES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.HOMES and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}.{closest(args[0], self.HOMES)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="honed", message="honed %(version)s")
def app() -> None:
    """Hyperparameter optimization that pauses, resumes and learns from every learning curve.

    \b
    honed run train.py --trials 50     tune objective(trial) of train.py
    honed studies                      what is in ./honed.db
    honed show mnist                   its best trials
    honed export mnist -o trials.csv   take the results out

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing of that name or storage unusable, 130 interrupted.
    """  # noqa: D301  (click wants the character)


def storage_option(command: Command) -> Command:
    """``--storage``, with the environment's HONED_STORAGE behind it."""
    return click.option(
        "--storage",
        "-s",
        envvar="HONED_STORAGE",
        default="honed.db",
        show_default=True,
        metavar="FILE|URL",
        help="File or URL that holds the studies (environment: HONED_STORAGE).",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs.")(command)


def plain_errors(command: Command) -> Command:
    """Turns honed's own errors into one line on stderr and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (StudyNotFound, TrialNotFound, StorageError) as error:
            fail(str(error), EXIT_NOT_FOUND)
        except (HonedError, ValueError, TypeError) as error:
            fail(str(error), EXIT_FAILED)

    return wrapped


def fail(text: str, code: int) -> None:
    """Ends the command with one line on stderr."""
    click.echo(f"honed: {text}", err=True)
    sys.exit(code)
