"""Run the training command reproducibly and register its model as a candidate with full provenance."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway import datasets
from slipway.policy.source import SourcedPolicy, file_digest, load
from slipway.policy.training import Training
from slipway.registry import mlflow
from slipway.registry.digests import digest
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Report, Subject, Verdict, reuse
from slipway.report.publishing import publish
from slipway.runner import commands, context, stage
from slipway.runner.errors import PolicyError, RemoteError, SlipwayError
from slipway.training import command, earlier, fitting, places, profiling, provenance, repository, statement, telling
from slipway.training.places import Place
from slipway.training.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Train a candidate and register it."""

    policy: Path = Path("slipway.yml")
    tracking_uri: str = ""
    allow_dirty_tree: bool = False
    reuse_from: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What later steps need of the candidate."""

    report: Path
    verdict: Verdict
    model_version: str = ""
    run_id: str = ""
    statement_digest: str = ""


def main(given: Inputs) -> None:
    """Train, then register; a failure leaves a failed run, no version, and a report that says so."""
    run = context.Run.from_environ()
    sourced = load(given.policy, run)
    training = require_training(sourced)
    model = sourced.policy.model
    path = given.report or context.report_file(model, "train-model")
    policy = Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest)
    report = Report(stage="train-model", model=model, verdict=Verdict.INCONCLUSIVE, subjects=(policy,))
    try:
        before, place = prepare(given, sourced, training, run)
        registry = Registry(given.tracking_uri)
        key = earlier.key_of(before, training) if given.reuse_from else ""
        if found := earlier.find(given.reuse_from, key, path.parent, registry, model):
            report, version = found
            registry.set_alias(model, mlflow.CANDIDATE, version.version)
        else:
            version, after, evidence = train_and_register(registry, sourced, before, place, path.parent)
            identity = registry.identity(model)
            report = report.model_copy(update=telling.success(after, version, evidence, report.subjects, identity))
            # A base model may move under its name: what was made from one is made anew.
            if key and not after.base_model:
                reuse.keep(given.reuse_from, key, report.finished(), path.parent, run)
    except SlipwayError as failure:
        # The comment needs to say why there is no candidate, so the report comes before the failure.
        report = report.after_failure(failure, provenance=sourced.provenance)
        publish(report, path, Outputs(report=path, verdict=report.verdict))
        raise
    said = Outputs(
        report=path,
        verdict=Verdict.PASS,
        model_version=version.version,
        run_id=version.run_id,
        statement_digest=version.tags.get(statement.DIGEST_TAG, ""),
    )
    publish(report, path, said)


def require_training(sourced: SourcedPolicy) -> Training:
    """The policy's training section."""
    if sourced.policy.training is None:
        raise PolicyError(
            f"{sourced.path} has no `training` section.",
            fix="Add it with at least `command:`; docs/policy.md shows all of it.",
            file=str(sourced.path),
        )
    return sourced.policy.training


def prepare(given: Inputs, sourced: SourcedPolicy, training: Training, run: context.Run) -> tuple[Provenance, Place]:
    """Check and record everything that can be known before compute is spent, and make ready where it will be."""
    checkout = repository.look()
    repository.require_clean(checkout, allow_dirty=given.allow_dirty_tree)
    paths = {name: dataset.path for name, dataset in sourced.policy.candidate_data.items()}
    versions = datasets.bring(paths, sourced.policy.reproducibility.mutable_data)
    place = places.of_policy(sourced.policy)
    remarks = [f"The dataset `{name}` {version.remark}" for name, version in versions.items() if version.remark]
    if not checkout.clean:
        remarks.append("Trained from a work tree with uncommitted changes: it cannot be rebuilt from its commit.")
    before = Provenance(
        model=sourced.policy.model,
        commit=checkout.commit,
        clean=checkout.clean,
        changes=checkout.changes,
        datasets=versions,
        parameters=provenance.read_parameters(Path(training.parameters)) if training.parameters else {},
        environment=place.environment(),
        command=command.split(training.command),
        seed=training.seed,
        policy=sourced.provenance,
        machine=place.machine(),
        run=provenance.describe_run(run, checkout.commit),
        base=place.base(),
        remarks=tuple(remarks),
    )
    return before, place


def train_and_register(
    registry: Registry, sourced: SourcedPolicy, before: Provenance, place: Place, beside: Path
) -> tuple[ModelVersion, Provenance, list[Path]]:
    """Run the command inside an MLflow run, and register what it logged. Its evidence is left in `beside`, too."""
    training = require_training(sourced)
    experiment = training.experiment or before.model
    run_id = registry.start_run(experiment, f"{before.model} {before.commit[:12]}", {"slipway.commit": before.commit})
    with run_ended_by(registry, run_id), tempfile.TemporaryDirectory() as scratch:
        fitted = fitting.fit(registry, training, before, run_id, place, Path(scratch))
        files = fitted.files
        profile, no_profile = profiling.make(sourced, files, Path(scratch))
        after = dataclasses.replace(
            before,
            remarks=(*before.remarks, *([no_profile] if no_profile else [])),
            seconds=round(fitted.ended.seconds, 3),
            peak_memory=fitted.ended.peak_memory,
            started=fitted.started,
            finished=fitted.finished,
            mlflow_run=run_id,
            log_digest=file_digest(fitted.log),
            base_model=registry.said_of_run(run_id, provenance.BASE_MODEL),
            job=registry.said_of_run(run_id, provenance.JOB),
            model_digest=digest(files),
            payload_digest=digest(files, payload_only=True),
        )
        beside.mkdir(parents=True, exist_ok=True)
        for file in (kept := statement.write_evidence(after, files, beside, kept_in=fitting.KEPT_IN)):
            registry.log_file(run_id, file, fitting.KEPT_IN)
        tags = after.tags() | {statement.DIGEST_TAG: file_digest(kept[-1])}
        if profile:
            registry.log_file(run_id, profile, fitting.KEPT_IN)
            tags[profiling.TAG] = file_digest(profile)
        registry.log(run_id, tags=tags, parameters=after.parameters)
        version = registry.register(before.model, fitted.logged, run_id, tags)
    registry.set_alias(before.model, mlflow.CANDIDATE, version.version)
    return version, after, kept


@contextmanager
def run_ended_by(registry: Registry, run_id: str) -> Iterator[None]:
    """End the MLflow run as what happens inside: finished, failed, or killed when the workflow is cancelled."""
    try:
        yield
    except BaseException as failure:
        try:
            registry.end_run(run_id, "KILLED" if isinstance(failure, KeyboardInterrupt) else "FAILED")
        except RemoteError as unreachable:
            # What made the run fail says more than that its end could not be written.
            commands.warning(str(unreachable), title=unreachable.title)
        raise
    registry.end_run(run_id, "FINISHED")


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
