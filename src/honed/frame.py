"""Trials as a data frame: one row for each, columns for params, values and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from honed.history import History
from honed.optional import require

if TYPE_CHECKING:
    import pandas as pd


def to_columns(history: History) -> dict[str, list[Any]]:
    """Name of the column -> one value for each trial, by number.

    Columns: ``number``, ``state``, the metrics' names, ``params.<name>`` (None where not active), ``attempt``, ``cause``,
    ``last_step``, ``created``, ``started``, ``finished``, ``attributes.<key>``.
    """
    records = list(history)
    metrics = history.study.metrics
    columns: dict[str, list[Any]] = {
        "number": [record.number for record in records],
        "state": [str(record.state) for record in records],
    }
    for i, metric in enumerate(metrics):
        columns[metric] = [None if record.values is None else record.values[i] for record in records]
    names = dict.fromkeys([*history.space.domains, *(name for record in records for name in record.params)])
    for name in names:
        columns[f"params.{name}"] = [record.params.get(name) for record in records]
    columns["attempt"] = [record.attempt for record in records]
    columns["cause"] = [None if record.cause is None else str(record.cause) for record in records]
    columns["last_step"] = [record.last_step for record in records]
    for time in ("created", "started", "finished"):
        columns[time] = [getattr(record, time) for record in records]
    for key in dict.fromkeys(key for record in records for key in record.attributes):
        columns[f"attributes.{key}"] = [record.attributes.get(key) for record in records]
    return columns


def to_dataframe(history: History) -> pd.DataFrame:
    """All trials by number as a pandas data frame; needs the extra ``frames``."""
    frame: pd.DataFrame = require("pandas", "frames").DataFrame(to_columns(history))
    return frame
