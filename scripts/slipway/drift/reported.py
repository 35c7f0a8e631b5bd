"""`DriftFindings` as checks for machines, and as table and reasons for people."""

from __future__ import annotations

import hashlib

from slipway.drift.findings import ColumnDrift, DriftFindings
from slipway.report import Cell, Check, Column, Report, Subject, Table, Verdict
from slipway.report.model import Value

RANK = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
MOST_REASONS = 20
WHOLE = "the dataset"
"""What a finding is about that names no column."""


def checks(found: DriftFindings) -> tuple[Check, ...]:
    """One for each thing that was looked at. `role` says what it is about, as in the checks of Slipway's own look."""
    return tuple(
        Check(
            name=f"drift: {each.column or WHOLE} ({each.statistic})",
            verdict=each.verdict,
            detail=sentence(each),
            values={"role": each.role, **_values(each)},
        )
        for each in found.columns
    )


def table(found: DriftFindings) -> Table:
    """Everything, what drifted first, then what is not known."""
    ordered = sorted(found.columns, key=lambda each: (RANK[each.verdict], each.role, each.column))
    rows: list[tuple[Cell, ...]] = [
        (
            each.column or WHOLE,
            each.role,
            each.statistic,
            _number(each.value),
            _number(each.limit),
            _number(each.p_value),
            each.verdict.value,
        )
        for each in ordered
    ]
    return Table(
        title=f"What {source(found)} found",
        columns=(
            Column(name="column", kind="code"),
            Column(name="about"),
            Column(name="statistic"),
            *(Column(name=name, kind="number") for name in ("value", "limit", "p")),
            Column(name="verdict", kind="verdict"),
        ),
        rows=tuple(rows),
        note=" ".join(found.remarks),
    )


def reasons(found: DriftFindings) -> tuple[str, ...]:
    """What failed, then what is not known; where nothing was looked at, that."""
    if found.verdict is Verdict.PASS:
        return ()
    if all(each.role == "quality" and each.drifted is False for each in found.columns):
        return (f"{source(found)} says nothing of drift.",)
    ordered = sorted((each for each in found.columns if each.drifted is not False), key=lambda each: RANK[each.verdict])
    more = len(ordered) - MOST_REASONS
    rest = (f"{more:,} more are in the table.",) if more > 0 else ()
    return (*(sentence(each) for each in ordered[:MOST_REASONS]), *rest)


def told(report: Report, found: DriftFindings) -> Report:
    """The report of a stage with the findings. Its subject `window` tells this look from others."""
    drifted = len(found.drifted)
    said = f"{source(found)} found drift in {drifted} of {len(found.columns)} things that it looked at."
    named = {"start": found.start, "end": found.end, "rows": found.rows}
    window = Subject(role="window", name=source(found), id=window_id(found))
    return report.model_copy(
        update={
            "verdict": found.verdict,
            "headline": said if found.columns else f"{source(found)} says nothing of drift.",
            "reasons": (*reasons(found), *report.reasons),
            "checks": checks(found),
            "tables": (table(found),) if found.columns else (),
            "subjects": (*report.subjects, window),
            "provenance": {
                "found_by": source(found),
                **{f"window_{name}": str(value) for name, value in named.items() if value is not None},
                **report.provenance,
            },
        }
    )


def window_id(found: DriftFindings) -> str:
    """The window's ends where both are known; else a digest of all that was found."""
    if found.start and found.end:
        return f"{found.start.isoformat()}/{found.end.isoformat()}"
    return f"sha256:{hashlib.sha256(repr(found).encode(errors='replace')).hexdigest()}"


def sentence(each: ColumnDrift) -> str:
    """What is said of one column."""
    if each.drifted is None:
        said = "is not known to have drifted or not"
    elif each.role == "quality":
        said = "violates a check of the data's quality" if each.drifted else "violates no check of the data's quality"
    else:
        said = "has drifted" if each.drifted else "has not drifted"
    held = ", ".join(
        f"{name} {_number(value)}"
        for name, value in (("value", each.value), ("limit", each.limit), ("p", each.p_value))
        if value is not None
    )
    about = f"`{each.column}`" if each.column else WHOLE.capitalize()
    measured = f"{each.statistic}: {held}" if held else each.statistic
    return " ".join(filter(None, (f"{about} {said} ({measured}).", each.detail)))


def source(found: DriftFindings) -> str:
    """Tool and version."""
    return f"{found.tool} {found.version}".strip()


def _values(each: ColumnDrift) -> dict[str, Value]:
    numbers = {"value": each.value, "limit": each.limit, "p_value": each.p_value, "importance": each.importance}
    return {name: number for name, number in numbers.items() if number is not None}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
