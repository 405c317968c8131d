"""The handle an objective holds: ask for values, count steps, report, stop when told.

A ``Trial`` stands on a backend of three calls, so that the same objective runs inside a study, on other ranks, or on
fixed values in a test (``FixedTrial``).
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, NoReturn, TypeVar

from honed.algorithms.schedules import kept_schedule
from honed.backend import Resumed, TrialBackend
from honed.checkpoints.states import check_objects, restore_states, save_states
from honed.clock import SYSTEM_CLOCK, Clock
from honed.domains import Bool, Categorical, Domain, Float, Int, Log, Ordinal, Scalar
from honed.errors import BadValue, NameReused, closest
from honed.numbers import to_number
from honed.progress import Position, Tracked, track
from honed.records import CONSTRAINT, VALUE

T = TypeVar("T")
FrameLine = tuple[str, int]

_LARGEST = sys.float_info.max


class Trial:
    """One configuration being trained: what ``objective(trial)`` receives.

    Attributes:
        number: the trial's number in its study, from 0.
        attempt: 1 at the first start, 2 when it is run again after a crash, ...
        position: how far the training is; displays read it.
        seed: 32 bits for the objective's own randomness: ``torch.manual_seed(trial.seed)``. The same in each attempt, another
            one in each trial and in each of its repeats.
        repeat: which of the study's ``repeats`` this is, from 0.
    """

    __slots__ = ("_asked", "_backend", "_clock", "_metrics", "_params", "_prefix", "_reports", "_resumed", "_step",
                 "_tracked", "attempt", "number", "position", "repeat", "seed")  # fmt: skip

    def __init__(
        self,
        backend: TrialBackend,
        *,
        number: int = 0,
        attempt: int = 1,
        metrics: Sequence[str] = (VALUE,),
        given: Mapping[str, tuple[Domain, Scalar]] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        seed: int = 0,
        repeat: int = 0,
    ) -> None:
        self.number = number
        self.attempt = attempt
        self.seed = seed
        self.repeat = repeat
        self.position = Position()
        self._backend = backend
        self._metrics = tuple(metrics)
        self._clock = clock
        self._params: dict[str, tuple[Domain, Scalar]] = dict(given or {})
        self._asked: dict[str, FrameLine] = {}
        self._reports: dict[int, Mapping[str, float]] = {}
        self._prefix = ""
        self._step = 0
        self._tracked: dict[str, Any] = {}
        self._resumed: Resumed | None = None

    def __repr__(self) -> str:
        return f"Trial({self.number}, {dict(self.params)})"

    # ------------------------------------------------------------------------------------------------- values

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        log: Log = False,
        step: float | None = None,
        factor: float | None = None,
    ) -> float:
        """A real number in [low, high]; see ``Float`` for the scales.

        Raises:
            NameReused: this trial has asked for ``name`` before.
        """
        return self._ask(name, _float(low, high, log, step, factor))  # type: ignore[no-any-return]

    def suggest_int(
        self, name: str, low: int, high: int, *, log: Log = False, step: int = 1, factor: int | None = None
    ) -> int:
        """A whole number in [low, high]; see ``Int`` for the scales."""
        return self._ask(name, _int(low, high, log, step, factor))  # type: ignore[no-any-return]

    def suggest_categorical(
        self, name: str, choices: Sequence[T] | Mapping[str, T], *, weights: Sequence[float] | None = None
    ) -> T:
        """One of unordered choices; a mapping gives each object a label: ``{"relu": nn.ReLU}``."""
        return self._ask(name, Categorical(choices, weights=weights))  # type: ignore[no-any-return]

    def suggest_ordinal(self, name: str, choices: Sequence[T] | Mapping[str, T]) -> T:
        """One of several choices in a meaningful order: ``[32, 64, 128]``."""
        return self._ask(name, Ordinal(choices))  # type: ignore[no-any-return]

    def suggest_bool(self, name: str) -> bool:
        """False or True."""
        return self._ask(name, Bool())  # type: ignore[no-any-return]

    def suggest(self, name: str, domain: Domain) -> Any:
        """A value of any domain: ``trial.suggest("momentum", Float.near_one(0.9, 0.999))``."""
        if not isinstance(domain, Domain):
            raise TypeError(f"suggest: domain={domain!r} of {name!r} is no domain; write Float, Int, Categorical, ...")
        return self._ask(name, domain)

    @contextlib.contextmanager
    def scope(self, prefix: str) -> Iterator[None]:
        """Names inside get a dotted prefix: in ``with trial.scope("encoder")``, ``"lr"`` is ``"encoder.lr"``."""
        before = self._prefix
        self._prefix = f"{before}{prefix}."
        try:
            yield
        finally:
            self._prefix = before

    def __getitem__(self, name: str) -> Any:
        """The value of a parameter that this trial has already: ``trial["lr"]``."""
        if name not in self._params:
            known = ", ".join(self._params) or "none yet"
            raise KeyError(f"trial {self.number} has no {name!r}; it has {known}.{closest(name, self._params)}")
        domain, stored = self._params[name]
        return domain.to_object(stored)

    @property
    def behind(self) -> tuple[TrialBackend, tuple[str, ...], Mapping[str, tuple[Domain, Scalar]]]:
        """The backend, the objectives' names and the values so far: for those who wrap a trial, not for objectives."""
        return self._backend, self._metrics, MappingProxyType(self._params)

    @property
    def params(self) -> Mapping[str, Scalar]:
        """Name -> value (the label of a choice) of all parameters so far."""
        return MappingProxyType({name: stored for name, (_, stored) in self._params.items()})

    def _ask(self, name: str, domain: Domain) -> Any:
        if self._prefix:
            name = self._prefix + name
        frame = sys._getframe(2)
        if name in self._asked or not isinstance(name, str):
            self._refuse_name(name, domain, frame)
        stored = self._backend.suggest(name, domain)
        self._asked[name] = (frame.f_code.co_filename, frame.f_lineno)
        self._params[name] = (domain, stored)
        return domain.to_object(stored)

    def _refuse_name(self, name: str, domain: Domain, frame: FrameType) -> NoReturn:
        if not isinstance(name, str):
            raise TypeError(f"suggest: name={name!r} must be a string")
        first, here = self._asked[name], (frame.f_code.co_filename, frame.f_lineno)
        raise NameReused(
            f"{name!r} was asked as {self._params[name][0]} at {_place(first)} and again as {domain} at {_place(here)}. "
            f'A name stands for one value in a trial: use f"{name}_{{i}}" ({name}_0, {name}_1, ...) for another value, '
            f'or trial["{name}"] to read this one again.'
        )

    # ------------------------------------------------------------------------------------------------ training

    def track(self, **objects: Any) -> None:
        """Names what makes up the state of the training: saved when it is paused, restored when it goes on.

        Call it before the loop over ``steps``. The random states of Python, NumPy and torch are always included, and a
        resumed training continues bit for bit on a CPU.

        Args:
            **objects: anything with ``state_dict`` and ``load_state_dict`` (models, optimizers, learning-rate schedulers,
                scalers, data loaders), and random generators: ``trial.track(model=model, optimizer=optimizer)``.

        Raises:
            TypeError: an object has no state that could be kept.
            ValueError: the steps have begun.
        """
        if self._step:
            raise ValueError("track: the steps have begun; call trial.track(...) before the loop over trial.steps(n)")
        check_objects(objects)
        self._tracked |= objects
        if objects:
            self._backend.tracks()

    def steps(self, n: int, *, schedule: str | Sequence[float] | None = None) -> Iterator[int]:
        """Counts the steps (epochs) of a training, from its checkpoint on: 1, 2, ..., n.

        The number is how many steps are done when the loop's body ends, which is what ``report`` stores. The loop ends early
        where the training is to be paused or stopped; what is tracked is saved by then, and the next start goes on.

        Args:
            n: steps of a full training. Trials may differ in it, and it may be changed between two runs.
            schedule: how the learning rate goes over the ``n`` steps, if it is made for them: "linear", "cosine" (down to 0),
                "one-cycle", or a factor for each step. Trainings of different lengths are then compared at equal shares, and
                at equal steps otherwise. It tells how far a training is, and sets no learning rate.

        Raises:
            ValueError: ``n`` is no number of steps, or the schedule is unknown or has another length.
        """
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"steps: n={n!r} must be a whole number of at least 1")
        kept = kept_schedule(schedule, n)
        resumed = self._restore()
        self._backend.begin(n, kept)
        last = n if resumed.until is None else min(n, resumed.until)
        self.position.n_steps = n
        self.position.first_step = self.position.step = float(resumed.step)
        for step in range(resumed.step + 1, last + 1):
            if self.should_stop():
                return
            self._step = step
            self.position.begin(step - 1.0, self._clock.monotonic())
            try:
                yield step
            except GeneratorExit:  # the body was left by break: a step that has reported is done
                if step in self._reports:
                    self._end_step(step)
                raise
            self._end_step(step)

    def granted_until(self, n: int) -> int:
        """How far this training may go now, of ``n`` steps in full; for resources that are not counted one by one.

        ``percent = trial.granted_until(100)`` tells before the training which share of the data it may use, or which resolution.
        Report the value at that step (or return it): ``trial.report(error, step=percent)``. A scheduler that wants to know more
        starts the objective again with a larger grant.

        Args:
            n: steps of a full training.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"granted_until: n={n!r} must be a whole number of at least 1")
        resumed = self._resumed or self._backend.resume()
        self._backend.begin(n)
        return n if resumed.until is None else min(n, resumed.until)

    def _restore(self) -> Resumed:
        """Puts back what is tracked, once."""
        resumed = self._resumed or self._backend.resume()
        if resumed.directory is not None and self._tracked:
            restore_states(resumed.directory, self._tracked)
        elif resumed.directory is not None and self._resumed is None:  # nobody can make use of the checkpoint
            resumed = replace(resumed, step=0, directory=None)
        elif resumed.directory is None and self._tracked:  # these steps build on each other, and nothing was saved
            resumed = replace(resumed, step=0)
        self._resumed = resumed
        return resumed

    def _end_step(self, step: int) -> None:
        self.position.step = float(step)
        if self._backend.end_step(step) and self._tracked:
            with self._backend.checkpoint(step) as directory:
                save_states(directory, self._tracked, step=step)

    @property
    def resumed_from_step(self) -> int:
        """Steps done before this run of the trial; 0 at a fresh start."""
        return (self._resumed or self._backend.resume()).step

    @property
    def resume_directory(self) -> Path | None:
        """The directory that ``checkpoint`` wrote before the trial was paused; None at a fresh start."""
        if self._resumed is None:
            self._resumed = self._backend.resume()
        return self._resumed.directory

    @contextlib.contextmanager
    def checkpoint(self, step: int | None = None) -> Iterator[Path]:
        """A directory for a checkpoint of one's own making, for whatever ``track`` does not know.

        ``with trial.checkpoint() as directory: model.save(directory / "model.keras")``. It counts when the block ends without
        an error. After a pause ``trial.resume_directory`` holds the files, and ``trial.steps`` starts after that step.

        Args:
            step: steps done; by default the current one of ``trial.steps``.
        """
        with self._backend.checkpoint(self._checked_step(step)) as directory:
            yield directory

    def batches(self, loader: Iterable[T], *, n_samples: int | None = None) -> Tracked[T]:
        """The batches of an epoch, counted for the progress display; wrap inside or outside the loop over epochs.

        Args:
            loader: anything to loop over; its ``len`` gives the percentage.
            n_samples: size of the data set, to count by samples instead of batches.
        """
        return track(loader, self.position, n_samples=n_samples, clock=self._clock)

    def report(self, value: Any = None, *, step: int | None = None, **metrics: Any) -> None:
        """Tells how good the model is after a step, with any number of further metrics.

        Args:
            value: the objective's metric (a tuple for several objectives). It may stand among ``metrics`` under the
                study's name for it instead.
            step: how many steps are done; by default the current one of ``trial.steps``.
            **metrics: further numbers to keep, for example ``train_loss=0.3``.

        Raises:
            BadValue: something is not a number.
            ValueError: a negative step, or the objective's metric is missing.
        """
        step = self._checked_step(step)
        values = {name: to_number(number, f"report({name!r})") for name, number in metrics.items()}
        if value is not None:
            parts = value if isinstance(value, tuple | list) else (value,)
            if len(parts) != len(self._metrics):
                raise BadValue(f"report() got {len(parts)} values for the objectives {', '.join(self._metrics)}")
            named = zip(self._metrics, parts, strict=True)
            values = {name: to_number(number, f"report({name!r})") for name, number in named} | values
        missing = [name for name in self._metrics if name not in values]
        if missing:
            raise ValueError(
                f"report() has no {missing[0]!r}; got {', '.join(values) or 'nothing'}.{closest(missing[0], values)} "
                f"Pass it first, report(value, step=...), or by name, report({missing[0]}=...)."
            )
        self._reports[step] = values
        self.position.n_reports += 1
        self._backend.report(step, values)

    def _checked_step(self, step: Any) -> int:
        if step is None:
            return self._step or max(self._reports, default=0) + 1
        if hasattr(step, "item"):
            step = step.item()
        if isinstance(step, bool) or not isinstance(step, int):
            raise TypeError(f"report: step={step!r} must be a whole number")
        if step < 0:
            raise ValueError(f"report: step={step} must not be negative; it counts the steps done")
        return step

    @property
    def reports(self) -> Mapping[int, Mapping[str, float]]:
        """Step -> metric -> value, as reported by this run of the trial."""
        return MappingProxyType(self._reports)

    def should_stop(self) -> bool:
        """Whether the training should end now; ``trial.steps`` asks by itself."""
        return self._backend.should_stop()

    def should_checkpoint(self, step: int | None = None) -> bool:
        """Whether to save now, after a step of a loop of one's own; what is tracked is saved by ``trial.steps`` itself.

        True when the training is about to be paused or given back (at its grant, after Ctrl-C or SIGTERM, when the time is
        up), and now and then in between, so that a crash costs little and saving, too::

            for epoch in range(trial.resumed_from_step + 1, n + 1):
                trial.report(train(model), step=epoch)
                if trial.should_checkpoint(epoch):
                    with trial.checkpoint(epoch) as directory:
                        model.save(directory / "model.keras")
                if trial.should_stop():
                    break

        Args:
            step: steps done; by default the current one of ``trial.steps``, or the last one reported.
        """
        if step is None:
            step = self._step or max(self._reports, default=0)
        return self._backend.end_step(self._checked_step(step))

    def constraint(self, *, max: float | None = None, min: float | None = None, **measured: Any) -> None:
        """Tells what was measured of something that has a limit: ``trial.constraint(latency_ms=23.1, max=20)``.

        Samplers learn where the limits hold; the best trial is the best one that keeps them all. Measured again, it replaces
        what was measured before.

        Args:
            max: largest allowed value.
            min: smallest allowed value.
            **measured: name -> number.

        Raises:
            BadValue: something is not a number.
            ValueError: no limit, no value, or ``min`` above ``max``.
        """
        bounds = (("max", max), ("min", min))
        limits = {name: to_number(limit, f"constraint({name})") for name, limit in bounds if limit is not None}
        if not measured:
            raise ValueError("constraint: nothing was measured; write trial.constraint(latency_ms=23.1, max=20)")
        if not limits or not all(map(math.isfinite, limits.values())):
            raise ValueError(
                f"constraint: {', '.join(measured)} needs a finite limit, max=... or min=...; got max={max!r}, min={min!r}"
            )
        if len(limits) == 2 and limits["min"] > limits["max"]:
            raise ValueError(f"constraint: min={min!r} lies above max={max!r}; nothing could be allowed")
        for name, value in measured.items():
            number = to_number(value, f"constraint({name!r})")
            kept = (
                None if number != number else builtins.min(builtins.max(number, -_LARGEST), _LARGEST)
            )  # JSON has no inf
            self._backend.annotate(f"{CONSTRAINT}{name}", {"value": kept, **limits})

    def annotate(self, key: str, value: Any) -> None:
        """Keeps a JSON value with the trial: ``trial.annotate("n_weights", 12_345)``."""
        self._backend.annotate(key, value)


def trial_seed(study_seed: int, number: int, repeat: int = 0) -> int:
    """The seed of a trial's own randomness, below 2**32."""
    text = f"{study_seed}/{number}/{repeat}/trial"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def _place(line: FrameLine) -> str:
    return f"{os.path.basename(line[0])}:{line[1]}"


@lru_cache(maxsize=4096, typed=True)
def _float(low: float, high: float, log: Log, step: float | None, factor: float | None) -> Float:
    return Float(low, high, log=log, step=step, factor=factor)


@lru_cache(maxsize=4096, typed=True)
def _int(low: int, high: int, log: Log, step: int, factor: int | None) -> Int:
    return Int(low, high, log=log, step=step, factor=factor)
