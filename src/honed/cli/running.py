"""``honed run FILE:objective``: tune a function of a script, without changing the script."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from honed.auto import named
from honed.cli.app import EXIT_FAILED, EXIT_INTERRUPTED, fail, json_option, storage_option
from honed.cli.looking import trial_json
from honed.durations import seconds
from honed.errors import GpusTaken, StorageError, StudyMismatch, TooManyFailures, closest
from honed.events import Event, RunEnded
from honed.opening import create_study
from honed.schedulers.named import named as scheduler_named
from honed.supervisor.parcel import by_value
from honed.supervisor.settings import Workers, trial_limits

EXIT_STORAGE = 3


@click.command()
@click.argument("target", metavar="FILE[:OBJECTIVE]")
@click.option("--trials", "-n", type=click.IntRange(min=1), help="Total of the study, over all runs and workers.")
@click.option("--more", type=click.IntRange(min=1), help="So many trials more than the study has.")
@click.option("--study", "name", help="Name of the study [default: the file's name].")
@storage_option
@click.option("--seed", type=click.IntRange(min=0), help="Of everything random, for a new study.")
@click.option("--sampler", default="auto", show_default=True, help="auto, random, grid, gp, tpe, cmaes, ...")
@click.option("--scheduler", default="auto", show_default=True, help="auto, asha, hyperband, median, ...")
@click.option("--direction", type=click.Choice(["minimize", "maximize"]), help="For a new study.")
@click.option("--metric", help="Name of the objective's metric, for example val_loss.")
@click.option("--summary", type=click.Choice(["best", "last", "mean"]), default="best", show_default=True,
              help="Which reported value of a training counts.")  # fmt: skip
@click.option("--workers", "-w", default="1", show_default=True, metavar="N|auto",
              help="Worker processes on this machine; auto: one for each GPU slot, or core.")  # fmt: skip
@click.option("--gpus-per-trial", type=click.FloatRange(min=0), default=0.0, metavar="SHARE",
              help="0.5: two trainings on a card; 2: two cards for a training.")  # fmt: skip
@click.option("--recycle-after", type=click.IntRange(min=1), metavar="N", help="A fresh process after N trials.")
@click.option("--total-steps", type=click.IntRange(min=1), help="Steps (epochs) of all trials together.")
@click.option("--gpu-hours", type=click.FloatRange(min=0), metavar="HOURS",
              help="Of training, all trials together, over all runs, times the cards of each.")  # fmt: skip
@click.option("--timeout", metavar="TIME", help="For this run: 45s, 20m, 8h, or seconds.")
@click.option("--trial-timeout", metavar="TIME", help="For one training; one that takes longer is killed.")
@click.option(
    "--no-report-timeout", metavar="TIME", help="Without a report or step of a training: it hangs, and is killed."
)
@click.option("--trial-memory", metavar="SIZE", help="Of one worker and its children, such as 8GB.")
@click.option("--grace", default="30s", show_default=True, metavar="TIME",
              help="For a training to end its step when the run is ended (SIGTERM, SIGUSR1).")  # fmt: skip
@click.option("--deterministic", is_flag=True, help="The same suggestions for any number of workers, in batches of 8.")
@click.option("--checkpoints", type=click.Path(path_type=Path), metavar="FOLDER",
              help="For the states of paused trainings; shared by all machines that join.")  # fmt: skip
@click.option("--target", "goal", type=float, help="End when a value at least as good is found.")
@click.option("--patience", type=click.IntRange(min=1), help="End after so many trials without a better value.")
@click.option("--until-converged", is_flag=True, help="End when a better value is hardly to be expected.")
@click.option("--tolerance", type=click.FloatRange(min=0, min_open=True), metavar="DIFFERENCE",
              help="With --until-converged: a difference that does not matter.")  # fmt: skip
@click.option("--on-error", type=click.Choice(["smart", "raise", "continue"]), default="smart", show_default=True)
@click.option("--durability", type=click.Choice(["full", "fast"]), default="full", show_default=True,
              help="full: told results survive power loss.")  # fmt: skip
@click.option("--progress", type=click.Choice(["auto", "live", "plain", "quiet"]), default="auto", show_default=True)
@json_option
def run(target: str, as_json: bool, **options: Any) -> None:
    """Tune the function OBJECTIVE (default: objective) of FILE.

    The same command run again goes on: same trial numbers, interrupted trials first, up to the total of --trials. Run
    it on several machines with one --storage and they share the study. With --json the best trial is printed instead of
    the report. A run ended by SIGTERM or SIGUSR1 saves its trainings, gives them back and exits with 0.
    """
    objective = load_objective(target)
    try:
        sampler = options["sampler"] if options["sampler"] == "auto" else named(options["sampler"])
        scheduler = options["scheduler"] if options["scheduler"] == "auto" else scheduler_named(options["scheduler"])
        workers = _workers(options["workers"], options["recycle_after"])
        times = {name: _time(options[name]) for name in ("timeout", "trial_timeout", "no_report_timeout", "grace")}
        limits = trial_limits(times["trial_timeout"], times["no_report_timeout"], options["trial_memory"])
        seconds(times["timeout"], "timeout")
        seconds(times["grace"], "grace")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if options["tolerance"] is not None and not options["until_converged"]:
        raise click.UsageError("--tolerance is for --until-converged")
    converged = options["until_converged"] and (options["tolerance"] or True)
    reasons: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, RunEnded):
            reasons.append(event.reason)

    try:
        study = create_study(
            options["name"] or Path(target.rpartition(":")[0] or target).stem,
            storage=options["storage"],
            direction=options["direction"],
            metric=options["metric"],
            seed=options["seed"],
            summary=options["summary"],
            durability=options["durability"],
            checkpoints=options["checkpoints"],
        )
        total = options["trials"]
        if options["more"] is not None:
            total = study.history.n_counted + options["more"]
        study.optimize(
            objective,
            sampler=sampler,
            scheduler=scheduler,
            n_trials=total,
            workers=workers,
            gpus_per_trial=options["gpus_per_trial"],
            deterministic=options["deterministic"],
            timeout=times["timeout"],
            total_steps=options["total_steps"],
            gpu_hours=options["gpu_hours"],
            trial_timeout=limits.seconds,
            no_report_timeout=limits.silent_seconds,
            trial_memory=limits.bytes,
            grace=times["grace"] or 0.0,
            target=options["goal"],
            patience=options["patience"],
            until_converged=converged,
            on_error=options["on_error"],
            progress=options["progress"],
            report=not as_json,
            on_event=listen,
        )
    except StorageError as error:
        fail(str(error), EXIT_STORAGE)
    except (TooManyFailures, StudyMismatch, GpusTaken) as error:
        fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on", EXIT_INTERRUPTED)
    if as_json:
        best = study.history.best
        result = {"study": study.name, "reason": reasons[-1], "best": None if best is None else trial_json(best)}
        click.echo(json.dumps(result))
    study.close()
    if reasons and reasons[-1] == "interrupted":
        sys.exit(128 + signal.SIGINT)


def _workers(text: str, recycle_after: int | None) -> int | Workers:
    n: Any = int(text) if text.isdecimal() else text
    workers = Workers(n, recycle_after=recycle_after)
    return 1 if workers == Workers(1) else workers


def _time(text: str | None) -> float | str | None:
    """A plain number is seconds."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def load_objective(target: str) -> Any:
    """The function that ``FILE[:OBJECTIVE]`` names.

    Raises:
        click.UsageError: there is no such file or function.
    """
    path, colon, name = target.rpartition(":")
    if not colon or not path or name.endswith(".py"):
        path, name = target, "objective"
    if not Path(path).is_file():
        raise click.UsageError(f"there is no file {path!r}; write honed run train.py or honed run train.py:objective")
    module = load_script(Path(path))
    if not callable(getattr(module, name, None)):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise click.UsageError(
            f"{path} has no function {name!r}.{closest(name, functions)} Write honed run {path}:FUNCTION."
        )
    return getattr(module, name)


def load_script(path: Path) -> ModuleType:
    """Imports a script by its path, under its own name, with its folder in front of the search path."""
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise click.UsageError(f"{str(path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    by_value(module)  # worker processes need not run the script again
    return module
