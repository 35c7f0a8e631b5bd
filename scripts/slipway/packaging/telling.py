"""What a report says of an image: one that was tried, pushed, found again or verified."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.containers.engines import Built
from slipway.packaging import smoke
from slipway.packaging.contents import Plan
from slipway.packaging.smoke import Tried
from slipway.packaging.verification import VerifiedImage
from slipway.registry.mlflow import ModelVersion
from slipway.report import Check, Report, Subject, Table, Verdict, combine

Findings = tuple[tuple[Check, ...], tuple[Table, ...]]
"""What a scanner's file leads to."""


def of_version(report: Report, version: ModelVersion) -> Report:
    """The report, once it is known what it is about."""
    digest = version.tags.get("slipway.model_digest", "")
    facts = {"model_version": version.version, "model_digest": digest, **report.provenance}
    subject = Subject(role="candidate", name=version.version, id=digest)
    return report.model_copy(update={"provenance": facts, "subjects": (*report.subjects, subject)})


def of_tried(report: Report, built: Built, tried: Tried, plan: Plan, findings: Findings) -> Report:
    """The report on an image that was built and tried."""
    checks = (*tried.checks, *findings[0])
    verdict = combine(check.verdict for check in checks)
    outcome = "was built and tried" if verdict is Verdict.PASS else "was built, and is not pushed"
    update = {
        "verdict": verdict,
        "headline": f"The image {plan.tag} of version {plan.version} {outcome}.",
        "reasons": (*_wrong(checks), *report.reasons),
        "checks": checks,
        "tables": (smoke.table(tried, built.layout.bytes_to_push), *findings[1]),
        "provenance": {**report.provenance, "image_digest": built.layout.digest},
    }
    return report.model_copy(update=update)


def of_pushed(report: Report, plan: Plan, name: str, digest: str, *, new: bool) -> Report:
    """The report on an image that is in the registry. name: of the repository. new: whether this run brought it."""
    image = f"{name}@{digest}"
    told = "Packaged" if new else "Packaged before, and not built again:"
    update = {
        "verdict": Verdict.PASS,
        "headline": f"{told} version {plan.version} as {name}:{plan.tag}.",
        "provenance": {**report.provenance, "image": image},
        "subjects": (*report.subjects, Subject(role="image", name=f"{name}:{plan.tag}", id=image)),
    }
    return report.model_copy(update=update)


def of_found(report: Report, plan: Plan, name: str, digest: str, findings: Findings) -> Report:
    """The report on an image that is in the registry since an earlier run: a scanner may know more of it by now."""
    checks, tables = findings
    facts = {**report.provenance, **plan.facts}
    report = report.model_copy(update={"checks": checks, "tables": tables, "provenance": facts})
    verdict = combine(check.verdict for check in checks) if checks else Verdict.PASS
    if verdict is Verdict.PASS:
        return of_pushed(report, plan, name, digest, new=False)
    update = {
        "verdict": verdict,
        "headline": f"The image {plan.tag} of version {plan.version} was packaged before, and must not be deployed.",
        "reasons": (*_wrong(checks), *report.reasons),
        "provenance": {**facts, "image_digest": digest},
    }
    return report.model_copy(update=update)


def of_verified(report: Report, version: ModelVersion, name: str, checked: VerifiedImage) -> Report:
    """The report on an image that was held to the registry of models. name: of the repository."""
    said = {Verdict.PASS: "may be deployed", Verdict.FAIL: "must not be deployed"}
    update = {
        "verdict": checked.verdict,
        "headline": f"The image of {version.name} {said.get(checked.verdict, 'is not signed')}: {checked.image}.",
        "reasons": (*_wrong(checked.checks), *report.reasons),
        "checks": checked.checks,
        "provenance": {**report.provenance, "image": checked.image},
        "subjects": (*report.subjects, Subject(role="image", name=name, id=checked.image)),
    }
    return report.model_copy(update=update)


def _wrong(checks: Sequence[Check]) -> tuple[str, ...]:
    return tuple(check.detail for check in checks if check.verdict is not Verdict.PASS)
