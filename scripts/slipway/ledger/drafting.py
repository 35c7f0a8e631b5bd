"""From a stage's report to what the ledger says of it. Run, trigger and reason come from the runner, not the report:
a report may have been made where code of the change could write."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slipway.governor import payload
from slipway.governor.keys import KEY, failed_roles
from slipway.ledger.entries import (
    ENTRY_FILE,
    LARGEST,
    Draft,
    Evidence,
    Justification,
    Kind,
    RunFacts,
    Trigger,
    digest,
    identity,
    writable,
)
from slipway.report import Report
from slipway.runner.context import Run
from slipway.runner.errors import InputError

REPORT_FILE = "report.json"
DRIFTED = "drifted"
"""What the failed checks of a drift report are about, in an entry's details: `feature quality`."""

EVENTS: dict[str, Kind] = {
    "validate-data": "validation",
    "train-model": "training",
    "evaluate-model": "evaluation",
    "detect-drift": "drift",
    "post-report": "comment",
    "sign-model": "signature",
    "package-model": "packaging",
    "refresh-data": "refresh",
    "propose-retraining": "proposal",
    "assess-risk": "risk",
    "record-approval": "approval",
    "reproduce-model": "reproduction",
}
"""The event that each stage's report is about."""

OF_A_VERSION = ("candidate", "version")
"""Roles of the version that a report is about: one that is to be judged, or one that was released."""

OF_AN_APPROVAL = {
    "environment": "deploys_to",
    "approved_in": "environment",
    "approved_in_id": "environment_id",
    "approver": "approvers",
}
"""What an approval is for and where it was given: the entry's `details`, and where its report says so."""

RESERVED = frozenset({ENTRY_FILE, REPORT_FILE})
LONGEST_REASON = 4_000
"""Characters that are kept of a pull request's or commit's words."""

CLOSING = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+((?:[\w.-]+/[\w.-]+)?#\d+|https?://\S+/issues/\d+)", re.IGNORECASE
)
"""https://docs.github.com/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue"""

Drafted = tuple[Draft, dict[str, bytes]]


def of_report(path: Path, run: Run) -> Drafted:
    """The draft about one report, with the report and its attachments as evidence.

    Raises InputError where the file is no report, its stage has no event, or an attachment is missing or altered.
    """
    report = Report.read(path)
    raw = path.read_bytes()
    files = {REPORT_FILE: raw, **{name: attached(path, name, said) for name, said in report.attachments.items()}}
    event = EVENTS.get(report.stage)
    if event is None:
        raise InputError(f"The report {path} is of the stage `{report.stage}`, which the ledger does not know.")
    candidate = next((subject for subject in report.subjects if subject.role in OF_A_VERSION), None)
    said = {
        "model": report.model,
        "model_version": candidate.name if candidate else "",
        "model_digest": candidate.id if candidate else "",
        "verdict": report.verdict.value,
        "reasons": report.reasons,
        "subjects": [subject.model_dump() for subject in report.subjects],
        "links": report.links,
        "details": _details(report, run),
    }
    summary = f"{report.stage} of {report.model}: {report.verdict.value}. {report.headline}"
    # Without the attempt: a job that is run again records the reports of the jobs before it only once.
    key = (run.repository, run.run_id, report.stage, report.model, digest(raw))
    try:
        return of_event(event, summary, run, occurred_at=report.started, files=files, key=key, said=said)
    except (ValidationError, OverflowError) as error:
        raise InputError(f"The report {path} says what no entry can hold.", why=str(error)) from error


def of_event(
    event: Kind,
    summary: str,
    run: Run,
    *,
    occurred_at: datetime,
    files: Mapping[str, bytes] | None = None,
    key: tuple[object, ...],
    said: Mapping[str, Any],
) -> Drafted:
    """A draft about anything that happens in a run. key: what makes the event this one; said: other fields."""
    files = dict(files or {})
    for name, raw in files.items():
        if len(raw) > LARGEST:
            raise InputError(
                f"{name} has {len(raw):,} bytes, more than the ledger takes ({LARGEST:,}).",
                fix="Keep large files in your data store, and name them by digest.",
            )
    evidence = [Evidence(name=name, digest=digest(raw), bytes=len(raw)) for name, raw in sorted(files.items())]
    facts = {
        "summary": summary.strip(),
        "justification": justification(run).model_dump(),
        "trigger": trigger(run).model_dump(),
        "run": run_facts(run).model_dump(),
        **said,
    }
    draft = Draft(
        id=identity(event, *key), event=event, occurred_at=occurred_at, evidence=tuple(evidence), **writable(facts)
    )
    return draft, files


def justification(run: Run, folder: Path = Path()) -> Justification:
    """Why the run took place, in the words of whoever asked for it."""
    event = run.event
    if run.pull_request:
        said = run.pull_request
        return _because("pull request", f"{said.get('title') or ''}\n\n{said.get('body') or ''}", said.get("html_url"))
    if isinstance(commit := event.get("head_commit"), dict):
        return _because("commit", commit.get("message"), commit.get("url"))
    if run.event_name == "repository_dispatch":
        told = event.get("client_payload")
        reason = told.get("reason") if isinstance(told, dict) else ""
        return _because("dispatch", reason or event.get("action"))
    if run.event_name == "workflow_dispatch":
        inputs = event.get("inputs")
        reason = inputs.get("reason") if isinstance(inputs, dict) else ""
        if isinstance(inputs, dict) and KEY.search(str(inputs.get("key"))):  # the governor's; a person gives none
            return _because("dispatch", reason)
        return _because("person", reason or f"Started by hand by {run.actor}.")
    if run.event_name == "schedule":
        return _because("schedule", event.get("schedule"))
    commit_message = "" if run.repository else _last_message(folder)
    return _because("commit", commit_message) if commit_message else Justification()


def trigger(run: Run, folder: Path = Path()) -> Trigger:
    """Who set the run off; outside of a workflow, whoever git would name as a commit's author."""
    head, earlier = run.pull_request.get("head"), run.event.get("workflow_run")
    repository: object = run.repository
    if isinstance(head, dict):
        repository = (head.get("repo") or {}).get("full_name")
    elif isinstance(earlier, dict):
        repository = (earlier.get("head_repository") or {}).get("full_name")
    number = run.pull_request.get("number")
    return Trigger(
        event=run.event_name,
        actor=run.actor if run.repository else _person(folder),
        actor_id=run.actor_id,
        triggering_actor=run.triggering_actor,
        pull_request=number if isinstance(number, int) else None,
        sha=run.head_sha if run.head_sha or run.repository else _git(folder, "rev-parse", "HEAD"),
        ref=run.ref,
        fork=bool(run.repository) and repository != run.repository,
    )


def run_facts(run: Run) -> RunFacts:
    """The workflow run."""
    return RunFacts(
        repository=run.repository, run_id=run.run_id, attempt=run.attempt, workflow=run.workflow_ref, url=run.url
    )


def issues(text: str) -> tuple[str, ...]:
    """The issues that a text closes, each once."""
    return tuple(dict.fromkeys(CLOSING.findall(text)))[:50]


def _details(report: Report, run: Run) -> dict[str, str]:
    registry = next((subject.id for subject in report.subjects if subject.role == "registry"), "")
    said = {"reused_from": report.reused_from, "registry": registry, "retraining": payload.key_of_run(run)}
    event = EVENTS.get(report.stage)
    if event == "approval":
        said |= {name: str(report.provenance.get(key) or "") for name, key in OF_AN_APPROVAL.items()}
    if event == "drift":
        said[DRIFTED] = " ".join(sorted(failed_roles(report)))
    return {name: value for name, value in said.items() if value}


def _because(kind: str, text: object, url: object = "") -> Justification:
    words = writable(str(text or "")).strip()
    said = {"kind": kind, "text": words[:LONGEST_REASON], "url": writable(str(url or "")), "issues": issues(words)}
    return Justification.model_validate(said)


def _last_message(folder: Path) -> str:
    return _git(folder, "log", "-1", "--format=%B")


def _person(folder: Path) -> str:
    return _git(folder, "config", "user.email")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def attached(report: Path, name: str, said: str) -> bytes:
    """A file that belongs to a report. InputError where it is missing, or not the one that the report names."""
    file = report.with_name(name)
    if name in RESERVED:
        raise InputError(f"{report} names an attachment `{name}`, which is the name of a file of the ledger's own.")
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}, which {report} names, cannot be read.", why=str(error)) from error
    if digest(raw) != said:
        raise InputError(
            f"{file} is not the file that {report} names.",
            why=f"It has the digest {digest(raw)}, and the report says {said}.",
            fix="Run the stage again; one of the two was overwritten or altered.",
        )
    return raw
