"""Studies in simulated time: samplers and schedulers on learning curves that are known beforehand.

A scheduler that took a cluster a week to try is tried here in a second, with the history that it would see and the
rules of the real flow::

    from honed.samplers.random import Random
    from honed.testing.simulate import power_law, simulate

    trace = simulate(power_law(), Random(), MyScheduler(), n_workers=8, budget_steps=2_700)
    trace.best_after(270)       # the best loss within the cost of ten full trainings
    trace.steps_of[3]           # what trial 3 has cost

Each worker trains one step after the other. A paused trial that is resumed pays only its new steps; with
``resume=False`` it pays all of them again. Same arguments, same trace.
"""

from honed.testing.simulate.engine import simulate
from honed.testing.simulate.faults import Fault, Faults
from honed.testing.simulate.task import Curve, CurveTask, LengthTask, Task, normalised_regret, power_law
from honed.testing.simulate.trace import Event, EventKind, Trace

__all__ = [
    "Curve",
    "CurveTask",
    "Event",
    "EventKind",
    "Fault",
    "Faults",
    "LengthTask",
    "Task",
    "Trace",
    "normalised_regret",
    "power_law",
    "simulate",
]
