"""Hold each dataset of the model against its pandera schema and pin its version, before compute is spent on it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from slipway import datasets
from slipway.data import comparison, engines, findings, leakage
from slipway.data.schema import Schema, read
from slipway.policy import Dataset, SourcedPolicy, load, missing_columns
from slipway.report import Check, Report, Subject, Verdict, enforce, publishing, reuse
from slipway.report.model import Value
from slipway.runner import environments, stage
from slipway.runner.context import Run, report_file
from slipway.runner.errors import InputError, SlipwayError

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


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be checked, whether it comes from the policy or from the inputs."""

    model: str
    datasets: dict[str, Dataset]
    holdout: str = ""
    on_inconclusive: Literal["warn", "fail"] = "warn"
    sourced: SourcedPolicy | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know about the policy."""
        return self.sourced.remarks if self.sourced else ()

    @property
    def provenance(self) -> dict[str, str]:
        """What the report says of the policy."""
        return self.sourced.provenance if self.sourced else {}

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The policy, for machines."""
        if self.sourced is None:
            return ()
        return (Subject(role="policy", name=str(self.sourced.path), id=self.sourced.policy.digest),)

    def schema_text(self, path: str) -> str:
        """The schema that judges: in a pull request the base branch's."""
        if self.sourced:
            return self.sourced.gate_file(path)
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The schema {path} cannot be read.", why=str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found of one dataset; `version` and `rows` are None where it cannot be read."""

    checks: tuple[Check, ...] = ()
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Value]
    subjects: tuple[Subject, ...] = ()
    schema: Schema | None = None
    version: datasets.DatasetVersion | None = None
    rows: engines.Rows | None = None


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
    sourced = load(given.policy, Run.from_environ())
    evaluation = sourced.policy.evaluation
    return Task(
        model=sourced.policy.model,
        datasets=sourced.data_for(given.purpose),
        holdout=evaluation.holdout if evaluation else "",
        on_inconclusive=evaluation.on_inconclusive if evaluation else "warn",
        sourced=sourced,
    )


def inspect(name: str, dataset: Dataset, task: Task) -> Found:
    """One dataset, fetched and pinned. Data that cannot be used are a failing check."""
    text = task.schema_text(dataset.schema_) if dataset.schema_ else ""
    schema = read(text, file=dataset.schema_) if dataset.schema_ else None
    provenance: dict[str, Value] = {}
    subjects: tuple[Subject, ...] = ()
    if text:
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        provenance[f"schema_{name}"] = f"{dataset.schema_} {digest}"
        subjects += (Subject(role="schema", name=str(dataset.schema_), id=digest),)
    remarks = []
    if task.sourced and dataset.schema_ and (remark := task.sourced.remark_on(dataset.schema_)):
        remarks.append(remark)
    place = dataset.path
    try:
        if not dataset.stays:
            place = datasets.fetch_missing(place)
        server = task.sourced.policy.spark.remote if task.sourced else None
        rows = engines.open_rows(dataset, place, server=server or "", schema=schema)
        version = datasets.identify(dataset.path)
        provenance[f"data_{name}"] = version.in_words
        subjects += (Subject(role="data", name=name, id=str(version)),)
        if not version.immutable and not must_be_pinned(task):  # else its check says it
            remarks.append(f"{name}: {dataset.path} {version.remark}")
    except InputError as error:
        checks = (findings.unusable(name, error, place, dataset.path),)
        return Found(checks=checks, remarks=tuple(remarks), provenance=provenance, subjects=subjects)
    found = Found(remarks=tuple(remarks), provenance=provenance, subjects=subjects, schema=schema)
    return replace(found, version=version, rows=rows, checks=tuple(pinned(name, version, task)))


def pinned(name: str, version: datasets.DatasetVersion, task: Task) -> Iterator[Check]:
    """Whether the data can change under their name, where the policy forbids it."""
    if must_be_pinned(task):
        verdict = Verdict.PASS if version.immutable else Verdict.FAIL
        yield Check(name=f"{name}: pinned", verdict=verdict, detail=version.remark or f"{version}")


def must_be_pinned(task: Task) -> bool:
    """Whether the policy refuses data that can change under their name."""
    return task.sourced is not None and task.sourced.policy.reproducibility.mutable_data == "fail"


def judge(name: str, dataset: Dataset, found: Found, examples: int) -> Found:
    """The dataset held against its schema; every check is named after it."""
    if found.rows is None:
        return found
    try:
        checks = engines.against_schema(name, dataset, found.schema, found.rows, examples)
    except InputError as error:
        return replace(found, checks=(findings.unusable(name, error, dataset.path, dataset.path),), rows=None)
    return replace(found, checks=(*found.checks, *checks))


def leaked(task: Task, found: dict[str, Found]) -> Iterator[Check]:
    """Whether rows of the holdout are among the rows that the model is trained on."""
    training = leakage.training_name(found, task.holdout)
    if not (training and task.holdout in found):
        return
    train, holdout = found[training].rows, found[task.holdout].rows
    if train is not None and holdout is not None:
        yield engines.leaked(train, holdout, name=leakage.name_of(training, task.holdout))


def asked_for(task: Task, found: dict[str, Found]) -> Iterator[Check]:
    """The columns that the evaluation will ask for and the holdout lacks: before compute is spent on a candidate."""
    evaluation = task.sourced.policy.evaluation if task.sourced else None
    holdout = found.get(task.holdout)
    if task.sourced is None or evaluation is None or holdout is None or holdout.rows is None:
        return
    for each in missing_columns(task.sourced, evaluation, holdout.rows.columns):
        yield Check(name=f"{task.holdout}: column {each.column}", verdict=Verdict.FAIL, detail=each.in_words)


def compared(name: str, found: Found, task: Task, given: Inputs) -> Found:
    """The dataset held against its reference, where the policy names one and its rows could be read."""
    rules, sourced = task.datasets[name].against, task.sourced
    if rules is None or found.rows is None or sourced is None:
        return found
    other = sourced.policy.reference_data(rules)
    asked = comparison.request(sourced, rules, on_this_machine(other) if other else None, given.tracking_uri)
    dataset = on_this_machine(task.datasets[name])
    checks, said = comparison.compare(name, dataset, asked, found.rows.columns, given.examples)
    return replace(found, checks=(*found.checks, *checks), provenance={**found.provenance, **said})


def on_this_machine(dataset: Dataset) -> Dataset:
    """The dataset at the place that it was brought to, unless Spark reads it where it lies."""
    return dataset if dataset.stays else dataset.model_copy(update={"path": datasets.fetch_missing(dataset.path)})


def key_of(task: Task, found: dict[str, Found], examples: int) -> str:
    """Digest of all that the verdict follows from; empty where that can change unseen (mutable data, freshness)."""
    if any(dataset.against for dataset in task.datasets.values()):  # what production is changes unseen
        return ""
    fixed = all(each.version and each.version.immutable for each in found.values())
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


def provenance_of(task: Task, found: dict[str, Found]) -> dict[str, Value]:
    """What the report says of the policy and of all datasets."""
    return {**task.provenance, **{key: value for each in found.values() for key, value in each.provenance.items()}}


def judge_all(report: Report, task: Task, given: Inputs, path: Path) -> Report:
    """The report on every dataset, and on what they have in common; an earlier one where nothing has changed."""
    found = {name: inspect(name, dataset, task) for name, dataset in task.datasets.items()}
    # Datasets that share a schema name it once.
    subjects = dict.fromkeys((*report.subjects, *(subject for each in found.values() for subject in each.subjects)))
    update: dict[str, object] = {"provenance": provenance_of(task, found), "subjects": tuple(subjects)}
    key = key_of(task, found, given.examples) if given.reuse_from else ""
    if key and (earlier := reuse.find(given.reuse_from, key, path.parent, stage=STAGE, model=task.model)):
        return earlier.model_copy(update=update)
    found = {name: judge(name, task.datasets[name], each, given.examples) for name, each in found.items()}
    found = {name: compared(name, each, task, given) for name, each in found.items()}
    update["provenance"] = provenance_of(task, found)
    checks = [check for each in found.values() for check in each.checks]
    checks += [*asked_for(task, found), *leaked(task, found)]
    remarks = [remark for each in found.values() for remark in each.remarks]
    report = report.model_copy(update=update)
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
