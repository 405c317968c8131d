"""Freeze-thaw through both public suites: it is a sampler and a scheduler."""

from __future__ import annotations

import pytest

from honed.freeze_thaw import FreezeThaw
from honed.samplers.base import Sampler
from honed.testing.sampler_suite import SamplerSuite
from honed.testing.scheduler_suite import LENGTH, Case, SchedulerSuite, falling


class TestAsSampler(SamplerSuite):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return FreezeThaw(n_startup=4)


class TestAsScheduler(SchedulerSuite):
    @pytest.fixture
    def case(self) -> Case:
        most = 14 * 3 + 2 * 14 * 3 + 2 * LENGTH
        return Case(FreezeThaw(), n_trials=14, most_steps=most, compares_at_equal_steps=False)

    def test_units_do_not_matter(self, case: Case) -> None:
        plain = self.play(case, n_workers=5)
        scaled = self.play(case, lambda number, step: 1024.0 * falling(number, step), n_workers=5)
        assert plain.moves == scaled.moves
