"""How good are samplers where each trial is one whole training? honed's beside Optuna's (and HEBO, SMAC3, if installed).

    python benchmarks/full_fidelity.py --data FOLDER [--suites lcbench analytic] [--methods "honed gp" "Optuna GP"]

Suites: LCBench (all epochs, the best of them counts), FCNet and HPOBench MLP (one of the recorded seeds for each trial,
judged by the mean over seeds), and functions in 2 to 20 dimensions. LCBench is a pool of 1,000 rows: a suggestion is moved to
the nearest row that is free, and honed and Optuna learn from that row's params (HEBO and SMAC3 from their own). Regret is
(worth of the best seen - optimum) / (reference - optimum), cut to [0, 1]; the reference is the median final value of the
recordings, and the median over the cube for functions. Means are over tasks of means over seeds, with 95 % bootstrap
intervals over tasks; differences are paired by task.

Run one process at a time on an otherwise idle machine if the times matter: OMP_NUM_THREADS=1 is set here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.optuna_players import suggested, written
from benchmarks.scoring import interval
from benchmarks.tables import RowTask, data_folder, load_suite
from benchmarks.tables.base import VARIABLE, Floats
from honed.auto import SAMPLERS, named
from honed.domains import Categorical, Float, Ordinal, Scalar
from honed.samplers.base import Stream
from honed.samplers.combine import fit_for_use
from honed.space import Space
from honed.testing.driver import Driver

TRIALS = (30, 50, 100, 200)
Params = Mapping[str, Scalar]
Told = tuple[float, float]
"""What a tool is told of a trial, and what its params are worth."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A function of params.

    Attributes:
        tell: the value of params in a trial of that number, and their worth.
    """

    name: str
    space: Space
    tell: Callable[[Params, Stream], Told]
    optimum: float
    reference: float
    task: RowTask | None = None

    def moved(self, params: Params, taken: list[int]) -> Params:
        """In pool mode: the nearest row that no trial has yet, which is taken now."""
        if self.task is None:
            return params
        free = np.ones(len(self.task.rows), dtype=bool)
        free[taken] = False
        taken.append(self.task.nearest(params, free))
        return self.task.rows[taken[-1]]

    def regret(self, worth: float) -> float:
        """From 0 (the optimum) to 1 (the reference, or worse)."""
        share = (worth - self.optimum) / (self.reference - self.optimum)
        return min(max(share, 0.0), 1.0) if share == share else 1.0


# --------------------------------------------------------------------------------------------------------- problems


def of_table(task: RowTask, *, is_pool: bool) -> Problem:
    """A recorded task; the worth of a row is the best of its steps, by the mean over seeds.

    Args:
        is_pool: whether a trial's params are moved to the nearest row that is free; grids need no moving.
    """
    worths = np.nanmin(task.means, axis=1)

    def tell(params: Params, rng: Stream) -> Told:
        row = task.nearest(params)
        return float(np.nanmin(task.curves[row, task.seed(rng)])), float(worths[row])

    return Problem(task.name, task.space, tell, task.optimum, task.reference, task if is_pool else None)


_A3 = np.array([[3.0, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
_P3 = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
_A6 = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P6 = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])


def hartmann(a: Floats, p: Floats, x: Floats) -> float:
    return float(-(_WEIGHTS @ np.exp(-(a * (x - p) ** 2).sum(axis=1))))


def branin(x: Floats) -> float:
    bowl = x[1] - 5.1 / (4 * np.pi**2) * x[0] ** 2 + 5 / np.pi * x[0] - 6
    return float(bowl**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x[0]) + 10)


def ackley(x: Floats) -> float:
    near = -20 * np.exp(-0.2 * np.sqrt((x**2).mean()))
    return float(near - np.exp(np.cos(2 * np.pi * x).mean()) + 20 + np.e)


def rosenbrock(x: Floats) -> float:
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def levy(x: Floats) -> float:
    w = 1 + (x - 1) / 4
    inner = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + inner + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def of_function(
    name: str, f: Callable[[Floats], float], bounds: Sequence[tuple[float, float]], optimum: float
) -> Problem:
    """A function over a box."""
    space = Space({f"x{i}": Float(low, high) for i, (low, high) in enumerate(bounds)})

    def tell(params: Params, rng: Stream) -> Told:
        value = f(np.array([params[f"x{i}"] for i in range(len(bounds))], dtype=float))
        return value, value

    low, high = np.array(bounds).T
    drawn = np.random.default_rng(0).uniform(low, high, (2000, len(bounds)))
    return Problem(name, space, tell, optimum, float(np.median([f(x) for x in drawn])))


def functions() -> list[Problem]:
    """Known functions; the boxes are not centred on the optimum."""
    return [
        of_function("branin-2", branin, [(-5.0, 10.0), (0.0, 15.0)], 0.397887),
        of_function("hartmann-3", partial(hartmann, _A3, _P3), [(0.0, 1.0)] * 3, -3.86278),
        of_function("levy-4", levy, [(-10.0, 7.0)] * 4, 0.0),
        of_function("ackley-5", ackley, [(-5.0, 8.0)] * 5, 0.0),
        of_function("hartmann-6", partial(hartmann, _A6, _P6), [(0.0, 1.0)] * 6, -3.32237),
        of_function("rosenbrock-8", rosenbrock, [(-2.0, 2.5)] * 8, 0.0),
        of_function("levy-10", levy, [(-10.0, 7.0)] * 10, 0.0),
        of_function("ackley-20", ackley, [(-5.0, 8.0)] * 20, 0.0),
    ]


SUITES = ("lcbench", "fcnet", "hpobench", "analytic")


@lru_cache(maxsize=8)
def problems(suite: str, folder: Path | None) -> tuple[Problem, ...]:
    """The problems of a suite."""
    if suite == "analytic":
        return tuple(functions())
    if folder is None:
        raise SystemExit(
            f"The recordings of {suite!r} are no part of this repository. Name their folder with --data FOLDER or in "
            f"${VARIABLE}, or run --suites analytic."
        )
    return tuple(of_table(task, is_pool=suite == "lcbench") for task in load_suite(suite, folder))


# ---------------------------------------------------------------------------------------------------------- players


@dataclass(slots=True)
class Run:
    """What a tool has seen: told values, worths, and the seconds of each suggestion."""

    told: list[float]
    worths: list[float]
    seconds: list[float]


def play_honed(sampler: str, problem: Problem, seed: int, n: int) -> Run:
    """A sampler of honed, by its name, made fit for use as a study does."""
    run, taken = Run([], [], []), list[int]()
    driver = Driver(fit_for_use(named(sampler)), space=problem.space, seed=seed)
    while len(run.told) < n:
        begun = time.perf_counter()
        record = driver.start()
        run.seconds.append(time.perf_counter() - begun)
        number: int | None = getattr(record, "number", None)
        if number is None:
            break
        params = problem.moved(driver.started[number].params, taken)
        told, worth = problem.tell(params, Stream(seed, number))
        driver.started[number].params, driver.started[number].value = dict(params), told
        driver.finish(number)
        run.told.append(told)
        run.worths.append(worth)
    return run


def play_optuna(sampler: str, problem: Problem, seed: int, n: int) -> Run:
    """A sampler of Optuna with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samplers = {
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "TPE": lambda: optuna.samplers.TPESampler(seed=seed),
            "GP": lambda: optuna.samplers.GPSampler(seed=seed),
            "CMA-ES": lambda: optuna.samplers.CmaEsSampler(seed=seed),
        }
        study = optuna.create_study(sampler=samplers[sampler]())
        run, taken = Run([], [], []), list[int]()
        for number in range(n):
            begun = time.perf_counter()
            trial = study.ask()
            params = {name: suggested(trial, name, domain) for name, domain in problem.space.domains.items()}
            run.seconds.append(time.perf_counter() - begun)
            told, worth = problem.tell(problem.moved(params, taken), Stream(seed, number))
            if problem.task is None:
                study.tell(trial, told)
            else:  # what it learns from is the row, not what it asked for
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                row = written(problem.task, taken[-1])
                study.add_trial(optuna.trial.create_trial(params=row, distributions=trial.distributions, value=told))
            run.told.append(told)
            run.worths.append(worth)
    return run


def play_hebo(problem: Problem, seed: int, n: int) -> Run:
    """HEBO on the unit scale of each parameter."""
    import pandas as pd
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO

    np.random.seed(seed)  # noqa: NPY002  (HEBO draws from there)
    axes = []
    for name, domain in problem.space.domains.items():
        if isinstance(domain, Categorical | Ordinal):
            axes.append({"name": name, "type": "cat", "categories": list(map(str, domain.grid()))})
        else:
            axes.append({"name": name, "type": "num", "lb": 0.0, "ub": 1.0})
    taken = list[int]()
    run, optimizer = Run([], [], []), HEBO(DesignSpace().parse(axes), scramble_seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(n):
            begun = time.perf_counter()
            asked: pd.DataFrame = optimizer.suggest(n_suggestions=1)
            run.seconds.append(time.perf_counter() - begun)
            params = problem.moved(_decoded(problem.space, asked.iloc[0].to_dict()), taken)
            told, worth = problem.tell(params, Stream(seed, number))
            optimizer.observe(asked, np.array([[told]]))
            run.told.append(told)
            run.worths.append(worth)
    return run


def play_smac(problem: Problem, seed: int, n: int) -> Run:
    """SMAC3's facade for hyperparameters on the unit scale of each parameter."""
    import ConfigSpace
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    axes: list[Any] = []
    for name, domain in problem.space.domains.items():
        if isinstance(domain, Categorical | Ordinal):
            axes.append(ConfigSpace.CategoricalHyperparameter(name, list(map(str, domain.grid()))))
        else:
            axes.append(ConfigSpace.UniformFloatHyperparameter(name, 0.0, 1.0))
    space = ConfigSpace.ConfigurationSpace(seed=seed)
    space.add(axes)
    run, taken = Run([], [], []), list[int]()
    scenario = Scenario(space, n_trials=n, seed=seed, deterministic=True)
    smac = HyperparameterOptimizationFacade(scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=False)
    for number in range(n):
        begun = time.perf_counter()
        info = smac.ask()
        run.seconds.append(time.perf_counter() - begun)
        params = problem.moved(_decoded(problem.space, dict(info.config)), taken)
        told, worth = problem.tell(params, Stream(seed, number))
        smac.tell(info, TrialValue(cost=told))
        run.told.append(told)
        run.worths.append(worth)
    return run


def _decoded(space: Space, units: Mapping[str, Any]) -> dict[str, Scalar]:
    params = dict[str, Scalar]()
    for name, domain in space.domains.items():
        if isinstance(domain, Categorical | Ordinal):
            params[name] = next(value for value in domain.grid() if str(value) == str(units[name]))
        else:
            params[name] = domain.decode(float(units[name]))
    return params


def methods() -> dict[str, Callable[[Problem, int, int], Run]]:
    """Name -> who plays; tools that are not installed are left out."""
    found: dict[str, Callable[[Problem, int, int], Run]] = {
        f"honed {name}": partial(play_honed, name) for name in SAMPLERS if name != "grid"
    }
    if importlib.util.find_spec("optuna"):
        found |= {f"Optuna {name}": partial(play_optuna, name) for name in ("random", "TPE", "GP", "CMA-ES")}
    if importlib.util.find_spec("hebo"):
        found["HEBO"] = play_hebo
    if importlib.util.find_spec("smac"):
        found["SMAC3"] = play_smac
    return found


# ---------------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True, slots=True)
class Result:
    """One study: its regrets after ``TRIALS`` (as far as it was played), and seconds per suggestion at the end."""

    suite: str
    task: str
    method: str
    seed: int
    regrets: tuple[float, ...]
    seconds: float


def play(suite: str, index: int, method: str, seed: int, n: int, folder: Path | None) -> Result:
    """One study, scored."""
    problem = problems(suite, folder)[index]
    run = methods()[method](problem, seed, n)
    told = np.where(np.isnan(run.told), np.inf, run.told)
    regrets = []
    for budget in (k for k in TRIALS if k <= n):
        leader = int(np.argmin(told[:budget]))
        regrets.append(problem.regret(run.worths[leader]))
    return Result(suite, problem.name, method, seed, tuple(regrets), float(np.median(run.seconds[-20:])))


def markdown(suite: str, results: Sequence[Result], baseline: str) -> str:
    """The tables of a suite: regrets, then differences from the baseline."""
    budgets = TRIALS[: max(len(result.regrets) for result in results)]
    names = list(dict.fromkeys(result.method for result in results))
    tasks = sorted({result.task for result in results})
    n_seeds = len({result.seed for result in results})
    means = {
        name: np.array(
            [np.mean([r.regrets for r in results if r.method == name and r.task == task], axis=0) for task in tasks]
        )
        for name in names
    }
    lines = [
        f"### {suite}", "",
        (f"Mean normalised regret after so many trials; {len(tasks)} tasks, {n_seeds} seeds; "
         "in brackets the 95 % bootstrap interval over tasks; time per suggestion at the end."), "",
        _row(["method", *map(str, budgets), "ms"]), _row(["---"] * (len(budgets) + 2)),
    ]  # fmt: skip
    for name in names:
        low, high = interval(means[name])
        cells = [f"{m:.3f} [{a:.3f}, {b:.3f}]" for m, a, b in zip(means[name].mean(axis=0), low, high, strict=True)]
        milliseconds = 1e3 * float(np.median([r.seconds for r in results if r.method == name]))
        lines.append(_row([name, *cells, f"{milliseconds:.1f}"]))
    if baseline in means and len(names) > 1:
        lines += ["", f"The same minus {baseline}, paired by task (* marks an interval without 0):", ""]
        lines += [_row(["method", *map(str, budgets)]), _row(["---"] * (len(budgets) + 1))]
        for name in names:
            if name != baseline:
                difference = means[name] - means[baseline]
                low, high = interval(difference)
                cells = [
                    f"{m:+.3f} [{a:+.3f}, {b:+.3f}]" + ("" if a <= 0.0 <= b else " *")
                    for m, a, b in zip(difference.mean(axis=0), low, high, strict=True)
                ]
                lines.append(_row([name, *cells]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    known = list(methods())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help=f"the folder with the recordings (default: ${VARIABLE})")
    parser.add_argument("--suites", nargs="+", default=list(SUITES), choices=SUITES)
    parser.add_argument("--methods", nargs="+", default=known, choices=known, metavar="METHOD", help=", ".join(known))
    parser.add_argument("--seeds", type=int, default=10, help="studies of each method on each task")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100, help=f"scored after {TRIALS}")
    parser.add_argument("--tasks", type=int, help="only the first so many tasks of each suite")
    parser.add_argument("--baseline", default="Optuna GP")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--raw", type=Path, help="also keep every study's result in this JSON file")
    parser.add_argument("--reuse", type=Path, nargs="+", default=[], help="add what earlier --raw kept")
    return parser.parse_args(words)


def main() -> int:
    """Runs what the command line asks for."""
    arguments = parsed()
    folder = data_folder(arguments.data)
    jobs = [
        (suite, index, method, seed, arguments.trials, folder)
        for suite in arguments.suites
        for index in range(len(problems(suite, folder)[: arguments.tasks]))
        for method in arguments.methods
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    ]
    if arguments.processes > 1:
        with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
            results = pool.starmap(play, jobs, chunksize=1)
    else:
        results = [play(*job) for job in jobs]
    for path in arguments.reuse:
        kept = [Result(**{**data, "regrets": tuple(data["regrets"])}) for data in json.loads(path.read_text("utf-8"))]
        results += [result for result in kept if result.suite in arguments.suites]
    if arguments.raw is not None:
        arguments.raw.write_text(json.dumps([asdict(result) for result in results]), encoding="utf-8")
    parts = [
        markdown(suite, [result for result in results if result.suite == suite], arguments.baseline)
        for suite in arguments.suites
    ]
    missing = [tool for tool, module in (("HEBO", "hebo"), ("SMAC3", "smac")) if not importlib.util.find_spec(module)]
    if missing:
        parts.append(f"Not installed, not played: {', '.join(missing)}.")
    text = "\n\n".join(parts)
    print(text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
