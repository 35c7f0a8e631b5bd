"""Hold each dataset of the model against its pandera schema and pin its version, before compute is spent on it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slipway import datasets
from slipway.data import findings
from slipway.policy.dataset import Dataset
from slipway.report import Report, Verdict, enforce, publishing, reuse
from slipway.runner import environments, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import InputError, SlipwayError
from slipway.validating.task import Task, bring

if TYPE_CHECKING:
    from slipway.validating.judging import Found

STAGE = "validate-data"
SPARK_GROUP = "validate-data-spark"
"""Requirements with Spark, which only those install who say `engine: spark`."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Validate the datasets of the policy, or one dataset by itself."""

    policy: Path = Path("slipway.yml")
    data: str = ""
    schema: Path | None = None
    purpose: Literal["candidate", "drift"] = "candidate"
    examples: int = 3
    tracking_uri: str = ""
    reuse_from: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What was found."""

    report: Path
    verdict: Verdict


def plan(given: Inputs) -> Task:
    """The task: the one dataset of the inputs, or all of the policy."""
    if given.examples < 0:
        raise InputError(f"`examples` must not be negative, and is {given.examples}.")
    if given.data:
        one = Dataset(path=given.data, schema=str(given.schema) if given.schema else None)
        name = datasets.name_of(given.data)
        return Task(model=name, datasets={name: one})
    if given.schema:
        raise InputError(
            "`schema` was given without `data`.", fix="Give both, or neither and declare them in the policy."
        )
    from slipway.policy.source import load  # one dataset by itself has no use for all the policy's types

    sourced = load(given.policy, Run.from_environ())
    evaluation = sourced.policy.evaluation
    return Task(
        model=sourced.policy.model,
        datasets=sourced.data_for(given.purpose),
        holdout=evaluation.holdout if evaluation else "",
        on_inconclusive=evaluation.on_inconclusive if evaluation else "warn",
        sourced=sourced,
    )


def key_of(task: Task, found: Mapping[str, Found], examples: int) -> str:
    """Digest of all that the verdict follows from; empty where that can change unseen (mutable data, freshness)."""
    if any(dataset.against for dataset in task.datasets.values()):  # what production is changes unseen
        return ""
    fixed = all(each.rows is not None and each.version and each.version.immutable for each in found.values())
    fresh = [each.schema.slipway.freshness for each in found.values() if each.schema]
    timeless = all(rule is None or rule.as_of is not None for rule in fresh)
    if not (found and fixed and timeless):
        return ""
    said = {
        "datasets": {name: dataset.model_dump() for name, dataset in task.datasets.items()},
        "holdout": task.holdout,
        "subjects": [subject.model_dump() for each in found.values() for subject in each.subjects],
        "policy": [subject.model_dump() for subject in task.subjects],
        "remarks": [*task.remarks, *(remark for each in found.values() for remark in each.remarks)],
        "examples": examples,
    }
    return reuse.key(STAGE, said)


def about(report: Report, task: Task, found: Mapping[str, Found]) -> dict[str, object]:
    """What the report says of the policy and of all datasets. Those that share a schema name it once."""
    provenance = {key: value for each in found.values() for key, value in each.provenance.items()}
    subjects = (*report.subjects, *(subject for each in found.values() for subject in each.subjects))
    return {"provenance": {**task.provenance, **provenance}, "subjects": tuple(dict.fromkeys(subjects))}


def judge_all(report: Report, task: Task, given: Inputs, path: Path) -> Report:
    """The report on every dataset, and on what they have in common; an earlier one where nothing has changed."""
    brought = {name: bring(dataset) for name, dataset in task.datasets.items()}
    # Polars and pandera take a third of a second to load, in which the data are being hashed.
    from slipway.validating import judging

    def identified(found: Mapping[str, Found]) -> dict[str, Found]:
        return {name: judging.identify(name, task, each, brought[name]) for name, each in found.items()}

    found = {name: judging.inspect(name, task, each) for name, each in brought.items()}
    key = ""
    if given.reuse_from:
        found = identified(found)
        key = key_of(task, found, given.examples)
        if key and (earlier := reuse.find(given.reuse_from, key, path.parent, stage=STAGE, model=task.model)):
            return earlier.model_copy(update=about(report, task, found))
    found = {name: judging.judge(name, task, each, given.examples) for name, each in found.items()}
    found = identified(found)
    found = {
        name: judging.compared(name, task, each, given.tracking_uri, given.examples) for name, each in found.items()
    }
    checks = [check for each in found.values() for check in each.checks]
    checks += [*judging.asked_for(task, found), *judging.leaked(task, found)]
    remarks = [remark for each in found.values() for remark in each.remarks]
    report = report.model_copy(update=about(report, task, found))
    report = findings.complete(report, checks, datasets=len(found), remarks=remarks)
    if key:
        reuse.keep(given.reuse_from, key, report, path.parent, Run.from_environ())
    return report


def publish(report: Report, path: Path) -> None:
    """Write the report, then what later steps and people read of it."""
    publishing.publish(report, path, Outputs(report=path, verdict=report.verdict))


def main(given: Inputs) -> None:
    """Check every dataset, report, then let the verdict decide."""
    task = plan(given)
    if any(dataset.engine == "spark" for dataset in task.datasets.values()):
        environments.enter(SPARK_GROUP, "pyspark")
    path = given.report or report_file(task.model, STAGE)
    report = Report(
        stage=STAGE, model=task.model, verdict=Verdict.INCONCLUSIVE, reasons=task.remarks, subjects=task.subjects
    )
    try:
        report = judge_all(report, task, given, path)
    except SlipwayError as failure:
        publish(report.after_failure(failure, provenance=task.provenance), path)
        raise
    publish(report, path)
    enforce(report, on_inconclusive=task.on_inconclusive)


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
