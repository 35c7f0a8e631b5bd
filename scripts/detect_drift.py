"""Hold what production has seen of late against the profile of what its model learned from."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slipway import datasets, profiles
from slipway.comparison import domain, production
from slipway.comparison.reference import Reference, find_reference, rows_like
from slipway.data import reading
from slipway.drift import clusters, foreign, judging, reported, season, telling
from slipway.drift.findings import DriftFindings
from slipway.policy.drift import Drift
from slipway.policy.source import SourcedPolicy, load
from slipway.profiles import Profile
from slipway.report import Report, Subject, Verdict, combine, enforce, publishing
from slipway.runner import environments, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import InputError, PolicyError, SlipwayError

if TYPE_CHECKING:
    import polars as pl

STAGE = "detect-drift"
CLASSIFIER_GROUP = "detect-drift-classifier"
"""Requirements with scikit-learn, which only those install who ask for a domain classifier."""

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
    if rules and rules.domain_classifier and not given.drift_report:
        environments.enter(CLASSIFIER_GROUP, "sklearn")
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
            reference = find_reference(sourced.policy.model, given.tracking_uri, given.reference_profile)
            report = look(report, sourced, rules, reference, given)
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


def look(report: Report, sourced: SourcedPolicy, rules: Drift, reference: Reference, given: Inputs) -> Report:
    """Profile the current data and judge them, then what the model in production answers for them."""
    place = given.data or sourced.policy.data[rules.current].path
    with reading.unreadable(place):
        fetched = datasets.fetch_missing(place)
        frame = rows_like(reference.profile, sourced, rules.current, fetched)
        version = datasets.identify(place)
        check_ignored(sourced, rules, reference.profile, frame.collect_schema().names())
        parts = clusters.profiles_of(frame, rules.cluster) if rules.cluster else ()
        current = profiles.merge(parts) if parts else profiles.of_frame(frame, in_strips=reading.carries_types(fetched))
        reference, of_season = in_season(sourced, rules, reference, frame)
    targets = sourced.policy.evaluation.targets if sourced.policy.evaluation else ()
    current, waiting = judging.without_waiting(current, targets, rules)
    kept = {name: each for name, each in reference.profile.columns.items() if name not in (*rules.ignore, *waiting)}
    expected = replace(reference.profile, columns=kept)
    columns = judging.judge(expected, current, rules, parts)
    asked = production.look(sourced, rules, reference, frame, given.tracking_uri)
    apart = domain.look(sourced, rules, reference, frame)
    columns = tuple(replace(each, importance=asked.importance.get(each.name)) for each in columns)
    found = (*columns, *asked.predictions)
    new = [
        name
        for name in judging.new_columns(reference.profile, current)
        if name not in (*rules.ignore, rules.prediction)
    ]
    drifted = [each for each in columns if each.drifted]
    headline = f"{len(drifted)} of {len(columns)} columns have drifted in {current.rows:,} rows of `{rules.current}`."
    if any(each.drifted for each in asked.predictions):
        headline += " So have production's predictions."
    if apart.verdict is Verdict.FAIL:
        headline += " A classifier tells them from the reference's rows."
    checks = (*asked.findings.checks, *telling.checks(found), *apart.checks)
    subjects = [Subject(role="data", name=rules.current, id=str(version))]
    if reference.version:
        subjects.append(Subject(role="production", name=reference.version, id=reference.model_digest))
    return report.model_copy(
        update={
            "verdict": combine(each.verdict for each in checks),
            "headline": headline,
            "reasons": (
                *asked.findings.reasons,
                *telling.reasons(found, new),
                *apart.reasons,
                *asked.remarks,
                *report.reasons,
            ),
            "checks": checks,
            "tables": (*asked.findings.tables, *apart.tables, telling.table(found, rules)),
            "charts": telling.chart(found),
            "subjects": (*report.subjects, *subjects),
            "provenance": {
                "production": reference.version or "none",
                "reference_profile": reference.digest,
                "reference_rows": reference.profile.rows,
                **of_season,
                f"data_{rules.current}": version.in_words,
                **dict(asked.provenance),
                **report.provenance,
            },
        }
    )


def in_season(
    sourced: SourcedPolicy, rules: Drift, reference: Reference, current: pl.LazyFrame
) -> tuple[Reference, dict[str, str]]:
    """The reference's profile of the current data's season, where the policy asks for it, and what is said of that."""
    if rules.season is None:
        return reference, {}
    name = sourced.policy.training_dataset
    if not name:
        raise PolicyError(
            "`drift.season` needs the training data, and no dataset of the policy is called `train` or `training`.",
            file=str(sourced.path),
        )
    path = sourced.policy.data[name].path
    window = season.window_of(current, rules.season)
    with reading.unreadable(path):
        rows = season.matched(rows_like(reference.profile, sourced, name), rules.season, window)
        profile = profiles.of_frame(rows, [*reference.profile.columns])
    said = {"season": window.in_words, f"data_{name}": datasets.identify(path).in_words}
    return replace(reference, profile=profile), said


def check_ignored(sourced: SourcedPolicy, rules: Drift, reference: Profile, current: list[str]) -> None:
    """Raises PolicyError where the policy ignores a column that there is not."""
    unknown = [name for name in rules.ignore if name not in reference.columns and name not in current]
    if unknown:
        raise PolicyError(
            f"`drift.ignore` names `{unknown[0]}`, which neither the reference nor the current data have.",
            file=str(sourced.path),
        )


def publish(report: Report, path: Path, reference: Reference | None) -> None:
    """Report, outputs, summary."""
    drifted = sum(check.verdict is Verdict.FAIL for check in report.checks)
    version = reference.version if reference else ""
    publishing.publish(
        report, path, Outputs(report=path, verdict=report.verdict, drifted=drifted, production_version=version)
    )


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
