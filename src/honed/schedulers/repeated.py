"""Between the repeats of a trial: one that is clearly worse than the best trial gets no further ones.

The two means are compared by a z-test with the noise that all repeated trials share,

    mean - best > 2 sqrt(s^2 / n + s^2 / n_best),

with s^2 pooled over the repeats of all trials. What is not clearly worse gets all its repeats, so that the best trials are
the ones that are known best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from honed.history import History
from honed.records import Decision, Resume, Start, TrialRecord
from honed.schedulers.moves import start
from honed.spread import mean, parts_of, pooled, repeats_of

ERRORS = 2.0
"""Standard errors of the difference beyond which a trial is clearly worse: one in 44 equally good ones is."""

LEAST_TRIALS = 3
"""Trials with two or more repeats, before which the noise is not known well enough."""


@dataclass(frozen=True, slots=True)
class ClearlyWorse:
    """Stops a trial whose repeats so far are clearly worse than the best trial's.

    Nothing is stopped in studies with several objectives, where a trial that is weak in one may be on the front, and while
    no trial keeps its constraints.
    """

    def next(self, history: History) -> Start | Resume:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        study, best = history.study, history.best
        if repeats_of(study) is None or len(study.directions) > 1 or best is None or best.violation:
            return Decision.CONTINUE
        noise = pooled(history)
        mine, theirs = parts_of(study, trial), parts_of(study, best)
        if noise.n_trials < LEAST_TRIALS or not mine or not theirs:
            return Decision.CONTINUE
        sign = 1.0 if study.directions[0] == "minimize" else -1.0
        gap = sign * (mean(mine) - mean(theirs))
        error = math.sqrt(noise.variance / len(mine) + noise.variance / len(theirs))
        return Decision.STOP if gap > ERRORS * error else Decision.CONTINUE
