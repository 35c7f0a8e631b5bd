"""What people see of an assessment: the differences with their tiers, and how the environment is protected."""

from __future__ import annotations

from slipway.policy.release import Environment, Release
from slipway.policy.source import SourcedPolicy
from slipway.registry.mlflow import PRODUCTION, ModelVersion
from slipway.release import reading
from slipway.release.differences import Difference
from slipway.release.tiers import Assessment
from slipway.report import Check, Column, Report, Subject, Table, Verdict
from slipway.runner.context import Run
from slipway.runner.inputs import Secret

MOST = 200
"""Rows of the table: a change of five thousand files is not read line by line."""


def table(rated: Assessment) -> Table:
    """Every difference with its tier, the highest first."""
    rows = tuple(
        (each.tier, each.difference.kind.replace("_", " "), each.difference.name, *_both(each.difference))
        for each in rated.rated[:MOST]
    )
    left = len(rated.rated) - len(rows)
    code = [Column(name=name, kind="code") for name in ("what", "production", "candidate")]
    columns = (Column(name="tier"), Column(name="kind"), *code)
    return Table(
        title="What differs from production",
        columns=columns,
        rows=rows,
        note=f"{left} more are not shown." if left else "",
    )


def _both(difference: Difference) -> tuple[str, str]:
    return difference.production or "–", difference.candidate or "–"


def subject(role: str, version: ModelVersion) -> Subject:
    """A version, by its number and the digest of its files."""
    return Subject(role=role, name=version.version, id=version.tags.get(reading.MODEL_DIGEST, ""))


def nothing_new(report: Report, sourced: SourcedPolicy, candidate: ModelVersion) -> Report:
    """The report where the version is the one in production, as after a training that was reused: nothing is sealed."""
    return report.model_copy(
        update={
            "headline": f"{candidate.name} is in production already, so there is nothing to release.",
            "subjects": (*report.subjects, subject("candidate", candidate)),
            "advice": "Nothing, where it is served. Where it got its alias by hand and nothing serves it yet, "
            f"take the alias `{PRODUCTION}` away and release it, as a first version.",
            "provenance": {"candidate": candidate.version, "production": candidate.version, **sourced.provenance},
        }
    )


def audited(rules: Release, wanted: Environment, run: Run, token: Secret) -> tuple[tuple[Check, ...], str]:
    """How the environment is protected, as checks, and how to mend it (Markdown; empty where nothing is wrong).

    Without GitHub or a token nothing can be seen: inconclusive, never a pass.
    """
    if rules.approval == "pull_request_review":
        said = "The policy takes a review of the pull request in place of the environment's reviewers."
        return (Check(name="approval", verdict=Verdict.PASS, detail=said),), ""
    if not (run.repository and token):
        said = f"`{wanted.name}` was not looked at: there is no `github-token`, or this is no workflow."
        return (Check(name="environment", verdict=Verdict.INCONCLUSIVE, detail=said),), ""
    from slipway.github_api import client, environments

    with client.connect(token, run) as hub:
        found = environments.look(hub.get_repo(run.repository), wanted.name)
    findings = environments.audit(wanted, found)
    checks = tuple(
        Check(name=each.name, verdict=Verdict.PASS if each.holds else Verdict.FAIL, detail=each.detail)
        for each in findings
    )
    wrong = not all(each.holds for each in findings)
    return checks, environments.repair(run.repository, run.server_url, wanted) if wrong else ""
