"""Optional packages: import one when it is needed, or say how to get it."""

from __future__ import annotations

import importlib
from types import ModuleType

from honed.errors import MissingExtra


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional package, or raises an error with the line that installs it.

    Only a missing package becomes ``MissingExtra``. One that is there but broken (a missing shared library, a wrong
    version of something it needs) raises its own error, which says more.

    Args:
        module: dotted name, such as ``"plotly.graph_objects"``; this module is returned, not the package's root.
        extra: the extra of honed that brings it, such as ``"plots"``.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtra(package, extra) from error
