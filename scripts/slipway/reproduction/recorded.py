"""What is recorded of a version, held to the digests that its training left in the registry."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.policy.source import file_digest
from slipway.registry import mlflow
from slipway.registry.digests import digest
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.runner.errors import GateError, InputError
from slipway.training import provenance, statement
from slipway.training.fitting import KEPT_IN
from slipway.training.provenance import Provenance

RECORD = f"{KEPT_IN}/provenance.json"
STATEMENT = f"{KEPT_IN}/{statement.FILE}"
CHANGED = "Somebody changed it after the training. Do not trust the version; `audit-trail` shows what the ledger kept."


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A version as its training left it. model: its files, fetched. digest: of provenance.json."""

    version: ModelVersion
    made: Provenance
    model: Path
    digest: str


def find(registry: Registry, model: str, version: str) -> ModelVersion:
    """The version by its number or alias; the one in production where nothing is given. InputError where none is."""
    if version.isdecimal():
        return registry.by_version(model, version)
    alias = version or mlflow.PRODUCTION
    found = registry.by_alias(model, alias)
    if found is None:
        raise InputError(
            f"No version of `{model}` has the alias `{alias}`.",
            fix="Give `model-version`: a number that the registry lists, or one of its aliases.",
        )
    return found


def read(registry: Registry, version: ModelVersion, scratch: Path) -> Recorded:
    """Fetch provenance and files of a version below `scratch`.

    The version's tag names the statement, the statement names provenance.json and the model, and each is held to it.

    Raises GateError where there is no provenance, where something was changed, or where the record itself says that
    the version cannot be rebuilt: a rebuild of it would show nothing.
    """
    folder = scratch / "recorded"
    made, record = _vouched_for(registry, version, folder)
    files = registry.download(version, folder / "model")
    found = digest(files)
    if not found == made.model_digest == version.tags.get("slipway.model_digest"):
        raise GateError(
            f"The files of {version.name} are not those that were registered.",
            why=f"Its provenance says {made.model_digest}, its tag {version.tags.get('slipway.model_digest')}, and the "
            f"files have {found}.",
            fix=CHANGED,
        )
    _require_rebuildable(made, version)
    return Recorded(version=version, made=made, model=files, digest=record)


def _vouched_for(registry: Registry, version: ModelVersion, folder: Path) -> tuple[Provenance, str]:
    tag = version.tags.get(statement.DIGEST_TAG, "")
    record = registry.run_file(version.run_id, RECORD, folder) if version.run_id else None
    said = registry.run_file(version.run_id, STATEMENT, folder) if version.run_id else None
    if not tag or record is None or said is None:
        missing = RECORD if record is None else STATEMENT if said is None else f"the tag {statement.DIGEST_TAG}"
        raise GateError(
            f"{version.name.capitalize()} of `{version.model}` has no provenance, so nothing says how to rebuild it.",
            why=f"It lacks {missing}: it was not trained by train-model, or by an early one.",
            fix="Train it with train-model and release that version.",
        )
    found = file_digest(said)
    if found != tag:
        raise GateError(
            f"The provenance statement of {version.name} is not the one that its training wrote.",
            why=f"Its digest is {found}, and the version's tag says {tag}.",
            fix=CHANGED,
        )
    found, named = file_digest(record), _named(said)
    if found != named:
        raise GateError(
            f"The provenance.json of {version.name} is not the one that its training wrote.",
            why=f"Its digest is {found}, and the provenance statement says {named or 'nothing of it'}.",
            fix=CHANGED,
        )
    return provenance.read(record), found


def _named(file: Path) -> str:
    """The digest that a statement gives for provenance.json; empty where it gives none."""
    try:
        said: Any = json.loads(file.read_text(encoding="utf-8"))
        products = said["predicate"]["runDetails"]["byproducts"]
        return next(f"sha256:{each['digest']['sha256']}" for each in products if each["name"] == "provenance.json")
    except (ValueError, LookupError, TypeError, StopIteration):
        return ""


def _require_rebuildable(made: Provenance, version: ModelVersion) -> None:
    if not made.clean:
        raise GateError(
            f"{version.name.capitalize()} was trained from a work tree with uncommitted changes.",
            why=f"Commit {made.commit[:12]} alone does not say what was run: {', '.join(made.changes[:5])} differed.",
            fix="Commit, train again without `allow-dirty-tree`, and release that version.",
        )
    lock = made.environment.lock
    if not lock and made.base.id:
        return  # all packages came with the container, which is pinned by digest
    if not lock:
        raise GateError(
            f"{version.name.capitalize()} has no environment lock, so its environment cannot be made again.",
            why="The policy named no `training.requirements`: the command ran with whatever the job had installed "
            f"({len(made.environment.packages)} packages).",
            fix="Name a hash-locked requirements file in `training.requirements`, train again, and release that.",
        )
    if f"sha256:{hashlib.sha256(lock.encode()).hexdigest()}" != made.environment.lock_digest:
        raise GateError(
            f"The environment lock of {version.name} does not have the digest that is recorded for it.",
            why=f"Its text is not what {made.environment.lock_digest} names.",
            fix="A lock with other line ends than a newline is such a case. Train again, and release that version.",
        )
