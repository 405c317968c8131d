"""Trials per second of a no-op objective on one database: processes, reports, durability; honed beside Optuna.

Five float parameters, random sampler. Processes are started and have everything imported before a common start; each
runs for the same seconds on the same file, and all trials of all processes count. The tools take turns, several rounds;
figures are medians over the rounds. ``max wait`` is the longest single trial of any process, in seconds.

``--database postgres`` starts a PostgreSQL server of its own, with syncs, and gives each cell an empty database in it.

    python benchmarks/storage.py [--processes 1 8] [--reports 0 10] [--seconds 3] [--rounds 3] [--folder .]
    python benchmarks/storage.py --database postgres --processes 8 --reports 10
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NAMES = [f"x{i}" for i in range(5)]

Place = Callable[[], contextlib.AbstractContextManager[str]]  # makes a new database, gives its path or URL


def run_honed(path: str, seconds: float, reports: int, barrier: Any, durability: str) -> tuple[int, float]:
    """Trials done by one process, and its longest trial."""
    import honed

    os.environ["HONED_PROGRESS"] = "quiet"
    barrier.wait()
    study = honed.create_study("bench", storage=path, seed=0, durability=durability)
    count = _Count()

    def objective(trial: honed.Trial) -> float:
        count.tick()
        value = sum(trial.suggest_float(name, -5, 5) for name in NAMES)
        for step in trial.steps(reports) if reports else ():
            trial.report(value + 1 / step, step=step)
        return value

    study.optimize(objective, "random", timeout=seconds, progress="quiet")
    study.close()
    return count.n, count.longest


def run_optuna(path: str, seconds: float, reports: int, barrier: Any, durability: str) -> tuple[int, float]:
    """The same with Optuna's RDB storage."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    barrier.wait()
    study = optuna.create_study(
        study_name="bench",
        storage=optuna_url(path),
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.NopPruner(),
    )
    count = _Count()

    def objective(trial: optuna.Trial) -> float:
        count.tick()
        value = sum(trial.suggest_float(name, -5, 5) for name in NAMES)
        for step in range(1, reports + 1):
            trial.report(value + 1 / step, step)
            if trial.should_prune():
                break
        return value

    study.optimize(objective, timeout=seconds)
    return count.n, count.longest


def optuna_url(path: str) -> str:
    """What SQLAlchemy calls that database."""
    kind, separator, rest = path.partition("://")
    return f"{kind}+psycopg{separator}{rest}" if separator else f"sqlite:///{path}"


class _Count:
    def __init__(self) -> None:
        self.n, self.longest, self.last = 0, 0.0, time.perf_counter()

    def tick(self) -> None:
        now = time.perf_counter()
        self.n, self.longest, self.last = self.n + 1, max(self.longest, now - self.last), now


def work(tool: str, path: str, seconds: float, reports: int, barrier: Any, durability: str, answers: Any) -> None:
    """One process: puts (trials, longest trial) or the error's text."""
    try:
        answers.put({"honed": run_honed, "optuna": run_optuna}[tool](path, seconds, reports, barrier, durability))
    except Exception as error:
        answers.put(f"{type(error).__name__}: {str(error).splitlines()[0][:90]}")


def cell(
    tool: str, durability: str, processes: int, reports: int, seconds: float, place: Place
) -> tuple[float, float, list[str]]:
    """Trials per second of all processes together, the longest trial, and errors."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    with place() as path:
        if tool == "optuna":  # which fails when several processes make its tables at once
            import optuna

            optuna.storages.RDBStorage(optuna_url(path)).engine.dispose()
        workers = [
            context.Process(target=work, args=(tool, path, seconds, reports, barrier, durability, answers))
            for _ in range(processes)
        ]
        for worker in workers:
            worker.start()
        results = [answers.get(timeout=seconds + 120) for _ in workers]
        for worker in workers:
            worker.join()
    good = [result for result in results if not isinstance(result, str)]
    rate = sum(n for n, _ in good) / seconds
    return rate, max((wait for _, wait in good), default=0.0), [r for r in results if isinstance(r, str)]


@contextlib.contextmanager
def places(database: str, folder: str) -> Iterator[Place]:
    """Where new databases come from."""
    if database == "sqlite":

        @contextlib.contextmanager
        def file() -> Iterator[str]:
            with tempfile.TemporaryDirectory(dir=folder) as home:
                yield str(Path(home) / "bench.db")

        yield file
        return
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.storage import postgres_server

    tempfile.tempdir = str(Path(folder).absolute())  # the server's files lie there
    with postgres_server.running() as server:
        tempfile.tempdir = None
        yield lambda: postgres_server.new_database(server)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--reports", type=int, nargs="+", default=[0, 10])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--folder", default=".", help="a folder on the disk to measure")
    arguments = parser.parse_args()
    with places(arguments.database, arguments.folder) as place:
        measure(arguments, place)


def measure(arguments: argparse.Namespace, place: Place) -> None:
    """Prints the table."""
    tools = [("honed", "fast"), ("honed", "full"), ("optuna", "full")]
    measured = f"median of {arguments.rounds} rounds of {arguments.seconds:g} s"
    print(f"Python {sys.version.split()[0]}; {arguments.database}; trials/s of all processes together, {measured}")
    columns = (("reports", 8), ("processes", 11), ("honed fast", 12), ("honed full", 12), ("optuna", 10))
    columns += (("full/optuna", 13), ("max wait", 10), ("errors", 24))
    print("".join(f"{name:>{width}}" for name, width in columns))
    for reports in arguments.reports:
        for processes in arguments.processes:
            rates: dict[tuple[str, str], list[float]] = {tool: [] for tool in tools}
            waits: list[float] = []
            errors: dict[str, int] = {}
            for _ in range(arguments.rounds):
                for tool, durability in tools:
                    rate, wait, failed = cell(tool, durability, processes, reports, arguments.seconds, place)
                    rates[tool, durability].append(rate)
                    errors[tool] = errors.get(tool, 0) + len(failed)
                    if tool == "honed":
                        waits.append(wait)
                    for text in set(failed):
                        print(f"    {tool}, {processes} processes: {text}", file=sys.stderr)
            fast, full, peer = (statistics.median(rates[tool]) for tool in tools)
            ratio = f"{full / peer:13.1f}" if peer else f"{'-':>13}"
            told = ", ".join(f"{tool} {n}" for tool, n in errors.items())
            counted = f"{reports:>8}{processes:>11}{fast:>12.0f}{full:>12.0f}{peer:>10.1f}"
            print(f"{counted}{ratio}{max(waits):>10.2f}{told:>24}", flush=True)


if __name__ == "__main__":
    main()
