"""The picture of real trainings: what each method has reached over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.real.runs import Result

N_TIMES = 120
SALT = "honed"
"""Makes the names inside a file the same each time it is written."""


def draw(results: Sequence[Result], path: Path) -> None:
    """Writes an SVG: a panel for each task, a line for each method (mean over seeds), a band from quartile to quartile."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    names = sorted({result.task for result in results})
    methods = list(dict.fromkeys(result.method for result in results))
    with mpl.rc_context({"svg.hashsalt": SALT, "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(1, len(names), figsize=(5 * len(names), 3.6), squeeze=False, layout="constrained")
        for name, panel in zip(names, axes[0], strict=True):
            for i, method in enumerate(methods):
                mine = [r for r in results if (r.task, r.method) == (name, method)]
                if not mine:
                    continue
                times = np.geomspace(0.02, 1.0, N_TIMES) * mine[0].seconds
                errors = 100.0 * np.array([result.best_at(times) for result in mine])
                low, high = np.percentile(errors, [25, 75], axis=0)
                style = "-" if method.startswith("honed") else "--"
                panel.plot(times, errors.mean(axis=0), style, color=f"C{i}", label=method, linewidth=1.4)
                panel.fill_between(times, low, high, color=f"C{i}", alpha=0.08, linewidth=0)
            panel.set(xscale="log", yscale="log", xlabel="seconds", ylabel="best validation error, %", title=name)
            panel.grid(visible=True, which="both", alpha=0.2)
        axes[0][-1].legend(fontsize=7)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)
