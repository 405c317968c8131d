"""What users may call, as a list in golden/public_names.txt: a change to it is seen, and meant, or it is a mistake.

After a change on purpose: `python tests/test_public_names.py --update`, and a line in CHANGELOG.md.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import enum
import functools
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import honed

GOLDEN = Path(__file__).parent / "golden" / "public_names.txt"
HOUSE = Path(__file__).parent.parent / "src" / "honed"
PORTS = [
    "honed.clock",
    "honed.trial",
    *(f"honed.{path.parent.name}.base" for path in HOUSE.glob("*/base.py")),
]
MEMBERS = (staticmethod, classmethod, property, functools.cached_property)
STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

# Where an annotation or a default says where its class is defined, only the name counts.
QUALIFIER = re.compile(r"\b(?:typing|collections\.abc|honed(?:\.\w+)*)\.(?=[A-Za-z_])")
ADDRESS = re.compile(r"<(?:function |class ')?([\w.<>]+)'?(?: object)? at 0x[0-9a-f]+>")


def public_names(package: ModuleType) -> Iterator[str]:
    """One line for each name in `__all__`, and below a class one for each of its members."""
    for name in sorted(package.__all__):
        thing = getattr(package, name)
        if inspect.isclass(thing):
            yield from class_lines(name, thing)
        elif inspect.ismodule(thing):
            yield f"module {name}"
        elif callable(thing):
            yield f"def {name}{signature(thing)}"
        else:
            yield f"{name}: {type(thing).__name__}"


def class_lines(name: str, cls: type) -> Iterator[str]:
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    made = "" if is_protocol(cls) or issubclass(cls, (enum.Enum, BaseException)) else signature(cls)
    above = f" <{', '.join(bases)}>" if bases else ""
    yield f"class {name}{above}{made}"
    if issubclass(cls, enum.Enum):
        yield f"    {', '.join(cls.__members__)}"
    for member, value in public_members(cls):
        yield f"    {member_line(member, value)}"


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties that the class or a base of ours defines, in alphabetical order."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] == cls.__module__.split(".")[0]:
            found |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    for name, value in sorted(found.items()):
        if isinstance(value, MEMBERS) or inspect.isfunction(value):
            yield name, value


def member_line(name: str, value: Any) -> str:
    if isinstance(value, property):
        returns = text(inspect.signature(value.fget).return_annotation) if value.fget else "?"
        return f"{name}: {returns}" + (" (settable)" if value.fset else "")
    if isinstance(value, functools.cached_property):
        return f"{name}: {text(inspect.signature(value.func).return_annotation)}"
    if isinstance(value, (staticmethod, classmethod)):
        return f"{type(value).__name__} {name}{signature(value.__func__, skip_first=isinstance(value, classmethod))}"
    return f"def {name}{signature(value, skip_first=True)}"


def signature(thing: Any, *, skip_first: bool = False) -> str:
    """The signature in one line, written alike by all versions of Python."""
    try:
        parts = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    words, starred, positional_only = [], False, False
    for parameter in list(parts.parameters.values())[skip_first:]:
        if positional_only and parameter.kind is not parameter.POSITIONAL_ONLY:
            words.append("/")
        positional_only = parameter.kind is parameter.POSITIONAL_ONLY
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            words.append("*")
        starred |= parameter.kind in {parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY}
        words.append(parameter_word(parameter))
    returns = parts.return_annotation
    arrow = "" if returns is parts.empty or inspect.isclass(thing) else f" -> {text(returns)}"
    return f"({', '.join([*words, '/'] if positional_only else words)}){arrow}"


def parameter_word(parameter: inspect.Parameter) -> str:
    word = STARS.get(parameter.kind, "") + parameter.name
    if parameter.annotation is not parameter.empty:
        word += f": {text(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        word += f" = {short(repr(parameter.default))}"
    return word


def text(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "?"
    return short(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def short(written: str) -> str:
    return QUALIFIER.sub("", ADDRESS.sub(r"<\1>", written))


def is_protocol(cls: type) -> bool:
    return bool(getattr(cls, "_is_protocol", False))


def undocumented(package: ModuleType, contracts: set[str]) -> list[str]:
    """Public names that nobody explains.

    Args:
        package: its `__all__` is walked.
        contracts: verbs that a documented Protocol explains; implementations of them say nothing on purpose.
    """
    missing = []
    for name in sorted(package.__all__):
        thing = getattr(package, name)
        explained = inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing)
        if explained and not own_doc(thing):
            missing.append(name)
        if inspect.isclass(thing):
            missing += [
                f"{name}.{member}"
                for member, value in public_members(thing)
                if member not in contracts and not inspect.getdoc(getattr(thing, member, value))
            ]
    return missing


def own_doc(thing: Any) -> str:
    """The docstring that somebody wrote: not inherited, not made by `dataclass`."""
    doc = (vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__) or ""
    made = dataclasses.is_dataclass(thing) and doc.startswith(f"{getattr(thing, '__name__', '')}(")
    return "" if made else doc


def documented_verbs(modules: list[ModuleType]) -> set[str]:
    protocols = {
        cls for module in modules for cls in vars(module).values() if inspect.isclass(cls) and is_protocol(cls)
    }
    return {name for cls in protocols for name, value in public_members(cls) if inspect.getdoc(value)}


def test_public_names_are_the_agreed_ones():
    is_now, agreed = list(public_names(honed)), GOLDEN.read_text(encoding="utf-8").splitlines()
    changes = "\n".join(difflib.unified_diff(agreed, is_now, "agreed", "is now", lineterm="", n=0))
    assert not changes, f"{changes}\n\nIf this is meant: python tests/test_public_names.py --update"


def test_every_public_name_is_explained():
    contracts = documented_verbs([importlib.import_module(name) for name in PORTS])
    assert undocumented(honed, contracts) == []


class Port(Protocol):
    """A port."""

    def verb(self, x: typing.Any) -> collections.abc.Sized:
        """Does it."""
        ...


@dataclasses.dataclass(frozen=True)
class Bare:
    x: int = 3

    def verb(self, x: int) -> Bare:
        return self

    def silent(self, a, /, *args: int, b: str | None = None, **more): ...

    @property
    def size(self) -> float:
        """How big."""
        return 1.0

    @classmethod
    def make(cls, *, deep: bool = True) -> Bare:
        """Makes one."""
        return cls()


class Kind(enum.Enum):
    """A kind."""

    ONE = 1
    TWO = 2


def function(x, *, key=public_names): ...


def test_the_walk_sees_signatures_and_missing_words():
    toy = ModuleType("toy")
    vars(toy).update(Port=Port, Bare=Bare, Kind=Kind, function=function, LIMIT=3)
    vars(toy)["__all__"] = ["Bare", "Kind", "LIMIT", "Port", "function"]
    assert list(public_names(toy)) == [
        "class Bare(x: int = 3)",
        "    classmethod make(*, deep: bool = True) -> Bare",
        "    def silent(a, /, *args: int, b: str | None = None, **more)",
        "    size: float",
        "    def verb(x: int) -> Bare",
        "class Kind <Enum>",
        "    ONE, TWO",
        "LIMIT: int",
        "class Port <Protocol>",
        "    def verb(x: Any) -> Sized",
        "def function(x, *, key = <public_names>)",
    ]
    assert documented_verbs([toy]) == {"verb"}
    assert undocumented(toy, {"verb"}) == ["Bare", "Bare.silent", "function"]
    assert "Bare.verb" in undocumented(toy, set())


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("usage: python tests/test_public_names.py --update")
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text("\n".join(public_names(honed)) + "\n", encoding="utf-8")
    sys.stdout.write(f"{GOLDEN} written\n")
