"""Tables of learning curves: LCBench, TaskSet, DeepOBS."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables.base import Floats, Params, RowTask
from honed.domains import Categorical, Domain, Float, Int
from honed.space import Space

CHANCE = math.log(2)
"""The loss of guessing one of two classes."""


def lcbench(folder: Path) -> list[RowTask]:
    """Ten data sets, 1,000 networks each, error after each of 52 epochs (Zimmer et al. 2021, through YAHPO Gym)."""
    space = Space(
        batch_size=Int(16, 512, log=True),
        learning_rate=Float(1e-4, 1e-1, log=True),
        momentum=Float(0.1, 0.99),
        weight_decay=Float(1e-5, 1e-1),
        num_layers=Int(1, 5),
        max_units=Int(64, 1024, log=True),
        max_dropout=Float(0.0, 1.0),
    )
    with np.load(folder / "lcbench_dev.npz") as file:
        units, errors, names = file["X"].astype(float), file["error"].astype(float), file["tasks"].tolist()
    rows = [
        {name: _at(domain, u) for (name, domain), u in zip(space.domains.items(), row, strict=True)}
        for row in units.tolist()
    ]
    return [
        RowTask(f"lcbench-{name}", space, rows, error[:, None, :], reference=float(np.median(error[:, -1])))
        for name, error in zip(names, errors, strict=True)
    ]


def taskset(folder: Path) -> list[RowTask]:
    """Four text classifiers under 1,000 settings of Adam, validation loss at 50 points (Metz et al. 2020).

    The value before training is left out. Chance is a loss of .6931; NaN stands from where a training diverges.
    """
    space = Space(
        learning_rate=Float(1e-8, 10.0, log=True),
        beta1=Float.near_one(0.0, 0.9999),
        beta2=Float.near_one(0.0, 0.999999),
        epsilon=Float(1e-10, 1e3, log=True),
        l1=Float(1e-8, 10.0, log=True),
        l2=Float(1e-8, 10.0, log=True),
        linear_decay=Float(1e-7, 1e-4, log=True),
        exponential_decay=Float(1e-6, 1e-3, log=True),
    )
    with np.load(folder / "taskset_dev.npz") as file:
        settings, names, losses = file["X"], file["tasks"].tolist(), file["valid_loss"].astype(float)[:, :, 1:]
        columns = file["hyperparameters"].tolist()
    assert columns == list(space.domains), columns
    rows = [
        {name: min(max(x, d.low), d.high) for (name, d), x in zip(_floats(space), row, strict=True)}
        for row in settings.tolist()
    ]
    return [
        RowTask(f"taskset-{_short(name)}", space, rows, loss[:, None, :], reference=CHANCE)
        for name, loss in zip(names, losses, strict=True)
    ]


def deepobs(folder: Path) -> list[RowTask]:
    """Eight networks under three optimizers and their learning rates, test loss after each epoch.

    Real and noisy curves (Schneider et al. 2019). Steps that were not recorded count as diverged; the best learning
    rate of each optimizer was trained with ten seeds, of which the mean is taken.
    """
    with gzip.open(folder / "deepobs_curves.json.gz", "rt", encoding="utf-8") as file:
        runs: list[dict[str, Any]] = json.load(file)
    problems = sorted({run["problem"] for run in runs})
    return [_deepobs_task(problem, [run for run in runs if run["problem"] == problem]) for problem in problems]


def _deepobs_task(problem: str, runs: Sequence[dict[str, Any]]) -> RowTask:
    optimizers = sorted({run["optimizer"] for run in runs})
    rates = [run["lr"] for run in runs]
    space = Space(optimizer=Categorical(optimizers), lr=Float(min(rates), max(rates), log=True))
    by_row: dict[tuple[str, float], list[list[float]]] = {}
    for run in runs:
        losses = [math.nan if loss is None else float(loss) for loss in run["test_losses"]]
        by_row.setdefault((run["optimizer"], run["lr"]), []).append(losses[1:])
    rows: list[Params] = [{"optimizer": optimizer, "lr": lr} for optimizer, lr in by_row]
    curves: Floats = np.array([np.mean(seeds, axis=0) for seeds in by_row.values()])
    curves[~np.isfinite(curves)] = np.nan
    final = np.where(np.isnan(curves[:, -1]), np.inf, curves[:, -1])
    reference = float(np.median(final))
    if not math.isfinite(reference):  # more than half of them diverge
        reference = float(np.nanmax(curves[:, -1]))
    return RowTask(f"deepobs-{problem}", space, rows, curves[:, None, :], reference=reference)


def _at(domain: Domain, unit: float) -> float:
    """The value at a point of the plain scale (``Int.decode`` gives each whole number its share instead)."""
    assert isinstance(domain, Float | Int)
    low, high = float(domain.low), float(domain.high)
    x = low * (high / low) ** unit if domain.log is True else low + unit * (high - low)
    x = min(max(x, low), high)
    return round(x) if isinstance(domain, Int) else x


def _floats(space: Space) -> list[tuple[str, Float]]:
    return [(name, domain) for name, domain in space.domains.items() if isinstance(domain, Float)]


def _short(name: str) -> str:
    return name.removeprefix("FixedTextRNNClassification_imdb_")
