"""The provenance of a model as an in-toto statement with SLSA's predicate, which verifiers of other makers understand.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance. What each
field holds is said in docs/provenance.md, to which the build type leads. What is not known is left out.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from slipway.datasets import DatasetVersion
from slipway.datasets.address import is_remote
from slipway.policy.source import file_digest
from slipway.registry.digests import file_digests
from slipway.training.provenance import Base, Provenance

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
DOCS = "https://github.com/your-org/slipway/blob/main/docs/provenance.md"
BUILD_TYPE = f"{DOCS}#build-type-train-model-v1"
LOCAL_BUILDER = f"{DOCS}#outside-of-github-actions"
"""The builder of a run that no build platform vouches for: somebody's machine."""

FILE = "provenance.intoto.json"
DIGEST_TAG = "slipway.statement_digest"
"""Tag of a version with the SHA-256 of its statement's file."""

Descriptor = dict[str, Any]
"""A ResourceDescriptor: https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md"""


def build(made: Provenance, files: Mapping[str, str], *, kept_in: str, record: str = "") -> dict[str, Any]:
    """The statement about one model.

    Args:
        made: the finished provenance.
        files: SHA-256 (hexadecimal) of every file of the model.
        kept_in: folder of the MLflow run's artifacts that holds provenance, lock and log.
        record: digest of provenance.json.
    """
    kept = f"runs:/{made.mlflow_run}/{kept_in}"
    log = _known({"name": "training.log", "uri": f"{kept}/training.log", "digest": _sha256(made.log_digest)})
    records = {"name": "provenance.json", "uri": f"{kept}/provenance.json", "digest": _sha256(record)}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": made.model, "digest": _sha256(made.model_digest)},
            *({"name": f"{made.model}/{name}", "digest": {"sha256": content}} for name, content in files.items()),
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(made),
                "internalParameters": _internal(made),
                "resolvedDependencies": list(_dependencies(made, kept)),
            },
            "runDetails": {
                "builder": {"id": str(made.run.get("workflow") or LOCAL_BUILDER)},
                "metadata": _known(
                    {"invocationId": _invocation(made), "startedOn": made.started, "finishedOn": made.finished}
                ),
                "byproducts": [log, _known(records)],
            },
        },
    }


def write_evidence(made: Provenance, model: Path, folder: Path, *, kept_in: str) -> list[Path]:
    """Write what is kept beside a model into `folder`: provenance, the lock if there is one, and last the statement."""
    record = made.write(folder / "provenance.json")
    written = [record]
    if made.environment.lock:
        lock = folder / "requirements.txt"
        lock.write_text(made.environment.lock, encoding="utf-8")
        written.append(lock)
    said = build(made, file_digests(model), kept_in=kept_in, record=file_digest(record))
    statement = folder / FILE
    statement.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [*written, statement]


def _external(made: Provenance) -> dict[str, Any]:
    """What the person who starts a training decides."""
    return _known(
        {
            "model": made.model,
            "command": list(made.command),
            "parameters": dict(made.parameters),
            "seed": "" if made.seed is None else str(made.seed),  # a number would lose digits beyond 2**53
            "policy": made.policy.get("policy", ""),
        }
    )


def _internal(made: Provenance) -> dict[str, Any]:
    """What the machine and the run decide."""
    github = {name: value for name, value in made.run.items() if name not in ("url", "workflow")}
    return _known(
        {
            "python": made.environment.python,
            "base": _known(dataclasses.asdict(made.base)),
            "machine": dict(made.machine),
            "job": {"name": made.job, "saidBy": "the run"} if made.job else {},
            "github": _known(github) if made.run.get("url") else {},
        }
    )


def _dependencies(made: Provenance, kept: str) -> Iterator[Descriptor]:
    """Commit, policy, data, environment, container and base model."""
    repository, ref = str(made.run.get("repository", "")), str(made.run.get("ref", ""))
    tree: dict[str, Any] = {"role": "source", "clean": made.clean}
    if not made.clean:
        tree["changes"] = list(made.changes)
    yield _known(
        {
            "name": "" if repository else "source",
            "uri": f"git+{repository}@{ref or made.commit}" if repository else "",
            "digest": {"gitCommit": made.commit},
            "annotations": tree,
        }
    )
    policy = {name: value for name, value in made.policy.items() if name != "policy_digest"}
    yield {
        "name": made.policy.get("policy", "policy"),
        "digest": _sha256(made.policy["policy_digest"]),
        "annotations": {"role": "policy", "form": "canonical JSON", **policy},
    }
    for name, version in made.datasets.items():
        yield _dataset(name, version, f"git+{repository}@{made.commit}" if repository else "")
    yield from _environment(made, kept)
    if made.base.kind == "container" and made.base.image:
        yield _container(made.base)
    if made.base_model:
        yield _named(made.base_model, role="base model")


def _dataset(name: str, version: DatasetVersion, source: str) -> Descriptor:
    """A dataset. Its digest is given where it is that of the bytes; every other identity is an annotation."""
    said = {"role": "dataset", "dataset": name, "kind": version.kind, "id": version.id, "immutable": version.immutable}
    sha256 = f"sha256:{version.sha256}" if version.sha256 else ""
    plain_md5 = re.fullmatch(r"md5:([0-9a-f]{32})", version.id) if version.kind == "dvc" else None
    return _known(
        {
            "name": version.path,
            "uri": version.uri if is_remote(version.path) else _in_repository(source, version.tracked_by),
            "digest": {"md5": plain_md5[1]} if plain_md5 else _sha256(version.id if version.kind == "file" else sha256),
            "annotations": _known(
                {**said, "form": "listing" if version.kind == "file" else "", "remark": version.remark}
            ),
        }
    )


def _in_repository(source: str, file: str) -> str:
    """A file of the repository; nothing where the repository has no address."""
    return f"{source}#{file}" if source and file else ""


def _environment(made: Provenance, kept: str) -> Iterator[Descriptor]:
    """The lock, and every package that was installed."""
    environment = made.environment
    if environment.lock_digest:
        yield {
            "name": "requirements.txt",
            "uri": f"{kept}/requirements.txt",
            "digest": _sha256(environment.lock_digest),
            "annotations": {"role": "environment lock", "hashLocked": environment.hash_locked},
        }
    for package in environment.packages:
        name, _, version = package.partition("==")
        yield {
            "uri": f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version, safe='')}",
            "annotations": {"role": "package"},
        }


def _container(base: Base) -> Descriptor:
    """The image that the job names, or the one of the policy and what ran: both are known, and not only said."""
    named = _named(base.image, role="container")
    return {**named, "annotations": {"role": "container", "id": base.id}} if base.id else named


def _named(text: str, *, role: str) -> Descriptor:
    """What the job or the run names itself: an address, or any other name, with the digest at its end if it has one."""
    pinned = re.search(r"@(?:(sha256):([0-9a-f]{64})|([0-9a-f]{40}))$", text)
    digest = {pinned[1] or "gitCommit": pinned[2] or pinned[3]} if pinned else {}
    address = "uri" if urlsplit(text).scheme and "/" in text else "name"
    return _known({address: text, "digest": digest, "annotations": {"role": role, "saidBy": "the run"}})


def _invocation(made: Provenance) -> str:
    """The attempt of the workflow run, or the MLflow run where there is none."""
    url = made.run.get("url")
    return f"{url}/attempts/{made.run.get('attempt')}" if url else f"runs:/{made.mlflow_run}"


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")} if digest.startswith("sha256:") else {}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without what is empty: of the specification's two ways to say nothing the one that takes no room."""
    return {name: value for name, value in values.items() if value not in (None, "", {}, [])}
