"""A trial with given values, to run or test an objective without a study."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honed.algorithms.schedules import Kept
from honed.backend import Resumed
from honed.domains import Domain, Scalar
from honed.errors import closest
from honed.records import VALUE
from honed.trial import Trial


def FixedTrial(params: Mapping[str, Any], *, metrics: Sequence[str] = (VALUE,), seed: int = 0) -> Trial:  # noqa: N802
    """A trial with given values, to run or test an objective without a study.

    Args:
        params: name -> value, objects or labels of choices: ``study.best_trial.params`` fits.
        metrics: names of the objectives, for ``report``.
        seed: what ``trial.seed`` says.

    Raises:
        ValueError: (when the objective asks) a value is missing or outside its domain.
    """
    return Trial(_FixedBackend(dict(params)), metrics=metrics, seed=seed)


class _FixedBackend:
    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.attributes: dict[str, Any] = {}

    def suggest(self, name: str, domain: Domain) -> Scalar:
        if name not in self.params:
            raise ValueError(f"FixedTrial has no value for {name!r}, asked as {domain}.{closest(name, self.params)}")
        try:
            return domain.to_stored(self.params[name])
        except ValueError as error:
            raise ValueError(f"FixedTrial: {name!r}: {error}") from None

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        return False

    def annotate(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def tracks(self) -> None:
        pass

    def should_stop(self) -> bool:
        return False

    def resume(self) -> Resumed:
        return Resumed()

    def begin(self, n_steps: int, schedule: Kept | None = None) -> None:
        pass

    def end_step(self, step: int) -> bool:
        return False

    @contextlib.contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as directory:  # there is nothing to go on with later
            yield Path(directory)
