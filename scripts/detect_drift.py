"""Hold what production has seen of late against the profile of what its model learned from."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from slipway import datasets, profiles
from slipway.data import reading
from slipway.drift import clusters, foreign, judging, reported, telling
from slipway.drift.findings import DriftFindings
from slipway.policy import Drift, SourcedPolicy, load
from slipway.profiles import Profile
from slipway.report import Report, Subject, Verdict, enforce, markdown, plain
from slipway.runner import outputs, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import InputError, PolicyError, SlipwayError
from slipway.training.reference import Reference, of_file, of_production

STAGE = "detect-drift"
EVENT = "event"
"""Instead of a report's path: what the repository_dispatch event carries that started the run."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Tell whether current data have drifted from what the model in production learned from."""

    policy: Path = Path("slipway.yml")
    data: str = ""
    reference_profile: Path | None = None
    drift_report: str = ""
    drift_report_format: str = foreign.AUTO
    tracking_uri: str = ""
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The verdict and what has drifted."""

    report: Path
    verdict: Verdict
    drifted: int = 0
    production_version: str = ""


def main(given: Inputs) -> None:
    """Compare, write the report, and fail the step where data have drifted."""
    run = Run.from_environ()
    sourced = load(given.policy, run)
    rules = sourced.policy.drift if given.drift_report else require_drift(sourced)
    path = given.report or report_file(sourced.policy.model, STAGE)
    report = Report(
        stage=STAGE,
        model=sourced.policy.model,
        verdict=Verdict.INCONCLUSIVE,
        reasons=sourced.remarks,
        subjects=(Subject(role="policy", name=str(sourced.path), id=sourced.policy.digest),),
        provenance=dict(sourced.provenance),
    )
    reference: Reference | None = None
    try:
        if given.drift_report or rules is None:
            report = reported.told(report, read_report(given, run, sourced.policy.model))
        else:
            reference = find_reference(given, sourced)
            report = look(report, sourced, rules, reference, given.data or sourced.policy.data[rules.current].path)
    except SlipwayError as failure:
        report = report.after_failure(failure, provenance=report.provenance)
        publish(report, path, reference)
        raise
    publish(report, path, reference)
    enforce(report, on_inconclusive=rules.on_inconclusive if rules else "warn", fix="Give it a window with more rows.")


def require_drift(sourced: SourcedPolicy) -> Drift:
    """The policy's section `drift`."""
    if sourced.policy.drift is None:
        raise PolicyError(
            f"{sourced.path} has no `drift` section.",
            fix="Add it with `current`, the dataset that production sees; docs/policy.md shows all of it.",
            file=str(sourced.path),
        )
    return sourced.policy.drift


def read_report(given: Inputs, run: Run, model: str) -> DriftFindings:
    """What another tool has found. Raises InputError where it is about another model, or data are given beside it."""
    if given.data or given.reference_profile:
        raise InputError(
            "`drift-report` is given with `data` or `reference-profile`.",
            why="What another tool has found is read instead of looking.",
            fix="Take one of them away, or run the stage twice.",
        )
    if given.drift_report != EVENT:
        found = foreign.read(Path(given.drift_report), given.drift_report_format)
    elif run.event_name != "repository_dispatch":
        raise InputError(
            f"The run was started by {run.event_name or 'nobody on a runner'}, and not by repository_dispatch.",
            fix="Give the path of a drift report, or let the workflow run `on: repository_dispatch`.",
        )
    else:
        found = foreign.from_client_payload(run.event.get("client_payload") or {})
    if found.model and found.model != model:
        raise InputError(
            f"The drift report is about `{found.model}`, and the policy about `{model}`.",
            fix="Give the policy of that model.",
        )
    return found


def find_reference(given: Inputs, sourced: SourcedPolicy) -> Reference:
    """The profile that was given, or that of the version in production."""
    if given.reference_profile:
        return of_file(given.reference_profile, str(given.reference_profile))
    return of_production(sourced.policy.model, given.tracking_uri)


def look(report: Report, sourced: SourcedPolicy, rules: Drift, reference: Reference, place: str) -> Report:
    """Profile the current data and judge them."""
    with reading.unreadable(place):
        fetched = datasets.fetch_missing(place)
        frame, version = reading.scan(fetched), datasets.identify(place)
        known = judged_columns(sourced, rules, reference.profile, frame.collect_schema().names())
        parts = clusters.profiles_of(frame, rules.cluster) if rules.cluster else ()
        current = (
            profiles.merge(parts) if parts else profiles.of_frame(frame, in_strips=reading.keeps_columns_apart(fetched))
        )
    expected = replace(reference.profile, columns=known)
    found = judging.judge(expected, current, rules, parts)
    new = [name for name in judging.new_columns(reference.profile, current) if name not in rules.ignore]
    drifted = [each for each in found if each.drifted]
    headline = f"{len(drifted)} of {len(found)} columns have drifted in {current.rows:,} rows of `{rules.current}`."
    subjects = [Subject(role="data", name=rules.current, id=str(version))]
    if reference.version:
        subjects.append(Subject(role="production", name=reference.version, id=reference.model_digest))
    return report.model_copy(
        update={
            "verdict": judging.verdict(found),
            "headline": headline,
            "reasons": (*telling.reasons(found, new), *report.reasons),
            "checks": telling.checks(found),
            "tables": (telling.table(found, rules),),
            "charts": telling.chart(found),
            "subjects": (*report.subjects, *subjects),
            "provenance": {
                "production": reference.version or "none",
                "reference_profile": reference.digest,
                "reference_rows": reference.profile.rows,
                f"data_{rules.current}": version.in_words,
                **report.provenance,
            },
        }
    )


def judged_columns(
    sourced: SourcedPolicy, rules: Drift, reference: Profile, current: list[str]
) -> dict[str, profiles.Column]:
    """The reference's columns, but for what the policy ignores and for truths that are not known yet."""
    unknown = [name for name in rules.ignore if name not in reference.columns and name not in current]
    if unknown:
        raise PolicyError(
            f"`drift.ignore` names `{unknown[0]}`, which neither the reference nor the current data have.",
            file=str(sourced.path),
        )
    targets = sourced.policy.evaluation.targets if sourced.policy.evaluation else ()
    waiting = [name for name in targets if name not in current]
    return {name: each for name, each in reference.columns.items() if name not in (*rules.ignore, *waiting)}


def publish(report: Report, path: Path, reference: Reference | None) -> None:
    """Report, outputs, summary."""
    report = report.finished()
    report.write(path)
    drifted = sum(check.verdict is Verdict.FAIL for check in report.checks)
    version = reference.version if reference else ""
    outputs.publish(Outputs(report=path, verdict=report.verdict, drifted=drifted, production_version=version))
    outputs.summarise(markdown.stage_page(report))
    plain.tell(report)


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
