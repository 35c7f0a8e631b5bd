"""Judge a candidate against the model in production on the same rows of the holdout."""

from __future__ import annotations

import hashlib
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipway import datasets
from slipway.evaluation.findings import Findings
from slipway.evaluation.intervals import Sampling
from slipway.evaluation.judgement import judge
from slipway.evaluation.metrics import find
from slipway.policy import Evaluation, SourcedPolicy, load
from slipway.prediction.holdout import Holdout, read_holdout
from slipway.prediction.outcome import cluster_positions, outcomes
from slipway.prediction.process import Job, Predictions, predict_all
from slipway.registry import mlflow
from slipway.registry.mlflow import ModelVersion, Registry
from slipway.report import Report, Subject, Verdict, enforce, markdown, reuse
from slipway.runner import commands, context, environments, outputs, stage
from slipway.runner.errors import PolicyError, SlipwayError

PREDICT_SECONDS = 1_800.0


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Judge a candidate against production."""

    policy: Path = Path("slipway.yml")
    model_version: str = ""
    tracking_uri: str = ""
    reuse_from: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The verdict and what it compared."""

    report: Path
    verdict: Verdict
    production_version: str = ""


def main(given: Inputs) -> None:
    """Compare, write the report, and fail the step where the verdict demands it."""
    sourced = load(given.policy, context.Run.from_environ())
    evaluation = require_evaluation(sourced)
    model = sourced.policy.model
    path = given.report or context.report_file(model, "evaluate-model")
    report = Report(
        stage="evaluate-model",
        model=model,
        verdict=Verdict.INCONCLUSIVE,
        reasons=sourced.remarks,
        subjects=(Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),),
    )
    production: ModelVersion | None = None
    try:
        registry = Registry(given.tracking_uri)
        candidate = registry.candidate(model, given.model_version)
        report = report.model_copy(update={"subjects": (*report.subjects, subject("candidate", candidate))})
        production = registry.by_alias(model, mlflow.PRODUCTION)  # None before the first release
        if production and production.version == candidate.version:
            report = nothing_new(report, sourced, candidate)
        else:
            report = compare(report, registry, sourced, given, path, candidate, production)
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=sourced.provenance)
        publish(report, path, production)
        raise
    publish(report, path, production)
    same = production is not None and report.provenance.get("candidate") == production.version
    enforce(report, on_inconclusive="warn" if same else evaluation.on_inconclusive)


def require_evaluation(sourced: SourcedPolicy) -> Evaluation:
    """The policy's evaluation section, with metrics that its task has."""
    evaluation = sourced.policy.evaluation
    if evaluation is None:
        raise PolicyError(
            f"{sourced.path} has no `evaluation` section.",
            fix="Add it with task, holdout, target and metrics; docs/policy.md shows all of it.",
            file=str(sourced.path),
        )
    for name in evaluation.metrics:
        try:
            find(name, evaluation.task)
        except KeyError as unknown:
            raise PolicyError(f"{unknown.args[0]}.", file=str(sourced.path)) from None
    return evaluation


def nothing_new(report: Report, sourced: SourcedPolicy, candidate: ModelVersion) -> Report:
    """The report where the candidate is the version in production, as after a training that was reused."""
    update = {
        "headline": f"The candidate is {candidate.name}, which is in production already.",
        "reasons": ("A model is not compared with itself, so there is nothing to decide.", *report.reasons),
        "provenance": {"candidate": candidate.version, "production": candidate.version, **sourced.provenance},
    }
    return report.model_copy(update=update)


def compare(
    report: Report,
    registry: Registry,
    sourced: SourcedPolicy,
    given: Inputs,
    path: Path,
    candidate: ModelVersion,
    production: ModelVersion | None,
) -> Report:
    """Both models predict the holdout; the policy's metrics judge the difference. What was judged before is reused."""
    evaluation = require_evaluation(sourced)
    versions = {"The candidate": candidate} | ({"Production": production} if production else {})
    with tempfile.TemporaryDirectory() as scratch:
        holdout = read_holdout(sourced, evaluation, Path(scratch))
        key = key_of(sourced, holdout, versions, report) if given.reuse_from else ""
        stage, model = report.stage, report.model
        if key and (earlier := reuse.find(given.reuse_from, key, path.parent, stage=stage, model=model)):
            return earlier.model_copy(update={"provenance": {**earlier.provenance, **sourced.provenance}})
        said = predict(registry, versions, holdout, evaluation, Path(scratch))
        sampling = Sampling(
            rows=len(holdout.truth),
            confidence=evaluation.confidence,
            clusters=None if holdout.clusters is None else cluster_positions(holdout.clusters),
            seed=seed_of(holdout, *versions.values()),
        )
        judged = outcomes(evaluation, holdout.truth, said)
        findings = judge(evaluation, judged["The candidate"], judged.get("Production"), sampling)
    remarks = (*equality_remarks(versions, said), *report.reasons)
    if not holdout.version.immutable:
        remarks += (f"The holdout {holdout.version.remark}",)
    if sourced.gates_commit and datasets.changed_since(sourced.gates_commit, holdout.version):
        remarks += ("This pull request changes the holdout itself: both models were judged on its rows.",)
    done = finish(report, sourced, findings, candidate, production, holdout, remarks)
    if key:
        reuse.keep(given.reuse_from, key, done.finished(), path.parent, context.Run.from_environ())
    return done


def key_of(sourced: SourcedPolicy, holdout: Holdout, versions: dict[str, ModelVersion], report: Report) -> str:
    """Digest of all that the verdict follows from; empty where that can change unseen."""
    models = [
        (name, version.version, version.tags.get("slipway.model_digest"), version.tags.get("slipway.environment"))
        for name, version in versions.items()
    ]
    # A version that Slipway did not register can be changed in place.
    if not holdout.version.immutable or not all(digest for *_, digest, _ in models):
        return ""
    changed = bool(sourced.gates_commit) and datasets.changed_since(sourced.gates_commit, holdout.version)
    said = {
        "models": models,
        "holdout": [str(holdout.version), changed],
        "policy": sourced.policy.digest,
        "python": platform.python_version(),
        "reasons": report.reasons,
    }
    return reuse.key("evaluate-model", said)


def predict(
    registry: Registry, versions: dict[str, ModelVersion], holdout: Holdout, evaluation: Evaluation, scratch: Path
) -> dict[str, Predictions]:
    """Each model predicts in its own environment and process, side by side."""
    jobs = []
    for name, version in versions.items():
        folder = scratch / version.version
        model = registry.download(version, folder / "model")
        # The lock that the model was trained with; MLflow's own list for a model that came another way.
        lock = registry.run_file(version.run_id, "slipway/requirements.txt", folder) if version.run_id else None
        python = environments.for_lock(lock or model / "requirements.txt")
        jobs.append(Job(f"{name} ({version.name})", model, python, folder / "predictions"))
    commands.say(f"Predicting {len(holdout.truth):,} rows with {' and '.join(job.name for job in jobs)}")
    said = predict_all(jobs, holdout.features, evaluation.task, timeout=PREDICT_SECONDS)
    return dict(zip(versions, said, strict=True))


def seed_of(holdout: Holdout, *versions: ModelVersion) -> int:
    """A seed that follows from what is compared, so that the same comparison gives the same intervals."""
    compared = [holdout.version.id, *(version.tags.get("slipway.model_digest", version.source) for version in versions)]
    return int.from_bytes(hashlib.sha256("\n".join(compared).encode()).digest()[:8])


def equality_remarks(versions: dict[str, ModelVersion], said: dict[str, Predictions]) -> tuple[str, ...]:
    """What to say where the two models are, or answer, the same."""
    if len(said) < 2:
        return ("First release: no version is in production yet, so only absolute gates (`min`, `max`) apply.",)
    digests = {version.tags.get("slipway.payload_digest", version.source) for version in versions.values()}
    first, second = said.values()
    if len(digests) == 1:
        return ("The candidate is the same model as production, byte for byte: every difference is exactly zero.",)
    if first.classes == second.classes and first.frame.equals(second.frame):
        return ("The candidate gives the same prediction as production for every row of the holdout.",)
    return ()


def finish(
    report: Report,
    sourced: SourcedPolicy,
    findings: Findings,
    candidate: ModelVersion,
    production: ModelVersion | None,
    holdout: Holdout,
    remarks: tuple[str, ...],
) -> Report:
    """The report of a comparison that took place."""
    against = f"production {production.name}" if production else "no production version (first release)"
    return report.model_copy(
        update={
            "verdict": findings.verdict,
            "headline": f"Candidate {candidate.name} against {against} on {len(holdout.truth):,} rows.",
            "reasons": (*findings.reasons, *remarks),
            "checks": findings.checks,
            "tables": findings.tables,
            "provenance": {
                "candidate": candidate.version,
                "candidate_digest": candidate.tags.get("slipway.model_digest", ""),
                "production": production.version if production else "none",
                "production_digest": production.tags.get("slipway.model_digest", "") if production else "",
                f"data_{holdout.name}": holdout.version.in_words,
                **sourced.provenance,
            },
            "subjects": (
                *report.subjects,
                *([subject("production", production)] if production else []),
                Subject(role="data", name=holdout.name, id=str(holdout.version)),
            ),
        }
    )


def subject(role: str, version: ModelVersion) -> Subject:
    """A version as something that the report speaks of."""
    return Subject(role=role, name=version.version, id=version.tags.get("slipway.model_digest", ""))


def publish(report: Report, path: Path, production: ModelVersion | None) -> None:
    """Report, outputs, summary."""
    report = report.finished()
    report.write(path)
    version = production.version if production else ""
    outputs.publish(Outputs(report=path, verdict=report.verdict, production_version=version))
    outputs.summarise(markdown.stage_page(report))


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
