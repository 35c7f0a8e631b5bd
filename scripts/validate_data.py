"""Hold each dataset of the model against its pandera schema and pin its version, before compute is spent on it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from slipway import datasets
from slipway.data import leakage, reading, validation
from slipway.data.schema import Schema, read
from slipway.policy import Dataset, SourcedPolicy, load
from slipway.report import Check, Column, Report, Table, Verdict, combine, enforce, markdown
from slipway.report.model import Value
from slipway.runner import outputs, stage
from slipway.runner.context import Run, home
from slipway.runner.errors import InputError

TRAINING_NAMES = ("train", "training")
REASONS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Validate the datasets of the policy, or one dataset by itself."""

    policy: Path = Path("slipway.yml")
    data: Path | None = None
    schema: Path | None = None
    examples: int = 3
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
    """What was found of one dataset; `frame` is None where it cannot be read."""

    checks: tuple[Check, ...]
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Value]
    frame: pl.LazyFrame | None = None


def plan(given: Inputs) -> Task:
    """The task: the one dataset of the inputs, or all of the policy."""
    if given.examples < 0:
        raise InputError(f"`examples` must not be negative, and is {given.examples}.")
    if given.data:
        one = Dataset(path=str(given.data), schema=str(given.schema) if given.schema else None)
        return Task(model=given.data.stem, datasets={given.data.stem: one})
    if given.schema:
        raise InputError(
            "`schema` was given without `data`.", fix="Give both, or neither and declare them in the policy."
        )
    sourced = load(given.policy, Run.from_environ())
    evaluation = sourced.policy.evaluation
    return Task(
        model=sourced.policy.model,
        datasets=sourced.policy.data,
        holdout=evaluation.holdout if evaluation else "",
        on_inconclusive=evaluation.on_inconclusive if evaluation else "warn",
        sourced=sourced,
    )


def inspect(name: str, dataset: Dataset, task: Task, examples: int) -> Found:
    """One dataset: fetched, pinned, read and held against its schema. Data that cannot be used are a failing check."""
    text = task.schema_text(dataset.schema_) if dataset.schema_ else ""
    schema = read(text, file=dataset.schema_) if dataset.schema_ else None
    provenance: dict[str, Value] = {}
    if text:
        provenance[f"schema_{name}"] = f"{dataset.schema_} sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    remarks = []
    if task.sourced and dataset.schema_ and task.sourced.changed(dataset.schema_):
        remarks.append(f"This pull request changes `{dataset.schema_}`; the base branch's copy judged the data.")
    datasets.fetch_missing(dataset.path)
    try:
        frame = reading.scan(dataset.path, text_columns=schema.text_columns if schema else ())
        version = datasets.identify(dataset.path)
        provenance[f"data_{name}"] = f"{dataset.path} {version.kind} {version.id}"
        if not version.immutable:
            remarks.append(f"{name}: {dataset.path} {version.remark}")
        checks = judge(name, dataset, schema, frame, examples)
    except InputError as error:
        detail = " ".join(part for part in (error.what, error.why, error.fix) if part)
        unusable = Check(name=f"{name}: readable", verdict=Verdict.FAIL, detail=detail)
        return Found(checks=(unusable,), remarks=tuple(remarks), provenance=provenance)
    return Found(checks=checks, remarks=tuple(remarks), provenance=provenance, frame=frame)


def judge(name: str, dataset: Dataset, schema: Schema | None, frame: pl.LazyFrame, examples: int) -> tuple[Check, ...]:
    """The dataset's checks, named after it."""
    if schema is None:
        detail = "no schema: nothing was checked. Name one under `schema` of the dataset."
        return (Check(name=f"{name}: schema", verdict=Verdict.INCONCLUSIVE, detail=detail),)
    with reading.unreadable(dataset.path):
        checks = validation.validate(schema, frame, examples=examples)
    if not checks:
        detail = f"{dataset.schema_} declares nothing: nothing was checked"
        return (Check(name=f"{name}: schema", verdict=Verdict.INCONCLUSIVE, detail=detail),)
    return tuple(check.model_copy(update={"name": f"{name}: {check.name}"}) for check in checks)


def leaked(task: Task, found: dict[str, Found]) -> Iterator[Check]:
    """Whether rows of the holdout are among the rows that the model is trained on."""
    training = next((name for name in TRAINING_NAMES if name in found and name != task.holdout), "")
    if not (training and task.holdout in found):
        return
    train, holdout = found[training].frame, found[task.holdout].frame
    if train is not None and holdout is not None:
        with reading.unreadable(task.datasets[training].path):
            yield leakage.check(train, holdout, name=f"leakage: rows of {task.holdout} in {training}")


def build_report(task: Task, found: dict[str, Found], extra: list[Check], start: Report) -> Report:
    """Everything that was found, violated checks first."""
    checks = [check for each in found.values() for check in each.checks] + extra
    verdict = combine(check.verdict for check in checks)
    violated = [check for check in checks if check.verdict is not Verdict.PASS or check.count]
    violated.sort(key=lambda check: [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS].index(check.verdict))
    reasons = [f"{check.name}: {check.detail}" for check in violated[:REASONS_SHOWN]]
    if len(violated) > REASONS_SHOWN:
        reasons.append(f"{len(violated) - REASONS_SHOWN} more checks are listed in the report.")
    remarks = [
        *(task.sourced.remarks if task.sourced else ()),
        *(text for each in found.values() for text in each.remarks),
    ]
    provenance = dict(task.sourced.provenance) if task.sourced else {}
    tables = [table("Violated checks", violated)] if violated else []
    update = {
        "verdict": verdict,
        "headline": headline(checks, len(found)),
        "reasons": (*reasons, *remarks),
        "checks": tuple(checks),
        "tables": (*tables, table(f"All checks ({len(checks)})", checks, folded=True)),
        "provenance": {
            **provenance,
            **{key: value for each in found.values() for key, value in each.provenance.items()},
        },
    }
    return start.model_copy(update=update).finished()


def headline(checks: list[Check], count: int) -> str:
    """The result in one line."""
    if not checks:
        return "The policy declares no data: nothing was checked."
    parts = [f"{len(checks)} checks of {count} dataset{'s' if count > 1 else ''}"]
    for verdict, word in ((Verdict.FAIL, "failed"), (Verdict.INCONCLUSIVE, "inconclusive")):
        number = sum(check.verdict is verdict for check in checks)
        parts += [f"{number} {word}"] if number else []
    return ", ".join(parts) + ("." if len(parts) > 1 else ", all passed.")


def table(title: str, checks: list[Check], *, folded: bool = False) -> Table:
    """Checks as a table."""
    columns = (
        Column(name="check"),
        Column(name="verdict", kind="verdict"),
        Column(name="rows", kind="number"),
        Column(name="finding"),
        Column(name="examples"),
    )
    rows = tuple((each.name, each.verdict, each.count, each.detail, "; ".join(each.examples)) for each in checks)
    return Table(title=title, columns=columns, rows=rows, folded=folded)


def main(given: Inputs) -> None:
    """Check every dataset, report, then let the verdict decide."""
    task = plan(given)
    start = Report(stage="validate-data", model=task.model, verdict=Verdict.INCONCLUSIVE)
    found = {name: inspect(name, dataset, task, given.examples) for name, dataset in task.datasets.items()}
    report = build_report(task, found, list(leaked(task, found)), start)
    path = report.write(given.report or home() / "reports" / task.model / "validate-data.json")
    outputs.publish(Outputs(report=path, verdict=report.verdict))
    outputs.summarise(markdown.stage_page(report))
    enforce(report, on_inconclusive=task.on_inconclusive)


if __name__ == "__main__":
    sys.exit(stage.run(main, Inputs))
