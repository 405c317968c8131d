"""Workers in Kubernetes: the manifest of one indexed Job, a pod for each worker.

A pod that is evicted, drained or pre-empted ends with 75 after a checkpoint; the Job's failure policy counts neither that
nor a lost node as a failure and starts the pod again. The storage's address comes from a Secret. The manifest is YAML made
of JSON strings, so that no name in it can be read as anything but a text.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.launchers.command import STORAGE_VARIABLE, TOKEN_VARIABLE, Share, Work
from honed.launchers.keeper import MARGIN_SECONDS

CHECKPOINTS = "/checkpoints"
"""Where the volume for checkpoints is mounted."""
_AGAIN, _WRONG_USAGE = 75, 2
_FAILURES_PER_WORKER = 6
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """The pods of one launch.

    Attributes:
        grace: seconds that a worker has for its checkpoint when its pod must go.
        secret: ``NAME`` or ``NAME/KEY`` of the Secret that holds the storage's address.
        claim: PersistentVolumeClaim for checkpoints, mounted at ``folder``.
    """

    work: Work
    share: Share
    image: str
    grace: float = 60.0
    secret: str = "honed-storage"
    claim: str | None = None
    folder: str | None = None
    namespace: str | None = None

    def __post_init__(self) -> None:
        """Checks what Kubernetes would refuse with a longer message."""
        if not self.image or re.search(r"\s", self.image):
            raise ValueError(f"image={self.image!r} must be the name of an image, such as registry/me/train:1")
        for name, value, rule in (
            ("secret", self.secret_name, _DNS_NAME),
            ("claim", self.claim, _DNS_NAME),
            ("namespace", self.namespace, _DNS_LABEL),
        ):
            if value is not None and not rule.fullmatch(value):
                raise ValueError(
                    f"{name}={value!r} must be made of lower-case letters, digits and -, as Kubernetes names are"
                )
        if self.claim is not None and not (self.folder or "").startswith("/"):
            raise ValueError(
                f"checkpoints={self.folder!r} must be an absolute path: the claim {self.claim!r} is mounted there"
            )
        if self.share.memory is not None and not _QUANTITY.fullmatch(self.share.memory):
            raise ValueError(f"memory={self.share.memory!r} must be a quantity, such as 16Gi")

    @property
    def secret_name(self) -> str:
        """The Secret's name."""
        return self.secret.partition("/")[0]

    @property
    def secret_key(self) -> str:
        """The key in it."""
        return self.secret.partition("/")[2] or "url"

    @property
    def name(self) -> str:
        """The Job's name: the study's, as far as Kubernetes allows, and a mark where it does not."""
        study = self.work.study
        plain = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")[:40].strip("-")
        mark = "" if plain == study else "-" + hashlib.sha256(study.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        return f"honed-{plain or 'study'}{mark}"


def manifest(pods: Pods) -> str:
    """The Job as YAML."""
    share, names = pods.share, {"app.kubernetes.io/name": "honed", "app.kubernetes.io/instance": pods.name}
    metadata: dict[str, Any] = {"name": pods.name, "labels": names, "annotations": {"honed/study": pods.work.study}}
    if pods.namespace is not None:
        metadata["namespace"] = pods.namespace
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completions": share.workers,
            "parallelism": share.workers,
            "completionMode": "Indexed",
            "backoffLimit": _FAILURES_PER_WORKER * share.workers,
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {"metadata": {"labels": names}, "spec": _pod(pods)},
        },
    }
    return "\n".join(_lines(job)) + "\n"


def hint(pods: Pods) -> str:
    """How the Secret is made that the manifest names."""
    place = f" --namespace {shlex.quote(pods.namespace)}" if pods.namespace else ""
    key = shlex.quote(f"--from-literal={pods.secret_key}=")
    return (
        f"the pods read the storage's address from a Secret; make it once: kubectl create secret generic {pods.secret_name}"
        f'{place} {key}"${STORAGE_VARIABLE}"'
    )


def _failure_rules() -> list[Any]:
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"containerName": "worker", "operator": "In", "values": [_AGAIN]}},
        {"action": "FailJob", "onExitCodes": {"containerName": "worker", "operator": "In", "values": [_WRONG_USAGE]}},
    ]


def _pod(pods: Pods) -> dict[str, Any]:
    worker: dict[str, Any] = {
        "name": "worker",
        "image": pods.image,
        "command": [_literal(text) for text in (*pods.work.kept(f"--grace={pods.grace:g}"), *pods.work.tail)],
        "env": [
            _from_secret(pods, STORAGE_VARIABLE, pods.secret_key, optional=False),
            _from_secret(pods, TOKEN_VARIABLE, "token", optional=True),
        ],
        "resources": _resources(pods.share),
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",  # what a failure policy asks for; the Job makes a new pod
        "terminationGracePeriodSeconds": math.ceil(pods.grace + 2 * MARGIN_SECONDS),
        "containers": [worker],
    }
    if pods.claim is not None:
        worker["volumeMounts"] = [{"name": "checkpoints", "mountPath": pods.folder}]
        pod["volumes"] = [{"name": "checkpoints", "persistentVolumeClaim": {"claimName": pods.claim}}]
    return pod


def _from_secret(pods: Pods, variable: str, key: str, *, optional: bool) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": pods.secret_name, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _resources(share: Share) -> dict[str, Any]:
    gpus, _ = share.whole("Kubernetes")
    requests: dict[str, Any] = {"cpu": f"{share.cpus:g}"}
    limits: dict[str, Any] = {}
    if share.memory is not None:
        requests["memory"] = limits["memory"] = share.memory
    if gpus:
        limits["nvidia.com/gpu"] = gpus
    return {"requests": requests, **({"limits": limits} if limits else {})}


def _literal(text: str) -> str:
    """Kubernetes puts variables of the pod in place of ``$(NAME)`` in a command; ``$$`` stands for the sign itself."""
    return text.replace("$", "$$")


def _lines(value: Any, indent: str = "") -> list[str]:
    """Block YAML of mappings, lists, texts and numbers."""
    if isinstance(value, Mapping):
        lines = []
        for key, inner in value.items():
            is_block = isinstance(inner, Mapping | list) and bool(inner)
            lines += (
                [f"{indent}{key}:", *_lines(inner, indent + "  ")] if is_block else [f"{indent}{key}: {_scalar(inner)}"]
            )
        return lines
    if isinstance(value, Sequence) and not isinstance(value, str):
        lines = []
        for inner in value:
            first, *rest = (
                _lines(inner, indent + "  ") if isinstance(inner, Mapping) else [indent + "  " + _scalar(inner)]
            )
            lines += [f"{indent}- {first.removeprefix(indent + '  ')}", *rest]
        return lines
    return [indent + _scalar(value)]


def _scalar(value: Any) -> str:
    """A number, or a text in double quotes and ASCII, which means the same in YAML as in JSON."""
    if not isinstance(value, str):
        return json.dumps(value)
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(
        c if " " <= c <= "~" else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in quoted
    )
