"""Turn a registered version into an OCI image, try it on golden predictions, and push it by digest; or verify one."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slipway import signing
from slipway.containers import bases, engines
from slipway.containers.engines import BuilderName, Built
from slipway.packaging import contents, evidence, records, scan, smoke, telling, verification
from slipway.packaging.contents import Plan
from slipway.packaging.distribution import Repository
from slipway.packaging.evidence import Evidence
from slipway.packaging.telling import Findings
from slipway.policy.packaging import Packaging
from slipway.policy.source import SourcedPolicy, load
from slipway.prediction import golden
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Report, Subject, Verdict, enforce
from slipway.report.publishing import publish
from slipway.runner import commands, context, stage
from slipway.runner.context import Run
from slipway.runner.errors import InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.signing import Signer, Trust

STAGE = "package-model"
ARCHIVE = "image.tar"
OPEN = "See what is not known. Nothing is pushed before it is."


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Turn a registered version into an OCI image."""

    policy: Path = Path("slipway.yml")
    model_version: str = ""
    tracking_uri: str = ""
    command: Literal["package", "verify"] = "package"
    evaluation_report: Path | None = None
    scan_report: Path | None = None
    builder: BuilderName = "auto"
    push: bool = True
    registry_username: str = ""
    registry_token: Secret = NO_SECRET
    private_key: Secret = NO_SECRET
    signing_certificate: Path | None = None
    certificate_chain: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The image, and what was found of it."""

    report: Path
    verdict: Verdict
    image: str = ""
    digest: str = ""
    tag: str = ""
    archive: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One version on its way to an image. path: of the report. signer: None where nobody signs."""

    given: Inputs
    run: Run
    path: Path
    packaging: Packaging
    trust: Trust | None
    signer: Signer | None
    repository: Repository
    registry: Registry
    version: ModelVersion
    scratch: Path


def main(given: Inputs) -> None:
    """Build, try, push and record, or verify; then let a failure decide how the step ends."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    packaging, model = section(sourced), sourced.policy.model
    trust, signer = Trust.of_policy(sourced), signer_of(given, sourced)
    path = given.report or context.report_file(model, STAGE)
    policy = Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest)
    report = Report(stage=STAGE, model=model, verdict=Verdict.INCONCLUSIVE, reasons=sourced.remarks, subjects=(policy,))
    report = report.model_copy(update={"provenance": dict(sourced.provenance)})
    try:
        registry = Registry(given.tracking_uri)
        version = registry.candidate(model, given.model_version)
        report = telling.of_version(report, version)
        username = given.registry_username or run.actor or "slipway"
        with tempfile.TemporaryDirectory(prefix="slipway-package-") as scratch:
            case = Case(
                given=given,
                run=run,
                path=path,
                packaging=packaging,
                trust=trust,
                signer=signer,
                repository=Repository(packaging.repository, username, given.registry_token),
                registry=registry,
                version=version,
                scratch=Path(scratch),
            )
            report, said = (package if given.command == "package" else verify)(report, case)
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=report.provenance)
        publish(report, path, Outputs(report=path, verdict=report.verdict))
        raise
    publish(report, path, said)
    enforce(report, on_inconclusive="fail" if given.command == "package" else "warn", fix=OPEN)


def section(sourced: SourcedPolicy) -> Packaging:
    """The policy's section `packaging`."""
    if sourced.policy.packaging is None:
        raise PolicyError(
            f"{sourced.path} has no section `packaging`, so nothing says what an image is made from.",
            fix="Add it with `base`, an image of the model's Python by digest, and `repository` (docs/policy.md).",
            file=str(sourced.path),
        )
    return sourced.policy.packaging


def signer_of(given: Inputs, sourced: SourcedPolicy) -> Signer | None:
    """What images are signed with, by the policy's `signing`. InputError where it demands more than was given."""
    said, needed = sourced.policy.signing, given.command == "package" and given.push
    if said is None or not needed:
        if given.private_key and said is None:
            raise InputError(
                "`private-key` was given, and the policy has no section `signing`.",
                why="Nobody would know whose signature to trust.",
                fix="Add the section with the public key, or leave the input out.",
            )
        return None
    if said.method == "workflow" or given.private_key:
        chain = given.certificate_chain
        certificate = given.signing_certificate
        return Signer(
            method=said.method, private_key=given.private_key, signing_certificate=certificate, certificate_chain=chain
        )
    if said.required:
        raise InputError(
            "`private-key` was not given, and the policy demands signatures.",
            why="An image without one could not be deployed.",
            fix="Give the private key from a secret, in a job in which no code of a change runs.",
        )
    return None


def package(report: Report, case: Case) -> tuple[Report, Outputs]:
    """The image of one version: found where it was packaged before, else built, tried and pushed."""
    given, packaging, version, scratch = case.given, case.packaging, case.version, case.scratch
    if case.trust:
        signing.verify_version(case.registry, version, case.trust, scratch / "signature").require()
    model = contents.files_of(case.registry, version, scratch)
    batch = golden.of_version(
        case.registry, version, scratch, expected=records.judged(given.evaluation_report, version)
    )
    scanned = scan.read(given.scan_report) if given.scan_report else None
    wanted = contents.wanted_by(case.registry, version, model, scratch)
    source = f"{case.run.server_url}/{case.run.repository}" if case.run.repository else ""
    if wanted.settled and given.push:
        # The base need not be had for this: what lies in it follows from its digest.
        plan = contents.plan_of(version, packaging.base, wanted.settled, batch.digest, source)
        if earlier := records.packaged_before(version, plan, case.repository):
            return found(report, case, plan, earlier, scanned)
    builder = engines.choose(given.builder)
    base = bases.look_into(builder, packaging.base)
    contents.require_python(base, packaging.base, version.tags.get("slipway.python", ""))
    lock = wanted.resolve(base.target, scratch)
    plan = contents.plan_of(version, packaging.base, lock, batch.digest, source).on(base)
    report = report.model_copy(update={"provenance": {**report.provenance, **plan.facts, "builder": builder.version()}})
    if given.push:
        case.repository.require_push()
    commands.say(f"Building {packaging.repository}:{plan.tag} with {builder.name}")
    folder = contents.write(plan, model, scratch / "context")
    built = builder.build(folder, plan.recipe, scratch / "layout")
    try:
        tried = smoke.try_image(builder, built, batch, packaging, plan)
    finally:
        builder.remove(image=built.name)
    made = evidence.make(plan, folder / "site", packaging.repository, built.layout, case.run, builder.version())
    image = built.layout
    known = findings(case, scanned, image.digest, image.config_digest)
    report = telling.of_tried(report, built, tried, plan, known)
    report = report.model_copy(update={"attachments": records.keep(made.files(), case.path)})
    if report.verdict is not Verdict.PASS or not given.push:
        archive = image.archive(case.path.with_name(ARCHIVE)) if not given.push else None
        said = Outputs(report=case.path, verdict=report.verdict, tag=plan.tag, digest=image.digest, archive=archive)
        return report, said
    return pushed(report, case, plan, built, made)


def findings(case: Case, scanned: scan.Scan | None, digest: str, config_digest: str) -> Findings:
    """What the policy makes of a scanner's file on the image with these digests; nothing where it asks for none."""
    rules = case.packaging.vulnerabilities
    if rules is None or not (scanned or (rules.required and case.given.push)):
        return (), ()
    tables = (scan.table(scanned, rules),) if scanned and scanned.findings else ()
    return (scan.judge(scanned, rules, digest, config_digest),), tables


def pushed(report: Report, case: Case, plan: Plan, built: Built, made: Evidence) -> tuple[Report, Outputs]:
    """Push the image and attach its evidence, and last of all say so in the registry of models."""
    name = case.packaging.repository
    if case.signer:
        made = evidence.sign(made, name, built.layout, case.signer, case.trust, case.scratch)
        report = report.model_copy(update={"attachments": records.keep(made.files(), case.path)})
    commands.say(f"Pushing {name}:{plan.tag}")
    image = case.repository.push(built.layout, plan.tag)
    evidence.attach(case.repository, image, made)
    records.record(case.registry, case.version, plan, f"{name}@{image.digest}", case.scratch)
    report = telling.of_pushed(report, plan, name, image.digest, new=True)
    return report, outputs(case, plan, report, image.digest)


def found(report: Report, case: Case, plan: Plan, digest: str, scanned: scan.Scan | None) -> tuple[Report, Outputs]:
    """Report and outputs for an image that is in the registry since an earlier run."""
    _, raw = case.repository.manifest(digest)
    known = findings(case, scanned, digest, str(json.loads(raw)["config"]["digest"]))
    report = telling.of_found(report, plan, case.packaging.repository, digest, known)
    return report, outputs(case, plan, report, digest)


def outputs(case: Case, plan: Plan, report: Report, digest: str) -> Outputs:
    """Of an image in the registry, which has a name for later steps only where it may be deployed."""
    image = f"{case.packaging.repository}@{digest}" if report.verdict is Verdict.PASS else ""
    return Outputs(report=case.path, verdict=report.verdict, image=image, digest=digest, tag=plan.tag)


def verify(report: Report, case: Case) -> tuple[Report, Outputs]:
    """Hold the image that the version names to its digest, labels, evidence and signature."""
    checked = verification.verify_image(case.version, case.repository, case.trust, case.scratch)
    digest = checked.image.rpartition("@")[2]
    said = Outputs(report=case.path, verdict=checked.verdict, image=checked.image, digest=digest)
    return telling.of_verified(report, case.version, case.repository.name, checked), said


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
