"""Ask the ledger: is it whole, what happened, what was live, what is known of a version, does the registry agree."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from slipway.audit import acknowledgement, answers, reconciliation
from slipway.audit.trail import Trail
from slipway.ledger import place
from slipway.ledger.store import Ledger
from slipway.policy.source import load
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Check, Report, Verdict, enforce, plain, publishing
from slipway.runner import commands, context, outputs, stage
from slipway.runner.context import Run
from slipway.runner.errors import GateError, InputError, RemoteError
from slipway.runner.inputs import NO_SECRET, Secret

NOTHING_YET = "Have record-reports append the reports of a run first: in a ledger without entries nothing was verified."
T = TypeVar("T")
Command = Literal[
    "verify", "history", "what-was-live", "show", "delivery", "export", "compare", "acknowledge", "deliver"
]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Ask the ledger."""

    command: Command = "verify"
    model: str = ""
    model_version: str = ""
    at: str = ""
    environment: str = "production"
    heads: tuple[str, ...] = ()
    reason: str = ""
    policy: Path | None = None
    output: Path | None = None
    tracking_uri: str = ""
    remote: str = ""
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The answer."""

    report: Path
    verdict: Verdict
    head: str = ""
    live_version: str = ""
    files: str = ""


def main(given: Inputs) -> None:
    """Answer, then fail the step where the answer is a bad one."""
    run = Run.from_environ()
    ledger = Ledger(place.find(run, remote=given.remote, token=given.github_token))
    if given.command == "deliver":
        deliver(ledger)
    for waiting in ledger.elsewhere():
        commands.warning(waiting, title="Ledger")
    path = given.report or context.report_file(given.model or "ledger", answers.STAGE)
    try:
        trail = Trail.read(ledger)
    except GateError as failure:
        broken = Report(stage=answers.STAGE, model=given.model or "ledger", verdict=Verdict.FAIL)
        publish(broken.after_failure(failure, provenance={}), Outputs(report=path, verdict=Verdict.FAIL))
        raise
    model = "" if given.command in ("verify", "deliver") else which_model(given, trail)
    if given.command == "acknowledge":
        trail = acknowledge(given, run, ledger, trail, model)
    report, files = answer(given, trail, model)
    if ledger.unreachable:
        reason = f"The answer rests on what this machine has seen before. {ledger.unreachable}"
        report = report.model_copy(update={"reasons": (*report.reasons, reason)})
    report = report.model_copy(update={"provenance": answers.heads(trail, ledger.head())})
    live = trail.live(model, given.environment, answers.moment(given.at))
    version = live.version if live else ""
    written = "\n".join(map(str, files))
    said = Outputs(report=path, verdict=report.verdict, head=ledger.head(), live_version=version, files=written)
    publish(report.finished(), said)
    enforce(report, on_inconclusive="fail", fix=NOTHING_YET)


def answer(given: Inputs, trail: Trail, model: str) -> tuple[Report, list[Path]]:
    """The report that a command asks for, and the files that it wrote."""
    if given.command in ("verify", "deliver"):
        return answers.verify(trail, given.heads), []
    if given.command == "history":
        return answers.history(trail, model), []
    if given.command == "what-was-live":
        return answers.what_was_live(trail, model, given.environment, answers.moment(given.at)), []
    if given.command == "show":
        version = require(given.model_version, "model-version")
        return answers.show(trail, model, version, registered(given, model, version)), []
    if given.command in ("delivery", "export"):
        return written(given, trail, model)
    registry = Registry(given.tracking_uri)
    versions, aliases = registry.versions(model), registry.aliases(model)
    identity = registry.identity(model)
    checks = reconciliation.compare(trail, model, versions, aliases, [given.environment], identity)
    return answers.compare(trail, model, [*checks, *served(given, trail, model)]), []


def served(given: Inputs, trail: Trail, model: str) -> list[Check]:
    """Whether the environment's target serves what the ledger says; nothing where no policy says what serves it."""
    if given.policy is None:
        return []
    from slipway.deploying import agreement, rules  # the other commands need no target
    from slipway.targets import finding

    sourced = load(given.policy, Run.from_environ())
    if sourced.policy.model != model:
        raise InputError(f"{given.policy} is about `{sourced.policy.model}`, not `{model}`.", fix="Check `model`.")
    said = rules.rules_of(sourced, given.environment)
    target = finding.find(said.target, model=model, ready_seconds=said.ready_seconds)
    return agreement.served((record.entry for record in trail.records), sourced, given.environment, target)


def written(given: Inputs, trail: Trail, model: str) -> tuple[Report, list[Path]]:
    """The commands that write files."""
    from slipway.audit import exports  # the other commands need not wait for the drawing library

    if given.command == "delivery":
        return exports.delivery_figures(trail, model, given.environment, given.output)
    output = require(given.output, "output")
    if given.model_version:
        known = registered(given, model, given.model_version)
        return exports.evidence(trail, model, given.model_version, known, output)
    return exports.entries(trail, model, output)


def require(value: T | None, name: str) -> T:
    """An input that this command needs."""
    if not value:
        raise InputError(f"`{name}` was not given.", fix="This command needs it; docs/audit-trail.md says what it is.")
    return value


def registered(given: Inputs, model: str, version: str) -> ModelVersion | None:
    """The version as the registry has it; None where no registry is named, or the version is gone from it."""
    if not (given.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")):
        return None
    return next((each for each in Registry(given.tracking_uri).versions(model) if each.version == version), None)


def which_model(given: Inputs, trail: Trail) -> str:
    """The model that is named, or else the only one. InputError where nothing is known of it."""
    models = trail.models()
    known = ", ".join(f"`{model}`" for model in models) or "none"
    if not given.model:
        if len(models) == 1:
            return models[0]
        what = f"`model` was not given, and the ledger is about {len(models)} models: {known}."
        raise InputError(what, fix="Name one.")
    # What was made before the ledger began can still be held against it.
    asks_registry = given.command in ("compare", "acknowledge")
    if given.model not in models and not (asks_registry and Registry(given.tracking_uri).versions(given.model)):
        nowhere = ", and neither does the registry" if asks_registry else ""
        what = f"The ledger knows no model `{given.model}`{nowhere}."
        raise InputError(what, why=f"The ledger is about: {known}.", fix="Check `model`.")
    return given.model


def acknowledge(given: Inputs, run: Run, ledger: Ledger, trail: Trail, model: str) -> Trail:
    """Bring on record what the registry says otherwise than the ledger, and why."""
    if not given.reason:
        raise InputError("`reason` was not given.", fix="Say why the change was made outside of the pipeline.")
    registry = Registry(given.tracking_uri)
    if given.model_version:
        version, environment = given.model_version, given.environment
        draft = acknowledgement.of_version(trail, registry, model, version, environment, given.reason, run)
    else:
        draft = acknowledgement.of_alias(trail, registry, model, given.environment, given.reason, run)
    if draft is None:
        commands.say("Ledger and registry agree on it already: nothing was recorded.")
        return trail
    receipt = ledger.append([draft])
    if receipt.waiting and commands.on_runner():
        raise RemoteError(
            "The entry could not be delivered to the ledger, and this machine will forget it.",
            why=receipt.why_not,
            fix="Give the job `permissions: {contents: write}` and pass `github-token`, then run it again.",
        )
    if receipt.waiting:
        commands.warning(f"The entry waits in {ledger.place.store}: {receipt.why_not}", title="Ledger")
    return Trail.read(ledger)


def deliver(ledger: Ledger) -> None:
    """Bring upstream what waits on this machine. RemoteError where it cannot be."""
    receipt = ledger.deliver()
    for entry in receipt.delivered:
        commands.say(f"Delivered entry {entry.sequence}: {entry.summary}")
    if not receipt.delivered and not receipt.waiting:
        commands.say("Nothing waited on this machine.")
    if receipt.waiting:
        raise RemoteError(
            f"{receipt.waiting} entries still wait in {ledger.place.store}.",
            why=receipt.why_not,
            fix="Mend what is said above and run the command again; nothing is lost meanwhile.",
        )


def publish(report: Report, said: Outputs) -> None:
    """Report, outputs, summary; on a person's machine the answer itself."""
    report.write(said.report)
    outputs.publish(said)
    publishing.summarise(report)
    if not commands.on_runner():
        commands.say(plain.page(report))


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
