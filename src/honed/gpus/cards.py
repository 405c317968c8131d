"""What cards this machine has for us, asked of the drivers' own tools.

``HONED_GPUS`` (``"4"``, or ``"0,1,GPU-8932f937"``) answers for tests and special machines. Otherwise nvidia-smi does,
restricted by ``CUDA_VISIBLE_DEVICES``, and then the kernel's list of AMD cards, restricted by ``ROCR_VISIBLE_DEVICES`` and
``HIP_VISIBLE_DEVICES``. A driver that is missing or does not answer means that there are no cards.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

ANSWER_SECONDS = 20.0
"""A driver that sleeps may need some seconds before nvidia-smi answers."""

_KFD = Path("/sys/class/kfd/kfd/topology/nodes")
_DRM = Path("/sys/class/drm")
_MIB = 2**20

Kind = Literal["cuda", "rocm"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A program that computes on a card, as the driver sees it."""

    pid: int
    program: str
    used_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card, or one MIG part of a card.

    Attributes:
        id: what ``CUDA_VISIBLE_DEVICES`` calls it here.
        key: what it is called everywhere on this machine; its UUID where that is known.
        name: for people.
        total_bytes: its memory; 0 where it is unknown.
        used_bytes: how much of it is in use by now.
        holders: the programs that compute on it.
    """

    id: str
    key: str
    name: str = ""
    total_bytes: int = 0
    used_bytes: int = 0
    holders: tuple[Holder, ...] = ()
    kind: Kind = "cuda"


def cards(environment: Mapping[str, str]) -> tuple[Card, ...]:
    """The cards that a program with this environment may use.

    Raises:
        ValueError: ``HONED_GPUS`` is neither a number of cards nor a list of them.
    """
    told = environment.get("HONED_GPUS")
    if told is not None:
        return _told(told)
    found = _nvidia(environment.get("PATH"))
    if found:
        return _visible(found, environment.get("CUDA_VISIBLE_DEVICES"))
    return rocm_cards(environment)


def _told(text: str) -> tuple[Card, ...]:
    tokens = [token.strip() for token in text.split(",")]
    if len(tokens) == 1 and tokens[0].isdecimal():
        tokens = [str(i) for i in range(int(tokens[0]))]
    elif tokens in ([""], ["-1"]):
        tokens = []
    if "" in tokens or any(token.startswith("-") for token in tokens) or len(set(tokens)) < len(tokens):
        raise ValueError(
            f'HONED_GPUS={text!r} must be a number of cards, "4", or a list of different ones, "0,1,GPU-..."'
        )
    return tuple(Card(id=token, key=token) for token in tokens)


# -------------------------------------------------------------------------------------------------------------- NVIDIA


def _nvidia(path: str | None) -> list[Card]:
    """All NVIDIA cards in the order of their numbers, by what holds them."""
    program = shutil.which("nvidia-smi", path=path)
    if program is None:
        return []
    rows = _asked(program, "--query-gpu=index,uuid,name,memory.total,memory.used")
    found = [
        Card(id=row[0], key=row[1], name=row[2], total_bytes=_mib(row[3]), used_bytes=_mib(row[4]))
        for row in rows
        if len(row) == 5 and row[0].isdecimal()
    ]
    if not found:
        return []
    holders: dict[str, list[Holder]] = {}
    for row in _asked(program, "--query-compute-apps=gpu_uuid,pid,process_name,used_memory"):
        if len(row) >= 4 and row[1].isdecimal():  # a program's name may have commas
            name = ", ".join(row[2:-1]).replace("\\", "/").rpartition("/")[2]
            holders.setdefault(row[0], []).append(Holder(int(row[1]), name, _mib(row[-1])))
    return [replace(card, holders=tuple(holders.get(card.key, ()))) for card in found]


def _asked(program: str, query: str) -> list[list[str]]:
    """The rows of nvidia-smi's answer; none where it fails."""
    command = [program, query, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    if answer.returncode:
        return []
    return [[cell.strip() for cell in row] for row in csv.reader(answer.stdout.splitlines(), skipinitialspace=True)]


def _mib(text: str) -> int:
    """Bytes of a number of MiB; cards without a memory of their own say ``[N/A]``."""
    try:
        return int(float(text) * _MIB)
    except ValueError:
        return 0


def _visible(found: Sequence[Card], text: str | None) -> tuple[Card, ...]:
    """What a list of visible devices leaves of the cards, in its order and its spelling.

    As CUDA reads it: what stands behind the first device that does not exist is not visible, either.
    """
    if text is None:
        return tuple(found)
    seen: dict[str, Card] = {}
    for token in (part.strip() for part in text.split(",")):
        card = _named(found, token)
        if card is None:
            break
        seen.setdefault(card.key, card)
    return tuple(seen.values())


def _named(found: Sequence[Card], token: str) -> Card | None:
    """The card that a token of ``CUDA_VISIBLE_DEVICES`` means; a UUID may be cut off while it is clear."""
    if token.isdecimal():
        return next((card for card in found if card.id == str(int(token))), None)
    if token.startswith("MIG-"):  # nvidia-smi's list has whole cards only
        return Card(id=token, key=token, name="MIG")
    same = [card for card in found if token and card.key.lower().startswith(token.lower())]
    return replace(same[0], id=token) if len(same) == 1 else None


# ----------------------------------------------------------------------------------------------------------------- AMD


def rocm_cards(environment: Mapping[str, str], nodes: Path = _KFD, drm: Path = _DRM) -> tuple[Card, ...]:
    """The AMD cards that a program with this environment may use.

    Args:
        environment: of the program.
        nodes: the kernel's folder of compute nodes.
        drm: the kernel's folder of graphics devices.
    """
    folders = sorted((path for path in _listed(nodes) if path.name.isdecimal()), key=lambda path: int(path.name))
    found: list[Card] = []
    for folder in folders:
        facts = _facts(folder / "properties")
        if facts.get("simd_count", 0):  # the others are processors
            found.append(_rocm_card(str(len(found)), folder, facts, drm))
    by_runtime = _visible(found, environment.get("ROCR_VISIBLE_DEVICES"))
    if "ROCR_VISIBLE_DEVICES" in environment:  # what it leaves is numbered anew for HIP
        by_runtime = tuple(replace(card, id=str(i)) for i, card in enumerate(by_runtime))
    return _visible(by_runtime, environment.get("HIP_VISIBLE_DEVICES", environment.get("CUDA_VISIBLE_DEVICES")))


def _rocm_card(number: str, folder: Path, facts: Mapping[str, int], drm: Path) -> Card:
    device = drm / f"renderD{facts.get('drm_render_minor', 0)}" / "device"
    unique = facts.get("unique_id", 0)
    return Card(
        id=number,
        key=f"GPU-{unique:016x}" if unique else f"AMD-{facts.get('domain', 0)}-{facts.get('location_id', number)}",
        name=_text(device / "product_name") or _text(folder / "name") or "AMD GPU",
        total_bytes=_number(device / "mem_info_vram_total"),
        used_bytes=_number(device / "mem_info_vram_used"),
        kind="rocm",
    )


def _facts(path: Path) -> dict[str, int]:
    """Lines of ``name value``."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdecimal() else 0
