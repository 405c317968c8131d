"""What a study optimizes: names of metrics, and whether small or large values are good."""

from __future__ import annotations

from collections.abc import Sequence

from honed.records import VALUE, Direction

_LOSSES = ("loss", "error", "err", "mse", "mae", "rmse", "perplexity", "nll", "regret", "latency", "time")
_SCORES = ("acc", "accuracy", "auc", "auroc", "f1", "score", "precision", "recall", "r2", "iou", "dice", "bleu", "map")


def direction_of(metric: str) -> Direction | None:
    """What a metric's name says about its direction; None where it says nothing.

    Args:
        metric: for example ``val_loss`` or ``val_accuracy``.
    """
    words = metric.lower().replace("-", "_").replace(".", "_").replace("/", "_").split("_")
    if any(word.rstrip("0123456789@") in _LOSSES or word in _LOSSES for word in words):
        return "minimize"
    if any(word.rstrip("0123456789@") in _SCORES or word in _SCORES for word in words):
        return "maximize"
    return None


def objectives(
    direction: Direction | None,
    metric: str | None,
    directions: Sequence[Direction] | None,
    metrics: Sequence[str] | None,
) -> tuple[tuple[str, ...], tuple[Direction, ...]]:
    """Names and directions of a study's objectives from what ``create_study`` was given.

    Raises:
        ValueError: contradictory arguments, or a metric whose name does not tell its direction.
    """
    if (direction or metric) and (directions or metrics):
        raise ValueError("create_study: give direction and metric, or directions and metrics for several objectives")
    n = len(directions or metrics or [None])
    names = tuple(metrics or ([metric] if metric else [VALUE] if n == 1 else [f"{VALUE}_{i}" for i in range(n)]))
    goals: list[Direction | None] = list(directions) if directions else [direction] * len(names)
    if len(goals) != len(names):
        raise ValueError(f"create_study: {len(goals)} directions for {len(names)} metrics; give one for each")
    if len(set(names)) != len(names):
        raise ValueError(f"create_study: metrics={list(names)} has a name twice")
    checked: list[Direction] = []
    for name, goal in zip(names, goals, strict=True):
        found = goal or ("minimize" if name.split("_")[0] == VALUE else direction_of(name))
        if found is None:
            raise ValueError(
                f"create_study: is a small or a large {name!r} good? Give direction='minimize' or 'maximize'"
            )
        if found not in ("minimize", "maximize"):
            raise ValueError(f"create_study: direction={found!r} is unknown; use 'minimize' or 'maximize'")
        checked.append(found)
    return names, tuple(checked)
