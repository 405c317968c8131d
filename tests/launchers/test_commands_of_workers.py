"""What is launched: addresses that other machines reach, values that are checked before anything is submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

import honed
from honed.launchers.command import Share, Standing, Work, has_secret, reachable, standing


def work(**changes: object) -> Work:
    settings: dict = {"target": "train.py", "storage": "postgresql://me@db/x", "study": "s", "trials": 10}
    return Work(**{**settings, **changes})


def test_the_command_is_the_one_that_the_user_types_and_hides_the_storage() -> None:
    made = work(options=("--sampler", "random"), storage="postgresql://me:secret@db/x", python="python3")
    assert made.argv() == [
        "python3",
        "-m",
        "honed",
        "run",
        "train.py",
        "--study=s",
        "--trials=10",
        "--sampler",
        "random",
    ]
    assert made.environment == {"HONED_STORAGE": "postgresql://me:secret@db/x"}
    assert made.kept("--grace=5") == [
        "python3",
        "-m",
        "honed",
        "launch",
        "worker",
        "train.py",
        "--study=s",
        "--trials=10",
        "--grace=5",
    ]
    assert made.tail == ["--", "--sampler", "random"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 0}, "trials=0 must be a whole number"),
        ({"trials": True}, "trials=True must be"),
        ({"study": ""}, "study='' must be a text"),
        ({"study": "a\0b"}, "without NUL"),
        ({"target": "-x.py"}, "write ./-x.py"),
        ({"options": ("a\0b",)}, "without NUL"),
    ],
)
def test_wrong_commands_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        work(**changes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 0}, "workers=0"),
        ({"workers": 1, "gpus": 1.5}, "a share of one card"),
        ({"workers": 1, "gpus": -1}, "gpus=-1"),
        ({"workers": 1, "gpus": float("nan")}, "gpus=nan"),
        ({"workers": 1, "cpus": 0}, "cpus=0"),
    ],
)
def test_wrong_shares_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Share(**settings)


def test_whole_cards_for_engines_that_know_no_parts() -> None:
    assert Share(workers=1, gpus=2, cpus=1.5).whole("Slurm") == (2, 2)
    with pytest.raises(ValueError, match=r"Slurm hands out whole cards.*--workers 2 --gpus-per-trial 0.5"):
        Share(workers=1, gpus=0.5).whole("Slurm")


def test_files_are_for_one_machine_and_addresses_must_be_reachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reachable("a.db", "one machine") == str(tmp_path / "a.db")
    assert reachable("sqlite:///a%20b.db", "one machine") == str(tmp_path / "a b.db")
    for good in ("postgresql://me:pw@db/x", "http://login1:8484", "postgresql:///x?host=db.internal"):
        assert reachable(good, "many machines") == good
    for place in ("a.db", "sqlite:////data/a.db"):
        with pytest.raises(ValueError, match=r"SQLite file.*PostgreSQL.*honed serve"):
            reachable(place, "many machines")
    for place in ("http://localhost:8484", "postgresql://me:pw@127.0.0.1/x", "postgresql:///x", "http://[::1]:8484"):
        with pytest.raises(ValueError, match="names this machine only") as raised:
            reachable(place, "many machines")
        assert "pw" not in str(raised.value)
    with pytest.raises(ValueError, match="ends with its process"):
        reachable("memory", "one machine")
    with pytest.raises(ValueError, match="no storage that honed knows"):
        reachable("mongo://x", "many machines")


def test_addresses_with_a_secret_are_known() -> None:
    assert has_secret("postgresql://me:pw@db/x")
    assert has_secret("http://:token@host:1")
    assert has_secret("postgresql://db/x?user=me&password=pw")
    assert not has_secret("postgresql://me@db/x")
    assert not has_secret("/data/honed.db")


def test_how_far_a_study_is(tmp_path: Path) -> None:
    path = tmp_path / "honed.db"
    task = work(storage=str(path), trials=2)
    assert standing(task) == Standing()
    assert not path.exists()
    study = honed.create_study("s", storage=path)
    assert not standing(task).is_done(2)
    study.tell(study.ask(), 1.0)
    trial = study.ask()
    assert standing(task) == Standing(n_counted=2, n_open=1, n_lost=0)
    study.tell(trial, state="waiting")
    assert standing(task) == Standing(n_counted=2, n_open=1, n_lost=1)
    study.tell(study.ask(), 1.0)
    assert standing(task).is_done(2)
    study.close()
