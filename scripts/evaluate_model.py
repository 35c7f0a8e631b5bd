"""Judge a candidate against the model in production on the same rows of the holdout."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from slipway import datasets
from slipway.comparison import changed, contenders, guards, recording, running, suites
from slipway.comparison.contenders import Contender
from slipway.evaluation.findings import Findings
from slipway.policy.evaluation import Evaluation
from slipway.policy.source import SourcedPolicy, load
from slipway.prediction import scored
from slipway.prediction.holdout import Holdout, overlapping, read_holdout, schemas
from slipway.prediction.isolation import confinement
from slipway.registry.mlflow import Registry
from slipway.report import Report, Subject, Verdict, enforce, publishing, reuse
from slipway.runner import context, stage
from slipway.runner.errors import InputError, PolicyError, SlipwayError
from slipway.runner.inputs import NO_SECRET, Secret

TIMINGS = "timings.parquet"
"""Every request that was timed, beside the report."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Judge a candidate against production."""

    policy: Path = Path("slipway.yml")
    model_version: str = ""
    candidate_predictions: Path | None = None
    production_predictions: Path | None = None
    tracking_uri: str = ""
    reuse_from: Path | None = None
    github_token: Secret = NO_SECRET
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The verdict and what it compared."""

    report: Path
    verdict: Verdict
    production_version: str = ""


def main(given: Inputs) -> None:
    """Compare, write the report, and fail the step where the verdict demands it."""
    run = context.Run.from_environ()
    sourced = load(given.policy, run)
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
    production: Contender | None = None
    same = False
    try:
        files = (given.candidate_predictions, given.production_predictions)
        registry = contenders.open_registry(given.tracking_uri, evaluation.baseline, *files)
        candidate = contenders.find_candidate(registry, model, given.model_version, given.candidate_predictions)
        report = report.model_copy(update={"subjects": (*report.subjects, candidate.subject)})
        production = contenders.find_production(registry, model, evaluation.baseline, files[1], run)
        same = production is not None and (production.id, production.version) == (candidate.id, candidate.version)
        if same:
            report = nothing_new(report, sourced, candidate)
        else:
            report = compare(report, registry, sourced, given, path, [candidate, *filter(None, [production])])
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=sourced.provenance)
        publish(report, path, production)
        raise
    publish(report, path, production)
    enforce(report, on_inconclusive="warn" if same else evaluation.on_inconclusive)


def require_evaluation(sourced: SourcedPolicy) -> Evaluation:
    """The policy's evaluation section."""
    evaluation = sourced.policy.evaluation
    if evaluation is None:
        raise PolicyError(
            f"{sourced.path} has no `evaluation` section.",
            fix="Add it with task, holdout, target and metrics; docs/policy.md shows all of it.",
            file=str(sourced.path),
        )
    return evaluation


def nothing_new(report: Report, sourced: SourcedPolicy, candidate: Contender) -> Report:
    """The report where the candidate is what is in production, as after a training that was reused."""
    version = candidate.version or candidate.name
    headline = f"The candidate is {candidate.name}, which is in production already."
    advice = "Nothing: the next change that trains another model is judged."
    if candidate.predictions:
        headline = f"Candidate and production are the same predictions ({candidate.name})."
        advice = "Give each of the two its own predictions."
    update = {
        "headline": headline,
        "reasons": ("A model is not compared with itself, so there is nothing to decide.", *report.reasons),
        "advice": advice,
        "provenance": {"candidate": version, "production": version, **sourced.provenance},
    }
    return report.model_copy(update=update)


def compare(
    report: Report,
    registry: Registry | None,
    sourced: SourcedPolicy,
    given: Inputs,
    path: Path,
    both: list[Contender],
) -> Report:
    """Both models predict the holdout; the policy's metrics judge the difference. What was judged before is reused."""
    evaluation, stage, model = require_evaluation(sourced), report.stage, report.model
    with tempfile.TemporaryDirectory() as scratch:
        holdout = read_holdout(sourced, evaluation, Path(scratch))
        key = key_of(sourced, evaluation, holdout, both, report) if given.reuse_from else ""
        if key and (earlier := reuse.find(given.reuse_from, key, path.parent, stage=stage, model=model)):
            return earlier.model_copy(update={"provenance": {**earlier.provenance, **sourced.provenance}})
        kept = recording.rows_to_keep(sourced, both[0], len(holdout.truth))
        models = running.prepare(registry, both, evaluation, model, sourced.path, Path(scratch), kept)
        said = running.predict(models, both, holdout, evaluation)
        seed, timings = suites.seed_of(holdout, both), path.with_name(TIMINGS)
        findings = suites.judge_all(sourced, evaluation, holdout, models, said, seed, Path(scratch), timings)
        recorded = recording.record(registry, both[0], models, Path(scratch))
        update = {"changes": changed.changes_of(registry, both, Path(scratch))}
        report = report.model_copy(update={**update, "subjects": (*report.subjects, *recorded.subjects)})
    limit = evaluation.max_holdout_uses
    findings += guards.used_before(holdout, model, both[0], findings, given.github_token, limit)
    findings += guards.same_production(registry, model, both)
    told = (*guards.equality(both, said), *guards.holdout_remarks(sourced, holdout))
    remarks = (*told, *recorded.remarks, *report.reasons)
    done = finish(report, sourced, replace(findings, reasons=(*findings.reasons, *remarks)), both, holdout)
    if key:
        reuse.keep(given.reuse_from, key, done.finished(), path.parent, context.Run.from_environ())
    return done


def key_of(
    sourced: SourcedPolicy, evaluation: Evaluation, holdout: Holdout, both: list[Contender], report: Report
) -> str:
    """Digest of all that the verdict follows from; empty where that can change unseen."""
    environment = [each.registered.tags.get("slipway.environment") if each.registered else "" for each in both]
    try:
        rows = [holdout.version, *overlapping(sourced, evaluation)]
    except InputError:
        return ""  # the training data are not here, as the tripwire will say
    # A version that Slipway did not register can be changed in place.
    if not all(version.immutable for version in rows) or not all(each.id for each in both):
        return ""
    new_rows = bool(sourced.gates_commit) and datasets.changed_since(sourced.gates_commit, holdout.version)
    said = {
        "models": [(each.role, each.name, each.id) for each in both],
        "environments": environment,
        "rows": [*map(str, rows), new_rows],
        "schemas": [schema.id for schema in schemas(sourced, evaluation)],
        "scorers": [scored.modules_of(sourced, evaluation), scored.lock_of(sourced, evaluation)],
        "policy": sourced.policy.digest,
        "python": platform.python_version(),
        # A timing is true of the machine that it was taken on.
        "machine": [platform.machine(), os.cpu_count(), platform.release()] if evaluation.latency else [],
        "reasons": report.reasons,
    }
    return reuse.key("evaluate-model", said)


def finish(
    report: Report, sourced: SourcedPolicy, findings: Findings, both: list[Contender], holdout: Holdout
) -> Report:
    """The report of a comparison that took place."""
    candidate, production = both[0], both[1] if len(both) > 1 else None
    against = f"production {production.name}" if production else "no production version (first release)"
    if production and not production.registered:
        against = f"the {production.name}" if production.commit else f"the predictions {production.name}"
    evaluation = require_evaluation(sourced)
    quality = "" if "quality" in evaluation.gated else " No gate judged how good it is."
    ran = any(not each.predictions for each in both) or evaluation.own_scorers  # else nobody's code ran here
    advice = "Decide whether it is good enough: no gate judged that." if quality else ""
    return report.model_copy(
        update={
            "verdict": findings.verdict,
            "headline": f"Candidate {candidate.name} against {against} on {len(holdout.truth):,} rows.{quality}",
            "meaning": meaning_of(findings.verdict, evaluation.gated, production),
            "advice": advice if findings.verdict is Verdict.PASS else "",
            "reasons": findings.reasons,
            "checks": findings.checks,
            "tables": (*findings.tables, *changed.policy_changes(sourced)),
            "charts": findings.charts,
            "provenance": {
                "candidate": candidate.version or candidate.name,
                "candidate_digest": candidate.id,
                "production": (production.version or production.name) if production else "none",
                "production_digest": production.id if production else "",
                f"data_{holdout.name}": holdout.version.in_words,
                **({"isolation": confinement(evaluation.isolation).in_words} if ran else {}),
                **sourced.provenance,
            },
            "subjects": (
                *report.subjects,
                *([production.subject] if production else []),
                Subject(role="data", name=holdout.name, id=str(holdout.version)),
                *schemas(sourced, evaluation),
            ),
        }
    )


def meaning_of(verdict: Verdict, gated: tuple[str, ...], production: Contender | None) -> str:
    """The verdict in the comment's title: what it says of the candidate, and no more than was judged."""
    if verdict is Verdict.INCONCLUSIVE:
        return ""
    may = "may" if verdict is Verdict.PASS else "must not"
    if verdict is Verdict.PASS and "quality" not in gated:
        return f"{', '.join(gated)} in order, quality not judged"
    if production is None:
        return f"{may} go into production"
    return f"{may} replace the base branch's model" if production.commit else f"{may} replace production"


def publish(report: Report, path: Path, production: Contender | None) -> None:
    """Report, outputs, summary."""
    version = production.version if production else ""
    publishing.publish(report, path, Outputs(report=path, verdict=report.verdict, production_version=version))


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
