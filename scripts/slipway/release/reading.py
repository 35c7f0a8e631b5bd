"""Reads what an assessment compares: a version from the registry, and its commit from git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from slipway.policy.model import Policy
from slipway.policy.reading import read_text
from slipway.policy.source import SourcedPolicy
from slipway.registry.digests import digest
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.release import architecture
from slipway.release.differences import Files, Version
from slipway.runner.errors import InputError, PolicyError
from slipway.training import provenance
from slipway.training.provenance import Provenance, flatten

PROVENANCE = "slipway/provenance.json"
MODEL_DIGEST = "slipway.model_digest"
IMAGE = "slipway.image"
BASE_OF_IMAGE = "slipway.image_base"


def version_of(registry: Registry, found: ModelVersion, policy_path: Path, scratch: Path) -> Version:
    """Everything that is compared of one version.

    Raises InputError where its files are not those that were registered, RemoteError where the registry
    does not answer.
    """
    made = made_with(registry, found, scratch)
    files = registry.download(found, scratch / "model")
    require_registered(found, files)
    said = architecture.mlmodel(files)
    inputs, outputs = architecture.signature(said)
    return Version(
        version=found.version,
        made=made,
        parameters=registry.parameters(found.run_id) if found.run_id else {},
        inputs=inputs,
        outputs=outputs,
        architecture=architecture.describe(files, said),
        served_on=found.tags.get(BASE_OF_IMAGE, ""),
        policy=policy_at(made.commit, policy_path) if made else None,
    )


def require_registered(found: ModelVersion, files: Path) -> None:
    """InputError where the files are not those that were registered: the assessment would be of another model."""
    said = found.tags.get(MODEL_DIGEST)
    if said and (is_now := digest(files)) != said:
        raise InputError(
            f"The files of {found.name} of `{found.model}` are not those that were registered.",
            why=f"They have the digest {is_now}, and the registry says {said}.",
            fix="Somebody changed the model's files or its tag. Train and register it anew.",
        )


def made_with(registry: Registry, found: ModelVersion, scratch: Path) -> Provenance | None:
    """How a version was made; None where it has no record that can be read."""
    if not found.run_id:
        return None
    file = registry.run_file(found.run_id, PROVENANCE, scratch)
    try:
        return provenance.read(file) if file else None
    except InputError:
        return None


def policy_at(commit: str, path: Path) -> dict[str, str] | None:
    """Keys and values of the policy at a commit; None where it is not in this clone, or says what cannot be read."""
    shown = _git("show", f"{commit}:{path.as_posix()}")
    if shown is None:
        return None
    try:
        return values_of(read_text(shown, Policy, file=str(path)))
    except PolicyError:
        return None


def values_of(policy: Policy) -> dict[str, str]:
    """Every key that a policy sets, nested names joined by dots."""
    return flatten(policy.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def files_between(candidate: Provenance | None, production: Provenance | None) -> Files:
    """The files that differ between the commits of two versions."""
    if candidate is None or production is None:
        return Files(None, "one of the two has no commit on record")
    for made, name in ((production, "production"), (candidate, "the candidate")):
        if not made.clean:
            return Files(None, f"{name} was trained from a work tree with uncommitted changes")
        if _git("cat-file", "-e", f"{made.commit}^{{commit}}") is None:
            return Files(None, f"the commit {made.commit[:12]} of {name} is not in this clone (`fetch-depth: 0`)")
    said = _git("diff", "--name-only", "--no-renames", "-z", production.commit, candidate.commit)
    return Files(tuple(filter(None, (said or "").split("\0"))))


def covered_by(sourced: SourcedPolicy, made: Provenance | None) -> Iterator[str]:
    """Files whose change is told as another kind: what pins the data, parameters, locks, the policy."""
    yield sourced.path.as_posix()
    training = sourced.policy.training
    if training:
        yield from filter(None, (training.parameters, training.requirements))
    for name, dataset in sourced.policy.data.items():
        known = made.datasets.get(name) if made else None
        yield from filter(None, (dataset.path, known.tracked_by if known else ""))


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
