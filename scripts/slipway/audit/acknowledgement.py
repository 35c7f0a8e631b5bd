"""Entries by which a person answers for what was changed behind the pipeline's back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from slipway.audit import reconciliation
from slipway.audit.trail import Trail
from slipway.ledger import drafting
from slipway.ledger.entries import Fact, Kind
from slipway.registry.mlflow import ModelVersion, Registry, shown
from slipway.runner.context import Run
from slipway.runner.errors import InputError


def of_version(
    trail: Trail, registry: Registry, model: str, version: str, environment: str, reason: str, run: Run
) -> drafting.Drafted | None:
    """A version that was registered, altered or deleted outside of the pipeline; None where nothing is to be said.

    Raises InputError where neither ledger nor registry has it, or the registry cannot be the one that is meant.
    """
    versions = {each.version: each for each in registry.versions(model)}
    require_meant(trail, registry, model, environment, versions, answered=version)
    on_record, found = reconciliation.versions_on_record(trail, model).get(version), versions.get(version)
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
    """The version that the registry says is live, where the ledger says another one; None where it does not.

    A version that was live there before came back: that is a rollback, and no release.
    Raises InputError where the registry cannot be the one that is meant.
    """
    versions = {each.version: each for each in registry.versions(model)}
    require_meant(trail, registry, model, environment, versions)
    before, version = trail.live(model, environment), registry.aliases(model).get(environment, "")
    before_version = before.version if before else ""
    if version == before_version:
        return None
    digest = _digest(versions.get(version))
    was_there = version in ("", *(each.version for each in trail.placings(model, environment)))
    details: dict[str, Fact] = {
        "environment": environment,
        "previous_version": before_version,
        "observed_in": "registry",
    }
    summary = f"{model} version {version or 'none'} is live in {environment}, changed outside of the pipeline"
    after = before.entry.sequence if before else ""
    return _drafted(
        "rollback" if was_there else "promotion", summary, run, reason, model, version, digest, details, after
    )


def require_meant(
    trail: Trail,
    registry: Registry,
    model: str,
    environment: str,
    versions: Mapping[str, ModelVersion],
    *,
    answered: str = "",
) -> None:
    """Refuse a registry that cannot be the model's: a wrong address of a database on disk makes an empty one.

    answered: the version that somebody answers for. Raises InputError.
    """
    where = shown(registry.uri)
    if not registry.identity(model):
        raise InputError(
            f"The registry {where} knows no model `{model}`, so there is nothing to acknowledge.",
            why="An address that names no database yet makes a new, empty one.",
            fix="Check `tracking-uri` and `model`.",
        )
    live = trail.live(model, environment)
    on_record = reconciliation.versions_on_record(trail, model)
    if live and live.version in on_record and not on_record[live.version].registered:
        return  # somebody answered for it already
    if live and live.version and live.version not in versions and live.version != answered:
        raise InputError(
            f"The registry {where} has no version {live.version} of `{model}`, which is live in {environment} by "
            f"entry {live.entry.sequence}.",
            fix=f"Check `tracking-uri`. If it was deleted, or the registry is a new one, acknowledge that first: "
            f"`model-version: {live.version}`.",
        )
    moved = reconciliation.of_another_registry(trail, model, registry.identity(model))
    if moved and not answered:
        raise InputError(
            f"The registry {where} {moved}.",
            fix="Check `tracking-uri`. If the registry was moved, acknowledge that first, with the live "
            "`model-version`.",
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
