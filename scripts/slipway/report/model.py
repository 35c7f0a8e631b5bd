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
Cell = int | FiniteFloat | str | None


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
        # The first paragraph is enough for a comment; the annotation in the run's log has all of it.
        why = " ".join(failure.why.split())[:500]
        reasons = ((why,) if why else ()) + self.reasons
        update = {"verdict": verdict, "headline": failure.what, "reasons": reasons, "provenance": dict(provenance)}
        return self.model_copy(update=update)

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


MORE_ROWS = (
    "Inconclusive is not a pass here: the policy says `on_inconclusive: fail`. More rows in the holdout settle it, or "
    "a person."
)


def enforce(report: Report, *, on_inconclusive: Literal["warn", "fail"], fix: str = MORE_ROWS) -> None:
    """Raise GateError where the verdict must fail the step; call it after the outputs were written.

    fix: what to do where an inconclusive verdict fails.
    """
    reasons = "\n".join(f"- {reason}" for reason in report.reasons)
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
        commands.warning(f"{message}\n{reasons}", title="Inconclusive")
