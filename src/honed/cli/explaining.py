"""``honed explain``: why a study does what it does, or what is expected of one trial."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import click

from honed.cli.app import json_option, plain_errors, storage_option
from honed.cli.looking import open_study


@click.command()
@click.argument("study", required=False)
@click.argument("trial", required=False, type=click.IntRange(min=0))
@storage_option
@json_option
@plain_errors
def explain(study: str | None, trial: int | None, storage: str, as_json: bool) -> None:
    """Explain who decides in STUDY and whether to go on, or how TRIAL is expected to end."""
    opened = open_study(study, storage)
    told = opened.explain() if trial is None else opened.explain(trial)
    click.echo(json.dumps(_plain(asdict(told))) if as_json else str(told))


def _plain(value: Any) -> Any:
    """What JSON can hold: NaN and infinities as text."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
