"""``honed launch``: workers on a Ray cluster, under Slurm, in Kubernetes; and the keeper that batch systems start."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from honed.cli.app import EXIT_FAILED, EXIT_NOT_FOUND, fail, plain_errors, storage_option
from honed.cli.running import run
from honed.durations import seconds
from honed.errors import StorageError
from honed.launchers import kubernetes, slurm
from honed.launchers.command import Reach, Share, Work, handed_on, has_secret, reachable, standing
from honed.launchers.keeper import Keeper

EXIT_AGAIN = 75
"""What ``launch worker`` ends with when it was cut short and work is left: the batch system is to start it again."""

Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def launch() -> None:
    """Start workers on other machines; each pulls its trials from the storage.

    \b
    honed launch ray train.py --workers 8 --gpus-per-worker 1 --trials 200 --storage postgresql://me@db/tuning
    honed launch slurm train.py --workers 8 --time 4h --trials 200 --storage http://login1:8484
    honed launch k8s train.py --workers 8 --image me/train:1 --trials 200 | kubectl apply -f -

    Options of honed run follow after --, for example: -- --sampler random --metric val_loss
    """  # noqa: D301  (click wants the character)


def work_options(command: Command) -> Command:
    """What every engine needs to know."""
    options: list[Callable[[Command], Command]] = [
        click.argument("target", metavar="FILE[:OBJECTIVE]"),
        click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF HONED RUN]"),
        click.option("--trials", "-n", type=click.IntRange(min=1), required=True, help="Total, over all workers."),
        click.option("--study", help="Name of the study [default: the file's name]."),
        storage_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def share_options(command: Command) -> Command:
    """How many workers, and what each of them gets."""
    options: list[Callable[[Command], Command]] = [
        click.option("--workers", type=click.IntRange(min=1), required=True, help="How many to keep alive."),
        click.option("--gpus-per-worker", "gpus", type=click.FloatRange(min=0), default=0, show_default=True),
        click.option(
            "--cpus-per-worker", "cpus", type=click.FloatRange(min=0, min_open=True), default=1, show_default=True
        ),
        click.option("--checkpoints", metavar="FOLDER", help="For trainings that go on elsewhere: on a shared disk."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _parsed_time(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    try:
        return seconds(value, str(option.name))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def grace_option(default: str) -> Callable[[Command], Command]:
    """``--grace``."""
    return click.option("--grace", default=default, show_default=True, metavar="TIME", callback=_parsed_time,
                        help="Time that a worker has for its checkpoint when it must end.")  # fmt: skip


def dry_option(command: Command) -> Command:
    """``--dry-run``."""
    return click.option("--dry-run", is_flag=True, help="Print what would be launched, and launch nothing.")(command)


def _work(target: str, options: tuple[str, ...], reach: Reach, settings: dict[str, Any]) -> Work:
    """The worker's command, checked with the parser of ``honed run``."""
    storage = settings["storage"]
    extra = (f"--checkpoints={settings['checkpoints']}",) if settings.get("checkpoints") else ()
    file, colon, name = target.rpartition(":")
    path = file if colon and file and not name.endswith(".py") else target
    try:
        work = Work(
            target=target,
            storage=reachable(storage, reach),
            study=settings["study"] or Path(path).stem,
            trials=settings["trials"],
            options=(*extra, *options),
            **({"python": settings["python"]} if settings.get("python") else {}),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    arguments = work.argv()
    run.make_context("honed run", arguments[arguments.index("run") + 1 :])
    return work


def _share(settings: dict[str, Any]) -> Share:
    try:
        return Share(
            workers=settings["workers"], gpus=settings["gpus"], cpus=settings["cpus"], memory=settings.get("memory")
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _say(text: str) -> None:
    click.echo(f"honed: {text}", err=True)


@contextmanager
def _on_signals(act: Callable[[int], None], *names: str) -> Iterator[None]:
    """Calls ``act`` for these signals of this process, those that the system has."""

    def handle(number: int, frame: FrameType | None) -> None:
        act(number)

    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ------------------------------------------------------------------------------------------------------ one worker


@launch.command()
@work_options
@grace_option("30s")
@click.option("--timeout", metavar="TIME", callback=_parsed_time, help="The training is given back after it.")
@plain_errors
def worker(target: str, options: tuple[str, ...], grace: float, timeout: float | None, **settings: Any) -> None:
    """Keep one worker alive here, as the engines do: started again after crashes, ended gently.

    SIGTERM, SIGUSR1 and Ctrl-C let it save a checkpoint and give its trial back. Exit codes: 0 when nothing is left to
    do, 75 when it was cut short and should be started again, 1 when it failed.
    """
    work = _work(target, options, "one machine", settings)
    keeper = Keeper(work, environment=os.environ, output=_relay, grace=grace, timeout=timeout)
    thread = threading.Thread(target=keeper.run, name="honed keeper")
    with _on_signals(lambda number: keeper.stop(), "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"):
        thread.start()
        thread.join()
    status = keeper.status
    if status.state == "failed":
        fail(f"the worker failed: {status.reason}", EXIT_FAILED)
    if status.state == "stopped" and not _is_done(work):
        _say(f"the worker was cut short ({status.reason}); work is left")
        sys.exit(EXIT_AGAIN)


def _relay(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _is_done(work: Work) -> bool:
    try:
        return standing(work).is_done(work.trials)
    except StorageError:
        return False


# ------------------------------------------------------------------------------------------------------------- Ray


@launch.command()
@work_options
@share_options
@grace_option("30s")
@click.option(
    "--address", default="auto", show_default=True, help="Of the cluster: auto, local, HOST:6379, ray://HOST:10001."
)
@click.option("--working-dir", metavar="FOLDER", help="Copied to all machines; workers start in it.")
@click.option("--detach", is_flag=True, help="The workers live on when this command ends.")
@dry_option
@plain_errors
def ray(target: str, options: tuple[str, ...], grace: float, dry_run: bool, **settings: Any) -> None:
    """Keep workers alive on a Ray cluster; Ctrl-C ends them, after a checkpoint."""
    from honed.launchers import ray as cluster

    share = _share(settings)
    work = _work(target, options, "one machine", settings)
    plan = cluster.Plan(
        work=work,
        share=share,
        environment=handed_on(os.environ, work),
        is_file="://" not in work.storage,
        grace=grace,
        **{name: settings[name] for name in ("address", "working_dir", "detach")},
    )
    if dry_run:
        click.echo(cluster.shown(plan))
        return
    try:
        connected = cluster.connect(plan.address, working_dir=plan.working_dir)
    except ConnectionError as error:
        fail(str(error), EXIT_NOT_FOUND)
    cluster.check_machines(connected, plan)
    stop = threading.Event()

    def act(number: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with _on_signals(act, "SIGINT", "SIGTERM"):
        fleet = cluster.Fleet(connected, plan)
        try:
            outcome = cluster.leave(fleet, _say) if plan.detach else cluster.drive(fleet, _say, stop)
        except KeyboardInterrupt:
            fleet.kill()
            outcome = cluster.Outcome(None, "ended at once; the same command goes on")
    _say(outcome.text)
    connected.shutdown()
    sys.exit({True: 0, False: EXIT_FAILED, None: 128 + signal.SIGINT}[outcome.ok])


@launch.command("end-ray")
@click.argument("study")
@click.option("--address", default="auto", show_default=True, help="Of the cluster.")
@grace_option("30s")
@plain_errors
def end_ray(study: str, address: str, grace: float) -> None:
    """End the workers of STUDY that were launched with --detach, after a checkpoint."""
    from honed.launchers import ray as cluster

    try:
        connected = cluster.connect(address)
    except ConnectionError as error:
        fail(str(error), EXIT_NOT_FOUND)
    n_ended = cluster.end_detached(connected, study, grace)
    _say(f"{n_ended} worker{'s' if n_ended != 1 else ''} of study {study!r} ended")
    connected.shutdown()


# ----------------------------------------------------------------------------------------------------------- Slurm


@launch.command("slurm")
@work_options
@share_options
@grace_option("2m")
@click.option(
    "--time", "limit", required=True, help="Wall time of one job: 4h, 90m, 1-12:00:00, as Slurm or as honed writes it."
)
@click.option("--partition")
@click.option("--account")
@click.option("--memory", help="Of one worker, as Slurm writes it: 16G.")
@click.option("--at-once", type=click.IntRange(min=1), help="At most so many jobs run at the same time.")
@click.option("--node", help="All workers on this one machine; only then may the storage be an SQLite file.")
@click.option(
    "--setup", multiple=True, help="A line of shell before the worker, such as 'module load cuda'; may be repeated."
)
@click.option("--requeue/--no-requeue", default=True, show_default=True, help="Jobs that are cut short queue again.")
@click.option("--python", help="The interpreter on the cluster [default: this one].")
@click.option("--submitit", "folder", metavar="FOLDER", help="Submit with submitit, which keeps its files in FOLDER.")
@dry_option
@plain_errors
def launch_slurm(target: str, options: tuple[str, ...], grace: float, dry_run: bool, **settings: Any) -> None:
    """Submit an array of jobs, one worker each; pre-empted ones give their trial back and queue again."""
    share = _share(settings)
    reach: Reach = "many machines" if share.workers > 1 and not settings["node"] else "one machine"
    work = _work(target, options, reach, settings)
    try:
        job = slurm.Job(
            work=work,
            share=share,
            seconds=slurm.parse_time(settings["limit"]),
            grace=grace,
            setup=settings["setup"],
            **{name: settings[name] for name in ("partition", "account", "at_once", "node", "requeue")},
        )
        text = slurm.script(job)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if dry_run:
        click.echo(text, nl=False)
        return
    if settings["folder"]:
        if not job.requeue:
            raise click.UsageError("--no-requeue is not for --submitit, which queues its jobs again in its own way")
        from honed.launchers.submitted import submit

        click.echo("\n".join(submit(job, settings["folder"], handed_on(os.environ, work))))
        return
    program = shutil.which("sbatch")
    if program is None:
        fail(
            "there is no sbatch here: run this on a login node of the cluster, or print the script with --dry-run",
            EXIT_NOT_FOUND,
        )
        return
    click.echo(slurm.submit(program, text, {**os.environ, **handed_on(os.environ, work)}))


# ------------------------------------------------------------------------------------------------------ Kubernetes


@launch.command("k8s")
@work_options
@share_options
@grace_option("60s")
@click.option("--image", required=True, help="Has honed and the script in it.")
@click.option("--secret", default="honed-storage", show_default=True, metavar="NAME[/KEY]",
              help="Secret that holds the storage's address, under the key url.")  # fmt: skip
@click.option("--claim", metavar="NAME", help="PersistentVolumeClaim for checkpoints, which all pods can mount.")
@click.option("--memory", help="Of one worker: 16Gi.")
@click.option("--namespace")
@click.option("--python", default="python", show_default=True, help="The interpreter in the image.")
@click.option("--dry-run", is_flag=True, help="What this command always does.")
@plain_errors
def k8s(target: str, options: tuple[str, ...], grace: float, dry_run: bool, **settings: Any) -> None:
    """Print the manifest of a Job, for | kubectl apply -f -; it changes nothing by itself."""
    share = _share(settings)
    if settings["claim"] and not settings["checkpoints"]:
        settings["checkpoints"] = kubernetes.CHECKPOINTS
    work = _work(target, options, "many machines", settings)
    try:
        pods = kubernetes.Pods(
            work=work,
            share=share,
            grace=grace,
            **{name: settings[name] for name in ("image", "secret", "claim", "namespace")},
            folder=settings["checkpoints"],
        )
        text = kubernetes.manifest(pods)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(text, nl=False)
    if sys.stdout.isatty() or has_secret(work.storage):
        _say(kubernetes.hint(pods))
