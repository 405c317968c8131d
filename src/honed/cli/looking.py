"""``honed studies``, ``show`` and ``best``: what a storage holds. The storage is opened for reading only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from honed.cli.app import json_option, plain_errors, storage_option
from honed.errors import TrialNotFound
from honed.history import History
from honed.opening import load_study
from honed.records import State, TrialRecord
from honed.report import study_report, trials_table
from honed.storage.url import open_storage
from honed.study import Study


def open_study(name: str | None, storage: str) -> Study:
    """A study for looking at it."""
    return load_study(name, storage=open_storage(storage, read_only=True))


@click.command()
@storage_option
@json_option
@plain_errors
def studies(storage: str, as_json: bool) -> None:
    """List the studies of a storage."""
    opened = open_storage(storage, read_only=True)
    rows = [_study_json(Study(opened, record).history) for record in opened.studies()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo(f"{storage} has no study yet.")
        return
    header = ("study", "trials", "complete", "stopped", "failed", "open", "best", "direction", "created")
    table = [header, *(_study_row(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command()
@click.argument("study", required=False)
@click.option("--trial", type=click.IntRange(min=0), help="Everything about one trial.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="How many trials to list.")
@storage_option
@json_option
@plain_errors
def show(study: str | None, trial: int | None, top: int, storage: str, as_json: bool) -> None:
    """Show a study's report and best trials, or one trial; STUDY may be left out where there is one."""
    history = open_study(study, storage).history
    if trial is not None:
        if trial not in history:
            raise TrialNotFound(f"study {history.study.name!r} has no trial {trial}; it has {len(history)}, from 0")
        click.echo(json.dumps(trial_json(history[trial])) if as_json else _trial_text(history[trial]))
        return
    if as_json:
        click.echo(json.dumps({**_study_json(history), "trials": [trial_json(record) for record in history]}))
        return
    click.echo(study_report(history))
    click.echo()
    click.echo(trials_table(history, top))


@click.command()
@click.argument("study", required=False)
@storage_option
@json_option
@plain_errors
def best(study: str | None, storage: str, as_json: bool) -> None:
    """Print the best trial: its number, value and params."""
    record = open_study(study, storage).best_trial
    if as_json:
        click.echo(json.dumps(trial_json(record)))
        return
    click.echo(f"Trial {record.number}: {record.value!r}")
    for name, value in record.params.items():
        click.echo(f"  {name}: {value}")


def trial_json(record: TrialRecord) -> dict[str, Any]:
    """One trial as a JSON object; NaN and infinities as text."""
    return {
        "number": record.number,
        "state": str(record.state),
        "values": None if record.values is None else list(record.values),
        "params": dict(record.params),
        "reports": [{"step": report.step, **_finite(report.values)} for report in record.reports],
        "attempt": record.attempt,
        "cause": None if record.cause is None else str(record.cause),
        "message": record.message,
        "attributes": dict(record.attributes),
        "worker": record.worker,
        "created": _time(record.created),
        "started": _time(record.started),
        "finished": _time(record.finished),
    }


def _finite(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: value if abs(value) < float("inf") else str(value) for name, value in values.items()}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def _study_json(history: History) -> dict[str, Any]:
    best = history.best
    return {
        "study": history.study.name,
        "directions": list(history.study.directions),
        "metrics": list(history.study.metrics),
        "seed": history.study.seed,
        "created": _time(history.study.created),
        "n_trials": len(history),
        "states": {str(state): history.count(state) for state in State},
        "best": None if best is None else {"number": best.number, "value": best.value, "params": dict(best.params)},
        "attributes": dict(history.study.attributes),
    }


def _study_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    states, best = row["states"], row["best"]
    n_open = sum(states[str(state)] for state in (State.WAITING, State.RUNNING, State.PAUSED))
    counts = (row["n_trials"], states["complete"], states["stopped"], states["failed"], n_open)
    value = "-" if best is None else f"{best['value']:.6g} (trial {best['number']})"
    return (row["study"], *map(str, counts), value, ", ".join(row["directions"]), (row["created"] or "-")[:16])


def _trial_text(record: TrialRecord) -> str:
    lines = [f"Trial {record.number}: {record.state}" + (f" ({record.cause})" if record.cause else "")]
    if record.values is not None:
        lines.append("Value: " + ", ".join(map(repr, record.values)))
    lines.append("Params:")
    lines += [f"  {name}: {value}   {record.domains.get(name, '')}".rstrip() for name, value in record.params.items()]
    if record.reports:
        lines.append(f"Reports ({len(record.reports)}):")
        for report in record.reports:
            lines.append(f"  step {report.step}: " + ", ".join(f"{k} {v:.6g}" for k, v in report.values.items()))
    lines += [f"{key}: {value}" for key, value in record.attributes.items()]
    lines.append(f"Attempt {record.attempt}, worker {record.worker}")
    lines.append(f"Started {_time(record.started)}, finished {_time(record.finished)}")
    if record.message:
        lines.append(record.message)
    return "\n".join(lines)
