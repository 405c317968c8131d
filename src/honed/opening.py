"""Creating, reopening and deleting studies, by name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from honed import outset
from honed.beliefs import Belief
from honed.clock import SYSTEM_CLOCK
from honed.confirm.runs import CONFIRMS
from honed.errors import StudyMismatch, StudyNotFound
from honed.objectives import objectives
from honed.outset import Past
from honed.records import Direction, StudyRecord, Summary, Update
from honed.samplers.combine import refuse_empty
from honed.space import Space
from honed.spread import REPEATS, Repeats, repeats_of
from honed.storage.base import Storage
from honed.storage.sqlite import Durability
from honed.storage.url import describe, open_storage
from honed.study import Study


def create_study(
    name: str = "study",
    *,
    storage: str | os.PathLike[str] | Storage | None = None,
    direction: Direction | None = None,
    metric: str | None = None,
    directions: Sequence[Direction] | None = None,
    metrics: Sequence[str] | None = None,
    space: Space | None = None,
    seed: int | None = None,
    summary: Summary = "best",
    repeats: int | None = None,
    durability: Durability = "full",
    checkpoints: str | os.PathLike[str] | None = None,
    checkpoint_budget: str | int | None = None,
    defaults: Mapping[str, Any] | None = None,
    prior: Mapping[str, Belief | Mapping[Any, float]] | None = None,
    warm_start_from: Past | Sequence[Past] | None = None,
) -> Study:
    """A new study, or the existing one of that name: the same line creates it and later reopens it.

    Args:
        name: of the study inside its storage.
        storage: a file (``./honed.db`` by default), ``"memory"``, or a Storage.
        direction: "minimize" or "maximize"; by default taken from the metric's name (``val_loss``, ``error`` are minimised,
            ``accuracy``, ``auc``, ``f1`` maximised), and "minimize" without a metric.
        metric: name of what the objective returns or reports first.
        directions, metrics: the same for several objectives.
        space: a declared search space; without it the objective's ``trial.suggest_*`` calls define it.
        seed: of everything random; drawn and stored when it is not given.
        summary: a trial's value is the "best", the "last" or the "mean" of its reported ones; "mean" is for steps that are
            the folds of a cross-validation.
        repeats: train each configuration so many times, with another ``trial.seed`` each time: its value is the mean, with a
            standard error. Trials that are clearly worse than the best one stop after the first repeats.
        durability: "full": a told result survives power loss; "fast": it survives a crash of the process.
        checkpoints: folder for the states of paused trainings; by default beside the storage (``honed.db-checkpoints``).
        checkpoint_budget: disk that they may take, such as ``"50GB"``; paused trials least likely to go on are stopped first.
        defaults: the values that you would use without a search: they are trial 0. What you leave out takes the middle of its
            domain, or its first choice.
        prior: where you believe good values lie: ``{"lr": LogNormal(3e-4, 3), "act": {"relu": 3, "tanh": 1}}``. A share of the
            trials is drawn from it, which falls when the trials speak against it.
        warm_start_from: past studies, or the files they lie in: their best configurations are tried first, further ones as
            far as both studies order trials alike.

    Raises:
        StudyMismatch: the study exists with other directions, metrics, summary or repeats.
    """
    names, goals = objectives(direction, metric, directions, metrics)
    if summary not in ("best", "last", "mean"):
        raise ValueError(f"create_study: summary={summary!r} is unknown; use 'best', 'last' or 'mean'")
    kept = {} if repeats is None else {REPEATS: {"n": _checked_repeats(repeats), "summary": summary}}
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise ValueError(f"create_study: seed={seed!r} must be a whole number of at least 0")
    if not isinstance(name, str) or not name:
        raise ValueError(f"create_study: name={name!r} must be a text of at least one letter")
    if space is not None:
        refuse_empty(space)
    opened = open_storage(storage, durability=durability)
    draft = StudyRecord(
        name=name,
        directions=goals,
        metrics=names,
        seed=secrets.randbits(32) if seed is None else seed,
        summary="mean" if kept else summary,
        attributes=kept,
        space=None if space is None else space.to_json(),
        created=SYSTEM_CLOCK.now(),
    )
    said = outset.checked(draft, space, opened, defaults, prior, warm_start_from)
    record, is_new = opened.create_study(replace(draft, attributes={**draft.attributes, **said.attributes}))
    study = Study(opened, record, space, checkpoints, checkpoint_budget)
    if not is_new:
        _compare(draft, record, seed, space, study)
        study.say(f"Using an existing study with name '{name}' instead of creating a new one.")
    outset.begin(study, said, is_new)
    return study


def create_space(name: str = "study", **settings: Any) -> Study:
    """The same as ``create_study``, under the name that the lecture's general code gives it."""
    return create_study(name, **settings)


def load_study(name: str | None = None, *, storage: str | os.PathLike[str] | Storage | None = None) -> Study:
    """An existing study; the name may be left out where the storage holds just one (and what confirms it).

    Raises:
        StudyNotFound: none of that name; the message lists what is there.
    """
    opened = open_storage(storage)
    records = opened.studies()
    found = [
        record for record in records if record.name == name or (name is None and CONFIRMS not in record.attributes)
    ]
    if len(found) != 1:
        raise StudyNotFound(name or "(no name given)", describe(opened), [record.name for record in records])
    return Study(opened, found[0])


def delete_study(name: str, *, storage: str | os.PathLike[str] | Storage | None = None) -> None:
    """Removes a study with all its trials, for good."""
    study = load_study(name, storage=storage)
    study.storage.delete_study(study.record.id)


def _compare(draft: StudyRecord, record: StudyRecord, seed: int | None, space: Space | None, study: Study) -> None:
    """Refuses to join a study that means something else; takes over a changed space and says so."""
    for field in ("directions", "metrics", "repeats", "summary"):
        mine, theirs = (repeats_of(r) if field == "repeats" else getattr(r, field) for r in (draft, record))
        if mine != theirs:
            raise StudyMismatch(
                f"Study {record.name!r} exists with {field}={_plain(theirs)}, and this call says {_plain(mine)}. Use the same, "
                "another name, or delete it: honed delete " + record.name
            )
    if seed is not None and seed != record.seed:
        study.say(f"Study '{record.name}' keeps its seed {record.seed}; seed={seed} is for new studies.")
    if space is not None and record.space != draft.space:
        study.storage.write(record.id, None, 0, Update(space=draft.space))
        study.say(f"Space changed: {space.changes_from(record.space)}. Old trials stay.")


def _checked_repeats(repeats: int) -> int:
    if isinstance(repeats, bool) or not isinstance(repeats, int):
        raise TypeError(
            f"create_study: repeats={repeats!r} must be a whole number, or None for one training of each trial"
        )
    if repeats < 2:
        raise ValueError(
            f"create_study: repeats={repeats} must be at least 2; leave it out for one training of each trial"
        )
    return repeats


def _plain(value: Any) -> str:
    if isinstance(value, Repeats):
        return f"{value.n} (of summary={value.summary})"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
