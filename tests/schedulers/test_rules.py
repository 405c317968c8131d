"""Each rule on recorded curves, against results worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from honed.history import History
from honed.records import Decision, Delta, Direction, Report, Resume, Start, State, StudyRecord, TrialRecord
from honed.schedulers.asha import ASHA, ASHAStopping
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.schedulers.named import SCHEDULERS, named
from honed.schedulers.paired import Wilcoxon
from honed.schedulers.pasha import PASHA
from honed.schedulers.stopping import EpochRule, Median, Patience, Percentile, StopAlso, Threshold

NAN, INF = math.nan, math.inf
GO, STOP = Decision.CONTINUE, Decision.STOP


def recorded(
    *curves: list[float], state: State = State.COMPLETE, until: int | None = None, direction: Direction = "minimize",
    n_steps: int = 27,
) -> History:  # fmt: skip
    """Trials with these curves, each value one step."""
    pick = min if direction == "minimize" else max
    trials = tuple(
        TrialRecord(
            number=n, state=state, until=until, note={"n_steps": n_steps},
            values=(pick(curve),) if state is State.COMPLETE else None,
        )
        for n, curve in enumerate(curves)
    )  # fmt: skip
    reports = tuple(
        Report(n, step, {"loss": value}) for n, curve in enumerate(curves) for step, value in enumerate(curve, start=1)
    )
    history = History.empty(StudyRecord(name="s", metrics=("loss",), directions=(direction,)))
    return history.extend(Delta(revision=1, trials=trials, reports=reports))


def running(history: History, curve: list[float], **more: Any) -> TrialRecord:
    """The next trial, which the history does not have yet."""
    number = len(history)
    reports = tuple(Report(number, step, {"loss": value}) for step, value in enumerate(curve, start=1))
    return TrialRecord(number=number, state=State.RUNNING, reports=reports, **more)


def verdicts(rule: Scheduler, history: History, curve: list[float]) -> list[Decision]:
    """What the rule says after each report of a new trial."""
    return [rule.decide(history, running(history, curve[:n])) for n in range(1, len(curve) + 1)]


# At step 3 the bests are 3 4 6 5 7.
PEERS: list[list[float]] = [[5, 4, 3, 2], [5, 5, 4, 4], [6, 6, 6, 6], [7, 6, 5, 4], [9, 8, 7, 1]]


@pytest.mark.parametrize(("third", "said"), [(4.9, GO), (5.0, GO), (5.1, STOP), (NAN, STOP), (INF, STOP)])
def test_median_of_five_peers_is_5(third, said):
    assert Median().decide(recorded(*PEERS), running(recorded(*PEERS), [9, 9, third])) is said


def test_median_judges_the_best_so_far_or_the_value():
    history = recorded(*PEERS)
    assert Median().decide(history, running(history, [9, 4, 8])) is GO
    assert Median(compare="value").decide(history, running(history, [9, 4, 8])) is STOP


def test_median_waits_for_five_peers_and_for_a_ninth_of_the_training():
    bad = [90.0] * 12
    assert verdicts(Median(), recorded(*PEERS[:4]), bad[:4]) == [GO] * 4
    assert verdicts(Median(), recorded(*PEERS), bad[:4]) == [GO, GO, STOP, STOP]
    long = recorded(*[[1.0] * 12] * 5, n_steps=90)
    assert verdicts(Median(), long, bad) == [GO] * 9 + [STOP] * 3
    assert verdicts(Median(min_steps=0, n_startup=1), recorded([1.0]), bad[:2]) == [STOP, GO]  # nobody was at step 2


def test_median_when_larger_is_better():
    history = recorded(*[[-value for value in curve] for curve in PEERS], direction="maximize")
    assert Median().decide(history, running(history, [-9, -9, -5.0])) is GO
    assert Median().decide(history, running(history, [-9, -9, -5.1])) is STOP


def test_percentile_25_of_3_4_5_6_7_is_4():
    history = recorded(*PEERS)
    assert Percentile(percentile=25).decide(history, running(history, [9, 9, 4.0])) is GO
    assert Percentile(percentile=25).decide(history, running(history, [9, 9, 4.1])) is STOP


def test_epoch_rule_keeps_the_best_at_k_only():
    history = recorded(*PEERS)
    assert verdicts(EpochRule(3), history, [9, 9, 3.0, 99]) == [GO] * 4
    assert verdicts(EpochRule(3), history, [1e9, 9, 3.1, 0]) == [GO, GO, STOP, GO]
    assert verdicts(EpochRule(3), recorded(), [1e9, 9, 8]) == [GO] * 3
    assert verdicts(EpochRule(3), recorded(), [1, NAN, NAN]) == [GO] * 3  # nobody to be worse than


def test_patience_counts_steps_since_the_best():
    rule = Patience(patience=2, min_steps=0)
    assert verdicts(rule, recorded(), [5, 4, 4, 3, 3, 3]) == [GO, GO, GO, GO, GO, STOP]
    assert verdicts(Patience(patience=2, min_delta=1.5, min_steps=0), recorded(), [5, 4, 3]) == [GO, GO, GO]
    assert verdicts(Patience(patience=2, min_delta=1.5, min_steps=0), recorded(), [5, 4, 4]) == [GO, GO, STOP]
    assert verdicts(rule, recorded(), [NAN, NAN, NAN]) == [GO, STOP, STOP]
    assert verdicts(Patience(patience=1), recorded(), [5, 5, 5]) == [GO, GO, STOP]


def test_threshold_in_the_metrics_own_numbers():
    rule = Threshold(lower=0, upper=10)
    assert verdicts(rule, recorded(), [0, 10, 11, -1, NAN, INF]) == [GO, GO, STOP, STOP, STOP, STOP]
    history = recorded(direction="maximize")
    assert verdicts(Threshold(lower=0.5), history, [0.6, 0.4]) == [GO, STOP]
    assert verdicts(Threshold(min_steps=2), history, [NAN, NAN]) == [GO, STOP]


def test_wilcoxon_needs_six_folds_and_six_worse_ones():
    history = recorded([1.0, 2, 3, 4, 5, 6, 7])
    worse = [1.1, 2.2, 3.3, 4.4, 5.5, 6.6, 7.7]
    assert verdicts(Wilcoxon(), history, worse) == [GO] * 5 + [STOP] * 2  # p = 1/64
    assert verdicts(Wilcoxon(p_threshold=0.01), history, worse) == [GO] * 6 + [STOP]  # p = 1/128
    assert verdicts(Wilcoxon(), history, [1.1, 2.1, 3.1, 4.1, 5.1, 0, 0]) == [GO] * 7  # the mean is better
    assert verdicts(Wilcoxon(), history, [NAN] * 6)[-1] is STOP
    assert verdicts(Wilcoxon(), recorded(), worse) == [GO] * 7


def test_asha_stopping_lets_the_first_eta_pass_and_then_a_third():
    rule = ASHAStopping(min_steps=3)
    flat = [[float(value)] * 3 for value in (5, 4, 3, 2, 1)]
    assert rule.decide(recorded(*flat[:2]), running(recorded(*flat[:2]), [9] * 3)) is GO  # the third of eta
    assert rule.decide(recorded(*flat[:3]), running(recorded(*flat[:3]), [9] * 3)) is STOP  # fourth of 4, 2 go on
    assert rule.decide(recorded(*flat[:3]), running(recorded(*flat[:3]), [3.5] * 3)) is GO  # second of 4
    assert rule.decide(recorded(*flat), running(recorded(*flat), [2.5] * 3)) is STOP  # third of 6, 2 go on
    assert rule.decide(recorded(*flat), running(recorded(*flat), [2.5] * 2)) is GO  # no rung
    assert rule.rungs(27) == (3, 9)
    assert ASHAStopping().rungs(90) == (10, 30)


def test_asha_promotes_the_best_third_from_the_top_rung_down():
    rungs = recorded(*[[9, 9, float(value)] for value in (5, 1, 4, 2, 3, 6)], state=State.PAUSED, until=3)
    assert ASHA(max_steps=27).next(rungs) == Resume(number=1, until=9)
    gone = TrialRecord(number=1, state=State.RUNNING, until=9)
    rungs = rungs.extend(Delta(revision=2, trials=(gone,)))
    assert ASHA(max_steps=27).next(rungs) == Resume(number=3, until=9)
    rungs = rungs.extend(Delta(revision=3, trials=(TrialRecord(number=3, state=State.FAILED, until=9),)))
    assert ASHA(max_steps=27).next(rungs) == Start(until=3)
    assert ASHA(max_steps=9).rungs(9) == (3,)
    assert ASHA().rungs(6) == (2,)
    assert ASHA().rungs(2) == (1,)


def test_asha_never_promotes_what_broke():
    rungs = recorded(*[[1, 1, NAN]] * 6, state=State.PAUSED, until=3)
    assert ASHA(max_steps=27).next(rungs) == Start(until=3)


def pasha_history(crossing: bool) -> History:
    """Nine trials at rung 3, the three best of them at rung 9 too; there two have changed places, or not."""
    low = [[9.0 - n / 10, 8.0 - n / 10, 1.0 + n] for n in range(9)]
    high = [[*low[0], *[1.0] * 5, 0.5], [*low[1], *[1.0] * 5, 0.1 if crossing else 0.6], [*low[2], *[1.0] * 5, 0.7]]
    history = recorded(*high, *low[3:], state=State.PAUSED, until=3)
    up = tuple(TrialRecord(number=n, state=State.PAUSED, until=9, note={"n_steps": 81}) for n in range(3))
    return history.extend(Delta(revision=2, trials=up))


def test_pasha_opens_a_rung_when_the_two_top_rungs_disagree():
    rungs = (3, 9, 27)
    agreed, crossed = pasha_history(False), pasha_history(True)
    assert PASHA().n_open(agreed, rungs) == 2
    assert PASHA().n_open(crossed, rungs) == 3
    assert PASHA().next(agreed) == Start(until=3)
    assert PASHA().next(crossed) == Resume(number=1, until=27)
    opened = agreed.extend(Delta(revision=3, trials=(TrialRecord(number=0, state=State.RUNNING, until=27),)))
    assert PASHA().n_open(opened, rungs) == 3  # once opened, a rung stays open


def test_pasha_ignores_swaps_of_curves_that_criss_cross():
    wild = [[5.0, 4, 1.0, 3, 3, 2, 2, 1, 0.5], [6.0, 3, 1.05, 2, 4, 1, 3, 2, 0.4], [9.0, 9, 9, 8, 8, 8, 8, 8, 8.0]]
    history = recorded(*wild, state=State.PAUSED, until=9)
    assert PASHA().n_open(history, (3, 9, 27)) == 2


def test_stop_also_adds_a_rule_and_leaves_the_rest():
    both = StopAlso(ASHA(max_steps=27), Threshold(upper=10))
    history = recorded(*PEERS, state=State.PAUSED, until=3)
    assert both.next(history) == ASHA(max_steps=27).next(history)
    assert verdicts(both, history, [5, 11]) == [GO, STOP]


def test_several_objectives_are_compared_by_domination():
    values = [(1, 9), (9, 1), (5, 5), (6, 6), (7, 7)]
    trials = tuple(TrialRecord(number=n, state=State.COMPLETE, values=value) for n, value in enumerate(values))
    reports = tuple(Report(n, 3, dict(zip("ab", map(float, value), strict=True))) for n, value in enumerate(values))
    study = StudyRecord(name="s", metrics=("a", "b"), directions=("minimize", "minimize"))
    history = History.empty(study).extend(Delta(revision=1, trials=trials, reports=reports))

    def trial(a: float, b: float) -> TrialRecord:
        return TrialRecord(number=5, state=State.RUNNING, reports=(Report(5, 3, {"a": a, "b": b}),))

    assert Median().decide(history, trial(8, 0.5)) is GO  # on the front, though a is bad
    assert Median().decide(history, trial(8, 8)) is STOP


def test_a_named_metric_and_its_direction():
    history = recorded()
    reports = tuple(Report(n, 3, {"loss": 1.0, "accuracy": n / 10}) for n in range(6))
    trials = tuple(TrialRecord(number=n, state=State.COMPLETE, values=(1.0,)) for n in range(5))
    history = history.extend(Delta(revision=2, trials=trials, reports=reports[:5]))
    good = TrialRecord(number=5, state=State.RUNNING, reports=reports[5:])
    assert Median(metric="accuracy", direction="maximize").decide(history, good) is GO
    assert Median(metric="accuracy").decide(history, good) is STOP
    without = TrialRecord(number=5, state=State.RUNNING, reports=(Report(5, 3, {"loss": 9.0}),))
    assert Median(metric="accuracy").decide(history, without) is GO


def test_names():
    assert named("full") == Full()
    assert {name: type(named(name)).__name__ for name in SCHEDULERS}["halving"] == "SuccessiveHalving"
    with pytest.raises(ValueError, match=r"'hyperbnad' is unknown.*Did you mean 'hyperband'"):
        named("hyperbnad")
    with pytest.raises(ValueError, match=r"PBT\(params="):
        named("pbt")
