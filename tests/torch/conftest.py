"""Trials with random values, without a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.backend import Resumed
from honed.domains import Domain, Scalar
from honed.trial import Trial


class RandomValues:
    """A trial's backend that draws every value from its domain, but for the given ones."""

    def __init__(self, seed: int, given: Mapping[str, Any]) -> None:
        self.rng = np.random.default_rng(seed)
        self.given = given
        self.domains: dict[str, Domain] = {}

    def suggest(self, name: str, domain: Domain) -> Scalar:
        self.domains[name] = domain
        drawn = domain.decode(self.rng.random())
        return domain.to_stored(self.given[name]) if name in self.given else drawn

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        return False

    def annotate(self, key: str, value: Any) -> None: ...

    def tracks(self) -> None: ...

    def should_stop(self) -> bool:
        return False

    def resume(self) -> Resumed:
        return Resumed()

    def begin(self, n_steps: int, schedule: object = None) -> None: ...

    def end_step(self, step: int) -> bool:
        return False

    def checkpoint(self, step: int) -> AbstractContextManager[Path]:
        raise NotImplementedError("these trials are never paused")


@pytest.fixture
def random_trial() -> Callable[..., Trial]:
    """``random_trial(seed, optimizer="SGD")``: random values, but for the given ones."""
    return lambda seed=0, **given: Trial(RandomValues(seed, given), number=seed)
