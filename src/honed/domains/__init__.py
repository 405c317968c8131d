"""What values one parameter may take: ``Float``, ``Int``, ``Categorical``, ``Ordinal``.

A domain is a frozen value. It maps the unit interval onto its values (``decode``, with its own density: a log-scaled
range is uniform in the logarithm, a weighted choice follows its weights) and back (``encode``). What is stored of a
value is always a plain scalar: a number, or the label of a choice; ``to_object`` gives what the objective receives.

Bounds are values, never exponents, and both ends are included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from honed.domains.base import Conditional, Domain, Scalar
from honed.domains.choices import Bool, Categorical, Const, Ordinal
from honed.domains.numeric import Float, Int
from honed.domains.scales import Log

__all__ = [
    "Bool",
    "Categorical",
    "Conditional",
    "Const",
    "Domain",
    "Float",
    "Int",
    "Log",
    "Ordinal",
    "Scalar",
    "domain_from_json",
]


def domain_from_json(data: Mapping[str, Any]) -> Domain:
    """The domain that ``to_json`` described; choices come back as their labels."""
    fields = {key: value for key, value in data.items() if key != "type"}
    match data["type"]:
        case "float":
            return Float(**fields)
        case "int":
            return Int(**fields)
        case "ordinal":
            return Ordinal(fields["labels"])
        case "categorical":
            return Categorical(fields["labels"], weights=fields.get("weights"))
        case other:
            raise ValueError(f"domain type {other!r} is unknown to this version of honed; upgrade it")
