"""Bring a model's data up to date for a retraining, and take what that changed in the repository as a patch."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipway.ledger.entries import LARGEST
from slipway.policy.retraining import Refresh
from slipway.policy.source import SourcedPolicy, file_digest, load
from slipway.report import Column, Report, Subject, Table, Verdict
from slipway.report.publishing import publish
from slipway.retraining import change, request
from slipway.retraining.request import Request
from slipway.runner import commands, environments, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import GateError, InputError, PolicyError, SlipwayError
from slipway.training import command, repository, telling
from slipway.training.repository import Checkout

STAGE = "refresh-data"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Run the policy's `retraining.refresh.command`, and keep what it changed."""

    policy: Path = Path("slipway.yml")
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What was changed. changed: how many files; commit: what the patch applies to."""

    report: Path
    verdict: Verdict
    changed: int = 0
    commit: str = ""


def main(given: Inputs) -> None:
    """Refresh, take the patch, report; what failed leaves a report without a patch."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    path = given.report or report_file(sourced.policy.model, STAGE)
    report = Report(
        stage=STAGE,
        model=sourced.policy.model,
        verdict=Verdict.INCONCLUSIVE,
        subjects=(Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),),
        provenance=dict(sourced.provenance),
    )
    commit = ""
    try:
        rules = section(sourced)
        asked = request.of_run(run, sourced.policy.model)
        before = repository.look()
        repository.require_clean(
            before, allow_dirty=False, why="What would be proposed is not what the command did.", otherwise=""
        )
        commit = before.commit
        refresh(rules, asked)
        changed = changes(before)
        report = told(report, asked, before, keep_patch(path.parent), changed)
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance={**report.provenance, "commit": commit})
        (path.parent / change.PATCH).unlink(missing_ok=True)
        publish(report, path, Outputs(report=path, verdict=report.verdict, commit=commit))
        raise
    publish(report, path, Outputs(report=path, verdict=report.verdict, changed=len(changed), commit=commit))


def section(sourced: SourcedPolicy) -> Refresh:
    """The policy's section `retraining.refresh`."""
    if sourced.policy.retraining is None or sourced.policy.retraining.refresh is None:
        raise PolicyError(
            f"{sourced.path} has no section `retraining.refresh`, so nothing says how a retraining comes by new data.",
            fix="Add it with `command`, which changes what pins the data; docs/refresh-data.md has examples.",
            file=str(sourced.path),
        )
    return sourced.policy.retraining.refresh


def refresh(rules: Refresh, asked: Request) -> None:
    """Run the command. GateError where it fails."""
    arguments = command.split(rules.command)
    with tempfile.TemporaryDirectory(prefix="slipway-refresh-") as scratch:
        why = Path(scratch) / "retraining.json"
        said = asked.payload.model_dump(mode="json") if asked.payload else {"reason": asked.reason}
        why.write_text(json.dumps(said), encoding="utf-8")
        python = environments.for_lock(Path(rules.requirements)) if rules.requirements else None
        environ = command.environ_for({"SLIPWAY_RETRAINING": str(why)}, path_first=python.parent if python else None)
        commands.say(f"Refreshing the data: {' '.join(arguments)}")
        log = Path(scratch) / "refresh.log"
        ended = command.run(arguments, environ, timeout=rules.timeout_minutes * 60, log=log)
        if not ended.succeeded:
            raise GateError(
                f"The command of `retraining.refresh` {ended.in_words(rules.timeout_minutes * 60)}.",
                why=telling.last_lines(log),
                fix="See the step's log. Nothing was proposed.",
            )


def changes(before: Checkout) -> tuple[str, ...]:
    """Paths that the command changed. GateError where it changed none, or left another commit."""
    after = repository.look()
    if after.commit != before.commit:
        raise InputError(
            "The command of `retraining.refresh` made a commit or checked out another one.",
            fix="Let it change files only: the retraining's commit is made from them.",
        )
    if after.clean:
        raise GateError(
            "The refresh changed nothing in the repository, so there is nothing new to learn from.",
            why="A new version of the data shows in what pins it: a `.dvc` file, `dvc.lock`, an address in the policy.",
            fix="Wait for new data; if there are some, let the command pin them (`dvc add`, a new commit in `data`).",
        )
    return after.changes


def keep_patch(beside: Path) -> Path:
    """The patch beside the report. InputError where it is larger than the ledger takes."""
    raw = change.taken(without=repository.exclude_own())
    if len(raw) > LARGEST:
        raise InputError(
            f"The refresh changed {len(raw):,} bytes of the repository, more than {LARGEST:,}.",
            why="Data seem to have become part of the repository itself.",
            fix="Track them with DVC or Git LFS, or list them in .gitignore.",
        )
    beside.mkdir(parents=True, exist_ok=True)
    file = beside / change.PATCH
    file.write_bytes(raw)
    return file


def told(report: Report, asked: Request, before: Checkout, patch: Path, changed: tuple[str, ...]) -> Report:
    """The report on what was changed."""
    rows = tuple((name,) for name in changed)
    files = "1 file" if len(changed) == 1 else f"{len(changed)} files"
    return report.model_copy(
        update={
            "verdict": Verdict.PASS,
            "headline": f"The data were refreshed: {files} of the repository changed.",
            "reasons": (asked.reason,),
            "tables": (Table(title="Changed files", columns=(Column(name="file", kind="code"),), rows=rows),),
            "attachments": {change.PATCH: file_digest(patch)},
            "provenance": {
                **report.provenance,
                "commit": before.commit,
                "retraining": asked.name,
                "generation": asked.generation,
            },
        }
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
