"""The contract of all domains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Scalar = str | int | float | bool | None
"""What a storage keeps of a value: JSON's scalars."""


class Domain(ABC):
    """The contract of all domains; ``Float``, ``Int``, ``Categorical`` and ``Ordinal`` are the only ones."""

    __slots__ = ()

    @property
    @abstractmethod
    def n_values(self) -> int | None:
        """How many values there are; None for a continuous domain."""

    @abstractmethod
    def decode(self, unit: float) -> Scalar:
        """The stored value at ``unit`` in [0, 1]: a uniform ``unit`` gives the domain's own density."""

    @abstractmethod
    def encode(self, value: Scalar) -> float:
        """The coordinate models see: [0, 1] for numbers and ordinals, the index of the choice for a categorical.

        A number beyond the range lies below 0 or above 1 (NaN where the scale ends).
        """

    @abstractmethod
    def contains(self, value: Scalar) -> bool:
        """Whether a stored value belongs to this domain."""

    @abstractmethod
    def grid(self, n: int | None = None) -> tuple[Scalar, ...]:
        """All values, or at most ``n`` of them, both ends included and evenly spaced on the domain's scale.

        Unordered choices are never left out.

        Raises:
            ValueError: no ``n``, and a continuous domain or one with more than 100,000 values.
        """

    @abstractmethod
    def to_stored(self, value: Any) -> Scalar:
        """What is kept of a value that a user wrote (an object, a label or a number).

        Raises:
            ValueError: the value is not in this domain.
        """

    @abstractmethod
    def to_object(self, value: Scalar) -> Any:
        """What the objective receives for a stored value."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """A JSON object from which ``domain_from_json`` makes an equal domain."""

    def when(self, **conditions: Any) -> Conditional:
        """This domain, active only when other parameters have given values.

        Args:
            **conditions: a parameter's name and the value, or the list of values, for which this one exists:
                ``Float(0, 0.99).when(optimizer="SGD")``, ``Int(16, 512).when(n_layers=[2, 3, 4])``.
        """
        if not conditions:
            raise ValueError(f"{self}.when() got no condition; write .when(optimizer='SGD')")
        return Conditional(self, dict(conditions))


@dataclass(frozen=True, slots=True)
class Conditional:
    """A domain of a declared space that exists only under conditions; made by ``domain.when(...)``.

    Attributes:
        conditions: parameter -> the value, or the list of values, for which the domain exists.
    """

    domain: Domain
    conditions: Mapping[str, Any]

    def when(self, **conditions: Any) -> Conditional:
        """The same domain under more conditions: all of them must hold."""
        return Conditional(self.domain, {**self.conditions, **conditions})
