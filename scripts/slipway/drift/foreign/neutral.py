"""The neutral form: what any tool can write. docs/drift-report.schema.json is made from the types here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from slipway.drift.findings import ColumnDrift, DriftFindings
from slipway.drift.foreign.document import Part, short

TOOL = "the neutral form"
FORMAT: Literal["slipway-drift-report"] = "slipway-drift-report"
Text = Annotated[str, Field(max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """Frozen, strict, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NeutralColumn(Strict):
    """One thing that was looked at."""

    column: Text
    """Its name, or that of a metric; empty for the dataset as a whole."""

    role: Literal["feature", "prediction", "target", "performance", "estimated_performance", "quality"]
    """What it is about; `quality` where the data themselves are broken, which is no reason to train on them."""

    statistic: Name
    """What was measured, in the tool's words."""

    drifted: bool | None
    """Whether it has drifted, in the tool's judgement; null where that is not known."""

    value: FiniteFloat | None = None
    """As measured."""

    limit: FiniteFloat | None = None
    """What the value was held against."""

    p_value: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = None
    """Of the test, where there was one."""

    importance: FiniteFloat | None = None
    """Of the column for the model."""

    detail: Text = ""
    """A sentence for people."""

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.drifted is False and self.value is None and self.p_value is None:
            raise ValueError("what has not drifted was measured: `value` or `p_value` is needed, or `drifted: null`")
        return self


class NeutralReport(Strict):
    """Findings of one look for drift."""

    format: Literal["slipway-drift-report"]
    """Always `slipway-drift-report`."""

    schema_version: Literal[1]
    """Always 1."""

    tool: Name
    """Who looked."""

    tool_version: Text = ""
    """In which version."""

    model: Text = ""
    """The model that was looked at, as the policy names it."""

    start: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """When the window of data begins, with its zone."""

    end: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """When it ends."""

    rows: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    """Rows of the window."""

    columns: tuple[NeutralColumn, ...]
    """All that was looked at, what has not drifted too: a report without any is inconclusive."""

    remarks: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    """Facts that decide nothing."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError("`start` is after `end`")
        return self


def recognises(given: Any) -> bool:
    """It says so."""
    return isinstance(given, Mapping) and given.get("format") == FORMAT


def read(given: Any) -> DriftFindings:
    """The findings. Raises InputError for what the schema does not allow."""
    try:
        said = NeutralReport.model_validate(_lists(given))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Part(TOOL, given, place).refused(
            f"What docs/drift-report.schema.json says: {short(first['msg'])}"
        ) from error
    return DriftFindings(
        tool=short(said.tool),
        version=short(said.tool_version),
        model=short(said.model),
        start=_utc(said.start),
        end=_utc(said.end),
        rows=said.rows,
        columns=tuple(_column(each) for each in said.columns),
        remarks=tuple(map(short, said.remarks)),
    )


def _column(said: NeutralColumn) -> ColumnDrift:
    return ColumnDrift(
        column=short(said.column),
        role=said.role,
        statistic=short(said.statistic),
        drifted=said.drifted,
        value=said.value,
        limit=said.limit,
        p_value=said.p_value,
        importance=said.importance,
        detail=short(said.detail),
    )


def _utc(time: datetime | None) -> datetime | None:
    return time.astimezone(UTC) if time else None


def _lists(given: Any) -> Any:
    """JSON's lists as the tuples that strict types ask for."""
    if not isinstance(given, Mapping):
        return given
    return {
        key: tuple(each) if key in ("columns", "remarks") and isinstance(each, list) else each
        for key, each in given.items()
    }
