"""Whether ledger and registry tell the same story. Where they differ, somebody went behind the pipeline's back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from slipway.audit.trail import Trail
from slipway.ledger.entries import Entry
from slipway.ledger.trainings import registry_of
from slipway.registry.mlflow import ModelVersion
from slipway.report import Check, Verdict

BEHIND = "behind the pipeline's back"
REPAIR = "`command: acknowledge` with `model-version` and a `reason` brings it on record"


@dataclass(frozen=True)
class OnRecord:
    """What the ledger says of a version: its digest, whether the registry has it, and the entry that says so."""

    entry: int
    digest: str
    registered: bool
    told: str


def compare(
    trail: Trail,
    model: str,
    versions: Sequence[ModelVersion],
    aliases: Mapping[str, str],
    environments: Sequence[str],
    registry: str = "",
) -> list[Check]:
    """What differs, environment by environment and version by version.

    versions: what the registry has of the model. aliases: the version that each of its aliases points at. registry:
    its identity.
    """
    moved = of_another_registry(trail, model, registry)
    fix = f"{moved}. Check `tracking-uri`; if the registry was moved, {REPAIR}"
    return [
        *([Check(name="registry", verdict=Verdict.FAIL, detail=fix)] if moved else []),
        *(_alias(trail, model, environment, aliases.get(environment, "")) for environment in environments),
        *_versions(trail, model, {version.version: version for version in versions}),
    ]


def references(trail: Trail) -> Iterator[Check]:
    """Whether all entries about one version speak of the same model, by digest."""
    seen: dict[tuple[str, str, str], tuple[int, str]] = {}
    for entry in (record.entry for record in trail.records):
        if not (entry.model_version and entry.model_digest):
            continue
        # Every registry counts its versions from 1.
        key = (entry.model, entry.model_version, trail.registries[entry.sequence])
        if acknowledged(entry):
            # From here on the version is what somebody said that it is.
            seen[key] = (entry.sequence, entry.model_digest)
        number, digest = seen.setdefault(key, (entry.sequence, entry.model_digest))
        if digest != entry.model_digest:
            yield Check(
                name=about(entry.model, entry.model_version),
                verdict=Verdict.FAIL,
                detail=f"entry {entry.sequence} names the digest {entry.model_digest}, entry {number} {digest}",
            )


def about(model: str, version: str) -> str:
    """The name of the check that `references` makes of a version."""
    return f"{model} version {version}"


def _alias(trail: Trail, model: str, environment: str, points_at: str) -> Check:
    name = f"live in {environment}"
    recorded = trail.live(model, environment)
    on_record = recorded.version if recorded else ""
    if points_at == on_record:
        said = f"{_named(on_record)}, entry {recorded.entry.sequence}" if recorded else "nothing was released yet"
        return Check(name=name, verdict=Verdict.PASS, detail=said)
    ledger = f"the ledger says {_named(on_record)}" if recorded else "the ledger knows of no release"
    registry = f"the registry's alias points at version {points_at}" if points_at else "the registry has no such alias"
    return Check(
        name=name,
        verdict=Verdict.FAIL,
        detail=f"{ledger}, {registry}: it was changed {BEHIND}; `command: acknowledge` with a `reason` brings it on "
        "record",
    )


def of_another_registry(trail: Trail, model: str, registry: str) -> str:
    """That a registry is not the one that the ledger spoke of last; empty where it is, or where one is not known."""
    named = [record.entry for record in trail.of(model) if registry_of(record.entry)]
    if not (named and registry) or registry_of(named[-1]) == registry:
        return ""
    return f"is of the registry `{registry}`, and entry {named[-1].sequence} speaks of `{registry_of(named[-1])}`"


def versions_on_record(trail: Trail, model: str) -> dict[str, OnRecord]:
    """What the ledger says of each version of the registry that it spoke of last: as it was trained, or as somebody
    answered for it since."""
    said: dict[str, OnRecord] = {}
    entries = [record.entry for record in trail.of(model)]
    current = trail.registries[entries[-1].sequence] if entries else ""
    for entry in (entry for entry in entries if trail.registries[entry.sequence] == current):
        if entry.model_version and (entry.event == "training" or acknowledged(entry)):
            registered = entry.details.get("registered") is not False
            told = f"{'trained' if entry.event == 'training' else 'acknowledged'} by entry {entry.sequence}"
            said[entry.model_version] = OnRecord(entry.sequence, entry.model_digest, registered, told)
    return said


def difference(on_record: OnRecord | None, found: ModelVersion | None) -> str:
    """How ledger and registry contradict each other about one version; empty where they do not."""
    if on_record is None:
        return f"is in the registry and was registered {BEHIND}, or its report was never recorded" if found else ""
    if found is None:
        return f"was {on_record.told} and is gone from the registry" if on_record.registered else ""
    if not on_record.registered:
        return f"is gone by entry {on_record.entry}, and the registry has it"
    digest = found.tags.get("slipway.model_digest", "")
    if digest == on_record.digest:
        return ""
    return f"the registry says {digest or 'no digest'}, entry {on_record.entry} says {on_record.digest or 'none'}"


def acknowledged(entry: Entry) -> bool:
    """Whether a person answers by it for a version that the registry has otherwise than the pipeline left it."""
    return entry.event == "override" and entry.details.get("observed_in") == "registry"


def _versions(trail: Trail, model: str, versions: Mapping[str, ModelVersion]) -> Iterator[Check]:
    on_record = versions_on_record(trail, model)
    for version in sorted(on_record.keys() | versions.keys(), key=_natural):
        said = on_record.get(version)
        problem = difference(said, versions.get(version))
        verdict, detail = Verdict.PASS, f"as {said.told}" if said else ""
        if problem:
            verdict, detail = Verdict.FAIL, f"{problem}; {REPAIR}"
        yield Check(name=f"version {version}", verdict=verdict, detail=detail)


def _named(version: str) -> str:
    return f"version {version}" if version else "no version"


def _natural(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (0, version)
