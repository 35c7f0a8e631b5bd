"""Turn a registered version into an OCI image, try it on golden predictions, and push it by digest."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipway.packaging import builders, contents, records, smoke
from slipway.packaging.builders import Base, Builder, BuilderName, Built
from slipway.packaging.contents import Plan
from slipway.packaging.distribution import Repository
from slipway.packaging.smoke import Tried
from slipway.policy import Packaging, SourcedPolicy, load
from slipway.prediction import golden
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Report, Subject, Verdict, combine, enforce
from slipway.report.publishing import publish
from slipway.runner import commands, context, stage
from slipway.runner.context import Run
from slipway.runner.errors import PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

STAGE = "package-model"
ARCHIVE = "image.tar"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Turn a registered version into an OCI image."""

    policy: Path = Path("slipway.yml")
    model_version: str = ""
    tracking_uri: str = ""
    evaluation_report: Path | None = None
    builder: BuilderName = "auto"
    push: bool = True
    registry_username: str = ""
    registry_token: Secret = NO_SECRET
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


def main(given: Inputs) -> None:
    """Build, try, push, record; then let a failure decide how the step ends."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    packaging, model = section(sourced), sourced.policy.model
    path = given.report or context.report_file(model, STAGE)
    report = Report(
        stage=STAGE,
        model=model,
        verdict=Verdict.INCONCLUSIVE,
        reasons=sourced.remarks,
        provenance=dict(sourced.provenance),
        subjects=(Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),),
    )
    said = Outputs(report=path, verdict=report.verdict)
    try:
        registry = Registry(given.tracking_uri)
        version = registry.candidate(model, given.model_version)
        report = of_version(report, version)
        with tempfile.TemporaryDirectory(prefix="slipway-package-") as scratch:
            report, said = package(report, said, registry, version, packaging, given, Path(scratch))
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=report.provenance)
        publish(report, path, Outputs(report=path, verdict=report.verdict))
        raise
    publish(report, path, said)
    enforce(report, on_inconclusive="warn")


def section(sourced: SourcedPolicy) -> Packaging:
    """The policy's section `packaging`."""
    if sourced.policy.packaging is None:
        raise PolicyError(
            f"{sourced.path} has no section `packaging`, so nothing says what an image is made from.",
            fix="Add it with `base`, an image of the model's Python by digest, and `repository` (docs/policy.md).",
            file=str(sourced.path),
        )
    return sourced.policy.packaging


def of_version(report: Report, version: ModelVersion) -> Report:
    """The report, once it is known what it is about."""
    digest = version.tags.get("slipway.model_digest", "")
    facts = {"model_version": version.version, "model_digest": digest, **report.provenance}
    subject = Subject(role="candidate", name=version.version, id=digest)
    return report.model_copy(update={"provenance": facts, "subjects": (*report.subjects, subject)})


def package(
    report: Report,
    said: Outputs,
    registry: Registry,
    version: ModelVersion,
    packaging: Packaging,
    given: Inputs,
    scratch: Path,
) -> tuple[Report, Outputs]:
    """The image of one version: found where it was packaged before, else built, tried and pushed."""
    run, repository = (
        Run.from_environ(),
        Repository(packaging.repository, given.registry_username, given.registry_token),
    )
    model = contents.files_of(registry, version, scratch)
    expected = records.judged(given.evaluation_report, version)
    batch = golden.of_version(registry, version, scratch, expected=expected)
    builder = builders.choose(given.builder)
    base = builders.look_into(builder, packaging.base)
    builders.require_python(base, packaging.base, version.tags.get("slipway.python", ""))
    plan = plan_of(registry, version, packaging, base, model, batch.digest, run, scratch)
    report = planned(report, plan, builder)
    if earlier := records.packaged_before(version, plan, repository):
        return found(report, said, plan, packaging, earlier)
    if given.push:
        repository.require_push()
    commands.say(f"Building {packaging.repository}:{plan.tag} with {builder.name}")
    built = builder.build(contents.write(plan, model, scratch / "context"), plan, scratch / "layout")
    try:
        tried = smoke.try_image(builder, built, batch, packaging, plan)
    finally:
        builder.remove(image=built.name)
    report = judged(report, built, tried, plan)
    if report.verdict is not Verdict.PASS or not given.push:
        return report, Outputs(report=said.report, verdict=report.verdict, tag=plan.tag, digest=built.layout.digest)
    return pushed(report, said, registry, version, plan, packaging, repository, built)


def plan_of(
    registry: Registry,
    version: ModelVersion,
    packaging: Packaging,
    base: Base,
    model: Path,
    golden_digest: str,
    run: Run,
    scratch: Path,
) -> Plan:
    """All that the image follows from."""
    lock = contents.lock_of(registry, version, model, base.target, scratch)
    source = f"{run.server_url}/{run.repository}" if run.repository else ""
    return Plan(
        model=version.model,
        version=version.version,
        model_digest=version.tags["slipway.model_digest"],
        base=packaging.base,
        python=base.python,
        target=base.target,
        lock=lock,
        epoch=contents.epoch_of(version),
        labels=contents.labels_of(version, packaging.base, lock, golden_digest, source),
    )


def planned(report: Report, plan: Plan, builder: Builder) -> Report:
    """The report, once it is known what will be built."""
    facts = {
        "base": plan.base,
        "lock": f"{plan.lock.digest} ({plan.lock.origin})",
        "golden_digest": plan.labels["slipway.golden"],
        "builder": builder.version(),
        "platform": f"Python {plan.target.version}, {plan.target.platform}",
        "time_of_files": plan.created,
    }
    return report.model_copy(update={"provenance": {**report.provenance, **facts}})


def judged(report: Report, built: Built, tried: Tried, plan: Plan) -> Report:
    """The report on an image that was built and tried."""
    verdict = combine(check.verdict for check in tried.checks)
    wrong = tuple(check.detail for check in tried.checks if check.verdict is not Verdict.PASS)
    outcome = "was built and tried" if verdict is Verdict.PASS else "was built, and is not pushed"
    update = {
        "verdict": verdict,
        "headline": f"The image {plan.tag} of version {plan.version} {outcome}.",
        "reasons": (*wrong, *report.reasons),
        "checks": tried.checks,
        "tables": (smoke.table(tried, built.layout.bytes_to_push),),
        "provenance": {**report.provenance, "image_digest": built.layout.digest},
    }
    return report.model_copy(update=update)


def pushed(
    report: Report,
    said: Outputs,
    registry: Registry,
    version: ModelVersion,
    plan: Plan,
    packaging: Packaging,
    repository: Repository,
    built: Built,
) -> tuple[Report, Outputs]:
    """Push the image, and last of all say so in the registry of models."""
    commands.say(f"Pushing {packaging.repository}:{plan.tag}")
    image = repository.push(built.layout, plan.tag)
    records.record(registry, version, plan, f"{packaging.repository}@{image.digest}")
    return found(report, said, plan, packaging, image.digest, new=True)


def found(
    report: Report, said: Outputs, plan: Plan, packaging: Packaging, digest: str, *, new: bool = False
) -> tuple[Report, Outputs]:
    """Report and outputs for an image that is in the registry."""
    image = f"{packaging.repository}@{digest}"
    told = "Packaged" if new else "Packaged before, and not built again:"
    update = {
        "verdict": Verdict.PASS,
        "headline": f"{told} version {plan.version} as {packaging.repository}:{plan.tag}.",
        "provenance": {**report.provenance, "image": image},
        "subjects": (*report.subjects, Subject(role="image", name=f"{packaging.repository}:{plan.tag}", id=image)),
    }
    outputs = Outputs(report=said.report, verdict=Verdict.PASS, image=image, digest=digest, tag=plan.tag)
    return report.model_copy(update=update), outputs


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
