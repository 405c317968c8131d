"""No card is given away twice: among processes, among reservations of one process, after kill -9, after a fork."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from honed.errors import GpusTaken, HonedError
from honed.gpus import Reservation, reserve

ROOT = Path(__file__).parents[2]
FOUR = {"HONED_GPUS": "4"}


def visible(held: Reservation) -> list[str]:
    return [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in held.slots]


@contextmanager
def holder(folder: Path, n: int, per_trial: float) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    command = [sys.executable, "-m", "tests.gpus.holders", "hold", str(folder), str(n), str(per_trial)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("n", "per_trial", "expected"),
    [
        (None, 1, ["0", "1", "2", "3"]),
        (None, 2, ["0,1", "2,3"]),
        (None, 3, ["0,1,2"]),
        (None, 4, ["0,1,2,3"]),
        (None, 0.5, ["0", "0", "1", "1", "2", "2", "3", "3"]),
        (2, 0.5, ["0", "0"]),
        (3, 0.5, ["0", "0", "1"]),
        (4, 0.3, ["0", "0", "0", "1"]),
        (2, 0.7, ["0", "1"]),
        (1, 1, ["0"]),
        (1, 2, ["0,1"]),
    ],
)
def test_slots_are_packed_inside_cards_and_whole_cards_are_grouped(
    tmp_path: Path, n: int | None, per_trial: float, expected: list[str]
) -> None:
    with reserve(n, per_trial, environment=FOUR, folder=tmp_path) as held:
        assert visible(held) == expected
        assert [slot.share for slot in held.slots] == pytest.approx([min(per_trial, 1)] * len(expected))


@pytest.mark.parametrize(
    ("n", "per_trial", "said"),
    [
        (8, 2, "workers=8 with gpus_per_trial=2 need 16 GPUs; this machine has 4 (0, 1, 2, 3): use workers=2"),
        (9, 0.5, "workers=9 with gpus_per_trial=0.5 need 5 GPUs; this machine has 4 (0, 1, 2, 3): use workers=8"),
        (None, 5, "A trial with gpus_per_trial=5 needs 5 GPUs; this machine has 4 (0, 1, 2, 3): use a smaller"),
    ],
)
def test_more_than_there_are_is_refused_and_the_cards_are_named(
    tmp_path: Path, n: int | None, per_trial: float, said: str
) -> None:
    with pytest.raises(ValueError, match="this machine has 4") as caught:
        reserve(n, per_trial, environment=FOUR, folder=tmp_path)
    assert str(caught.value).startswith(said)


def test_a_machine_without_cards_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this machine has none that can be used"):
        reserve(2, 1, environment={"HONED_GPUS": ""}, folder=tmp_path)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5])
def test_a_number_of_workers_that_makes_no_sense_is_refused(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(ValueError, match="workers="):
        reserve(wrong, 1, environment=FOUR, folder=tmp_path)


def test_two_reservations_of_one_process_share_nothing(tmp_path: Path) -> None:
    with reserve(1, 2, environment=FOUR, folder=tmp_path) as first:
        with reserve(None, 1, environment=FOUR, folder=tmp_path) as second:
            assert (visible(first), visible(second)) == (["0,1"], ["2", "3"])
            with pytest.raises(GpusTaken, match=f"none are free: GPU 0 is held by pid {os.getpid()} "):
                reserve(None, 0.1, environment=FOUR, folder=tmp_path)
        # closing the second one must not open the first one's cards, neither here nor elsewhere
        with holder(tmp_path, 2, 1) as (_, cards):
            assert cards == ["2", "3"]
        with reserve(None, 1, environment=FOUR, folder=tmp_path) as third:
            assert visible(third) == ["2", "3"]
    with reserve(None, 1, environment=FOUR, folder=tmp_path) as held:
        assert len(held.slots) == 4


def test_two_shares_of_a_card_in_one_process_are_freed_one_by_one(tmp_path: Path) -> None:
    one = {"HONED_GPUS": "1"}
    first = reserve(1, 0.5, environment=one, folder=tmp_path)
    second = reserve(1, 0.5, environment=one, folder=tmp_path)
    first.close()
    first.close()
    with holder_of_one(tmp_path, 0.5), pytest.raises(GpusTaken, match="held to 50% by pid"):
        reserve(1, 0.1, environment=one, folder=tmp_path)
    with pytest.raises(GpusTaken):
        reserve(1, 0.6, environment=one, folder=tmp_path)
    second.close()
    with reserve(1, 1, environment=one, folder=tmp_path) as held:
        assert visible(held) == ["0"]


@contextmanager
def holder_of_one(folder: Path, per_trial: float) -> Iterator[None]:
    """Another process with a share of card 0 of four."""
    with holder(folder, 1, per_trial) as (_, cards):
        assert cards == ["0"]
        yield


def test_shares_of_different_sizes_fit_into_what_is_left(tmp_path: Path) -> None:
    one = {"HONED_GPUS": "1"}
    held = [reserve(1, share, environment=one, folder=tmp_path) for share in (0.3, 0.3, 0.3)]
    held[1].close()
    with reserve(None, 0.2, environment=one, folder=tmp_path) as rest:  # 0.3 in the middle, and 0.1 at the end
        assert len(rest.slots) == 2
    for reservation in held:
        reservation.close()


def test_shares_take_begun_cards_first_so_that_whole_ones_stay(tmp_path: Path) -> None:
    with (
        reserve(2, 1, environment=FOUR, folder=tmp_path),
        reserve(1, 0.25, environment=FOUR, folder=tmp_path) as small,
        reserve(1, 0.5, environment=FOUR, folder=tmp_path) as larger,
        reserve(1, 1, environment=FOUR, folder=tmp_path) as whole,
    ):
        assert [visible(held) for held in (small, larger, whole)] == [["2"], ["2"], ["3"]]


def test_a_killed_holder_gives_its_cards_back_at_once(tmp_path: Path) -> None:
    with holder(tmp_path, 3, 1) as (process, cards):
        assert cards == ["0", "1", "2"]
        with pytest.raises(GpusTaken) as caught:
            reserve(2, 2, environment=FOUR, folder=tmp_path)
        assert str(caught.value) == (
            "workers=2 with gpus_per_trial=2 need 4 GPUs; this machine has 4 (0, 1, 2, 3), of which 1 is free: "
            + ", ".join(f"GPU {i} is held by pid {process.pid} (holders.py)" for i in range(3))
            + ". Wait for these runs to end, or use fewer workers."
        )
        with reserve(None, 1, environment=FOUR, folder=tmp_path) as held:
            assert visible(held) == ["3"]
        process.kill()
        process.wait()
        with reserve(2, 2, environment=FOUR, folder=tmp_path) as held:
            assert visible(held) == ["0,1", "2,3"]


def test_who_held_a_card_before_is_not_named(tmp_path: Path) -> None:
    with holder(tmp_path, 4, 1) as (process, _):
        process.kill()
        process.wait()
    with holder(tmp_path, 4, 1) as (process, _), pytest.raises(GpusTaken) as caught:
        reserve(1, 1, environment=FOUR, folder=tmp_path)
    assert str(caught.value).count("is held by") == str(caught.value).count(f"pid {process.pid} ") == 4


def test_a_file_that_makes_no_sense_holds_nothing_up(tmp_path: Path) -> None:
    reserve(None, 1, environment=FOUR, folder=tmp_path).close()
    for i, path in enumerate(sorted(tmp_path.glob("*.card"))):
        path.write_bytes([b"", b"{", b'[{"pid": 1}]', b"\xff" * 99][i])
    with reserve(None, 1, environment=FOUR, folder=tmp_path) as held:
        assert len(held.slots) == 4


def test_a_forked_child_neither_holds_nor_frees(tmp_path: Path) -> None:
    with reserve(4, 1, environment=FOUR, folder=tmp_path) as held:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                held.close()
                reserve(1, 1, environment=FOUR, folder=tmp_path)
            except GpusTaken:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(GpusTaken):
            reserve(1, 1, environment=FOUR, folder=tmp_path)
    with holder(tmp_path, 4, 1) as (_, cards):
        assert len(cards) == 4


def test_threads_that_race_share_nothing(tmp_path: Path) -> None:
    got: list[str] = []
    refused: list[GpusTaken] = []
    begin = threading.Barrier(6)

    def take() -> None:
        begin.wait()
        try:
            got.extend(visible(reserve(1, 1, environment=FOUR, folder=tmp_path)))
        except GpusTaken as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(got), len(refused)) == (["0", "1", "2", "3"], 2)


def test_processes_that_race_never_get_a_card_twice(tmp_path: Path) -> None:
    book = tmp_path / "book"
    book.write_text("[0, 0, 0, 0]")
    folder = tmp_path / "slots"
    command = [sys.executable, "-m", "tests.gpus.holders", "race", str(folder), str(book)]
    racers = [
        subprocess.Popen([*command, str(i)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in range(5)
    ]
    answers = [racer.communicate(timeout=100) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 5, answers
    taken, refused = (sum(counts) for counts in zip(*(json.loads(out) for out, _ in answers), strict=True))
    assert taken + refused == 300
    assert taken > 20
    with reserve(None, 1, environment=FOUR, folder=folder) as held:
        assert len(held.slots) == 4


def test_runs_meet_in_a_folder_that_only_their_user_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"honed-gpus-{os.getuid()}"
    with reserve(1, 1, environment={"HONED_GPUS": "../../evil,0"}) as held:
        assert visible(held) == ["../../evil"]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert all(path.parent == folder for path in tmp_path.rglob("*.card"))
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    with pytest.raises(HonedError, match="set TMPDIR to a folder of yours"):
        reserve(1, 1, environment=FOUR)
