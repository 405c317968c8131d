"""Which cards there are: from HONED_GPUS, from nvidia-smi under CUDA_VISIBLE_DEVICES, from the kernel's list of AMD cards."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from honed.gpus import Card, Holder, cards
from honed.gpus.cards import rocm_cards

MIB = 2**20
UUIDS = ("GPU-aa11", "GPU-aa22", "GPU-bb33", "GPU-cc44")

SMI = """#!/bin/sh
case "$1" in
--query-gpu=index,uuid,name,memory.total,memory.used)
    echo "0, GPU-aa11, NVIDIA H100 80GB HBM3, 81559, 512"
    echo "1, GPU-aa22, NVIDIA H100 80GB HBM3, 81559, 1"
    echo "2, GPU-bb33, NVIDIA GB10, [N/A], [N/A]"
    echo "3, GPU-cc44, NVIDIA T400 4GB, 4096, 0" ;;
--query-compute-apps=gpu_uuid,pid,process_name,used_memory)
    echo "GPU-aa11, 991, /usr/bin/python3, 500"
    echo "GPU-aa11, 992, /opt/a, b/train, [N/A]" ;;
*) exit 9 ;;
esac
"""


def smi(folder: Path, text: str = SMI) -> dict[str, str]:
    """An environment whose PATH has an nvidia-smi that says ``text``."""
    program = folder / "nvidia-smi"
    program.write_text(text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def ids(environment: dict[str, str]) -> list[str]:
    return [card.id for card in cards(environment)]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("4", ["0", "1", "2", "3"]),
        ("1", ["0"]),
        ("0", []),
        ("", []),
        ("-1", []),
        ("0,2", ["0", "2"]),
        (" 0 , 1, GPU-aa11 ", ["0", "1", "GPU-aa11"]),
    ],
)
def test_cards_can_be_told(told: str, expected: list[str]) -> None:
    assert ids({"HONED_GPUS": told, "CUDA_VISIBLE_DEVICES": "7"}) == expected


@pytest.mark.parametrize("wrong", ["0,,1", "-3", "0,0", "1,-1", ","])
def test_a_list_that_makes_no_sense_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="HONED_GPUS=") as caught:
        cards({"HONED_GPUS": wrong})
    assert repr(wrong) in str(caught.value)


def test_nvidia_smi_names_the_cards_their_memory_and_who_uses_them(tmp_path: Path) -> None:
    found = cards(smi(tmp_path))
    assert [card.key for card in found] == list(UUIDS)
    assert found[0] == Card(
        id="0", key="GPU-aa11", name="NVIDIA H100 80GB HBM3", total_bytes=81559 * MIB, used_bytes=512 * MIB,
        holders=(Holder(991, "python3", 500 * MIB), Holder(992, "train", 0)),
    )  # fmt: skip
    assert (found[2].total_bytes, found[2].used_bytes, found[2].holders) == (0, 0, ())


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("1,0", ["1", "0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,-1,1", ["0"]),
        ("0,9,1", ["0"]),
        ("GPU-bb33,0", ["GPU-bb33", "0"]),
        ("GPU-b", ["GPU-b"]),
        ("GPU-aa", []),
        ("gpu-cc44", ["gpu-cc44"]),
        ("MIG-GPU-aa11/1/0,MIG-77", ["MIG-GPU-aa11/1/0", "MIG-77"]),
        ("0,0", ["0"]),
        (" 3 , 2 ", ["3", "2"]),
    ],
)
def test_cuda_visible_devices_restricts_them_as_cuda_reads_it(
    tmp_path: Path, visible: str, expected: list[str]
) -> None:
    assert ids(smi(tmp_path) | {"CUDA_VISIBLE_DEVICES": visible}) == expected


def test_a_number_and_a_uuid_of_one_card_have_one_key(tmp_path: Path) -> None:
    environment = smi(tmp_path)
    by_number = cards(environment | {"CUDA_VISIBLE_DEVICES": "2"})
    by_uuid = cards(environment | {"CUDA_VISIBLE_DEVICES": "GPU-bb"})
    assert [card.key for card in by_number] == [card.key for card in by_uuid] == ["GPU-bb33"]


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 9\n", "#!/bin/sh\necho No devices were found\n", "no program"])
def test_a_driver_that_does_not_answer_means_no_cards(tmp_path: Path, text: str) -> None:
    assert cards(smi(tmp_path, text) | {"CUDA_VISIBLE_DEVICES": "0"}) == rocm_cards({"CUDA_VISIBLE_DEVICES": "0"})


def amd(folder: Path, n: int = 3) -> tuple[Path, Path]:
    """The kernel's folders on a machine with a processor and ``n`` AMD cards."""
    nodes, drm = folder / "nodes", folder / "drm"
    for i in range(n + 1):
        node = nodes / str(i)
        node.mkdir(parents=True)
        lines = [f"simd_count {304 if i else 0}", f"drm_render_minor {127 + i}", f"unique_id {i}", "vendor_id 4098"]
        (node / "properties").write_text("\n".join(lines) + "\n")
        device = drm / f"renderD{127 + i}" / "device"
        device.mkdir(parents=True)
        (device / "mem_info_vram_total").write_text("206141652992\n")
        (device / "mem_info_vram_used").write_text("1024\n")
        (device / "product_name").write_text("AMD Instinct MI300X\n")
    return nodes, drm


def test_amd_cards_stand_in_the_kernels_list(tmp_path: Path) -> None:
    found = rocm_cards({}, *amd(tmp_path))
    assert found[0] == Card(
        id="0", key="GPU-0000000000000001", name="AMD Instinct MI300X", total_bytes=206141652992, used_bytes=1024,
        kind="rocm",
    )  # fmt: skip
    assert [card.id for card in found] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HIP_VISIBLE_DEVICES": "2,0"}, {"2": 3, "0": 1}),
        ({"CUDA_VISIBLE_DEVICES": "1"}, {"1": 2}),
        ({"HIP_VISIBLE_DEVICES": ""}, {}),
        ({"ROCR_VISIBLE_DEVICES": "1,2"}, {"0": 2, "1": 3}),
        ({"ROCR_VISIBLE_DEVICES": "GPU-0000000000000003,0", "HIP_VISIBLE_DEVICES": "1"}, {"1": 1}),
    ],
)
def test_amd_cards_are_restricted_by_both_variables(
    tmp_path: Path, environment: dict[str, str], expected: dict[str, int]
) -> None:
    found = rocm_cards(environment, *amd(tmp_path))
    assert {card.id: int(card.key.removeprefix("GPU-"), 16) for card in found} == expected


def test_looking_for_cards_never_imports_torch() -> None:
    program = "import os, sys, honed.gpus; honed.gpus.cards(os.environ); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
