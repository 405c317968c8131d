"""Every scheduler runs the whole public suite; there is no list of exceptions."""

from __future__ import annotations

import pytest

from honed.schedulers.additive import AdditiveHalving
from honed.schedulers.asha import ASHA, ASHAStopping
from honed.schedulers.full import Full
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.schedulers.paired import Wilcoxon
from honed.schedulers.pasha import PASHA
from honed.schedulers.pbt import PBT
from honed.schedulers.repeated import ClearlyWorse
from honed.schedulers.stopping import EpochRule, Median, Patience, Percentile, StopAlso, Threshold
from honed.testing.scheduler_suite import LENGTH, Case, SchedulerSuite

CASES = [
    Case(Full(), is_rule=False, n_steps=30 * LENGTH),
    Case(AdditiveHalving(n_trials=27), n_trials=27, n_steps=27 * 2 + 9 * 2 + 3 * 2 + 2 + 19),
    Case(AdditiveHalving(n_trials=16, keep=0.5), n_trials=32, n_steps=2 * (2 * (16 + 8 + 4 + 2 + 1) + 17)),
    Case(AdditiveHalving(rungs=[1, 5, 9]), n_trials=54, n_steps=2 * (27 + 9 * 4 + 3 * 4 + 18)),
    Case(SuccessiveHalving(), n_trials=9, n_steps=9 * 3 + 3 * 6 + 1 * 18),
    Case(SuccessiveHalving(n_trials=27, min_steps=1), n_trials=54, n_steps=2 * (27 + 9 * 2 + 3 * 6 + 18)),
    Case(Hyperband(), n_trials=49, n_steps=27 + 18 + 18 + 18 + 36 + 24 + 18 + 54 + 36 + 108),
    Case(Hyperband(max_steps=LENGTH), n_trials=49, n_steps=Hyperband().plan(LENGTH).n_steps),
    Case(ASHA(), n_trials=60, most_steps=60 * 3 + 30 * 6 + 15 * 18),
    Case(ASHA(min_steps=1, reduction_factor=2), n_trials=40),
    Case(ASHAStopping(), n_trials=60),
    Case(PASHA(), n_trials=60, most_steps=60 * 3 + 30 * 6 + 15 * 18),
    Case(Median()),
    Case(Percentile(percentile=25)),
    Case(EpochRule(3)),
    Case(EpochRule(5)),
    Case(Patience(patience=5)),
    Case(Threshold()),
    Case(Wilcoxon()),
    Case(ClearlyWorse(), is_rule=False, n_steps=30 * LENGTH),  # this study repeats nothing
    Case(PBT(params=["lr", "momentum"], population=10)),
    Case(StopAlso(ASHA(), Median()), n_trials=60),
    Case(StopAlso(Hyperband(), Threshold())),
]


class TestConformance(SchedulerSuite):
    @pytest.fixture(params=CASES, ids=str)
    def case(self, request: pytest.FixtureRequest) -> Case:
        case: Case = request.param
        return case
