"""Rate the risk of a release by what differs from production, hold its environment to the policy, and seal it."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from slipway.ledger import place
from slipway.ledger.reading import Reading
from slipway.ledger.store import Ledger
from slipway.policy.release import Environment, Release
from slipway.policy.source import SourcedPolicy, file_digest, load
from slipway.registry.mlflow import PRODUCTION, ModelVersion, Registry
from slipway.release import differences, evaluations, labels, reading, taken_back, telling, tiers
from slipway.release.differences import Difference, Version
from slipway.release.labels import Labels
from slipway.release.seal import SEAL_FILE, Sealed
from slipway.release.tiers import Assessment
from slipway.report import Check, Report, Subject, Verdict, combine
from slipway.report.publishing import publish
from slipway.runner import stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import GateError, InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

STAGE = "assess-risk"
EVALUATION = "evaluate-model"
REPAIR = "environment.md"
EVALUATED = "evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Rate a release, and seal what is to be approved."""

    evaluation_report: Path | None = None
    model_version: str = ""
    policy: Path = Path("slipway.yml")
    tracking_uri: str = ""
    inside_envelope: bool = False
    remote: str = ""
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The tier, the environment that must approve, and the seal."""

    report: Path
    verdict: Verdict
    tier: str = ""
    environment: str = ""
    seal: str = ""
    sealed: Path | None = None
    model_version: str = ""
    evaluation: Path | None = None
    before: str = "[]"


def main(given: Inputs) -> None:
    """Compare, rate, audit and seal; without a protected environment nothing is sealed."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    model = sourced.policy.model
    path = given.report or report_file(model, STAGE)
    policy = Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest)
    report = Report(stage=STAGE, model=model, verdict=Verdict.INCONCLUSIVE, subjects=(policy,))
    said = Outputs(report=path, verdict=report.verdict)
    try:
        rules = require_release(sourced)
        registry = Registry(given.tracking_uri)
        candidate = registry.candidate(model, given.model_version)
        production = registry.by_alias(model, PRODUCTION)
        if production and production.version == candidate.version:
            said = replace(said, model_version=candidate.version)
            publish(telling.nothing_new(report, sourced, candidate), path, said)
            return
        known = Reading(Ledger(place.find(run, remote=given.remote, token=given.github_token)))
        file = given.evaluation_report or on_record(known, run, candidate, path)
        evaluation = judged(file, candidate)
        found, made = compare(registry, sourced, rules, candidate, production)
        found += [*not_passed(evaluation), *evaluations.of_another_time(evaluation, production)]
        found += taken_back.from_production(known.entries(), model, candidate.version, PRODUCTION)
        named = labels.of(run, made.made.commit if made.made else "", given.github_token)
        inside = given.inside_envelope and within_envelope(sourced, found)
        rated = tiers.assess(found, rules, named.names, inside_envelope=inside)
        wanted = tiers.environment_of(rated.tier, rules)
        checks, repair = telling.audited(rules, wanted, run, given.github_token)
        report = told(report, candidate, production, rated, named, wanted, checks)
        path.parent.mkdir(parents=True, exist_ok=True)
        if repair:
            path.with_name(REPAIR).write_text(repair, encoding="utf-8")
            report = report.model_copy(update={"attachments": {REPAIR: file_digest(path.with_name(REPAIR))}})
        said = Outputs(
            report=path,
            verdict=report.verdict,
            tier=rated.tier,
            environment=wanted.name,
            model_version=candidate.version,
            evaluation=file,
            before=json.dumps(deployment.before(PRODUCTION) if (deployment := sourced.policy.deployment) else []),
        )
        if report.verdict is not Verdict.FAIL:
            sealed = seal_of(sourced, candidate, production, made, file, rated, wanted)
            report, said = with_seal(report, said, sealed, path)
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=sourced.provenance)
        publish(report, path, Outputs(report=path, verdict=report.verdict))
        raise
    publish(report, path, said)
    require_protected(report, rules, wanted)


def require_release(sourced: SourcedPolicy) -> Release:
    """The policy's release section."""
    if sourced.policy.release is None:
        raise PolicyError(
            f"{sourced.path} has no `release` section, so no environment is named for any tier.",
            fix="Add it with `environments`; docs/policy.md shows all of it.",
            file=str(sourced.path),
        )
    return sourced.policy.release


def on_record(known: Reading, run: Run, candidate: ModelVersion, path: Path) -> Path:
    """The evaluation of the version that the ledger holds, beside the report."""
    file = path.with_name(EVALUATED)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(evaluations.of_version(known, candidate, run.ref))
    return file


def judged(path: Path, candidate: ModelVersion) -> Report:
    """The evaluation of exactly this version. InputError where it is of another."""
    report = Report.read(path)
    of = next((each for each in report.subjects if each.role == "candidate"), None)
    known = candidate.tags.get(reading.MODEL_DIGEST, "")
    if report.stage != EVALUATION or report.model != candidate.model or of is None:
        raise InputError(
            f"{path} is no evaluation of `{candidate.model}`.",
            why=f"It is a report of {report.stage} on `{report.model}`.",
            fix="Give the `report` output of evaluate-model.",
        )
    if of.id != known:
        raise InputError(
            f"{path} is the evaluation of another model than {candidate.name}.",
            why=f"It judged {of.id or 'a model without digest'}, and the registry has {known or 'no digest'}.",
            fix="Evaluate this version, or give the `model-version` that was evaluated.",
        )
    if report.verdict is Verdict.FAIL:
        raise GateError(
            f"{candidate.name} failed its evaluation, so it is not released.",
            why=report.headline,
            fix="See the evaluation's report.",
        )
    return report


def compare(
    registry: Registry, sourced: SourcedPolicy, rules: Release, candidate: ModelVersion, production: ModelVersion | None
) -> tuple[list[Difference], Version]:
    """Every difference between the two versions, and what is known of the candidate."""
    with tempfile.TemporaryDirectory() as scratch:
        made = reading.version_of(registry, candidate, sourced.path, Path(scratch) / "candidate")
        before = (
            reading.version_of(registry, production, sourced.path, Path(scratch) / "production") if production else None
        )
    files = reading.files_between(made.made, before.made if before else None)
    covered = list(reading.covered_by(sourced, made.made))
    return differences.between(made, before, files, prompts=rules.prompts, covered=covered), made


def within_envelope(sourced: SourcedPolicy, found: list[Difference]) -> bool:
    """Whether the declared envelope covers every file that differs, whatever the caller says of the retraining."""
    declared = sourced.policy.retraining.envelope if sourced.policy.retraining else None
    files = [each.name for each in found if each.kind in ("code", "prompt", "unknown")]
    return declared is not None and all(differences.matches(name, declared.paths) for name in files)


def not_passed(evaluation: Report) -> list[Difference]:
    """The evaluation as a difference, where it is no pass."""
    if evaluation.verdict is Verdict.PASS:
        return []
    return [Difference("evaluation", "verdict", Verdict.PASS.value, evaluation.verdict.value)]


def told(
    report: Report,
    candidate: ModelVersion,
    production: ModelVersion | None,
    rated: Assessment,
    named: Labels,
    wanted: Environment,
    checks: tuple[Check, ...],
) -> Report:
    """The report on tier and environment."""
    subjects = [*report.subjects, telling.subject("candidate", candidate)]
    if production:
        subjects.append(telling.subject("production", production))
    against = f"production ({production.name})" if production else "nothing: it is the first release"
    return report.model_copy(
        update={
            "verdict": combine(each.verdict for each in checks),
            "headline": f"The risk of {candidate.name} against {against} is {rated.tier}; `{wanted.name}` approves.",
            "reasons": (*rated.reasons, *named.remarks),
            "checks": checks,
            "tables": (telling.table(rated),),
            "subjects": tuple(subjects),
            "provenance": {"tier": rated.tier, "environment": wanted.name, "labels": ", ".join(named.names) or "none"},
        }
    )


def seal_of(
    sourced: SourcedPolicy,
    candidate: ModelVersion,
    production: ModelVersion | None,
    made: Version,
    evaluation: Path,
    rated: Assessment,
    wanted: Environment,
) -> Sealed:
    """Exactly what is put before whoever approves."""
    return Sealed(
        model=candidate.model,
        version=candidate.version,
        model_digest=candidate.tags.get(reading.MODEL_DIGEST, ""),
        commit=made.made.commit if made.made else "",
        image=candidate.tags.get(reading.IMAGE, ""),
        data={name: str(each) for name, each in made.made.datasets.items()} if made.made else {},
        evaluation=file_digest(evaluation),
        policy=sourced.policy.digest,
        tier=rated.tier,
        environment=wanted.name,
        replaces=production.version if production else "",
    )


def with_seal(report: Report, said: Outputs, sealed: Sealed, path: Path) -> tuple[Report, Outputs]:
    """Report and outputs with the seal, and what it is taken over beside the report."""
    file = sealed.write(path.with_name(SEAL_FILE))
    subjects = (*report.subjects, Subject(role="seal", name=sealed.environment, id=sealed.digest))
    attachments = {**report.attachments, SEAL_FILE: file_digest(file)}
    report = report.model_copy(update={"subjects": subjects, "attachments": attachments})
    return report, replace(said, seal=sealed.digest, sealed=file)


def require_protected(report: Report, rules: Release, wanted: Environment) -> None:
    """GateError where the environment would let a job pass that the policy would not."""
    if report.verdict is not Verdict.FAIL:
        return
    failed = [each for each in report.checks if each.verdict is Verdict.FAIL]
    raise GateError(
        f"The environment `{wanted.name}` is not protected as the policy says ({rules.approval}).",
        why="; ".join(f"{each.name}: {each.detail}" for each in failed),
        fix=f"{REPAIR} beside the report says how, by hand, with `gh` and with Terraform; or run "
        "`scripts/setup_environments.py` as an administrator. Nothing was sealed.",
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
