"""Whatever happens to the bytes on the disk, a checkpoint is whole or it is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from honed.checkpoints.base import checkpoint_key
from honed.checkpoints.directory import DirectoryStore
from honed.checkpoints.manifest import MANIFEST, written
from honed.errors import CheckpointDamaged, CheckpointTooNew

KEY = checkpoint_key(1, 2, 3, 1)


@pytest.fixture
def store(tmp_path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    directory = store.new_directory()
    (directory / "a.bin").write_bytes(bytes(range(40)))
    (directory / "sub").mkdir()
    (directory / "sub" / "b.txt").write_text("content")
    store.save(KEY, directory)
    return store


def all_files(store: DirectoryStore) -> list[Path]:
    return sorted(path for path in (store.root / KEY).rglob("*") if path.is_file())


def assert_damaged(store: DirectoryStore, words: str = "") -> None:
    with pytest.raises(CheckpointDamaged, match=f"The checkpoint {KEY} is damaged: .*{words}.* Nothing of it was used"):
        store.load(KEY)


def test_every_truncation_is_seen(store):
    for path in all_files(store):
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            assert_damaged(store)
        path.write_bytes(whole + b"\n")
        assert_damaged(store)
        path.write_bytes(whole)
    assert store.load(KEY)


def test_every_flipped_bit_is_seen(store):
    for path in all_files(store):
        whole = path.read_bytes()
        for at in range(len(whole)):
            changed = bytearray(whole)
            changed[at] ^= 1 << at % 8
            path.write_bytes(changed)
            assert_damaged(store)
        path.write_bytes(whole)
    assert store.load(KEY)


@pytest.mark.parametrize("name", ["a.bin", "sub/b.txt", MANIFEST])
def test_every_missing_file_is_named(store, name):
    (store.root / KEY / name).unlink()
    assert_damaged(store, f"{name} is missing")


def test_missing_folders_and_an_empty_checkpoint(store):
    shutil.rmtree(store.root / KEY / "sub")
    assert_damaged(store, "sub is missing")
    shutil.rmtree(store.root / KEY)
    (store.root / KEY).mkdir()
    assert_damaged(store, f"{MANIFEST} is missing")
    (store.root / KEY).rmdir()
    (store.root / KEY).touch()
    assert_damaged(store, "it is no directory")


def test_a_checkpoint_in_the_wrong_place_is_seen(store):
    other = checkpoint_key(1, 2, 4, 1)
    (store.root / KEY).rename(store.root / other)
    with pytest.raises(CheckpointDamaged, match=f"its manifest belongs to {KEY}"):
        store.load(other)


# --------------------------------------------------------------------------------------------------- crafted ones


def craft(store: DirectoryStore, **changes: object) -> None:
    """A manifest of somebody who knows how digests are made."""
    path = store.root / KEY / MANIFEST
    body = json.loads(path.read_text())
    del body["digest"]
    path.write_bytes(written({**body, **changes}))


@pytest.mark.parametrize("name", ["../../../../outside", "/etc/hostname", "sub/../../outside", "sub/./b.txt", ""])
def test_names_that_lead_elsewhere_are_not_followed(store, name):
    (store.root.parent / "outside").write_text("content")
    craft(store, files={name: {"bytes": 7, "blake2b": "0"}})
    assert_damaged(store, "is missing")


@pytest.mark.parametrize("target", ["file", "folder"])
def test_links_are_not_followed(store, tmp_path, target):
    (tmp_path / "file").write_bytes(bytes(range(40)))
    (tmp_path / "folder").mkdir()
    (store.root / KEY / "a.bin").unlink()
    (store.root / KEY / "a.bin").symlink_to(tmp_path / target)
    assert_damaged(store, "a.bin is neither a file nor a folder")


def test_a_linked_manifest_is_refused(store, tmp_path):
    shutil.copy(store.root / KEY / MANIFEST, tmp_path / "manifest")
    (store.root / KEY / MANIFEST).unlink()
    (store.root / KEY / MANIFEST).symlink_to(tmp_path / "manifest")
    assert_damaged(store, f"{MANIFEST} is no file")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"digest": 1}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"digest": "x", "digest": "y"}',
        b"1" * 5000,
    ],
)
def test_what_is_no_manifest_is_refused(store, raw):
    (store.root / KEY / MANIFEST).write_bytes(raw)
    assert_damaged(store, f"{MANIFEST} has changed")


@pytest.mark.parametrize(
    "changes",
    [
        {"files": []},
        {"files": {"a.bin": 40}},
        {"files": {"a.bin": {}}},
        {"folders": 3},
        {"folders": [["sub"]]},
        {"key": None},
        {"format": "1"},
        {"format": 0},
    ],
)
def test_manifests_that_lack_something_are_refused(store, changes):
    craft(store, **changes)
    assert_damaged(store, "lacks what it must say")


def test_later_formats_say_what_to_do(store):
    craft(store, format=2, files="whatever")
    with pytest.raises(CheckpointTooNew, match=r"format 2, this one knows 1.*pip install -U honed"):
        store.load(KEY)


def test_a_file_that_vanishes_meanwhile(store, monkeypatch):
    scandir, gone = os.scandir, store.root / KEY / "a.bin"

    def remove_after_listing(path: Path) -> object:
        found = scandir(path)
        if path == gone.parent / "sub":
            gone.unlink()
        return found

    monkeypatch.setattr(os, "scandir", remove_after_listing)
    assert_damaged(store, "vanished while it was read")
