"""Repeats: the objective is trained several times for each trial, with different seeds, and the trial's value is the mean.

The repeats of a trial are its steps: 1 is reported when the first one is done, and so on. Samplers see one point; a rule of the
search may stop a trial between two repeats; an interrupted repeat is run again, those before it are not. The objective is
given a trial of its own for each repeat: what it reports there is summarised to that repeat's value.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.algorithms.schedules import Kept
from honed.backend import Resumed, TrialBackend
from honed.domains import Domain, Scalar
from honed.outcome import judge
from honed.progress import Position
from honed.records import State, StudyRecord
from honed.spread import Repeats, repeats_of
from honed.trial import Trial, trial_seed


def repeated(study: StudyRecord, objective: Callable[[Trial], Any]) -> Callable[[Trial], Any]:
    """The objective as the study wants it: repeated, if it says so."""
    repeats = repeats_of(study)
    return objective if repeats is None else Repeated(study, objective, repeats)


class Repeated:
    """An objective that trains another one several times and reports each value.

    Args:
        study: whose metrics and seed count.
        objective: trains once.
        repeats: how often, and what the value of one training is.
    """

    def __init__(self, study: StudyRecord, objective: Callable[[Trial], Any], repeats: Repeats) -> None:
        self._study, self._objective, self._n = study, objective, repeats.n
        self._alone = replace(study, summary=repeats.summary)
        self.__code__ = getattr(objective, "__code__", None)  # for messages that name the objective's place

    def __call__(self, trial: Trial) -> None:
        asked: dict[str, tuple[Domain, Scalar]] = {}
        for step in trial.steps(self._n):
            repeat = step - 1
            inside, metrics, given = trial.behind
            backend = _Repeat(inside, self._study.metrics, trial.position, asked)
            shown = Trial(
                backend,
                number=trial.number,
                attempt=trial.attempt,
                metrics=metrics,
                given={**given, **asked},
                seed=trial_seed(self._study.seed, trial.number, repeat),
                repeat=repeat,
            )
            returned = self._objective(shown)
            if backend.is_cut_short:
                return
            self._report(trial, backend, returned)

    def _report(self, trial: Trial, backend: _Repeat, returned: Any) -> None:
        """Reports the value of one repeat, and the further metrics of its last step."""
        final = judge(self._alone, backend.reports, returned)
        values = final.values if final.state is State.COMPLETE else None
        if values is None:  # it did not end in a number: neither does the mean
            values = (math.nan,) * len(self._study.metrics)
        last = backend.reports[max(backend.reports)] if backend.reports else {}
        further: dict[str, Any] = {name: value for name, value in last.items() if name not in self._study.metrics}
        trial.report(values, **further)


class _Repeat:
    """The backend of one repeat: its values are the trial's, its reports and checkpoints its own.

    Args:
        inside: the trial's.
        metrics: names of the objectives.
        position: the trial's; it moves along with the steps of the repeat.
        asked: what the trial's repeats have asked for so far.
    """

    def __init__(
        self,
        inside: TrialBackend,
        metrics: Sequence[str],
        position: Position,
        asked: dict[str, tuple[Domain, Scalar]],
    ) -> None:
        self.reports: dict[int, Mapping[str, float]] = {}
        self._inside, self._metrics, self._position, self._asked = inside, metrics, position, asked
        self._done = position.step
        self._n_steps: int | None = None
        self._was_told_to_stop = False
        self._has_diverged = False

    def suggest(self, name: str, domain: Domain) -> Scalar:
        if name in self._asked and self._asked[name][0] == domain:
            return self._asked[name][1]
        stored = self._inside.suggest(name, domain)
        self._asked[name] = (domain, stored)
        return stored

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        self.reports[step] = values
        self._position.n_reports += 1
        self._has_diverged = not all(math.isfinite(values[name]) for name in self._metrics)
        self._move(step)
        return self.should_stop()

    def annotate(self, key: str, value: Any) -> None:
        self._inside.annotate(key, value)

    def tracks(self) -> None:
        pass  # an interrupted repeat is run again

    def should_stop(self) -> bool:
        answer = self._inside.should_stop()
        self._was_told_to_stop |= answer
        return answer or self._has_diverged

    def resume(self) -> Resumed:
        return Resumed()

    def begin(self, n_steps: int, schedule: Kept | None = None) -> None:
        self._n_steps = n_steps

    def end_step(self, step: int) -> bool:
        self._move(step)
        return False

    @contextlib.contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as directory:  # an interrupted repeat is run again
            yield Path(directory)

    @property
    def is_cut_short(self) -> bool:
        """Whether the training ended because it was told to, before its last step."""
        is_full = self._n_steps is not None and max(self.reports, default=0) >= self._n_steps
        return self._was_told_to_stop and not is_full

    def _move(self, step: int) -> None:
        if self._n_steps:
            self._position.step = self._done + min(step / self._n_steps, 1.0)
