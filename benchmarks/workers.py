"""How well several workers share the work: trials per second of processes that train for 50 ms, ours and Optuna's.

The objective sleeps, so that the machine's cores are no limit: what is lost is what asking, reporting, telling, and waiting
for each other cost. The rate is counted over the middle of each run, when all workers are at work. Both sides run in turn,
several rounds; medians.

    python benchmarks/workers.py --workers 8 --seconds 8 --rounds 3
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import honed
from honed.supervisor.settings import Workers

SLEEP = 0.05


def objective(trial: Any) -> float:
    """Five parameters and a nap."""
    total = sum(trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(5))
    time.sleep(SLEEP)
    return float(total)


def rate(ended: Sequence[float]) -> float:
    """Trials per second over the middle 60 % of a run.

    Args:
        ended: when each trial ended, in seconds.
    """
    times = sorted(ended)
    low, high = len(times) // 5, len(times) * 4 // 5
    return (high - low) / (times[high] - times[low])


def ours(folder: Path, n_workers: int, seconds: float) -> float:
    """Rate of honed's workers on one SQLite file, told results durable."""
    study = honed.create_study("scaling", storage=folder / f"ours-{n_workers}.db", seed=1)
    n_trials = round(seconds / SLEEP) * n_workers
    study.optimize(objective, "random", n_trials, workers=Workers(n_workers), progress="quiet")
    return rate([record.finished.timestamp() for record in study.trials if record.finished is not None])


def _optuna_worker(url: str, seconds: float, ended: Any) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="scaling", storage=url, sampler=optuna.samplers.RandomSampler())
    study.optimize(objective, timeout=seconds, callbacks=[lambda *_: ended.append(time.time())], catch=(Exception,))


def theirs(folder: Path, n_workers: int, seconds: float) -> float:
    """Rate of as many processes with Optuna's RDB storage on one SQLite file."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{folder / f'optuna-{n_workers}.db'}"
    optuna.create_study(study_name="scaling", storage=url)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        ended = manager.list()
        processes = [context.Process(target=_optuna_worker, args=(url, seconds, ended)) for _ in range(n_workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return rate(list(ended)) if len(ended) > 10 else 0.0


def main() -> None:
    """Prints one line a side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-optuna", action="store_true")
    options = parser.parse_args()
    sides: dict[str, Callable[[Path, int, float], float]] = {"honed": ours}
    if not options.no_optuna:
        sides["optuna"] = theirs
    measured: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for name, side in sides.items():
            for n_workers in (1, options.workers):
                with tempfile.TemporaryDirectory(prefix="honed-bench-") as folder:
                    found = functools.partial(side, Path(folder), n_workers, options.seconds)()
                measured.setdefault((name, n_workers), []).append(found)
    print(f"a {1000 * SLEEP:.0f} ms objective on SQLite; medians of {options.rounds} rounds, trials/s")
    for name in sides:
        one, many = (statistics.median(measured[name, n]) for n in (1, options.workers))
        share = many / (options.workers * one)
        lowest = min(
            b / (options.workers * a) for a, b in zip(measured[name, 1], measured[name, options.workers], strict=True)
        )
        print(
            f"{name:>8}: 1 worker {one:6.2f}, {options.workers} workers {many:7.2f}, "
            f"{100 * share:5.1f} % of {options.workers} times one (lowest round {100 * lowest:.1f} %)"
        )


if __name__ == "__main__":
    main()
