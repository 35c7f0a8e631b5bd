"""Inside the approved job: is what was sealed still so, who approved it and when, and may that person."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from slipway.approval import judging
from slipway.approval.judging import Approval
from slipway.policy.release import TIERS, Environment, Release
from slipway.policy.source import SourcedPolicy, file_digest, load
from slipway.registry.mlflow import PRODUCTION, Registry
from slipway.release import reading, seal
from slipway.release.seal import SEAL_FILE, Sealed
from slipway.report import Check, Report, Subject, Verdict, combine
from slipway.report.publishing import publish
from slipway.runner import stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import GateError, InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

STAGE = "record-approval"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Record who approved a seal, in a job of the environment that approves it."""

    sealed: Path
    seal: str
    evaluation_report: Path
    environment: str = ""
    pull_request: int | None = None
    earlier_approvers: str = ""
    policy: Path = Path("slipway.yml")
    tracking_uri: str = ""
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Who approved, one login a line, those of earlier environments first."""

    report: Path
    verdict: Verdict
    approvers: str = ""
    model_version: str = ""
    image: str = ""


def main(given: Inputs) -> None:
    """Hold the seal to what is there now, then read and judge the approvals; anything amiss stops the release."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    model = sourced.policy.model
    path = given.report or report_file(model, STAGE)
    policy = Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest)
    report = Report(stage=STAGE, model=model, verdict=Verdict.INCONCLUSIVE, subjects=(policy,))
    try:
        rules = require_release(sourced)
        sealed = require_sealed(given, model)
        wanted = environment_of(sealed, given.environment or sealed.environment, rules)
        require_unchanged(given, sourced, sealed)
        said, involved = read_approvals(given, run, rules, wanted, sealed)
        earlier = given.earlier_approvers.split()
        commit = sealed.commit if rules.approval == "pull_request_review" else ""
        checks = judging.judge(said, asked(rules, wanted), involved, earlier=earlier, commit=commit)
        report = told(report, sealed, wanted, said, checks)
        approved = [each.login for each in said if each.state == "approved"]
        names = [*earlier, *(name for name in approved if name not in earlier)]
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=sourced.provenance)
        publish(report, path, Outputs(report=path, verdict=report.verdict))
        raise
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sealed.write(path.with_name(SEAL_FILE))
    report = report.model_copy(update={"attachments": {SEAL_FILE: file_digest(file)}})
    passed = report.verdict is Verdict.PASS
    publish(
        report,
        path,
        Outputs(
            report=path,
            verdict=report.verdict,
            approvers="\n".join(names) if passed else "",
            model_version=sealed.version if passed else "",
            image=sealed.image if passed else "",
        ),
    )
    if not passed:
        failed = [each for each in checks if each.verdict is not Verdict.PASS]
        raise GateError(
            f"{sealed.model} version {sealed.version} is not approved for `{wanted.name}`.",
            why="; ".join(f"{each.name}: {each.detail}" for each in failed),
            fix="Nothing was deployed. Mend the environment if it let the job pass (assess-risk says how), and run the "
            "release again.",
        )


def require_release(sourced: SourcedPolicy) -> Release:
    """The policy's release section."""
    if sourced.policy.release is None:
        raise PolicyError(
            f"{sourced.path} has no `release` section.",
            fix="docs/policy.md shows it; assess-risk needs it as well.",
            file=str(sourced.path),
        )
    return sourced.policy.release


def require_sealed(given: Inputs, model: str) -> Sealed:
    """What was sealed, held to the seal that the job before handed on by its output."""
    sealed = seal.read(given.sealed)
    if sealed.digest != given.seal:
        raise GateError(
            "What was sealed is not what is here.",
            why=f"{given.sealed} has the seal {sealed.digest}, and that which was asked for is {given.seal or 'none'}.",
            fix="The file was exchanged on its way between the jobs. Run assess-risk again, and have that approved.",
        )
    if sealed.model != model:
        raise InputError(f"The seal is of `{sealed.model}`, and the policy of `{model}`.")
    return sealed


def environment_of(sealed: Sealed, name: str, rules: Release) -> Environment:
    """The environment of the sealed tier. GateError where the job runs in another."""
    wanted: Environment = getattr(rules.environments, sealed.tier, rules.environments.high)
    if sealed.tier not in TIERS or sealed.environment != wanted.name or name.lower() != wanted.name.lower():
        raise GateError(
            f"This job is of the environment `{name}`, and the tier {sealed.tier} needs `{wanted.name}`.",
            why=f"The seal names `{sealed.environment}`.",
            fix="Let the job name the `environment` output of assess-risk.",
        )
    return wanted


def require_unchanged(given: Inputs, sourced: SourcedPolicy, sealed: Sealed) -> None:
    """Compute everything sealed anew; GateError where anything is otherwise than when it was put to be approved."""
    registry = Registry(given.tracking_uri)
    candidate = registry.by_version(sealed.model, sealed.version)
    production = registry.by_alias(sealed.model, PRODUCTION)
    with tempfile.TemporaryDirectory() as scratch:
        made = reading.made_with(registry, candidate, Path(scratch))
        reading.require_registered(candidate, registry.download(candidate, Path(scratch) / "model"))
    now = replace(
        sealed,
        model_digest=candidate.tags.get(reading.MODEL_DIGEST, ""),
        commit=made.commit if made else "",
        image=candidate.tags.get(reading.IMAGE, ""),
        data={name: str(each) for name, each in made.datasets.items()} if made else {},
        evaluation=file_digest(given.evaluation_report) if given.evaluation_report.is_file() else "missing",
        policy=sourced.policy.digest,
        replaces=production.version if production else "",
    )
    if changed := seal.differences(sealed, now):
        raise GateError(
            "What was approved is not what would be released.",
            why="; ".join(changed),
            fix="Run the release again from assess-risk, so that what is there now is put to be approved.",
        )


def asked(rules: Release, wanted: Environment) -> Environment:
    """Whom the policy asks. With reviews of pull requests medium and high need somebody, named or not."""
    if rules.approval == "pull_request_review" and wanted != rules.environments.low and not wanted.reviewers:
        return wanted.model_copy(update={"reviewers": ("team/any",)})
    return wanted


def read_approvals(
    given: Inputs, run: Run, rules: Release, wanted: Environment, sealed: Sealed
) -> tuple[tuple[Approval, ...], dict[str, str]]:
    """What people said, and who is involved in the change."""
    if not asked(rules, wanted).reviewers:
        return (), {}
    if not (run.repository and given.github_token):
        raise InputError(
            "Approvals cannot be read: there is no `github-token`, or this is no workflow.",
            fix="Give `github-token: ${{ github.token }}` in a job of the environment.",
        )
    from slipway.github_api import approvals, client

    with client.connect(given.github_token, run) as hub:
        there = hub.get_repo(run.repository)
        involved = approvals.involved(there, run, sealed.commit)
        if rules.approval == "environment":
            return approvals.of_environment(there, run, wanted.name), involved
        if given.pull_request is None:
            raise InputError(
                "`approval: pull_request_review` needs the number of the pull request.",
                fix="Give `pull-request`: the release's pull request, whose review approves it.",
            )
        return approvals.of_reviews(there, given.pull_request), involved


def told(
    report: Report, sealed: Sealed, wanted: Environment, said: tuple[Approval, ...], checks: tuple[Check, ...]
) -> Report:
    """The report on who approved what."""
    verdict = combine(each.verdict for each in checks)
    approved = [each.login for each in said if each.state == "approved"]
    who = f"by {', '.join(approved)}" if approved else "by nobody"
    return report.model_copy(
        update={
            "verdict": verdict,
            "headline": f"{sealed.model} version {sealed.version} for `{wanted.name}`: approved {who}.",
            "checks": checks,
            "tables": (judging.table(said),) if said else (),
            "subjects": (
                *report.subjects,
                Subject(role="candidate", name=sealed.version, id=sealed.model_digest),
                *([Subject(role="image", name=sealed.image, id=sealed.image[-71:])] if sealed.image else []),
                Subject(role="seal", name=sealed.environment, id=sealed.digest),
                Subject(role="evaluation", name="report", id=sealed.evaluation),
            ),
            "provenance": {"tier": sealed.tier, "environment": wanted.name, "reviewers": ", ".join(wanted.reviewers)},
        }
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
