"""The report: one JSON document for each stage. Summary, comment and pages are renderings of it and nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from slipway.runner import commands
from slipway.runner.errors import GateError, InputError, SlipwayError

Number = int | FiniteFloat
Value = bool | int | FiniteFloat | str | None

FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
"""A plain name, never a way to another folder."""


class Verdict(StrEnum):
    """There is no fourth. What was not measured is inconclusive, never a pass."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict from many: any fail fails, all must pass to pass, nothing at all is inconclusive."""
    found = set(verdicts)
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if found == {Verdict.PASS} else Verdict.INCONCLUSIVE


class Part(BaseModel):
    """Base of all parts of a report: no undeclared keys, no NaN, never changed after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Check(Part):
    """One thing that was checked."""

    name: str
    verdict: Verdict
    detail: str = ""
    count: int | None = None
    """How many rows violate it, where rows do."""

    examples: tuple[str, ...] = ()
    values: dict[str, Value] = Field(default_factory=dict)
    """The numbers behind the verdict, for machines."""


class Span(Part):
    """An interval in a table's cell, with the limit that it is held against; all in the metric's own unit."""

    text: str
    """The interval as people read it, with its digits: `+0.0012 to +0.0034`."""

    low: FiniteFloat
    value: FiniteFloat
    high: FiniteFloat
    limit: FiniteFloat | None = None
    """The gate's limit, or where nothing has changed (zero) for a difference that no gate looks at."""

    above: bool | None = None
    """Whether the right side of the limit is above it; None where neither side is wrong."""

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        # A bootstrap's value may lie outside of its own interval.
        if self.low > self.high:
            raise ValueError("an interval's `low` is not above its `high`")
        return self

    def __str__(self) -> str:
        return self.text


Cell = int | FiniteFloat | str | Span | None


class Column(Part):
    """A table's column. All text is plain; how it is escaped and set follows from `kind`."""

    name: str
    kind: Literal["text", "code", "number", "verdict"] = "text"


class Table(Part):
    """A table for people."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False
    """Whether people see only the title until they open it."""

    detail: bool = False
    """Whether it is left to the stage's own page, because a comment would drown in it."""

    @model_validator(mode="after")
    def _rows_fit_the_columns(self) -> Self:
        if not self.columns or any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("every row of a table needs one cell for each column")
        return self


class Point(Part):
    """One point of a chart. Which fields count follows from the chart's kind."""

    y: FiniteFloat
    x: FiniteFloat = 0.0
    label: str = ""
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    """Ends of an interval around `y`."""

    limit: FiniteFloat | None = None
    above: bool | None = None
    """As in `Span`."""

    count: int | None = Field(default=None, ge=0)
    """Rows behind the point."""

    verdict: Verdict | None = None


class Series(Part):
    """Points that belong together: one model, one metric."""

    name: str
    points: tuple[Point, ...] = Field(min_length=1, max_length=200)


class Chart(Part):
    """Numbers that are better seen than read. Who measures gives the numbers; only renderers draw.

    - `reliability`: x is the mean prediction of a bin, y the observed share with its interval, count its rows.
    - `roc`: x is the false positive rate, y the true positive rate, both from 0 to 1, x never falling.
    - `intervals`: one series; each point a label, y with low and high, and a limit.
    - `bars`: each point a label and y; two series are two bars for each label.
    - `history`: y of earlier versions, oldest first, label the version.
    """

    kind: Literal["reliability", "roc", "intervals", "bars", "history"]
    title: str
    series: tuple[Series, ...] = Field(min_length=1, max_length=8)
    note: str = ""

    @model_validator(mode="after")
    def _points_are_of_its_kind(self) -> Self:
        for each in self.series:
            across = [point.x for point in each.points]
            if self.kind in ("reliability", "roc") and not all(
                0 <= value <= 1 for point in each.points for value in (point.x, point.y)
            ):
                raise ValueError(f"a chart of kind `{self.kind}` shows shares from 0 to 1")
            if self.kind in ("reliability", "roc") and across != sorted(across):
                raise ValueError(f"the points of a chart of kind `{self.kind}` go from left to right")
            if self.kind == "intervals" and any(point.low is None or point.high is None for point in each.points):
                raise ValueError("every point of a chart of intervals needs `low` and `high`")
            if any(p.low is not None and p.high is not None and p.low > p.high for p in each.points):
                raise ValueError("an interval's `low` is not above its `high`")
        return self


class Change(Part):
    """What the candidate was made with that production was not: a parameter, a dataset's version, a seed.

    None for what one of the two does not have.
    """

    name: str
    production: str | None
    candidate: str | None


def changes(production: Mapping[str, str], candidate: Mapping[str, str]) -> tuple[Change, ...]:
    """What differs between two sets of parameters, by name."""
    names = sorted(production.keys() | candidate.keys())
    pairs = [(name, production.get(name), candidate.get(name)) for name in names]
    return tuple(Change(name=name, production=old, candidate=new) for name, old, new in pairs if old != new)


class Subject(Part):
    """One thing that a report or a ledger entry speaks of."""

    role: str
    """`candidate`, `production`, `data`, `schema`, `policy`, `commit`, `environment`, `image`, `comment`, …"""

    name: str
    id: str
    """Its digest, or the identity that its own system gives it."""


class Report(Part):
    """What one stage found."""

    schema_version: Literal[1] = 1
    stage: str
    model: str
    verdict: Verdict
    headline: str = ""
    """The result in one line."""

    reasons: tuple[str, ...] = ()
    """Why the verdict is what it is, most important first; remarks that a reader must not miss come last."""

    checks: tuple[Check, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = Field(default=(), max_length=20)
    changes: tuple[Change, ...] | None = None
    """What the candidate was made with other than production; None where they were not compared."""

    meaning: str = ""
    """What the verdict means for the model, in a few words, where the stage knows it better than the verdict alone."""

    advice: str = ""
    """What to do about the verdict, in a sentence or two, where the stage knows it better than its checks say."""

    provenance: dict[str, Value] = Field(default_factory=dict)
    links: dict[str, str] = Field(default_factory=dict)
    subjects: tuple[Subject, ...] = ()
    """What the stage worked on, for machines; `provenance` says it to people."""

    attachments: dict[FileName, str] = Field(default_factory=dict)
    """Files beside the report that belong to it, by name, with their SHA-256 (`sha256:…`)."""

    reused_from: str = ""
    """The run that did the work, where this one did not have to."""

    started: datetime = Field(default_factory=lambda: datetime.now(UTC))
    seconds: FiniteFloat = 0.0

    def finished(self) -> Report:
        """The report with the seconds since `started`."""
        return self.model_copy(update={"seconds": round((datetime.now(UTC) - self.started).total_seconds(), 3)})

    def after_failure(self, failure: SlipwayError, *, provenance: Mapping[str, Value]) -> Report:
        """The report of a stage that could not finish: a gate's failure fails, anything else was not judged."""
        verdict = Verdict.FAIL if isinstance(failure, GateError) else Verdict.INCONCLUSIVE
        # The beginning is enough for a comment; the annotation in the run's log has all of it. A list has several whys.
        lines = failure.why.strip().splitlines()
        whys = [line[2:] for line in lines] if all(line.startswith("- ") for line in lines) else [failure.why]
        reasons = (*filter(None, (" ".join(why.split())[:500] for why in whys[:LISTED])), *self.reasons)
        return self.model_copy(
            update={
                "verdict": verdict,
                "headline": failure.what,
                "reasons": reasons,
                "advice": " ".join(failure.fix.split())[:500],
                "provenance": dict(provenance),
            }
        )

    def write(self, path: Path) -> Path:
        """Write the JSON file; whoever reads it finds the whole document or the one before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=2) + "\n")
        Path(temporary).replace(path)
        return path

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read a report; InputError where the file is not one."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise InputError(f"The report {path} cannot be read.", why=str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"{path} is not a report of Slipway.",
                why=": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"]))),
                fix="Give the file that a stage named in its `report` output.",
            ) from error


LISTED = 10
"""Points of a failure that its report repeats."""

MORE_ROWS = (
    "Inconclusive is not a pass here: the policy says `on_inconclusive: fail`. More rows in the holdout settle it, or "
    "a person."
)


def enforce(report: Report, *, on_inconclusive: Literal["warn", "fail"], fix: str = MORE_ROWS) -> None:
    """Raise GateError where the verdict must fail the step; call it after the outputs were written.

    fix: what to do where an inconclusive verdict fails.
    """
    # A person at a terminal has read them just now (`plain.tell`); a runner's annotation stands by itself.
    reasons = "\n".join(f"- {reason}" for reason in report.reasons) if commands.on_runner() else ""
    if report.verdict is Verdict.FAIL:
        raise GateError(report.headline or f"{report.stage}: fail.", why=reasons and f"\n{reasons}")
    if report.verdict is Verdict.INCONCLUSIVE:
        message = report.headline or f"{report.stage}: inconclusive."
        if on_inconclusive == "fail":
            raise GateError(
                message,
                why=reasons and f"\n{reasons}",
                fix=fix,
            )
        commands.warning(f"{message}\n{reasons}".strip(), title="Inconclusive")
