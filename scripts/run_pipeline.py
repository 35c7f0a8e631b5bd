"""The pull-request gate in one step: validate, train, evaluate, report, record. Also what a person runs locally."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from slipway.runner import context, outputs, stage
from slipway.runner.errors import GateError
from slipway.runner.inputs import NO_SECRET, Secret
from slipway.runner.stages import Ran, run


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Validate the data, train a candidate, judge it against production, and report on the pull request."""

    policy: Path = Path("slipway.yml")
    tracking_uri: str = ""
    allow_dirty_tree: bool = False
    reuse_from: Path | None = None
    pull_request: int | None = None
    commit: str = ""
    comment_author: str = ""
    full_report: str = ""
    record: bool = False
    github_token: Secret = NO_SECRET


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The verdict over all stages, and what it is about."""

    verdict: str
    reports: str
    comment_file: str = ""
    page: str = ""
    comment_url: str = ""
    model_version: str = ""
    production_version: str = ""
    ledger_head: str = ""


def main(given: Inputs) -> None:
    """Every stage in order; the first that fails stops the work, and what was found is reported in any case."""
    context.require_commit(given.commit)  # now, and not after an hour of training
    context.home().mkdir(parents=True, exist_ok=True)
    context.keep_out_of_git()
    ran = judge(given)
    reports = [each.report for each in ran]
    comment = post(given, reports) if any(Path(report).is_file() for report in reports) else None
    recorded = record(given, [*reports, comment.report]) if given.record and comment else None
    said = {name: value for each in ran for name, value in each.said.items()}
    posted = comment.said if comment else {}
    outputs.publish(
        Outputs(
            verdict=posted.get("verdict", "inconclusive"),
            reports="\n".join(reports),
            comment_file=posted.get("comment-file", ""),
            page=posted.get("page", ""),
            comment_url=posted.get("comment-url", ""),
            model_version=said.get("model-version", ""),
            production_version=said.get("production-version", ""),
            ledger_head=recorded.said.get("head", "") if recorded else "",
        )
    )
    for each in (*ran, comment, recorded):
        if each and each.code:
            # The stage has said why in an annotation of its own.
            raise GateError(f"The pipeline stopped: {each.name} ended with exit code {each.code}.")


def judge(given: Inputs) -> list[Ran]:
    """Validate, train, evaluate, as far as it goes."""
    policy, uri, kept = str(given.policy), given.tracking_uri, str(given.reuse_from or "")
    ran = [run("validate-data", {"policy": policy, "tracking_uri": uri, "reuse_from": kept})]
    if not ran[-1].code:
        training = {"policy": policy, "tracking_uri": uri, "reuse_from": kept}
        ran.append(run("train-model", {**training, "allow_dirty_tree": str(given.allow_dirty_tree)}))
    if not ran[-1].code and ran[-1].name == "train-model":
        evaluation = {"policy": policy, "tracking_uri": uri, "reuse_from": kept}
        evaluation |= {"model_version": ran[-1].said["model-version"], "github_token": given.github_token.reveal()}
        ran.append(run("evaluate-model", evaluation))
    return ran


def post(given: Inputs, reports: list[str]) -> Ran:
    """Render the comment, and post it where there is a pull request."""
    said = {
        "reports": "\n".join(reports),
        "pull_request": str(given.pull_request or ""),
        "commit": given.commit,
        "comment_author": given.comment_author,
        "full_report": given.full_report,
        "github_token": given.github_token.reveal(),
    }
    return run("post-report", said)


def record(given: Inputs, reports: list[str]) -> Ran:
    """Append what was found to the ledger."""
    return run("record-reports", {"reports": "\n".join(reports), "github_token": given.github_token.reveal()})


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
