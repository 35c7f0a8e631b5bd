"""One dataset that was brought: opened, held against its schema and its reference, and named by its version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from slipway import datasets
from slipway.data import comparison, declared, engines, findings, leakage
from slipway.data.schema import Schema, read
from slipway.policy.dataset import Dataset
from slipway.report.model import Check, Subject, Value, Verdict
from slipway.runner.errors import InputError
from slipway.validating.task import Brought, Task


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found of one dataset; `rows` is None where it cannot be read, `version` until it is told as well."""

    place: str
    checks: tuple[Check, ...] = ()
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Value]
    subjects: tuple[Subject, ...] = ()
    schema: Schema | None = None
    version: datasets.DatasetVersion | None = None
    rows: engines.Rows | None = None

    def unusable(self, name: str, dataset: Dataset, error: InputError) -> Found:
        """Data that cannot be used are a failing check, and nothing else is said of them."""
        return replace(self, checks=(findings.unusable(name, error, self.place, dataset.path),), rows=None)


def inspect(name: str, task: Task, brought: Brought) -> Found:
    """The dataset, opened, with its schema."""
    dataset = task.datasets[name]
    text = task.schema_text(dataset.schema_) if dataset.schema_ else ""
    schema = read(text, file=dataset.schema_) if dataset.schema_ else None
    provenance: dict[str, Value] = {}
    subjects: tuple[Subject, ...] = ()
    if dataset.schema_ and text:
        subjects = (declared.subject(dataset.schema_, text),)
        provenance[f"schema_{name}"] = f"{dataset.schema_} {subjects[0].id}"
    remark = task.sourced.remark_on(dataset.schema_) if task.sourced and dataset.schema_ else ""
    remarks = (remark,) if remark else ()
    found = Found(place=brought.place, remarks=remarks, provenance=provenance, subjects=subjects, schema=schema)
    if brought.missing:
        return found.unusable(name, dataset, brought.missing)
    server = task.sourced.policy.spark.remote if task.sourced else None
    try:
        rows = engines.open_rows(dataset, brought.place, server=server or "", schema=schema)
    except InputError as error:
        return found.unusable(name, dataset, error)
    return replace(found, rows=rows)


def judge(name: str, task: Task, found: Found, examples: int) -> Found:
    """The dataset held against its schema; every check is named after it."""
    dataset = task.datasets[name]
    if found.rows is None:
        return found
    try:
        checks = engines.against_schema(name, dataset, found.schema, found.rows, examples)
    except InputError as error:
        return found.unusable(name, dataset, error)
    return replace(found, checks=(*found.checks, *checks))


def identify(name: str, task: Task, found: Found, brought: Brought) -> Found:
    """The dataset with its version, and the check that this is pinned where the policy demands it."""
    dataset = task.datasets[name]
    if found.version or not brought.version:
        return found
    try:
        version = brought.version.result()
    except InputError as error:
        return found.unusable(name, dataset, error) if found.rows is not None else found
    remarks, checks = found.remarks, found.checks
    if task.must_be_pinned:
        verdict = Verdict.PASS if version.immutable else Verdict.FAIL
        checks = (Check(name=f"{name}: pinned", verdict=verdict, detail=version.remark or f"{version}"), *checks)
    elif not version.immutable:
        remarks += (f"{name}: {dataset.path} {version.remark}",)
    return replace(
        found,
        version=version,
        checks=checks,
        remarks=remarks,
        provenance={**found.provenance, f"data_{name}": version.in_words},
        subjects=(*found.subjects, Subject(role="data", name=name, id=str(version))),
    )


def compared(name: str, task: Task, found: Found, tracking_uri: str, examples: int) -> Found:
    """The dataset held against its reference, where the policy names one and its rows could be read."""
    rules, sourced = task.datasets[name].against, task.sourced
    if rules is None or found.rows is None or sourced is None:
        return found
    other = sourced.policy.reference_data(rules)
    asked = comparison.request(sourced, rules, _on_this_machine(other) if other else None, tracking_uri)
    here = task.datasets[name].model_copy(update={"path": found.place})
    schema = task.schema_text(here.schema_) if here.schema_ else ""
    checks, said = comparison.compare(name, here, asked, found.rows.columns, examples, schema=schema)
    return replace(found, checks=(*found.checks, *checks), provenance={**found.provenance, **said})


def _on_this_machine(dataset: Dataset) -> Dataset:
    """A reference at the place that it is brought to, unless Spark reads it where it lies."""
    return dataset if dataset.stays else dataset.model_copy(update={"path": datasets.fetch_missing(dataset.path)})


def leaked(task: Task, found: Mapping[str, Found]) -> Iterator[Check]:
    """Whether rows of the holdout are among the rows that the model is trained on."""
    training = leakage.training_name(found, task.holdout)
    if not (training and task.holdout in found):
        return
    train, holdout = found[training].rows, found[task.holdout].rows
    if train is not None and holdout is not None:
        yield engines.leaked(train, holdout, name=leakage.name_of(training, task.holdout))


def asked_for(task: Task, found: Mapping[str, Found]) -> Iterator[Check]:
    """The columns that the evaluation will ask for and the holdout lacks: before compute is spent on a candidate."""
    evaluation = task.sourced.policy.evaluation if task.sourced else None
    holdout = found.get(task.holdout)
    if task.sourced is None or evaluation is None or holdout is None or holdout.rows is None:
        return
    from slipway.policy.columns import missing_columns  # with a policy all its types are loaded already

    for each in missing_columns(task.sourced, evaluation, holdout.rows.columns):
        yield Check(name=f"{task.holdout}: column {each.column}", verdict=Verdict.FAIL, detail=each.in_words)
