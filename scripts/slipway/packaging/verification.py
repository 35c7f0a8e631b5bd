"""Whether a version's image may be deployed: what the registries of models and of images say of it must agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway.packaging import contents, evidence, records
from slipway.packaging.distribution import Repository
from slipway.registry.mlflow import ModelVersion
from slipway.report import Check, Verdict, combine
from slipway.runner.errors import GateError, InputError, SlipwayError
from slipway.signing import Trust, verify_named


@dataclass(frozen=True)
class VerifiedImage:
    """What was found. image: `repository@sha256:…`, the very manifest that was looked at; deploy this and no other."""

    image: str
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """One verdict from all checks."""
        return combine(check.verdict for check in self.checks)

    def require(self) -> None:
        """GateError where the image must not be deployed. A signature that was not demanded may be missing."""
        if self.verdict is Verdict.FAIL:
            raise GateError(
                f"The image {self.image} must not be deployed.",
                why="\n".join(check.detail for check in self.checks if check.verdict is Verdict.FAIL),
                fix="Package the version again with package-model, and find out who changed what.",
            )


def verify_image(version: ModelVersion, repository: Repository, trust: Trust | None, scratch: Path) -> VerifiedImage:
    """Hold the image that a version names to its digest, its labels, its evidence, and its signature to `trust`.

    Raises:
        GateError: the version names no image of the repository.
        InputError: the registry has no such image, or what is to be trusted cannot be read.
        RemoteError: the registry refused or did not answer.
    """
    name, _, digest = version.tags.get(records.IMAGE, "").partition("@")
    if name != repository.name or not digest:
        raise GateError(
            f"{version.name.capitalize()} of `{version.model}` has no image in {repository.name}.",
            why=f"Its tag `{records.IMAGE}` is `{version.tags.get(records.IMAGE, '')}`.",
            fix="Run package-model on this version.",
        )
    _, raw = repository.manifest(digest)
    config = json.loads(repository.blob(json.loads(raw)["config"]["digest"]))
    labels = (config.get("config") or {}).get("Labels") or {}
    checks = [
        Check(name="digest", verdict=Verdict.PASS, detail=f"The registry has {name}@{digest}."),
        _labels(version, labels),
        *_evidence(repository, name, digest, raw, trust, scratch),
    ]
    return VerifiedImage(f"{name}@{digest}", tuple(checks))


def _labels(version: ModelVersion, labels: dict[str, str]) -> Check:
    """The image says the same of its origin as the registry of models."""
    expected = {
        "slipway.model": version.model,
        "slipway.model_version": version.version,
        "slipway.golden": version.tags.get("slipway.golden", ""),
        "slipway.lock": version.tags.get(records.LOCK, ""),
        **contents.facts_of(version),
    }
    wrong = [
        f"{name} is {labels.get(name) or 'missing'}, and the registry of models says {value or 'nothing'}"
        for name, value in expected.items()
        if labels.get(name, "") != value
    ]
    if wrong:
        detail = f"{len(wrong)} labels differ: {'; '.join(wrong[:3])}."
        return Check(name="labels", verdict=Verdict.FAIL, detail=detail, count=len(wrong), examples=tuple(wrong[:20]))
    return Check(name="labels", verdict=Verdict.PASS, detail=f"All {len(expected)} labels are as the version's tags.")


def _evidence(
    repository: Repository, name: str, digest: str, raw: bytes, trust: Trust | None, scratch: Path
) -> Iterator[Check]:
    sboms = list(repository.attached(digest, evidence.SBOM_TYPE))
    statements = [each for each in repository.attached(digest, evidence.STATEMENT_TYPE) if _is_about(each, digest)]
    for what, found in (("bill of materials", sboms), ("provenance", statements)):
        verdict = Verdict.PASS if found else Verdict.FAIL
        detail = f"The image has {'a' if found else 'no'} {what} attached."
        yield Check(name=what, verdict=verdict, detail=detail)
    if trust is None:
        return
    signatures = list(repository.attached(digest, evidence.SIGNATURE_TYPE))
    refused = [Check(name="signature", verdict=Verdict.FAIL, detail="No signature covers what is attached.")]
    for number, (signature, sbom, said) in enumerate(
        (signature, sbom, said) for signature in signatures for sbom in sboms for said in statements
    ):
        folder = evidence.lay_out(scratch / f"signed-{number}", raw, sbom, said)
        file = scratch / f"{number}.sig"
        file.write_bytes(signature)
        try:
            found_ = verify_named(evidence.name_of(name, digest), f"The image {name}@{digest}", folder, file, trust)
        except InputError:
            raise
        except SlipwayError as failure:
            refused.append(Check(name="signature", verdict=Verdict.FAIL, detail=failure.what))
            continue
        if found_.verdict is Verdict.PASS:
            yield from found_.checks
            return
        refused += [check for check in found_.checks if check.verdict is not Verdict.PASS]
    if signatures:
        yield refused[-1]
        return
    verdict = Verdict.FAIL if trust.required else Verdict.INCONCLUSIVE
    yield Check(
        name="signature", verdict=verdict, detail="The image is not signed, and the policy has a `signing` section."
    )


def _is_about(statement: bytes, digest: str) -> bool:
    try:
        subjects = json.loads(statement)["subject"]
        return any(f"sha256:{each['digest'].get('sha256')}" == digest for each in subjects)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
