"""``honed export``: all trials of a study as CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import click

from honed.cli.app import plain_errors, storage_option
from honed.cli.looking import open_study, trial_json
from honed.frame import to_columns
from honed.history import History
from honed.optional import require

_BY_SUFFIX = {".csv": "csv", ".jsonl": "jsonl", ".json": "jsonl", ".parquet": "parquet"}


@click.command()
@click.argument("study", required=False)
@click.option("--format", "-f", "kind", type=click.Choice(["csv", "jsonl", "parquet"]),
              help="[default: by the ending of --output, else csv]")  # fmt: skip
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="A file; stdout by default.")
@storage_option
@plain_errors
def export(study: str | None, kind: str | None, output: str | None, storage: str) -> None:
    """Write all trials as CSV, JSON lines (with learning curves), or Parquet."""
    kind = kind or _BY_SUFFIX.get(Path(output or "").suffix, "csv")
    if kind == "parquet" and output is None:
        raise click.UsageError("Parquet is no text: name a file with --output trials.parquet")
    history = open_study(study, storage).history
    if kind == "parquet":
        frame = require("pandas", "frames").DataFrame(to_columns(history))
        require("pyarrow", "frames")
        frame.to_parquet(output)
    else:
        text = _csv(history) if kind == "csv" else _jsonl(history)
        if output is None:
            click.echo(text, nl=False)
            return
        Path(output).write_text(text, encoding="utf-8")
    click.echo(f"{len(history)} trials written to {output}", err=True)


def _csv(history: History) -> str:
    columns = to_columns(history)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _jsonl(history: History) -> str:
    return "".join(json.dumps(trial_json(record)) + "\n" for record in history)
