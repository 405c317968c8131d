"""Tables of final values over full grids: FCNet, HPOBench. One step is a whole training; each trial draws one seed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np

from benchmarks.tables.base import Floats, Params, RowTask
from honed.domains import Categorical, Domain, Ordinal
from honed.space import Space


def fcnet(folder: Path) -> list[RowTask]:
    """62,208 networks on the protein data, validation error with four seeds (Klein, Hutter 2019)."""
    with np.load(folder / "fcnet_protein.npz") as file:
        return [_grid_task("fcnet-protein", folder, "hpolib", file["valid_mse"].astype(float))]


def hpobench(folder: Path) -> list[RowTask]:
    """30,000 networks on each of two data sets, 1 - balanced accuracy with five seeds (Eggensperger et al. 2021)."""
    with np.load(folder / "hpobench_mlp_dev.npz") as file:
        return [_grid_task(f"hpobench-{name}", folder, "hpobench", 1.0 - file[name].astype(float)) for name in file]


def _grid_task(name: str, folder: Path, key: str, losses: Floats) -> RowTask:
    axes: dict[str, list[float | str]] = json.loads((folder / "tabular_spaces.json").read_text(encoding="utf-8"))[key]
    domains: dict[str, Domain] = {
        parameter: Categorical(values) if isinstance(values[0], str) else Ordinal(values)
        for parameter, values in axes.items()
    }
    assert losses.shape[:-1] == tuple(len(values) for values in axes.values()), losses.shape
    stored = [[domains[parameter].to_stored(value) for value in values] for parameter, values in axes.items()]
    rows: list[Params] = [dict(zip(axes, values, strict=True)) for values in itertools.product(*stored)]
    curves = losses.reshape(len(rows), -1, 1)
    reference = float(np.median(curves.mean(axis=1)))
    return RowTask(name, Space(domains), rows, curves, reference, is_grid=True)
