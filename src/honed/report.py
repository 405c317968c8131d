"""What a study has found, as plain text: the end-of-run report and a table of its best trials.

The first lines of the report have been the same in examples for years and are kept to the character; what else is worth
saying stands after them, or in lines that only appear when there is something to count::

    Study statistics:
      Number of finished trials: 100
      Number of pruned trials: 67
      Number of complete trials: 33
    Best trial:
    Value: 0.95390625
    Params:
      n_layers: 1
      lr: 0.021951376926653072
    Baseline: 0.91 (logistic regression), best is 0.04391 better

``pruned`` are the STOPPED trials; finished are COMPLETE, STOPPED and FAILED ones.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from honed.confirm.runs import default_name, default_of
from honed.confirm.verdict import Confirmation, gain_in_search, gain_lines, gain_text, optimism
from honed.domains import Scalar
from honed.failures import failures_summary
from honed.history import History
from honed.pareto import knee, pareto_front
from honed.records import LENGTH, State, TrialRecord
from honed.spread import repeats_of, spread

MOST_ON_FRONT = 10
"""Trials of a Pareto front that the report writes out."""


def study_report(history: History, told: Confirmation | None = None) -> str:
    """The report at the end of a run: counts, the best trial (or the Pareto front), the baseline, and what noise says.

    Args:
        history: the study.
        told: what trainings with new seeds have told of its best trials.
    """
    lines = ["Study statistics:", *_counts(history)]
    best = history.best
    if best is None:
        lines += _nothing_found(history)
    elif len(history.study.directions) > 1:
        lines += _front(history)
    else:
        lines += ["Best trial:", f"Value: {_full(best.value)}", *_params(best)]
    return "\n".join([*lines, *_baseline(history), *_going_on(history), *_noise(history, told)])


def welcome(history: History, where: str, n_trials: int | None) -> str | None:
    """What is there already when a study goes on; None for a new one.

    Args:
        history: of the study.
        where: what its storage is called.
        n_trials: its total, as the run was told.
    """
    if not len(history):
        return None
    counts = ", ".join(f"{history.count(state)} {state}" for state in State if history.count(state))
    text = f"Study '{history.study.name}' in {where}: {counts}."
    if n_trials is None:
        return text
    if history.n_counted >= n_trials and not history.lost:
        return f"{text} All {n_trials} trials are done; a larger n_trials goes on."
    return f"{text} {n_trials - history.n_counted} of {n_trials} trials left."


def trials_table(history: History, n: int = 10, *, width: int = 110) -> str:
    """The best finished trials with their values, states and parameters, then why others failed.

    Parameters get a column each where the table stays narrower than ``width``, else they follow each other. Several
    objectives: the Pareto front first, then the rest by the first objective.
    """
    if n < 1:
        raise ValueError(f"trials_table: n={n!r} must be at least 1")
    ranked = _ranked(history)
    failed = [record for record in history.finished if record.state is State.FAILED]
    top = ranked[:n]
    blocks = []
    if top:
        shown = (
            f"Top {len(top)} of {len(ranked)} trials with a value:" if len(top) < len(ranked) else "Trials by value:"
        )
        blocks.append("\n".join([shown, *_table(history, top, width)]))
    else:
        blocks.append("\n".join(_nothing_found(history, failures=False)))
    if failed:
        blocks.append(failures_summary(failed))
    return "\n\n".join(blocks)


# ----------------------------------------------------------------------------------------------------- the report


def _counts(history: History) -> list[str]:
    lines = [
        f"  Number of finished trials: {history.n_finished}",
        f"  Number of pruned trials: {history.count(State.STOPPED)}",
        f"  Number of complete trials: {history.count(State.COMPLETE)}",
    ]
    for state in (State.PAUSED, State.WAITING, State.RUNNING):
        if history.count(state):
            lines.append(f"  Number of {state} trials: {history.count(state)}")
    lines += _epochs(history)
    n_failed = history.count(State.FAILED)
    if n_failed:
        causes = Counter(str(record.cause or "error") for record in history.finished if record.state is State.FAILED)
        listed = ", ".join(f"{n} {cause}" for cause, n in sorted(causes.items(), key=lambda item: (-item[1], item[0])))
        lines.append(f"  Number of failed trials: {n_failed} ({listed})")
    return lines


def _epochs(history: History) -> list[str]:
    """Epochs trained and saved, for studies in which some trainings were not taken to their end."""
    full = max((record.note.get(LENGTH, 0) for record in history), default=0)
    trained = [record.last_step or 0 for record in history if record.state is not State.WAITING or record.attempt]
    n_saved = sum(max(full - n, 0) for n in trained)
    if not full or not n_saved or not history.count(State.PAUSED, State.STOPPED):
        return []
    share = n_saved / (full * len(trained))
    unit = "Epochs" if history.study.summary != "mean" else "Folds" if repeats_of(history.study) is None else "Repeats"
    return [f"  {unit} trained: {sum(trained)}, saved against full trainings: {n_saved} ({share:.0%})"]


def _nothing_found(history: History, *, failures: bool = True) -> list[str]:
    n_failed = history.count(State.FAILED)
    if not n_failed:
        return ["No trial has finished yet." if len(history) else "The study has no trials yet."]
    which = "The one finished trial failed" if n_failed == 1 else f"All {n_failed} finished trials failed"
    lines = [f"{which}: there is no best trial."]
    if failures:
        lines.append(failures_summary(history.finished))
    return lines


def _front(history: History) -> list[str]:
    front, best = pareto_front(history), knee(history)
    lines = [f"Pareto front ({len(front)} trial{'s' if len(front) != 1 else ''}):"]
    for record in front[:MOST_ON_FRONT]:
        values = zip(history.study.metrics, record.values or (), strict=False)
        lines += [
            f"Trial {record.number}:",
            "Values:",
            *(f"  {name}: {_full(value)}" for name, value in values),
        ]
        lines += _params(record)
    if len(front) > MOST_ON_FRONT:
        lines.append(f"... and {len(front) - MOST_ON_FRONT} more trials on the front")
    if best is not None and len(front) > 1:
        lines.append(f"Knee of the front (best_trial): trial {best.number}")
    return lines


def _params(record: TrialRecord) -> list[str]:
    return ["Params:", *(f"  {name}: {_full(value)}" for name, value in record.params.items())]


def _baseline(history: History) -> list[str]:
    """What the study's attribute ``baseline`` says: ``{"value": 0.91, "name": "logistic regression"}``."""
    baseline: Any = history.study.attributes.get("baseline")
    value = baseline.get("value") if isinstance(baseline, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return []
    name = baseline.get("name")
    line = f"Baseline: {_full(value)}" + (f" ({name})" if name else "")
    best = history.best
    if best is None or best.value is None or len(history.study.directions) > 1:
        return [line]
    gain = best.value - value if history.study.directions[0] == "maximize" else value - best.value
    verdict = "as good" if gain == 0 else f"{abs(gain):.4g} {'better' if gain > 0 else 'worse'}"
    return [f"{line}, best is {verdict}"]


def _noise(history: History, told: Confirmation | None) -> list[str]:
    """How sure the best value is, and whether it is better than trial 0 for sure: by a confirmation, else by repeats."""
    if told is not None:
        return [optimism(told), *gain_lines(told)]
    best, first = history.best, default_of(history)
    if best is None or len(history.study.directions) > 1:
        return []
    parts = spread(history.study, best)
    lines = [] if parts is None else [f"Best value with its standard error: {parts}"]
    if parts is not None and first is not None and best.number == first.number and len(history.finished) > 1:
        return [*lines, f"No gain over {default_name(first)}: it is the best."]
    if parts is None or first is None or (gain := gain_in_search(history)) is None:
        return lines
    return [*lines, *gain_text(gain, default_name(first))]


def _going_on(history: History) -> list[str]:
    """What more trials would bring, from twenty on."""
    from honed.explain.advice import advice  # a model of all trials: not before somebody asks for a report

    told = advice(history)
    return [] if told is None else [str(told)]


def _full(value: Scalar) -> str:
    """A value with all its digits."""
    return repr(float(value)) if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------------------------------ the table


def _ranked(history: History) -> list[TrialRecord]:
    """Finished trials with values, best first; a Pareto front before the rest."""
    valued = [record for record in history.finished if record.values is not None and record.state is not State.FAILED]
    sign = 1.0 if history.study.directions[0] == "minimize" else -1.0
    front = {record.number for record in pareto_front(history)} if len(history.study.directions) > 1 else set[int]()
    return sorted(valued, key=lambda record: (record.number not in front, sign * (record.value or 0.0), record.number))


def _table(history: History, top: Sequence[TrialRecord], width: int) -> list[str]:
    names = list(dict.fromkeys(name for record in top for name in record.params))
    head = ["trial", *history.study.metrics, "state"]
    rows = [[str(record.number), *_values(history, record), str(record.state)] for record in top]
    wide = [[*row, *_cells(record, names)] for row, record in zip(rows, top, strict=True)]
    lines = _aligned([[*head, *names], *wide])
    if max(map(len, lines)) <= width or not names:
        return lines
    lines = _aligned([[*head, "params"], *([*row, ""] for row in rows)], strip=False)
    indent = len(lines[0]) - len("params")
    listed = [lines[0]]
    for line, record in zip(lines[1:], top, strict=True):
        params = ", ".join(f"{name}={_short(value)}" for name, value in record.params.items())
        wrapped = textwrap.wrap(params, max(width - indent, 30), break_long_words=False, break_on_hyphens=False)
        listed.append((line[:indent] + (wrapped[0] if wrapped else "")).rstrip())
        listed += [" " * indent + more for more in wrapped[1:]]
    return listed


def _values(history: History, record: TrialRecord) -> list[str]:
    """The values; one that is a mean with its error and the number of its parts."""
    shown = list(map(_short, record.values or ()))
    parts = spread(history.study, record)
    return shown if parts is None else [str(parts), *shown[1:]]


def _cells(record: TrialRecord, names: Sequence[str]) -> list[str]:
    return [_short(record.params[name]) if name in record.params else "-" for name in names]


def _aligned(rows: Sequence[Sequence[str]], *, strip: bool = True) -> list[str]:
    """Columns two spaces apart; the first one, of trial numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            row[0].rjust(widths[0]),
            *(cell.ljust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip() if strip else "  ".join(cells))
    return lines


def _short(value: Scalar) -> str:
    """A value with six digits, enough to compare."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
