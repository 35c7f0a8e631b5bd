"""Whether the same model was trained before, so that it need not be trained again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from slipway.policy.training import Training
from slipway.registry.digests import digest
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Report, reuse
from slipway.runner import commands
from slipway.runner.errors import InputError
from slipway.training import repository
from slipway.training.provenance import Provenance


def key_of(before: Provenance, training: Training) -> str:
    """Digest of all that the model follows from; empty where that can change unseen (a dirty tree, mutable data)."""
    if not before.clean or not all(version.immutable for version in before.datasets.values()):
        return ""
    environment = before.environment
    said = {
        "model": before.model,
        "code": repository.tree(training.code),
        "datasets": {name: str(version) for name, version in before.datasets.items()},
        "parameters": before.parameters,
        # A lock may leave versions open: the packages that are there count as well.
        "environment": [environment.lock_digest, *environment.packages],
        "python": environment.python,
        "base": before.base,
        "training": training.model_dump(mode="json"),
        "policy": before.policy["policy_digest"],
        "remarks": before.remarks,
    }
    return reuse.key("train-model", said)


def find(
    folder: Path | None, key: str, beside: Path, registry: Registry, model: str
) -> tuple[Report, ModelVersion] | None:
    """The report of the earlier training, and its version, if the registry still has exactly that model."""
    report = reuse.find(folder, key, beside, stage="train-model", model=model) if key else None
    candidate = next((each for each in report.subjects if each.role == "candidate"), None) if report else None
    if report is None or candidate is None:
        return None
    try:
        version = registry.by_version(report.model, candidate.name)
    except InputError as gone:
        commands.warning(f"The earlier training is not used: {gone.what}", title="Reuse")
        return None
    with tempfile.TemporaryDirectory() as scratch:
        there = digest(registry.download(version, Path(scratch)))
    if not candidate.id == there == version.tags.get("slipway.model_digest"):
        what = f"version {version.version} of the registry is another model than the one that was trained"
        commands.warning(f"The earlier training is not used: {what}.", title="Reuse")
        return None
    return report, version
