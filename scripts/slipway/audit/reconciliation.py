"""Whether ledger and registry tell the same story. Where they differ, somebody went behind the pipeline's back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from slipway.audit.trail import Trail
from slipway.registry.mlflow import ModelVersion
from slipway.report import Check, Verdict

BEHIND = "behind the pipeline's back"


def compare(
    trail: Trail, model: str, versions: Sequence[ModelVersion], aliases: Mapping[str, str], environments: Sequence[str]
) -> list[Check]:
    """What differs, environment by environment and version by version.

    versions: what the registry has of the model. aliases: the version that each of its aliases points at.
    """
    return [
        *(_alias(trail, model, environment, aliases.get(environment, "")) for environment in environments),
        *_versions(trail, model, {version.version: version for version in versions}),
    ]


def references(trail: Trail) -> Iterator[Check]:
    """Whether all entries about one version speak of the same model, by digest."""
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for entry in (record.entry for record in trail.records):
        if not (entry.model_version and entry.model_digest):
            continue
        number, digest = seen.setdefault((entry.model, entry.model_version), (entry.sequence, entry.model_digest))
        if digest != entry.model_digest:
            yield Check(
                name=f"{entry.model} version {entry.model_version}",
                verdict=Verdict.FAIL,
                detail=f"entry {entry.sequence} names the digest {entry.model_digest}, entry {number} {digest}",
            )


def _alias(trail: Trail, model: str, environment: str, points_at: str) -> Check:
    name = f"live in {environment}"
    recorded = trail.live(model, environment)
    on_record = recorded.version if recorded else ""
    if points_at == on_record:
        said = f"version {on_record}, entry {recorded.entry.sequence}" if recorded else "nothing was released yet"
        return Check(name=name, verdict=Verdict.PASS, detail=said)
    ledger = f"the ledger says version {on_record}" if on_record else "the ledger knows of no release"
    registry = f"the registry's alias points at version {points_at}" if points_at else "the registry has no such alias"
    return Check(
        name=name,
        verdict=Verdict.FAIL,
        detail=f"{ledger}, {registry}: it was changed {BEHIND}. Find out why; `command: acknowledge` with a `reason` "
        "brings it on record.",
    )


def _versions(trail: Trail, model: str, versions: Mapping[str, ModelVersion]) -> Iterator[Check]:
    trained: dict[str, tuple[int, str]] = {}
    for entry in (record.entry for record in trail.of(model)):
        if entry.event == "training" and entry.model_version:
            trained[entry.model_version] = (entry.sequence, entry.model_digest)
    for version in sorted(trained.keys() | versions.keys(), key=_natural):
        name = f"version {version}"
        found = versions.get(version)
        if version not in trained:
            yield Check(name=name, verdict=Verdict.FAIL, detail=f"is in the registry and was registered {BEHIND}")
        elif found is None:
            detail = f"was trained by entry {trained[version][0]} and is gone from the registry"
            yield Check(name=name, verdict=Verdict.FAIL, detail=detail)
        elif found.tags.get("slipway.model_digest", "") != trained[version][1]:
            said = found.tags.get("slipway.model_digest") or "no digest"
            detail = f"the registry says {said}, entry {trained[version][0]} says {trained[version][1]}"
            yield Check(name=name, verdict=Verdict.FAIL, detail=detail)
        else:
            yield Check(name=name, verdict=Verdict.PASS, detail=f"as trained by entry {trained[version][0]}")


def _natural(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (0, version)
