"""Manifests, read by a YAML parser: what makes pods come back, and that no name is more than a text."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from honed.launchers.command import Share, Work
from honed.launchers.kubernetes import Pods, hint, manifest

NASTY = [
    "quote \" and ' and \\ and : # - {} [] & * ! | > %",
    "two\nlines\n- kind: Secret",
    "umlaut ü, emoji 😀, NEL \x85, separator \u2028, DEL \x7f, bell \x07",
    "$(HONED_STORAGE) $$ $(rm -rf /)",
    "yes",
    "1e3",
    "~",
]


def pods(study: str = "mnist", options: tuple[str, ...] = (), **settings) -> Pods:
    work = Work(
        target="train.py",
        storage="postgresql://me:secret@db/x",
        study=study,
        trials=100,
        options=options,
        python="python",
    )
    found: dict[str, Any] = {"work": work, "share": Share(workers=4), "image": "registry/me/train:1"} | settings
    return Pods(**found)


def read(made: Pods) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The Job, its pod's spec, and the container."""
    documents = list(yaml.safe_load_all(manifest(made)))
    assert len(documents) == 1
    pod = documents[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return documents[0], pod, container


def test_one_pod_for_each_worker_that_comes_back_when_it_is_cut_short() -> None:
    job, pod, container = read(pods(grace=90.0))
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"], job["metadata"]["name"]) == ("batch/v1", "Job", "honed-mnist")
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    assert spec["backoffLimit"] == 24
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] > 90
    ignored = [rule for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "Ignore"]
    assert ignored[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert ignored[1]["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [75]}
    assert container["command"][:5] == ["python", "-m", "honed", "launch", "worker"]
    assert "--grace=90" in container["command"]


def test_the_address_of_the_storage_is_a_secret() -> None:
    text = manifest(pods(secret="tuning/address"))
    assert "secret@" not in text
    _, _, container = read(pods(secret="tuning/address"))
    storage, token = container["env"]
    assert storage == {
        "name": "HONED_STORAGE",
        "valueFrom": {"secretKeyRef": {"name": "tuning", "key": "address"}},
    }
    assert token["valueFrom"]["secretKeyRef"] == {"name": "tuning", "key": "token", "optional": True}
    told = hint(pods(secret="tuning/address", namespace="lab"))
    assert 'kubectl create secret generic tuning --namespace lab --from-literal=address="$HONED_STORAGE"' in told


def test_cards_memory_and_a_volume_for_checkpoints() -> None:
    share = Share(workers=2, gpus=2, cpus=3.5, memory="16Gi")
    job, pod, container = read(pods(share=share, claim="disk", folder="/ck", namespace="lab"))
    assert job["metadata"]["namespace"] == "lab"
    assert container["resources"] == {
        "requests": {"cpu": "3.5", "memory": "16Gi"},
        "limits": {"memory": "16Gi", "nvidia.com/gpu": 2},
    }
    assert container["volumeMounts"] == [{"name": "checkpoints", "mountPath": "/ck"}]
    assert pod["volumes"] == [{"name": "checkpoints", "persistentVolumeClaim": {"claimName": "disk"}}]
    _, _, plain = read(pods())
    assert "limits" not in plain["resources"]


@pytest.mark.parametrize("name", NASTY)
def test_names_cannot_break_out_of_the_manifest(name: str) -> None:
    made = pods(study=name, options=("--metric", name))
    job, _, container = read(made)
    assert job["metadata"]["annotations"] == {"honed/study": name}
    expanded = [argument.replace("$$", "$") for argument in container["command"]]
    assert f"--study={name}" in expanded
    assert expanded[-3:] == ["--", "--metric", name]
    assert all("$(" not in argument.replace("$$", "") for argument in container["command"])
    assert job["metadata"]["name"].startswith("honed-")
    assert job["metadata"]["name"].replace("-", "").isalnum()
    assert len(job["metadata"]["name"]) <= 63 - len("-12345")  # pods get an index behind it


def test_studies_whose_names_look_alike_have_jobs_of_their_own() -> None:
    assert len({pods(study=study).name for study in ("My Study", "my-study", "my study", "MY_STUDY")}) == 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image": ""}, "image=''"),
        ({"image": "a b"}, "image='a b'"),
        ({"secret": "Not Good"}, "secret='Not Good'"),
        ({"claim": "disk", "folder": None}, "must be an absolute path"),
        ({"namespace": "a.b"}, "namespace='a.b'"),
        ({"share": Share(workers=1, memory="lots")}, "memory='lots'"),
        ({"share": Share(workers=1, gpus=0.5)}, "whole cards"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        manifest(pods(**settings))
