"""Past studies: what they give, what they cost when they mislead, and what is told about them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.domains import Domain
from honed.errors import StudyNotFound
from honed.events import Notice
from honed.history import History
from honed.records import StudyRecord
from honed.samplers.base import Sampler
from honed.samplers.combine import fit_for_use
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.space import Space
from honed.testing.driver import Driver
from honed.transfer import agreements, default_value, gathered, sources_of, warm_start_text

A, B = honed.Float(-5, 10), honed.Float(0, 15)


def quiet(study: honed.Study, objective: Any, *args: Any, **kwargs: Any) -> list[Any]:
    events: list[Any] = []
    study.optimize(objective, *args, progress="quiet", report=False, on_event=events.append, **kwargs)
    return events


def bowl(trial: honed.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    return (x - 1) ** 2 + (y + 2) ** 2


def past(n: int = 30, seed: int = 5, **settings: Any) -> honed.Study:
    study = honed.create_study("past", storage="memory", seed=seed, **settings)
    quiet(study, bowl, "random", n)
    return study


def branin(shift: float = 0.0, sign: float = 1.0) -> Any:
    def objective(ask) -> float:
        x, y = ask("a", A) + 15 * shift, ask("b", B) - 15 * shift
        parabola = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
        return float(sign * (parabola**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 9.602113))

    return objective


def log_regrets(sampler: Sampler, sources: list[Any] | None, n: int) -> np.ndarray:
    """[n] the mean over 20 seeds of log10 of the best value so far; source by source, where there are any."""
    curves = []
    for seed in range(20):
        driver = Driver(fit_for_use(sampler), branin(), space=Space(a=A, b=B), seed=seed)
        if sources is not None:
            driver.study = StudyRecord(name="b", metrics=driver.study.metrics, attributes={"sources": [sources[seed]]})
            driver.history = History.empty(driver.study, Space(a=A, b=B))
        driver.run(n)
        curves.append(np.minimum.accumulate([record.value or 0.0 for record in driver.history]))
    mean: np.ndarray = np.log10(np.maximum(curves, 1e-9)).mean(axis=0)
    return mean


def sources(objective: Any) -> list[Any]:
    found = []
    for seed in range(20):
        driver = Driver(Random(), objective, space=Space(a=A, b=B), seed=1000 + seed)
        driver.run(50)
        found.append(gathered(driver.history, "a"))
    return found


# ------------------------------------------------------------------------------------------------- help and hindrance


@pytest.mark.parametrize(("sampler", "gain"), [(Random(), 0.15), (TPE(), 0.05)], ids=["random", "TPE"])
def test_a_related_study_helps_in_the_first_twenty_trials(sampler: Sampler, gain: float):
    plain, helped = log_regrets(sampler, None, 20), log_regrets(sampler, sources(branin(0.07)), 20)
    assert (helped[2:20] - plain[2:20]).mean() < -gain


@pytest.mark.parametrize(("sampler", "margin"), [(Random(), 0.05), (TPE(), 0.25)], ids=["random", "TPE"])
def test_a_misleading_study_costs_at_most_every_tenth_trial(sampler: Sampler, margin: float):
    """As good after 40 trials as after 36 without it; the margin is some 1.5 standard errors of the difference."""
    plain, hindered = log_regrets(sampler, None, 40), log_regrets(sampler, sources(branin(sign=-1.0)), 40)
    assert hindered[39] < plain[35] + margin


def test_a_misleading_study_gives_three_points_and_no_more():
    driver = Driver(fit_for_use(Random()), branin(), space=Space(a=A, b=B))
    driver.study = StudyRecord(
        name="b", metrics=driver.study.metrics, attributes={"sources": sources(branin(sign=-1.0))[:1]}
    )
    driver.history = History.empty(driver.study, Space(a=A, b=B))
    driver.run(60)
    assert ["from" in record.note for record in driver.history] == [True] * 3 + [False] * 57
    assert "'a' not used (no agreement: " in (warm_start_text(driver.history) or "")


# --------------------------------------------------------------------------------------------------------- first points


def test_the_best_configurations_come_first_after_the_default_and_sources_take_turns():
    study = honed.create_study(
        "now",
        storage="memory",
        defaults={"x": 0.0, "y": 0.0},
        warm_start_from=[past(), past(9, 6, metric="other_loss")],
    )
    quiet(study, bowl, "random", 40)
    assert study.trials[0].note["default"] is True
    first, second = (sorted(s.trials, key=lambda record: record.value or 0.0) for s in (past(), past(9, 6)))
    assert study.trials[1].params == first[0].params
    assert study.trials[2].params == second[0].params
    assert study.trials[3].params == first[1].params


def test_at_most_one_in_ten_trials_is_a_first_point():
    study = honed.create_study("now", storage="memory", space=Space(x=honed.Float(-5, 5)), warm_start_from=past())
    quiet(study, lambda trial: abs(trial["x"] + 3), "random", 10)
    assert [record.note.get("from", "") for record in study.trials[:3]] == [study.trials[0].note["from"], "", ""]


def test_ranges_may_differ_and_parameters_may_be_missing_or_new():
    study = honed.create_study(
        "now",
        storage="memory",
        space=Space(x=honed.Float(2, 4), depth=honed.Int(1, 9), opt=honed.Categorical(["sgd", "adam"])),
        defaults={"opt": "adam"},
        warm_start_from=past(),
    )
    quiet(study, lambda trial: trial["x"], "random", 30)
    best = min(past().trials, key=lambda record: record.value or 0.0)
    assert study.trials[1].params == {"x": max(best.params["x"], 2.0), "depth": 5, "opt": "adam"}
    assert sources_of(study.history)[0].params[0] == best.params


def test_a_choice_that_is_gone_is_not_replaced_by_another_one():
    old = honed.create_study("old", storage="memory", space=Space(opt=honed.Categorical(["sgd", "lion"]), x=A), seed=1)
    quiet(old, lambda trial: float(trial["opt"] == "sgd") + abs(trial["x"]), "random", 20)
    new = honed.create_study(
        "new", storage="memory", space=Space(opt=honed.Categorical(["sgd", "adam"]), x=A), warm_start_from=old
    )
    quiet(new, lambda trial: abs(trial["x"]), "random", 30)
    assert not any("from" in record.note for record in new.trials[:3])


@pytest.mark.parametrize(
    ("domain", "middle"),
    [
        (honed.Float(0, 10), 5.0),
        (honed.Int(1, 9), 5),
        (honed.Categorical(["a", "b", "c"], weights=[0, 0, 1]), "a"),
        (honed.Ordinal([1, 2, 3]), 2),
    ],
    ids=str,
)
def test_the_middle_of_a_domain(domain: Domain, middle: Any):
    assert default_value(domain, "x", {}) == middle
    assert default_value(domain, "x", {"x": "no such value"}) == middle


# ------------------------------------------------------------------------------------------------- weights and sentences


def test_the_weight_is_the_agreement_of_orders():
    study = honed.create_study("now", storage="memory", seed=3, warm_start_from=past(60))
    quiet(study, bowl, "random", 30)
    found = agreements(study.history)["past"]
    assert found.tau > 0.6
    text = f"Warm start: 'past' weight {found.tau:.2f} ({found.alike} of {found.pairs} pairs ordered alike)."
    assert warm_start_text(study.history) == text
    events = quiet(study, bowl, "random", 31)
    assert next(event.text for event in events if isinstance(event, Notice)) == text


def test_directions_are_turned():
    high = honed.create_study("past", storage="memory", seed=5, direction="maximize")
    quiet(high, lambda trial: -bowl(trial), "random", 30)
    (source,) = (gathered(study.history, "x") for study in (high,))
    assert source is not None
    assert gathered(past().history, "x") == {**source, "metric": "value"}


def test_nothing_in_common_is_told(capfd):
    study = honed.create_study("now", storage="memory", space=Space(z=A), warm_start_from=past())
    assert "'past' has nothing in common with this space and is not used: it has x, y." in capfd.readouterr().err
    assert sources_of(study.history) == ()
    found = honed.create_study("later", storage="memory", warm_start_from=past())
    quiet(found, lambda trial: trial.suggest_float("z", 0, 1), "random", 8)
    assert (
        warm_start_text(found.history) == "Warm start: 'past' not used (it has none of this study's parameters: x, y)."
    )


def test_a_study_without_results_is_told(capfd):
    empty = honed.create_study("empty", storage="memory")
    assert sources_of(honed.create_study("now", storage="memory", warm_start_from=[empty]).history) == ()
    assert "'empty' has no result yet and is not used" in capfd.readouterr().err


def test_at_most_two_hundred_trials_are_kept_the_best_and_a_spread():
    study = past(400)
    (source,) = sources_of(honed.create_study("now", storage="memory", warm_start_from=study).history)
    assert len(source.params) == 200
    best = sorted(study.trials, key=lambda record: record.value or 0.0)
    assert source.numbers[:100] == tuple(record.number for record in best[:100])
    assert source.numbers[-1] == best[-1].number
    assert source.losses[0] == 0.0
    assert source.losses[-1] == 1.0


# ------------------------------------------------------------------------------------------------------- files and names


def test_a_file_counts_once_and_may_go_afterwards(tmp_path: Path):
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with honed.create_study("past", storage=old, seed=1) as study:
        quiet(study, bowl, "random", 20)
        now = honed.create_study("now", storage=new, warm_start_from=[old, str(old), study])
    assert [source.name for source in sources_of(now.history)] == ["past"]
    now.close()
    old.unlink()
    with honed.create_study("now", storage=new, warm_start_from=[old, str(old)]) as again:
        quiet(again, bowl, "random", 5)
        assert again.trials[0].params
        assert len(sources_of(again.history)) == 1


def test_studies_of_one_name_are_told_apart(tmp_path: Path):
    for name in ("a.db", "b.db"):
        with honed.create_study(storage=tmp_path / name, seed=1) as study:
            quiet(study, bowl, "random", 5)
    with honed.create_study(storage="memory", warm_start_from=[tmp_path / "a.db", tmp_path / "b.db"]) as now:
        first, second = sources_of(now.history)
        assert first.name == "study"
        assert second.name.startswith("study in ")
        assert second.name.endswith("b.db")


def test_what_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(StudyNotFound, match="which does not exist"):
        honed.create_study(storage="memory", warm_start_from=tmp_path / "no.db")
    for name in ("a", "b"):
        honed.create_study(name, storage=tmp_path / "two.db").close()
    with pytest.raises(ValueError, match=r"has 2 studies \('a', 'b'\); pass one: load_study\(name, storage="):
        honed.create_study(storage="memory", warm_start_from=tmp_path / "two.db")
    with pytest.raises(TypeError, match="warm_start_from: 3 must be a study, a file or a storage"):
        honed.create_study(storage="memory", warm_start_from=[3])  # type: ignore[list-item]
    assert not (tmp_path / "no.db").exists()


def test_several_objectives_must_be_the_same():
    def both(trial: honed.Trial) -> tuple[float, float]:
        x = trial.suggest_float("x", 0, 1)
        return x, 1 - x

    old = honed.create_study("old", storage="memory", metrics=["loss", "seconds"], directions=["minimize", "minimize"])
    quiet(old, both, "random", 12)
    with pytest.raises(
        ValueError, match="'old' has the objectives loss, seconds, and this study value; several objectives"
    ):
        honed.create_study("now", storage="memory", warm_start_from=old)
    new = honed.create_study(
        "new", storage="memory", metrics=["loss", "seconds"], directions=["minimize", "minimize"], warm_start_from=old
    )
    quiet(new, both, "random", 12)
    assert len(sources_of(new.history)[0].params) == 12


def test_a_discovered_space_takes_first_points_from_the_first_trial_on():
    study = honed.create_study("now", storage="memory", warm_start_from=past())
    quiet(study, bowl, "random", 30)
    best = sorted(past().trials, key=lambda record: record.value or 0.0)[:3]
    assert [record.params for record in study.trials[:3]] == [record.params for record in best]
