"""Entries by which a person answers for what was changed behind the pipeline's back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from slipway.audit import reconciliation
from slipway.audit.trail import Trail
from slipway.ledger import drafting
from slipway.ledger.entries import Fact, Kind
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.runner.context import Run
from slipway.runner.errors import InputError


def of_version(
    trail: Trail, registry: Registry, model: str, version: str, reason: str, run: Run
) -> drafting.Drafted | None:
    """A version that was registered, altered or deleted outside of the pipeline; None where nothing is to be said.

    Raises InputError where neither ledger nor registry has it.
    """
    on_record = reconciliation.versions_on_record(trail, model).get(version)
    found = next((each for each in registry.versions(model) if each.version == version), None)
    if on_record is None and found is None:
        raise InputError(
            f"Neither ledger nor registry has a version {version} of `{model}`.",
            fix="Check `model` and `model-version`.",
        )
    identity = registry.identity(model)
    moved = reconciliation.of_another_registry(trail, model, identity)
    problem = reconciliation.difference(on_record, found) or moved
    if not problem:
        return None
    details: dict[str, Fact] = {"observed_in": "registry", "registered": found is not None}
    if identity:
        details["registry"] = identity
    summary = f"{model} version {version} acknowledged: it {problem}"
    after = on_record.entry if on_record else ""
    return _drafted("override", summary, run, reason, model, version, _digest(found), details, after)


def of_alias(
    trail: Trail, registry: Registry, model: str, environment: str, reason: str, run: Run
) -> drafting.Drafted | None:
    """The version that the registry says is live, where the ledger says another one; None where it does not."""
    before, version = trail.live(model, environment), registry.aliases(model).get(environment, "")
    before_version = before.version if before else ""
    if version == before_version:
        return None
    digest = _digest(registry.by_version(model, version) if version else None)
    details: dict[str, Fact] = {
        "environment": environment,
        "previous_version": before_version,
        "observed_in": "registry",
    }
    summary = f"{model} version {version or 'none'} is live in {environment}, changed outside of the pipeline"
    after = before.entry.sequence if before else ""
    return _drafted(
        "promotion" if version else "rollback", summary, run, reason, model, version, digest, details, after
    )


def _digest(found: ModelVersion | None) -> str:
    return found.tags.get("slipway.model_digest", "") if found else ""


def _drafted(
    event: Kind,
    summary: str,
    run: Run,
    reason: str,
    model: str,
    version: str,
    digest: str,
    details: Mapping[str, Fact],
    after: int | str,
) -> drafting.Drafted:
    """after: the entry that is contradicted, so that the same change twice is two events and a retry is none."""
    said = {
        "model": model,
        "model_version": version,
        "model_digest": digest,
        "justification": {"kind": "person", "text": reason, "issues": drafting.issues(reason)},
        "details": details,
    }
    key = (model, version, digest, sorted(details.items()), after, reason)
    return drafting.of_event(event, summary, run, occurred_at=datetime.now(UTC), key=key, said=said)
