"""The walls of the house, kept by a page of `ast`: floors, ports, budgets, and what `import honed` may cost.

Each rule is a pure function of `{module name: source}` that returns what is wrong, one line each. The first
half of the tests runs them over src/honed, the second half over small made-up houses that break each rule:
one that reports nothing there would be no rule. `docs/architecture.md` says why the walls stand where they
do; when one moves, change the tables here and that page in the same commit.
"""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
ROOT = "honed"
MAX_LINES = 450
MAX_IMPORT_SECONDS = 0.100
HEAVY = {
    *("click", "cmaes", "matplotlib", "pandas", "plotly", "psycopg", "ray"),
    *("rich", "scipy", "sklearn", "starlette", "torch", "uvicorn", "cloudpickle", "psutil", "submitit"),
}

# A room is the first part of a module's name below honed, a file or a folder. It may import lower floors.
FLOORS = {
    room: floor
    for floor, rooms in {
        1: "errors clock optional durations",
        2: "domains numbers space memo progress algorithms checkpoints gpus",
        3: "records encode lint backend",
        4: "beliefs history events objectives spread costs trial fixed storage transfer",
        5: "samplers schedulers freeze_thaw importance auto frame pareto failures outcome repeats signals worker torch",
        6: "ask_tell live tidy confirm pending plots report display explain forecast",
        7: "study results opening outset search supervisor launchers dashboard workflow sweeps integrations compat",
        8: "cli testing child",
        9: "__init__ __main__",  # the doors: honed itself, python -m honed
    }.items()
    for room in rooms.split()
}

# On the same floor a room may import itself, and these: (who, whom).
NEIGHBOURS = {
    ("optional", "errors"),
    ("durations", "errors"),
    ("space", "domains"),
    ("auto", "freeze_thaw"),
    ("auto", "samplers"),
    ("auto", "schedulers"),
    ("freeze_thaw", "samplers"),
    ("freeze_thaw", "schedulers"),
    ("beliefs", "history"),
    ("fixed", "trial"),
    ("transfer", "history"),
    ("spread", "history"),
    ("costs", "history"),
    ("ask_tell", "live"),
    ("ask_tell", "tidy"),
    ("tidy", "live"),
    ("live", "pending"),
    ("repeats", "outcome"),
    ("worker", "outcome"),
    ("worker", "repeats"),
    ("worker", "signals"),
    ("worker", "failures"),
    ("forecast", "explain"),
    ("report", "confirm"),
    ("report", "explain"),
    ("report", "plots"),
    ("opening", "outset"),
    ("opening", "study"),
    ("outset", "study"),
    ("study", "results"),
    ("study", "search"),
    ("supervisor", "search"),
    ("study", "supervisor"),
    ("study", "launchers"),
    ("supervisor", "launchers"),
    ("workflow", "study"),
    ("sweeps", "study"),
    ("integrations", "study"),
    ("compat", "study"),
}

# Not theirs, on whatever floor: policies are functions of the history, ports and the handle know no policy.
POLICY = {"storage", "trial", "study", "clock", "checkpoints"}
NEVER = {
    "algorithms": set(FLOORS) - {"algorithms"},
    "samplers": POLICY,
    "schedulers": POLICY,
    "importance": POLICY,
    "auto": POLICY,
    "freeze_thaw": POLICY,
    "trial": {"samplers", "schedulers", "storage"},
    "storage": {"algorithms", "checkpoints", "encode"},
    "worker": {"samplers", "schedulers", "storage", "ask_tell", "study"},
    "dashboard": {"study"},
}

# Rooms that know others by their protocols only, that is by the module `base`.
PORTS_ONLY = {"ask_tell": {"samplers", "schedulers", "storage", "checkpoints"}}

# Samplers meet in base.py and combine.py; every other acquaintance is named here: (who, whom).
SAMPLER_PAIRS: set[tuple[str, str]] = {
    ("beliefs", "points"),
    ("beliefs", "tree"),
    ("combine", "beliefs"),
    ("combine", "random"),
    ("combine", "tree"),
    ("combine", "nodes"),
    ("generations", "axes"),
    ("annealing", "axes"),
    ("annealing", "generations"),
    ("cmaes", "axes"),
    ("cmaes", "generations"),
    ("evolution", "axes"),
    ("evolution", "generations"),
    ("nsga", "axes"),
    ("nsga", "generations"),
    ("gp", "pareto_gp"),
    ("gp", "points"),
    ("gp", "scores"),
    ("gp", "surrogate"),
    ("gp", "transfer"),
    ("scores", "surrogate"),
    ("surrogate", "coordinates"),
    ("surrogate", "finals"),
    ("transfer", "coordinates"),
    ("transfer", "surrogate"),
    ("grid", "tree"),
    ("grid", "nodes"),
    ("grid", "points"),
    ("quasirandom", "points"),
    ("pareto_gp", "coordinates"),
    ("pareto_gp", "pareto_models"),
    ("pareto_gp", "points"),
    ("pareto_gp", "surrogate"),
    ("pareto_models", "coordinates"),
    ("pareto_models", "surrogate"),
    ("pending", "axes"),
    ("tpe", "axes"),
    ("tpe", "pending"),
    ("tpe", "quasirandom"),
    ("tree", "nodes"),
}

# Rooms that may import nothing from outside but these and the standard library.
OUTSIDE = {
    "errors": set[str](),
    "clock": set[str](),
    "optional": set[str](),
    "durations": set[str](),
    "algorithms": {"numpy", "scipy", "cmaes"},
}

# Rooms that may ask the machine for the time; all others are given a clock.
TIMEKEEPERS = {"clock"}
WALL_CLOCKS = (".utcnow", "datetime.now", "datetime.today", "date.today")

UNSAFE_MODULES = {"pickle", "_pickle", "marshal", "shelve", "cloudpickle", "dill", "joblib"}
PARCEL = "honed.supervisor.parcel"  # what goes from a process to the ones it has started; nothing there is stored
UNSAFE_CALLS = {"eval", "exec"}

Sources = Mapping[str, str]
Rule = Callable[[Sources], list[str]]


# --- reading a house -----------------------------------------------------------------------------------


def read_house() -> dict[str, str]:
    """All modules under src/honed by dotted name; a folder's `__init__.py` bears the folder's name."""
    house = {}
    for path in sorted((SRC / ROOT).rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        house[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return house


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def is_package(module: str, house: Sources) -> bool:
    return any(name.startswith(module + ".") for name in house)


def imports(module: str, house: Sources) -> Iterator[tuple[int, str, str | None]]:
    """All imports wherever they stand, as (line, module, name taken from it or None where it is all of it).

    Those in functions and under TYPE_CHECKING count, and `import_module("...")` with the name written there.
    """
    for node in ast.walk(ast.parse(house[module])):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            source = absolute(node, module, house)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield (node.lineno, inner, None) if inner in house else (node.lineno, source, alias.name)
        elif isinstance(node, ast.Call) and name_of(node.func) in {
            "import_module",
            "importlib.import_module",
            "__import__",
        }:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value, None


def absolute(node: ast.ImportFrom, module: str, house: Sources) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    keep = len(parts) - node.level + is_package(module, house)
    return ".".join([*parts[:keep], *([node.module] if node.module else [])])


def own_imports(module: str, house: Sources) -> Iterator[tuple[int, str, str | None]]:
    return ((line, to, name) for line, to, name in imports(module, house) if to.split(".")[0] == ROOT)


def name_of(node: ast.AST) -> str:
    """`a.b.c` of a chain of attributes, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := name_of(node.value)):
        return f"{left}.{node.attr}"
    return ""


def between_rooms(house: Sources) -> Iterator[tuple[str, str, str]]:
    """(where, room, other room) for all imports that leave their room."""
    for module in house:
        for line, to, _ in own_imports(module, house):
            if to != ROOT and room_of(to) != room_of(module):
                yield f"{module}:{line}", room_of(module), room_of(to)


# --- rules ---------------------------------------------------------------------------------------------


def every_module_has_a_floor(house: Sources) -> list[str]:
    return [
        f"{module}: on no floor. Add its room {room_of(module)!r} to FLOORS in tests/test_architecture.py"
        for module in house
        if room_of(module) not in FLOORS
    ]


def imports_go_down(house: Sources) -> list[str]:
    problems = []
    for where, room, other in between_rooms(house):
        if room not in FLOORS or other not in FLOORS:
            continue  # every_module_has_a_floor reports it
        if FLOORS[other] > FLOORS[room]:
            problems.append(f"{where}: {room} (floor {FLOORS[room]}) imports upwards: {other} (floor {FLOORS[other]})")
        elif FLOORS[other] == FLOORS[room] and (room, other) not in NEIGHBOURS:
            problems.append(f"{where}: {room} imports its neighbour {other} on floor {FLOORS[room]}; not in NEIGHBOURS")
    return problems


def forbidden_rooms_stay_closed(house: Sources) -> list[str]:
    return [
        f"{where}: {room} must never import {other}"
        for where, room, other in between_rooms(house)
        if other in NEVER.get(room, set())
    ]


def only_ports_are_known(house: Sources) -> list[str]:
    return [
        f"{module}:{line}: {room_of(module)} knows {room_of(to)} by its protocol only, not {to}"
        for module in house
        for line, to, _ in own_imports(module, house)
        if room_of(to) in PORTS_ONLY.get(room_of(module), set()) and to != f"{ROOT}.{room_of(to)}.base"
    ]


def samplers_keep_apart(house: Sources) -> list[str]:
    door, problems = f"{ROOT}.samplers", []
    for module in house:
        if not module.startswith(door + "."):
            continue
        mine = module.removeprefix(door + ".")
        for line, to, _ in own_imports(module, house):
            if to != door and not to.startswith(door + "."):
                continue
            theirs = to.removeprefix(door).removeprefix(".") or "__init__"
            if theirs not in {mine, "base", "combine"} and (mine, theirs) not in SAMPLER_PAIRS:
                problems.append(f"{module}:{line}: sampler {mine} imports sampler {theirs}; not in SAMPLER_PAIRS")
    return problems


def no_import_circles(house: Sources) -> list[str]:
    graph = {module: {to for _, to, _ in own_imports(module, house) if to in house} for module in house}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return ["circle: " + " <- ".join(error.args[1])]
    return []


def nobody_imports_the_root(house: Sources) -> list[str]:
    return [
        f"{module}:{line}: imports the package root {ROOT}"
        + (f" for {name}; import it where it is defined" if name else "")
        for module in house
        for line, to, name in own_imports(module, house)
        if to == ROOT
    ]


def no_foreign_underscores(house: Sources) -> list[str]:
    problems = []
    for module, source in house.items():
        aliases: dict[str, str] = {}  # local name -> the module of ours that it stands for
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                aliases |= {a.asname or a.name: a.name for a in node.names if a.name in house}
            elif isinstance(node, ast.ImportFrom):
                inner = {a.asname or a.name: f"{absolute(node, module, house)}.{a.name}" for a in node.names}
                aliases |= {local: name for local, name in inner.items() if name in house}
        for line, to, name in own_imports(module, house):
            hidden = [part for part in (*to.split("."), name or "") if is_private(part)]
            if to != module and hidden:
                problems.append(f"{module}:{line}: imports {hidden[0]} from {to}, which is private to it")
        problems += [
            f"{module}:{node.lineno}: uses {name_of(node)}, which is private to that module"
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute) and is_private(node.attr) and name_of(node.value) in aliases
        ]
    return problems


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def outside_packages_are_listed(house: Sources) -> list[str]:
    problems = []
    for module in house:
        allowed = OUTSIDE.get(room_of(module))
        for line, to, _ in imports(module, house) if allowed is not None else ():
            package = to.split(".")[0]
            if package not in {ROOT, *sys.stdlib_module_names, *(allowed or ())}:
                problems.append(f"{module}:{line}: {room_of(module)} imports {package}; not in OUTSIDE")
    return problems


def only_the_clock_asks_for_the_time(house: Sources) -> list[str]:
    problems = []
    for module, source in house.items():
        if room_of(module) in TIMEKEEPERS:
            continue
        for line, to, _ in imports(module, house):
            if to == "time":
                problems.append(f"{module}:{line}: imports time; take a honed.clock.Clock")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and name_of(node.func).endswith(WALL_CLOCKS):
                problems.append(f"{module}:{node.lineno}: calls {name_of(node.func)}; take a honed.clock.Clock")
    return problems


def nothing_runs_stored_code(house: Sources) -> list[str]:
    """No pickle, eval or their kin: what stands in a storage or a checkpoint is data and can do nothing."""
    problems = []
    for module, source in house.items():
        for line, to, _ in imports(module, house):
            if to.split(".")[0] in UNSAFE_MODULES and module != PARCEL:
                problems.append(f"{module}:{line}: imports {to}")
        calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
        problems += [f"{module}:{call.lineno}: {found}" for call in calls if (found := unsafe_call(call))]
    return problems


def unsafe_call(node: ast.Call) -> str:
    called = name_of(node.func)
    given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    if called.removeprefix("builtins.") in UNSAFE_CALLS:
        return f"calls {called}"
    if called.rpartition(".")[2] in {"read_pickle", "to_pickle"}:
        return f"calls {called}"
    if called == "torch.load" and given.get("weights_only") is not True:
        return "calls torch.load without weights_only=True"
    if any(k.arg == "allow_pickle" for k in node.keywords) and given.get("allow_pickle") is not False:
        return f"calls {called} with allow_pickle"
    return ""


def no_module_is_too_long(house: Sources) -> list[str]:
    lengths = {module: len(source.splitlines()) for module, source in house.items()}
    return [f"{module}: {n} lines, at most {MAX_LINES}; split it" for module, n in lengths.items() if n > MAX_LINES]


RULES: list[Rule] = [
    every_module_has_a_floor,
    imports_go_down,
    forbidden_rooms_stay_closed,
    only_ports_are_known,
    samplers_keep_apart,
    no_import_circles,
    nobody_imports_the_root,
    no_foreign_underscores,
    outside_packages_are_listed,
    only_the_clock_asks_for_the_time,
    nothing_runs_stored_code,
    no_module_is_too_long,
]


# --- honed itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_honed_keeps(rule: Rule):
    house = read_house()
    assert ROOT in house
    problems = rule(house)
    assert not problems, "\n" + "\n".join(problems)


def run_python(code: str) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "PYTHONDONTWRITE"))}
    run = subprocess.run(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    return run.stdout.strip()


def test_import_honed_loads_nothing_heavy():
    code = "import sys; before = set(sys.modules); import honed; print(*sorted(set(sys.modules) - before))"
    loaded = {name.split(".")[0] for name in run_python(code).split()}
    assert ROOT in loaded
    assert not loaded & HEAVY


def test_import_honed_takes_under_100_ms_beyond_numpy():
    code = "import numpy; from time import perf_counter as t; start = t(); import honed; print(t() - start)"
    run_python(code)  # compiles the modules; a user pays that once
    best = min(float(run_python(code)) for _ in range(5))
    assert best <= MAX_IMPORT_SECONDS, f"import honed takes {1000 * best:.0f} ms beyond numpy, best of 5"


# --- the rules have teeth ------------------------------------------------------------------------------

SOUND = {
    "": "from honed.study import Study; from honed.samplers.tpe import TPE",
    "errors": "class HonedError(Exception): ...",
    "clock": "import time; now = time.time()",
    "domains": "from honed.errors import HonedError",
    "space": "from honed import domains; from honed.domains import Float; domains.Float; domains.__doc__",
    "algorithms": "",
    "algorithms.gp": "import math; import numpy as np; from honed.algorithms import kernels",
    "algorithms.kernels": "_x = 1; y = _x",
    "storage": "",
    "storage.base": "import json",
    "samplers": "",
    "samplers.base": "from honed.space import Space",
    "samplers.random": "from .base import Sampler",
    "samplers.combine": "from honed.samplers.random import Random",
    "samplers.tpe": "from honed.samplers import base, combine; from honed.algorithms.gp import fit",
    "torch": "import torch; model.eval(); torch.load(path, weights_only=True)",
    "ask_tell": "from honed.samplers.base import Sampler; from honed.storage import base",
    "study": "def default(): from honed.samplers.tpe import TPE",
    "workflow": "from honed.study import Study; from datetime import datetime; datetime(2026, 1, 1)",
}

# rule -> (module, what it says instead, part of the report)
BROKEN: dict[Rule, list[tuple[str, str, str]]] = {
    every_module_has_a_floor: [
        ("attic", "", "honed.attic: on no floor. Add its room 'attic' to FLOORS"),
        ("attic.box", "", "honed.attic.box: on no floor"),
    ],
    imports_go_down: [
        (
            "space",
            "x = 1\nfrom honed.study import Study",
            "honed.space:2: space (floor 2) imports upwards: study",
        ),
        ("space", "def f(): import honed.study", "imports upwards: study (floor 7)"),
        ("space", "from honed import study", "imports upwards: study"),
        ("space", "from . import study", "imports upwards: study"),
        ("storage", "from ..study import Study", "imports upwards: study"),
        ("storage.base", "from ..study import Study", "imports upwards: study"),
        ("space", "import importlib; importlib.import_module('honed.study')", "imports upwards: study"),
        ("space", "if TYPE_CHECKING: from honed.study import Study", "imports upwards: study"),
        ("domains", "from honed.space import Space", "domains imports its neighbour space on floor 2"),
        ("history", "from honed.storage.base import Storage", "history imports its neighbour storage"),
    ],
    forbidden_rooms_stay_closed: [
        ("samplers.tpe", "import honed.storage.base", "samplers must never import storage"),
        ("schedulers.asha", "from honed.clock import now", "schedulers must never import clock"),
        ("importance", "from honed.trial import Trial", "importance must never import trial"),
        ("auto", "from honed.study import Study", "auto must never import study"),
        ("trial", "from honed.samplers.base import Sampler", "trial must never import samplers"),
        ("trial", "from honed.storage.base import Storage", "trial must never import storage"),
        ("algorithms.gp", "from honed.errors import HonedError", "algorithms must never import errors"),
        ("dashboard", "from honed.study import Study", "dashboard must never import study"),
    ],
    only_ports_are_known: [
        (
            "ask_tell",
            "from honed.samplers.tpe import TPE",
            "samplers by its protocol only, not honed.samplers.tpe",
        ),
        ("ask_tell", "from honed.storage import SQLite", "storage by its protocol only, not honed.storage"),
    ],
    samplers_keep_apart: [
        ("samplers.gp", "from honed.samplers.tpe import TPE", "sampler gp imports sampler tpe"),
        ("samplers.gp", "from . import tpe", "sampler gp imports sampler tpe"),
        ("samplers.gp", "from honed.samplers import TPE", "sampler gp imports sampler __init__"),
    ],
    no_import_circles: [
        ("samplers.base", "def f(): from honed.samplers.tpe import TPE", "circle: honed.samplers."),
        (
            "algorithms.kernels",
            "if TYPE_CHECKING: from honed.algorithms.gp import fit",
            "circle: honed.algorithms.",
        ),
    ],
    nobody_imports_the_root: [
        ("study", "import honed", "honed.study:1: imports the package root honed"),
        ("study", "from honed import Float", "imports the package root honed for Float"),
        ("study", "from . import Float", "imports the package root honed for Float"),
    ],
    no_foreign_underscores: [
        ("study", "from honed.algorithms.kernels import _x", "imports _x from honed.algorithms.kernels"),
        ("study", "from honed.storage._sql import f", "imports _sql from honed.storage._sql"),
        ("study", "from honed.algorithms import kernels as k; k._x", "uses k._x"),
        (
            "study",
            "import honed.algorithms.kernels; honed.algorithms.kernels._x",
            "uses honed.algorithms.kernels._x",
        ),
    ],
    outside_packages_are_listed: [
        ("algorithms.gp", "import torch", "algorithms imports torch; not in OUTSIDE"),
        ("errors", "import numpy as np", "errors imports numpy; not in OUTSIDE"),
    ],
    only_the_clock_asks_for_the_time: [
        ("study", "from time import sleep", "honed.study:1: imports time"),
        ("study", "import datetime; datetime.datetime.now()", "calls datetime.datetime.now"),
    ],
    nothing_runs_stored_code: [
        ("study", "import pickle", "imports pickle"),
        ("study", "def f(): from shelve import open", "imports shelve"),
        ("study", "import marshal as m", "imports marshal"),
        ("study", "__import__('pickle')", "imports pickle"),
        ("study", "eval('1')", "calls eval"),
        ("study", "builtins.exec('1')", "calls builtins.exec"),
        ("study", "torch.load('x')", "calls torch.load without weights_only=True"),
        ("study", "np.load('x', allow_pickle=True)", "calls np.load with allow_pickle"),
        ("study", "pd.read_pickle('x')", "calls pd.read_pickle"),
    ],
    no_module_is_too_long: [
        ("study", "\n" * (MAX_LINES + 1), f"honed.study: {MAX_LINES + 1} lines"),
    ],
}


def full_names(house: Sources) -> dict[str, str]:
    return {f"{ROOT}.{module}".rstrip("."): source for module, source in house.items()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_house_is_left_alone(rule: Rule):
    assert rule(full_names(SOUND)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_broken_house_is_reported(rule: Rule):
    for module, source, report in BROKEN[rule]:
        problems = rule(full_names(SOUND | {module: source}))
        assert any(report in problem for problem in problems), (module, source, problems)


def test_the_tables_name_rooms_that_exist_on_their_floor():
    assert all(FLOORS[who] == FLOORS[whom] for who, whom in NEIGHBOURS)
    assert {*NEVER, *PORTS_ONLY, *OUTSIDE, *TIMEKEEPERS} <= set(FLOORS)
    assert set().union(*NEVER.values(), *PORTS_ONLY.values()) <= set(FLOORS)
