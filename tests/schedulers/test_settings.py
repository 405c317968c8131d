"""A wrong setting is refused at once: the error names the argument, the value and the way out."""

from __future__ import annotations

import pytest

from honed.schedulers.additive import AdditiveHalving
from honed.schedulers.asha import ASHA
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.schedulers.paired import Wilcoxon
from honed.schedulers.pasha import PASHA
from honed.schedulers.pbt import PBT
from honed.schedulers.stopping import EpochRule, Median, Patience, Percentile, StopAlso, Threshold

WRONG = [
    (lambda: ASHA(reduction_factor=1), "reduction_factor must be larger than 1, got 1"),
    (lambda: ASHA(reduction_factor="3"), "reduction_factor must be a number, got '3'"),  # type: ignore[arg-type]
    (lambda: ASHA(min_steps=0), "min_steps must be at least 1, got 0"),
    (lambda: Hyperband(min_steps=9, max_steps=3), "min_steps=9 is beyond max_steps=3"),
    (lambda: Hyperband(min_steps=2.5), "min_steps must be a whole number, got 2.5"),  # type: ignore[arg-type]
    (lambda: SuccessiveHalving(n_trials=0), "n_trials must be at least 1, got 0"),
    (lambda: SuccessiveHalving(n_trials=True), "n_trials must be a whole number, got True"),
    (lambda: AdditiveHalving(keep=1), "keep must lie between 0 and 1, got 1"),
    (lambda: AdditiveHalving(rungs=[2, 2]), r"rungs=\[2, 2\] must be growing steps"),
    (lambda: AdditiveHalving(rungs=[]), r"rungs=\[\] must be growing steps"),
    (lambda: AdditiveHalving(rungs=[0, 2]), "each of rungs must be at least 1, got 0"),
    (lambda: Median(compare="worst"), "compare='worst' is unknown; use 'best'"),  # type: ignore[arg-type]
    (lambda: Median(direction="maximize"), "direction='maximize' without a metric"),
    (lambda: Median(metric="acc", direction="up"), "direction='up' is unknown"),  # type: ignore[arg-type]
    (lambda: Median(metric=3), "metric must be a name, got 3"),  # type: ignore[arg-type]
    (lambda: Median(n_startup=0), "n_startup must be at least 1, got 0"),
    (lambda: Percentile(percentile=0), "percentile must lie between 0 and 100, got 0"),
    (lambda: EpochRule(0), "k must be at least 1, got 0"),
    (lambda: Patience(patience=0), "patience must be at least 1, got 0"),
    (lambda: Patience(min_delta=-1), "min_delta must be 0 or more, got -1"),
    (lambda: Threshold(lower=2, upper=1), "lower=2 is not below upper=1"),
    (lambda: Threshold(upper=float("nan")), "upper=nan is no bound"),
    (lambda: Wilcoxon(p_threshold=1), "p_threshold must lie between 0 and 1, got 1"),
    (lambda: PASHA(noise_quantile=2), "noise_quantile must lie between 0 and 1, got 2"),
    (lambda: PBT(params="lr"), "params='lr' must list the parameters"),
    (lambda: PBT(params=[]), r"params=\[\] must list the parameters"),
    (lambda: PBT(params=["lr"], population=1), "population must be at least 2, got 1"),
    (lambda: PBT(params=["lr"], quantile=0.6), "quantile must lie between 0 and 0.5, got 0.6"),
    (lambda: PBT(params=["lr"], factor=1), "factor must lie between 1 and inf, got 1"),
    (lambda: StopAlso(ASHA(), Threshold), "rule must be a scheduler"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "said"), WRONG)
def test_a_wrong_setting_is_refused(make, said):
    with pytest.raises((ValueError, TypeError), match=said):
        make()


def test_a_plan_needs_a_length():
    with pytest.raises(ValueError, match=r"write plan\(max_steps=27\)"):
        Hyperband().plan()
