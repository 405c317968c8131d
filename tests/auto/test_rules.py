"""The rules that look at trainings, each on a case built for it; and the table that users read."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from honed.auto import Choice, Told, choose, explained
from honed.auto.early import FirstLook, HalfToTheEnd, PickUp
from honed.auto.explain import early_sentence
from honed.auto.told import TOLD
from honed.domains import Categorical, Float, Int
from honed.freeze_thaw import FreezeThaw
from honed.history import History
from honed.records import LOOK, Decision, Delta, Direction, Report, Resume, Start, State, StudyRecord, TrialRecord
from honed.samplers.gp import GP
from honed.samplers.tpe import TPE
from honed.schedulers.asha import ASHA, ASHAStopping
from honed.schedulers.full import Full
from honed.space import Space

SEVEN = Space({f"x{i}": Float(0, 1) for i in range(7)})
WEIGHTY = {"lr": Float(1e-4, 1, log=True), "batch_size": Int(8, 256), "width": Int(8, 512)}
NINE = Space(WEIGHTY | {f"p{i}": Float(0, 1) for i in range(6)})
MIXED = Space({"x": Float(0, 1)} | {f"c{i}": Categorical(["a", "b", "c"]) for i in range(3)})
MINIMIZE: Direction = "minimize"
PAGE = Path(__file__).parent.parent.parent / "docs" / "auto.md"


def trial(
    number: int, losses: list[float], n: int = 27, state: State = State.COMPLETE, every: int = 1, **more
) -> TrialRecord:
    """A training of n steps that has reported ``losses``."""
    reports = tuple(Report(number, every * (i + 1), {"value": loss}) for i, loss in enumerate(losses))
    values = (losses[-1],) if state is State.COMPLETE else None
    note = {"n_steps": n} | more.pop("note", {})
    return TrialRecord(
        number=number,
        state=state,
        params={"x0": 0.01 * number},
        domains={"x0": Float(0, 1)},
        values=values,
        reports=reports,
        attempt=more.pop("attempt", 1),
        note=note,
        **more,
    )


def history(trials: list[TrialRecord], directions: tuple[Direction, ...] = ("minimize",)) -> History:
    begun = tuple(record.with_reports(()) for record in trials)
    reports = tuple(report for record in trials for report in record.reports)
    metrics = ("value", "second", "third", "fourth")[: len(directions)]
    study = StudyRecord(name="s", directions=directions, metrics=metrics)
    return History.empty(study, SEVEN).extend(Delta(revision=1, trials=begun, reports=reports))


def paused(number: int, at: int = 3, n: int = 27, **more) -> TrialRecord:
    note = {"tracks": True}
    return trial(number, [1.0 + number] * at, n, State.PAUSED, until=at, note=note, checkpoint=f"k{number}", **more)


def curves(n_finished: int, is_misleading: bool) -> list[TrialRecord]:
    """Full curves whose order turns round, or stays."""
    turn = -1.0 if is_misleading else 1.0
    return [
        trial(i, [turn * i] * 13 + [1.0 * i] * 14, note={"tracks": True}, checkpoint="k") for i in range(n_finished)
    ]


UNTRACKED = [trial(0, [1.0] * 27)]
LOST = [trial(i, [1.0] * 3, 27, State.PAUSED, until=3, note={"tracks": True}) for i in range(2)]
RARE = [trial(0, [1.0] * 3, 100, State.PAUSED, 5, until=15, note={"tracks": True}, checkpoint="k")]
SHORT = [trial(0, [1.0] * 3, 3)]

TRACKED, WORK = "Reports per epoch and trial.track(...): ", "Reports per epoch and checkpoints work: "
PREDICTING = "pausing and resuming by predicted value at epoch {}; first slice {} epochs."
STOPPING = "stopping weak trials at 3 and 9 of 27 epochs; proposals by Gaussian process."
MISLEADING = "Epoch 3 does not predict epoch 27 (rank correlation -1.00): half of the trials run to the end."
HINT = "trial.track(model=..., optimizer=...) would let them continue."
PROMOTING = "4,000 trials on 64 workers: rung promotions (3, 9, 27 epochs), proposals by TPE."
PROMOTING_SHORT = "40 trials: rung promotions (2, 6 epochs), proposals by Gaussian process."

ANSWERS = [
    (6, curves(8, True), 100, 1, GP, HalfToTheEnd, MISLEADING),
    (7, curves(8, False), 100, 1, FreezeThaw, FirstLook, TRACKED + PREDICTING.format(27, 3)),
    (7, [paused(0)], 100, 1, FreezeThaw, FirstLook, TRACKED + PREDICTING.format(27, 3)),
    (7, [paused(i, attempt=2) for i in range(3)], 100, 8, FreezeThaw, FreezeThaw, WORK + PREDICTING.format(27, 3)),
    (7, RARE, 100, 1, FreezeThaw, FirstLook, TRACKED + PREDICTING.format(100, 15)),
    (8, [paused(i) for i in range(3)], 4000, 64, TPE, ASHA, PROMOTING),
    (8, [paused(0, 2, 6)], 40, 1, GP, FirstLook, PROMOTING_SHORT),
    (9, UNTRACKED, 100, 1, GP, FirstLook, f"Nothing to resume: {STOPPING} {HINT}"),
    (9, LOST, 100, 1, GP, PickUp, f"Checkpoints are lost before they are needed: {STOPPING}"),
    (10, SHORT, 100, 1, GP, Full, "7 parameters, 100 trials: Gaussian process."),
    (11, SHORT, 100, 64, TPE, Full, "64 workers: TPE."),
]


@pytest.mark.parametrize(("rule", "trials", "n_trials", "n_workers", "sampler", "scheduler", "reason"), ANSWERS)
def test_the_first_rule_that_fits_decides_both_and_says_why(
    rule, trials, n_trials, n_workers, sampler, scheduler, reason
):
    choice = choose(SEVEN, history(trials), n_trials, n_workers)
    assert (choice.rule, choice.reason) == (rule, reason)
    assert isinstance(choice.sampler, sampler)
    assert isinstance(choice.scheduler, scheduler)
    assert choose(SEVEN, history(trials), n_trials, n_workers) == choice


def all_choices() -> list[Choice]:
    found = [choose(SEVEN, history(trials), n, workers) for _, trials, n, workers, *_ in ANSWERS]
    spaces = [
        (Space(a=Int(0, 3)), 9),
        (SEVEN, 6),
        (MIXED, 100),
        (Space({f"x{i}": Float(0, 1) for i in range(22_000)}), 99),
    ]
    found += [choose(space, history([]), n, 1) for space, n in spaces]
    for n_done, space, n in (
        (9, SEVEN, 2),
        (9, MIXED, 2),
        (9, SEVEN, 4),
        (256, SEVEN, 2),
        (256, SEVEN, 4),
        (256, SEVEN, 1),
        (256, MIXED, 1),
    ):
        directions = (MINIMIZE,) * n
        study = StudyRecord(name="s", directions=directions, metrics=("a", "b", "c", "d")[:n])
        records = [
            TrialRecord(number=i, state=State.COMPLETE, params={}, domains={}, values=(0.5,) * n) for i in range(n_done)
        ]
        done = History.empty(study, space).extend(Delta(revision=1, trials=tuple(records)))
        found.append(choose(space, done, 1000, 1))
    mixed_numbers = Space({"c": Categorical(["a", "b", "c"])} | dict(SEVEN.domains))
    done = History.empty(StudyRecord(name="s"), mixed_numbers).extend(
        Delta(
            revision=1,
            trials=tuple(TrialRecord(number=i, state=State.COMPLETE, values=(0.5,)) for i in range(256)),
        )
    )
    return [*found, choose(mixed_numbers, done, 1000, 1)]


def test_the_table_for_users_says_who_proposes_in_each_rule():
    rows = re.findall(r"^\| (\d+) \| .* \| (.+) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    table = {int(rule): set(re.findall(r"\w+", names)) - {"or"} for rule, names in rows}
    seen: dict[int, set[str]] = {}
    for choice in all_choices():
        sampler = getattr(choice.sampler, "sampler", choice.sampler)  # the grid has somebody to follow it
        seen.setdefault(choice.rule, set()).add(type(sampler).__name__)
    assert sorted(table) == sorted(seen) == list(range(1, 14))
    for rule, names in seen.items():
        assert names <= table[rule], rule


def test_a_plan_says_how_many_steps_will_be_spent_and_a_budget_needs_none():
    choice = choose(SEVEN, history([paused(0)]), 100, 1)
    assert choice.notes == ("100 trials of 27 epochs: about 700 epochs in all, as much as 26 full trainings.",)
    assert choose(SEVEN, history([paused(0)]).limited(100, 500), 100, 1).notes == ()


def test_too_few_trials_and_too_many_parameters_are_said_in_one_line():
    few = choose(NINE, History.empty(StudyRecord(name="s"), NINE), 10, 1)
    assert few.notes == (
        "9 parameters, 10 trials: close to random search. Keep lr, batch_size, width or raise to about 40.",
    )
    many = Space({f"x{i}": Float(0, 1) for i in range(24)})
    (line,) = choose(many, History.empty(StudyRecord(name="s"), many), 100, 1).notes
    assert line.startswith("24 parameters are many: ")
    assert choose(SEVEN, History.empty(StudyRecord(name="s"), SEVEN), 100, 1).notes == ()


def test_a_script_that_has_stopped_to_track_is_noticed():
    before = [paused(i) for i in range(4)]
    after = [trial(i, [1.0] * 27) for i in range(4, 12)]
    assert choose(SEVEN, history([*before, *after[:7]]), 100, 1).rule == 7
    assert choose(SEVEN, history([*before, *after]), 100, 1).rule == 9


def test_what_would_change_the_choice_is_told():
    assert choose(SEVEN, history([trial(0, [1.0] * 3, 3)]), 1000, 1).until == "Will switch to CMA-ES at 250 trials."
    assert choose(SEVEN, history(UNTRACKED), 100, 1).until == (
        "Will pause and resume them once they call trial.track(...)."
    )


# ---------------------------------------------------------------------------------------------------------- schedulers


def running(losses: list[float], **more) -> TrialRecord:
    return trial(1, losses, state=State.RUNNING, **more)


@pytest.mark.parametrize(
    ("record", "decision"),
    [
        (running([1.0] * 2, note={"tracks": True}), Decision.CONTINUE),
        (running([1.0] * 3, note={"tracks": True}), Decision.PAUSE),
        (running([1.0] * 4, note={"tracks": True}), Decision.CONTINUE),  # it goes on to the end
        (running([1.0] * 3), Decision.CONTINUE),
        (running([1.0] * 3, note={"tracks": True}, until=9), Decision.CONTINUE),
        (running([1.0] * 3, note={"tracks": True, LOOK: 6}), Decision.CONTINUE),
        (running([1.0] * 6, note={"tracks": True, LOOK: 6}), Decision.PAUSE),
        (running([1.0] * 3, n=100, every=5, note={"tracks": True}), Decision.PAUSE),
        (running([1.0] * 3, n=3, note={"tracks": True}), Decision.CONTINUE),
        (running([1.0] * 2, n=6, note={"tracks": True}), Decision.PAUSE),
    ],
)
def test_a_first_look_pauses_what_can_be_resumed_and_nothing_else(record: TrialRecord, decision: Decision):
    assert FirstLook(Full()).decide(history([]), record) is decision


def test_a_first_look_leaves_the_slice_in_the_note_instead_of_granting_it():
    move = FirstLook(ASHA()).next(history([trial(0, [1.0] * 27)]))
    assert move == Start(until=None, note={LOOK: 3})
    assert FirstLook(ASHA()).next(history([paused(i) for i in range(3)])) == Resume(number=0, until=9)


def test_paused_trials_are_promoted_by_rules_that_pause_none():
    trials = [paused(i) for i in range(9)]
    assert PickUp(ASHAStopping()).next(history(trials)) == Resume(number=0, until=None)
    left = [trial(i, [1.0 + i] * 27) for i in range(3)] + trials[3:]
    assert PickUp(Full()).next(history(left)) == Start()


def test_every_second_new_trial_runs_to_its_end():
    half = HalfToTheEnd(ASHA())
    assert half.next(history([])) == Start()
    assert half.next(history([trial(0, [1.0] * 27)])) == Start(until=3)
    others = [trial(i, [0.1] * 27) for i in (0, 2, 3, 4)]
    weak = [trial(i, [9.0] * 3, state=State.RUNNING) for i in (5, 6)]
    kept, rest = weak[1], weak[0]
    stopping, known = (
        HalfToTheEnd(ASHAStopping()),
        history(sorted([trial(1, [0.1] * 27), *others], key=lambda r: r.number)),
    )
    assert stopping.decide(known, kept) is Decision.CONTINUE
    assert stopping.decide(known, rest) is Decision.STOP


# --------------------------------------------------------------------------------------------------------- explaining


def test_the_early_order_is_told_good_poor_or_unknown():
    assert early_sentence(history([])).startswith("No training has reported before its end")
    assert early_sentence(history(curves(3, True))) == (
        "3 finished curves: not enough to tell whether early values predict the final order (5 are)."
    )
    assert early_sentence(history(curves(6, False))) == (
        "Order after 3 epochs predicts the final order (rank correlation 1.00, 6 finished curves)."
    )
    assert early_sentence(history(curves(6, True))) == (
        "Order after 3 epochs predicts the final order poorly (rank correlation -1.00). "
        "No earlier step predicts it; use scheduler='full'."
    )
    crossing = [trial(i, [-1.0 * i] * 5 + [1.0 * i] * 22) for i in range(6)]
    assert early_sentence(history(crossing)).endswith("Use min_steps >= 6.")


def test_an_explanation_tells_rule_reason_and_what_was_looked_at():
    text = explained(history(UNTRACKED), Told(n_trials=100))
    assert "(rule 9)" in text
    assert "Looked at: trainings of 27 epochs; 1 could not be paused." in text
    named = explained(history(UNTRACKED), Told(sampler="TPE"))
    assert named.startswith("sampler='TPE', as told; scheduler: every training to its end.")


def test_what_a_run_was_told_is_found_again_and_written_only_when_it_changed():
    told = Told(n_trials=100, workers=2)
    change = told.change(StudyRecord(name="s"))
    assert change is not None
    kept = StudyRecord(name="s", attributes={TOLD: change})
    assert Told.of(kept) == told
    assert told.change(kept) is None
    assert Told().change(StudyRecord(name="s")) is None


def test_order_among_the_best_is_not_held_against_early_values():
    rng = np.random.default_rng(0)
    final = rng.standard_normal(120)
    early = 0.8 * final + 0.6 * rng.standard_normal(120)
    best = set(np.argsort(early)[:16].tolist())
    trials = [
        trial(i, [early[i]] * 26 + [final[i]], note={"tracks": True}, checkpoint="k")
        if i in best
        else trial(i, [early[i]] * 3, state=State.PAUSED, until=3, note={"tracks": True}, checkpoint="k")
        for i in range(120)
    ]
    assert choose(SEVEN, history(trials), 200, 1).rule == 7
