"""Syne Tune's rungs: a trial that is not among the best third at a rung is stopped for good; its steps stay paid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from benchmarks.curve_peers.base import Enter, Grant, asked_as, in_our_words
from benchmarks.players import Setting
from benchmarks.tables import RowTask
from honed.domains import Categorical, Float, Int

MIN_STEPS, REDUCTION_FACTOR = 3, 3
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 (Syne Tune's own, without a zone)


class Tool:
    """One study of one of its schedulers, with the rungs of the other methods."""

    def __init__(self, scheduler: str, task: RowTask, setting: Setting) -> None:
        from syne_tune.optimizer import baselines

        self.task, self._n = task, 0
        self._scheduler: Any = getattr(baselines, scheduler)(
            config_space=space(task), metric="loss", time_attr="epoch", max_t=task.total_steps, random_seed=setting.seed,
            grace_period=MIN_STEPS, reduction_factor=REDUCTION_FACTOR,
        )  # fmt: skip

    def ask(self) -> Grant | None:
        from syne_tune.backend.trial_status import Trial

        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        trial = Trial(trial_id=self._n, config=suggestion.config, creation_time=_EPOCH)
        self._n += 1
        self._scheduler.on_trial_add(trial)
        return Grant(in_our_words(self.task, suggestion.config), self.task.total_steps, trial)

    def report(self, grant: Grant, step: int, loss: float) -> bool:
        from syne_tune.optimizer.scheduler import SchedulerDecision

        decision = self._scheduler.on_trial_result(grant.note, {"loss": loss, "epoch": step})
        if decision == SchedulerDecision.CONTINUE:
            return True
        self._scheduler.on_trial_remove(grant.note)
        return False

    def end(self, grant: Grant, losses: Sequence[float]) -> None:
        if math.isfinite(losses[-1]):
            self._scheduler.on_trial_complete(grant.note, {"loss": losses[-1], "epoch": len(losses)})
        else:
            self._scheduler.on_trial_error(grant.note)


def by(scheduler: str) -> Enter:
    """One of its schedulers by the name of its class."""
    return lambda task, setting: Tool(scheduler, task, setting)


def space(task: RowTask) -> dict[str, Any]:
    """The task's space in Syne Tune's words."""
    from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform

    found: dict[str, Any] = {}
    for name, domain in task.space.domains.items():
        if isinstance(domain, Float):
            low, high = (domain.low, domain.high) if domain.log != "near_one" else (1 - domain.high, 1 - domain.low)
            make: Callable[..., Any] = loguniform if domain.log else uniform
            found[asked_as(name, domain)] = make(low, high)
        elif isinstance(domain, Int):
            found[name] = (lograndint if domain.log else randint)(domain.low, domain.high)
        else:
            assert isinstance(domain, Categorical)
            found[name] = choice(list(domain.grid()))
    return found
