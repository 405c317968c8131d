"""Regret as a study goes on: one drawing for each comparison, against cost, and against simulated time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scoring import ANYTIME, Place, Result
from benchmarks.tables.base import Floats

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "plots"
OURS = {"auto": "#c1121f", "freeze-thaw": "#e85d04"}
_LEAST_SHOWN = 1e-3
_FEWEST_POINTS = 10


def draw_all(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draws what has curves, and says where: against cost for every place, against time where several workers train."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place in sorted({result.place for result in results}):
        mine = [result for result in results if result.place == place]
        name = f"quality-{place.suite}-{place.mode}-{place.n_workers}"
        by_cost = curves(mine, lambda result: result.anytime)
        if by_cost:
            paths.append(folder / f"{name}.svg")
            draw(by_cost, title(place), "cost in full trainings", paths[-1])
        by_time = curves(mine, lambda result: result.by_time) if place.mode == "timed" or place.n_workers > 1 else {}
        if by_time:
            unit = "modelled" if place.mode == "timed" else "all epochs equally long"
            paths.append(folder / f"{name}-time.svg")
            draw(by_time, title(place), f"simulated time in mean full trainings, {unit}", paths[-1])
    return paths


def title(place: Place) -> str:
    """What a drawing is of."""
    return f"{place.suite}, {place.mode}, {place.n_workers} worker{'s' if place.n_workers > 1 else ''}"


def curves(results: Sequence[Result], of: Callable[[Result], Sequence[float]]) -> dict[str, Floats]:
    """Name -> [points] means over tasks of means over seeds, as far as all its studies went.

    Methods that were not played on all tasks are left out; the name says it where a method has fewer seeds than others.
    """
    found: dict[str, dict[str, list[Sequence[float]]]] = {}
    for result in results:
        found.setdefault(result.method, {}).setdefault(result.task, []).append(of(result))
    n_tasks = max((len(tasks) for tasks in found.values()), default=0)
    fewest = {method: min(map(len, tasks.values())) for method, tasks in found.items()}
    means = {}
    for method, tasks in found.items():
        n = min(len(curve) for seeds in tasks.values() for curve in seeds)
        if n >= _FEWEST_POINTS and len(tasks) == n_tasks:
            name = method if fewest[method] == max(fewest.values()) else f"{method}, {fewest[method]} seeds"
            means[name] = np.mean([np.mean([curve[:n] for curve in seeds], axis=0) for seeds in tasks.values()], axis=0)
    return means


def draw(lines: dict[str, Floats], heading: str, label: str, path: Path) -> None:
    """Writes one drawing as SVG, the same bytes for the same results."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "honed", "font.size": 9.0}):
        figure, axes = plt.subplots(figsize=(7.6, max(4.2, 0.18 * len(lines))), layout="constrained")
        for i, (method, values) in enumerate(sorted(lines.items(), key=lambda item: -float(item[1][-1]))):
            axes.plot(ANYTIME[: len(values)], np.maximum(values, _LEAST_SHOWN), label=method, **_style(method, i))
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="mean normalised regret", title=heading)
        axes.grid(visible=True, which="both", linewidth=0.3, color="#cccccc")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7.5, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)


def _style(method: str, i: int) -> dict[str, Any]:
    ours = method.split(",")[0]  # without its number of seeds
    if ours in OURS:
        return {"color": OURS[ours], "linewidth": 2.4, "zorder": 3, "linestyle": "-" if ours == "auto" else "--"}
    return {"color": f"C{i % 10}", "linewidth": 1.0, "linestyle": ("-", "--", ":")[i // 10 % 3]}


def links(paths: Sequence[Path]) -> str:
    """The drawings as they stand in docs/benchmarks.md."""
    return "\n\n".join(f"![Regret, {path.stem.removeprefix('quality-')}](plots/{path.name})" for path in paths)
